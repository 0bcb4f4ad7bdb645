/** The loaded facts of a question, as far as its rate limit depends on them. */

import type { Known } from '../../src/facts/load.ts';
import { WITHOUT_ATTRIBUTES } from '../../src/facts/stored-facts.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { factsWith } from '../support/facts.ts';

interface Options {
  readonly keyStatus?: Facts['key']['status'];
  readonly userStatus?: Facts['user']['status'];
  /** Undefined: the default limit. */
  readonly limit?: Known['limit'];
}

/** An active key of an active user, unless said otherwise. */
export const loadedOf = (id: string, { keyStatus, userStatus, limit }: Options = {}): Known => ({
  ...factsWith({
    key: { id, status: keyStatus ?? 'active', environment: 'production' },
    user: { id: 'ann', status: userStatus ?? 'active' },
  }),
  stored: WITHOUT_ATTRIBUTES,
  reasons: { user: undefined, target: undefined },
  limit,
  redigest: undefined,
});
