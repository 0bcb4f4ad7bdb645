/** Who looked into the log: PCI DSS 10.2.1.3 wants every access to audit logs to be logged itself. */

import type { Knex } from 'knex';
import { type Actor, mutate } from '../db/mutate.ts';

export type Read = 'query' | 'show' | 'stats' | 'export' | 'tail' | 'findings' | 'replay' | 'shadow' | 'admin';

/**
 * Leaves the event of a read: `audit.query` and the like, what was asked for as its `after`.
 * INVARIANT: who reads the log awaits this before anybody sees what was read; where it fails, nothing is seen.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export const noteRead = (db: Knex, actor: Actor, read: Read, asked: object): Promise<void> =>
  note(db, actor, read, 'log', read === 'admin' ? 'admin_events' : 'decisions', asked);

/** The event of a look at one decision. @throws as noteRead does */
export const noteShown = (db: Knex, actor: Actor, id: string): Promise<void> =>
  note(db, actor, 'show', 'decision', id, undefined);

const note = (
  db: Knex,
  actor: Actor,
  read: Read,
  kind: 'log' | 'decision',
  id: string,
  after: object | undefined,
): Promise<void> =>
  mutate(db, actor, async () => ({
    result: undefined,
    events: [{ action: `audit.${read}`, kind, id, after }],
    changes: [],
  }));
