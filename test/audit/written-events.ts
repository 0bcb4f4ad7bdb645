/** Events of administration, added as the service adds them, and what a superuser can do with the functions that add them. */

import type { Knex } from 'knex';
import { mutate } from '../../src/db/mutate.ts';

/** A row of `admin_events`, as far as tests look at it. */
export interface WrittenEvent {
  readonly id: string;
  readonly seq: string;
  readonly action: string;
}

/** Adds the events of `count` changes of users, each in a transaction of its own, and those of two reads before the last. */
export async function appendEvents(db: Knex, count: number): Promise<void> {
  for (let n = 1; n <= count; n += 1) {
    if (n === count) for (const id of [null, '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e']) await readLog(db, id);
    const requestId = n % 2 === 0 ? undefined : `r-${n}`;
    await mutate(db, { id: 'cli:ann', requestId }, async () => {
      const [before, after] = [{ id: `user-${count}-${n}`, reason: 'naïve ✓', n: 0.1 }, { id: `user-${count}-${n}` }];
      const event = { action: 'user.update', kind: 'user' as const, id: `user-${count}-${n}`, before, after };
      return { result: undefined, events: [event], changes: [{ kind: 'user', id: `user-${count}-${n}` }] };
    });
  }
}

/** Leaves the event of a query, or of reading the decision `id`; without a place in the chain. */
export const readLog = async (db: Knex, id: string | null = null): Promise<void> =>
  void (await db.raw('select authz_record_read(?, ?::uuid, ?::jsonb, ?, null)', [
    id === null ? 'query' : 'show',
    id,
    id === null ? '{"effect": "deny"}' : null,
    'cli:jane',
  ] as string[]));

/** Those that have their place in the chain, in its order. */
export const chainedEvents = (db: Knex): Promise<WrittenEvent[]> =>
  db('admin_events').whereNotNull('seq').orderBy('seq') as unknown as Promise<WrittenEvent[]>;
