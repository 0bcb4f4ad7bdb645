/** The day partitions of the log: made ahead of time by whichever process is up, so that midnight finds one. */

import type { Knex } from 'knex';
import type { Log } from '../../log.ts';

/** Today, and as many more; a database that cannot make one for that long has been noticed. */
const AHEAD_DAYS = 3;
const INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Makes those of `days` (YYYY-MM-DD, UTC) that are missing, however many processes do the same. @throws what the database throws. */
export async function makePartitions(db: Knex, days: readonly string[]): Promise<void> {
  // Each in a transaction of its own: a lock that one waits for should not hold up the others.
  for (const day of days) await db.raw('select authz_make_partition(?::date)', [day]);
}

/** Makes those of the next days, now and every hour. What fails is logged, and tried again. */
export function keepPartitions(db: Knex, log: Log): { readonly made: Promise<void>; readonly close: () => void } {
  const make = (): Promise<void> =>
    makePartitions(db, daysFrom(Date.now())).catch((error: unknown) =>
      log.warn({ error }, 'the partitions of the next days could not be made; it is tried again within the hour'),
    );
  const timer = setInterval(make, INTERVAL_MS).unref();
  return { made: make(), close: () => clearInterval(timer) };
}

const daysFrom = (now: number): string[] =>
  Array.from({ length: AHEAD_DAYS + 1 }, (_, ahead) => new Date(now + ahead * DAY_MS).toISOString().slice(0, 10));
