/** Applies the migrations that a database lacks, once, however many processes start at the same time. */

import type { Knex } from 'knex';
import { DECISIONS, MIGRATIONS } from '../../migrations/index.ts';
import { Refusal } from '../errors.ts';

/** The query that the view `decisions` is defined as. */
export const DECISIONS_VIEW: string = DECISIONS;

/** The advisory lock's key: arbitrary, but the same in every process and version. */
const LOCK = 7_236_542_190_417;

/** SQLSTATE insufficient_privilege: no CREATE right, or not the tables' owner. */
const FORBIDDEN = '42501';

const CONFIG: Knex.MigratorConfig = {
  migrationSource: {
    getMigrations: async () => [...MIGRATIONS.keys()],
    getMigrationName: (name: string) => name,
    getMigration: async (name: string) => {
      const migration = MIGRATIONS.get(name);
      if (!migration) throw new Error(`no migration ${name}`);
      return migration;
    },
  },
};

/**
 * Applies the missing migrations and returns their names. One transaction under a transaction-level advisory lock: a
 * second process waits and then finds nothing missing, and one that dies leaves neither a lock nor half a migration.
 * With nothing missing it only reads, so that a role that owns no table can start the service; and waits for nobody, since any
 * login of the database can hold an advisory lock.
 *
 * @throws Refusal when the database has migrations that this code does not know, or its user may not apply one.
 */
export async function migrate(db: Knex): Promise<string[]> {
  if (isComplete(await appliedMigrations(db))) return [];
  return db.transaction(async (trx) => {
    await trx.raw('select pg_advisory_xact_lock(?)', [LOCK]);
    if (isComplete(await appliedMigrations(trx))) return [];
    const [, applied] = (await trx.migrate.latest(CONFIG).catch(refuseForbidden)) as [number, string[]];
    return applied;
  });
}

/** Whether exactly the migrations of this code are applied. @throws what the database throws, within `limitMs` a query. */
export async function migrationsCurrent(db: Knex, limitMs: number): Promise<boolean> {
  const applied = await appliedMigrations(db, limitMs);
  return applied.length === MIGRATIONS.size && applied.every((name) => MIGRATIONS.has(name));
}

async function appliedMigrations(db: Knex, limitMs = 60_000): Promise<string[]> {
  const exists = await db
    .raw<{ rows: unknown[] }>(`select where to_regclass('knex_migrations') is not null`)
    .timeout(limitMs);
  if (exists.rows.length === 0) return [];
  const { rows } = await db
    .raw<{ rows: { name: string }[] }>('select name from knex_migrations order by id')
    .timeout(limitMs);
  return rows.map((row) => row.name);
}

/** Whether nothing is missing. @throws Refusal when one is unknown here */
function isComplete(applied: readonly string[]): boolean {
  const unknown = applied.filter((name) => !MIGRATIONS.has(name));
  if (unknown.length === 0) return applied.length === MIGRATIONS.size;
  throw new Refusal(
    `the database is newer than this code: it has the migrations ${unknown.join(', ')}, which this version does not know. ` +
      'Deploy a version at least as new as the one that applied them, or point DATABASE_URL at another database.',
  );
}

function refuseForbidden(error: unknown): never {
  if ((error as { code?: string }).code !== FORBIDDEN) throw error;
  throw new Refusal(
    "the database lacks migrations, and the user of DATABASE_URL may not apply them. Run authz migrate as the tables' " +
      'owner, then deploy/roles.sql again.',
    error,
  );
}
