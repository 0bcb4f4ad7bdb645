/** The loaded facts of a question, as far as its rate limit depends on them. */

import type { Loaded } from '../../src/facts/load.ts';
import { closed, type Facts } from '../../src/policy/facts.ts';

interface Options {
  readonly keyStatus?: Facts['key']['status'];
  readonly userStatus?: Facts['user']['status'];
  /** Undefined: the default limit. */
  readonly limit?: Loaded['limit'];
}

const WITHIN: Facts['limit'] = closed({ exceeded: false });

/** An active key of an active user, unless said otherwise. */
export const loadedOf = (id: string, { keyStatus, userStatus, limit }: Options = {}): Loaded => ({
  facts: closed({
    key: closed({ id, status: keyStatus ?? 'active', userManagement: false, environment: 'production' }),
    user: closed({ id: 'ann', status: userStatus ?? 'active', businesses: 'active' }),
    target: closed({ id: '', status: 'none', role: 'none', inRestriction: false }),
    limit: WITHIN,
    request: closed({ action: 'account:read' }),
  }),
  reasons: { user: undefined, target: undefined },
  limit,
  redigest: undefined,
});
