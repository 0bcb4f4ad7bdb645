/** The day partitions of the log, created ahead of time by any process that is up, so that no insert at midnight lacks one. */

import type { Knex } from 'knex';
import { readClock } from '../../db/clock.ts';
import type { Log } from '../../log.ts';
import { every } from '../../loop.ts';

/** Days after today: so long a database may fail to create one, with a warning every hour, before an insert lacks it. */
const AHEAD_DAYS = 3;
const INTERVAL_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Makes those of `days` (YYYY-MM-DD, UTC) that are missing, however many processes do the same. @throws what the database throws. */
export async function makePartitions(db: Knex, days: readonly string[]): Promise<void> {
  // A transaction for each day: locks last until the commit, so none is held for one day while another waits.
  for (const day of days) await db.raw('select authz_make_partition(?::date)', [day]);
}

/** Makes those of the next days by the database's clock, at once (`made` resolves after that, failed or not) and every hour. A failure is logged. */
export function keepPartitions(db: Knex, log: Log): { readonly made: Promise<void>; readonly close: () => void } {
  const make = async (): Promise<void> => makePartitions(db, daysFrom(await readClock(db)));
  const loop = every(INTERVAL_MS, make, {
    first: 'later',
    onError: (error) =>
      log.warn({ error }, 'the partitions of the next days could not be made; it is tried again within the hour'),
  });
  return { made: loop.now(), close: loop.stop };
}

/** The days from that of a moment, in milliseconds since 1970, to so many after it. */
export const daysFrom = (moment: number, ahead = AHEAD_DAYS): string[] =>
  Array.from({ length: ahead + 1 }, (_, day) => new Date(moment + day * DAY_MS).toISOString().slice(0, 10));
