/** Who read the log: PCI DSS 10.2.1.3 requires every access to audit logs to be logged itself. */

import type { Knex } from 'knex';
import { type Actor, mutate } from '../db/mutate.ts';

export type Access = 'query' | 'show' | 'stats' | 'export' | 'tail' | 'findings' | 'replay' | 'shadow' | 'admin';

/**
 * Leaves the event of an access: `audit.query` and the like, what was asked for as its `after`.
 * INVARIANT: who reads the log awaits this before anything that was read is shown; where it fails, nothing is shown.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const recordAccess = (db: Knex, actor: Actor, access: Access, asked: object): Promise<void> =>
  recordEvent(db, actor, access, 'log', access === 'admin' ? 'admin_events' : 'decisions', asked);

/** Leaves the event of reading one decision. @throws as recordAccess does */
export const recordShow = (db: Knex, actor: Actor, id: string): Promise<void> =>
  recordEvent(db, actor, 'show', 'decision', id, undefined);

const recordEvent = (
  db: Knex,
  actor: Actor,
  access: Access,
  kind: 'log' | 'decision',
  id: string,
  after: object | undefined,
): Promise<void> =>
  mutate(db, actor, async () => ({
    result: undefined,
    events: [{ action: `audit.${access}`, kind, id, after }],
    changes: [],
  }));
