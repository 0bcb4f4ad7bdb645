/**
 * The tail of the log: polling over an overlapping window, without duplicates. Ids are in the order of the questions (UUIDv7),
 * records become visible in the order of their commits: one with an older id may come after one with a newer, and a cursor
 * behind the newest id would miss it. So each poll reads a window of ids again and yields those that it has not seen.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { readClock } from '../../db/clock.ts';
import { orFailure } from '../../db/failure.ts';
import type { DecisionRecord } from '../columns.ts';
import { timeOf } from '../record/entry.ts';
import { type BoundSql, raw, whereOf } from './conditions.ts';
import { findByIds } from './decisions.ts';
import type { DecisionFilter } from './filters.ts';

/**
 * How far back a poll reads. INVARIANT: longer than a record can take from its id to its commit, which is the longest
 * DECISION_DEADLINE_MS that can be set, and some more for clocks that differ. (A batch of unknown outcome is sent again when
 * an outage ends, however late. It was answered to nobody, and docs/audit-queries.md says that it is not shown here.)
 */
const WINDOW_MS = 90_000;
/** The window of most polls, which keeps them cheap: nearly all records are committed within it. Each WHOLE_EVERY-th reads WINDOW_MS. */
const RECENT_MS = 5000;
const WHOLE_EVERY = 10;
const INTERVAL_MS = 500;
const BATCH = 500;

/**
 * Yields what is recorded from now on, each record once, in batches in the order in which they became visible (by id
 * within a batch), until the signal. What was visible at the first poll, which is done before the first `next` resolves,
 * is left out.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* followDecisions(
  db: Knex,
  filter: DecisionFilter,
  signal: AbortSignal,
): AsyncGenerator<readonly DecisionRecord[]> {
  // Records have the time of the database, which may not be that of this machine.
  const clock = (): Promise<number> => orFailure(readClock(db));
  const known = new Set(await idsSince(db, filter, (await clock()) - WINDOW_MS));
  // An empty batch says that the first poll is done: every later commit will be yielded.
  yield [];
  // Not `every` (loop.ts), which pushes and polls on after a failure: a generator is pulled, so that the next poll waits until
  // the consumer has taken the batch (backpressure), and a failure ends the iteration.
  for (let poll = 1; !signal.aborted; poll += 1) {
    const now = await clock();
    const ids = await idsSince(db, filter, now - (poll % WHOLE_EVERY === 0 ? WINDOW_MS : RECENT_MS));
    const fresh = ids.filter((id) => !known.has(id));
    for (let start = 0; start < fresh.length && !signal.aborted; start += BATCH)
      yield await findByIds(db, fresh.slice(start, start + BATCH));
    for (const id of fresh) known.add(id);
    const oldest = new Date(now - 2 * WINDOW_MS).toISOString();
    for (const id of known) if (timeOf(id) < oldest) known.delete(id);
    await sleep(INTERVAL_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** The ids alone, which an index has: a window is read many times, and most of its ids were seen before. */
async function idsSince(db: Knex, filter: DecisionFilter, since: number): Promise<string[]> {
  const { sql, bindings } = whereOf(filter, { from: new Date(since).toISOString(), to: null });
  const query: BoundSql = { sql: `select id from decisions where ${sql} order by at, id`, bindings };
  const { rows } = await orFailure(raw<{ id: string }>(db, query));
  return rows.map(({ id }) => id);
}
