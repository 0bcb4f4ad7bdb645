/** The database's clock: the one that all processes share, and that records, checkpoints and schedules go by. */

import type { Knex } from 'knex';

/** An SQL expression: milliseconds since 1970. */
export const CLOCK = 'extract(epoch from clock_timestamp())::float8 * 1000';

/** Milliseconds since 1970. @throws what the database throws */
export async function readClock(db: Knex): Promise<number> {
  const { rows } = await db.raw<{ rows: { clock: number }[] }>(`select ${CLOCK} as clock`);
  return rows[0]?.clock ?? Number.NaN;
}
