/** Sessions that wait for a lock, in one database of the server that the tests share. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';

/**
 * How many sessions wait for a lock on this table, or for an advisory lock. Of this database alone: pg_locks shows all of them, and
 * since those of the tests are clones, a table has the same oid in each.
 */
export async function lockWaits(db: Knex, on: string | 'advisory'): Promise<number> {
  const [which, bindings] =
    on === 'advisory' ? [`locktype = 'advisory'`, []] : ['locktype = ? and relation = ?::regclass', ['relation', on]];
  const { rows } = await db.raw<{ rows: { count: number }[] }>(
    `select count(*)::int from pg_locks where not granted and ${which}
       and database = (select oid from pg_database where datname = current_database())`,
    bindings,
  );
  return rows[0]?.count ?? 0;
}

/** Resolves once that many wait. */
export async function untilLockWaits(db: Knex, on: string | 'advisory', count = 1): Promise<void> {
  while ((await lockWaits(db, on)) < count) await sleep(10);
}
