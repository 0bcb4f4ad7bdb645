/**
 * Applies the migrations that a database lacks, once, however many processes start at the same time, and beside replicas that decide
 * meanwhile. Those that would break a running version wait until they are asked for (`contract`).
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { Refusal } from '../errors.ts';
import { type Applied, breaks, isServed, MIGRATIONS, type Migrations, schemaFit, UPGRADE_FIRST } from './schema.ts';

/** The advisory lock's key: arbitrary, but the same in every process and version. */
const LOCK = 7_236_542_190_417;

/** SQLSTATEs insufficient_privilege: no CREATE right, or not the tables' owner; and lock_not_available: lock_timeout is over. */
const FORBIDDEN = '42501';
const LOCKED = '55P03';

/**
 * Milliseconds that a migration waits for a lock, and rests before it tries again: every decision that needs the table queues behind a
 * migration that waits, so it must give up long before a decision does.
 */
const LOCK_WAIT_MS = 75;
const LOCK_REST_MS = 400;
/** For how long it is tried. */
const LOCKED_LIMIT_MS = 120_000;
/** A replica that has not reported for so long has ended without saying so; where it has not, the database refuses what it writes. */
const LIVE_WITHIN = "interval '30 seconds'";

interface Options {
  /** Also those that break older versions. */
  readonly contract?: boolean;
  /** Tests have some of their own. */
  readonly migrations?: Migrations;
  readonly lockedLimitMs?: number;
}

/**
 * Applies the missing migrations and returns their names: all of them to an empty database; without `contract` only additive ones to another.
 * Each is a transaction of its own under an advisory lock of the transaction: a second process waits and then finds nothing missing, and one
 * that dies leaves neither a lock nor half a migration. With nothing to apply it only reads, so that a role that owns no table can start the
 * service; and waits for nobody, since any login of the database can hold an advisory lock.
 *
 * @throws Refusal when a migration breaks this code, or this code needs one that must wait, or would break a replica that runs; when the user may
 *   not apply it, or the tables stay locked
 */
export async function migrate(
  db: Knex,
  { contract = false, migrations = MIGRATIONS, lockedLimitMs = LOCKED_LIMIT_MS }: Options = {},
): Promise<string[]> {
  const applied = await appliedMigrations(db);
  const all = contract || applied.length === 0;
  const done: string[] = [];
  let next = nextOf(applied, migrations, all);
  while (next !== undefined) {
    if (await applyPatiently(db, next, migrations, all, lockedLimitMs)) done.push(next);
    next = nextOf(await appliedMigrations(db), migrations, all);
  }
  return done;
}

/** Whether this code serves the database as it is. @throws what the database throws, within `limitMs` a query. */
export async function migrationsCurrent(db: Knex, limitMs: number): Promise<boolean> {
  return isServed(schemaFit(await appliedMigrations(db, limitMs)));
}

/** Those of this code that wait for `contract`. */
export const waitingMigrations = async (db: Knex): Promise<readonly string[]> =>
  schemaFit(await appliedMigrations(db)).missing;

async function appliedMigrations(db: Knex, limitMs = 60_000): Promise<Applied[]> {
  const exists = await db
    .raw<{ rows: unknown[] }>(`select where to_regclass('knex_migrations') is not null`)
    .timeout(limitMs);
  if (exists.rows.length === 0) return [];
  const { rows } = await db
    .raw<{ rows: Applied[] }>('select name, breaking from knex_migrations order by id')
    .timeout(limitMs);
  return rows;
}

/** The migration to apply now; undefined: none. @throws Refusal where this code cannot serve the database, and may not change that */
function nextOf(applied: readonly Applied[], migrations: Migrations, all: boolean): string | undefined {
  const fit = schemaFit(applied, migrations);
  if (fit.breaking.length > 0)
    throw new Refusal(
      `the database is newer than this code: it has the migrations ${fit.breaking.join(', ')}, which this version does not know, and ` +
        `which are marked as breaking it. ${UPGRADE_FIRST}.`,
    );
  const [next] = fit.missing;
  if (next === undefined) return undefined;
  if (fit.unknown.length > 0)
    throw new Refusal(
      `the database has the migrations ${fit.unknown.join(', ')}, which this version does not know, and lacks ${next}, which it needs: ` +
        `another line of versions made it. ${UPGRADE_FIRST}.`,
    );
  if (all || migrations.get(next)?.breaking === null) return next;
  if (isServed(fit, migrations)) return undefined;
  throw new Refusal(
    `the database lacks the migration ${next}, which ends the upgrade before this one and breaks older replicas. Stop those, then run ` +
      'authz migrate --contract; or upgrade one version after the other (docs/operations.md, "Upgrade").',
  );
}

/** Whether it was applied here, and not by another process meanwhile. @throws Refusal */
async function applyPatiently(
  db: Knex,
  name: string,
  migrations: Migrations,
  all: boolean,
  lockedLimitMs: number,
): Promise<boolean> {
  const since = performance.now();
  for (;;) {
    try {
      return await db.transaction((trx) => apply(trx, name, migrations, all));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === FORBIDDEN) throw forbidden(error);
      if (code !== LOCKED) throw error;
      if (performance.now() - since > lockedLimitMs) throw await locked(db, name, error);
      await sleep(LOCK_REST_MS);
    }
  }
}

async function apply(trx: Knex.Transaction, name: string, migrations: Migrations, all: boolean): Promise<boolean> {
  await trx.raw('select pg_advisory_xact_lock(?)', [LOCK]);
  const applied = await appliedMigrations(trx);
  if (nextOf(applied, migrations, all) !== name) return false;
  const breaking = migrations.get(name)?.breaking ?? null;
  if (breaking !== null && applied.length > 0) await requireNoneBroken(trx, name, breaking);
  await trx.raw(`set local lock_timeout = ${LOCK_WAIT_MS}`);
  await trx.migrate.up({ migrationSource: sourceOf(migrations), name });
  await trx.raw('update knex_migrations set breaking = ? where name = ?', [breaking, name]);
  return true;
}

const sourceOf = (migrations: Migrations): Knex.MigrationSource<string> => ({
  getMigrations: async () => [...migrations.keys()],
  getMigrationName: (name) => name,
  getMigration: async (name) => {
    const migration = migrations.get(name);
    if (!migration) throw new Error(`no migration ${name}`);
    return migration;
  },
});

/** @throws Refusal where a replica runs that would get no answer from then on */
async function requireNoneBroken(trx: Knex, name: string, breaking: string): Promise<void> {
  const { rows } = await trx.raw<{ rows: { id: string; version: string; newest: string }[] }>(
    `select id, version, newest_migration as newest from replicas where seen_at > now() - ${LIVE_WITHIN} order by id`,
  );
  const broken = rows.filter(({ newest }) => breaks(breaking, newest));
  if (broken.length === 0) return;
  const named = broken.map(({ id, version }) => `${id} (version ${version})`).join(', ');
  throw new Refusal(
    `${name} would break replicas that run: ${named}. Replace or stop them first; one that was killed counts as running for 30 s more.`,
  );
}

const forbidden = (error: unknown): Refusal =>
  new Refusal(
    "the database lacks migrations, and the user of DATABASE_URL may not apply them. Run authz migrate as the tables' " +
      'owner, then deploy/roles.sql again.',
    error,
  );

/** Says who was in the way, where that can be seen. */
async function locked(db: Knex, name: string, error: unknown): Promise<Refusal> {
  const { rows } = await db.raw<{ rows: { pid: number; application: string }[] }>(
    `select pid, application_name as application from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and xact_start < now() - interval '1 second' order by xact_start limit 5`,
  );
  const holders = rows.map(({ pid, application }) => `${pid} (${application || 'no application_name'})`).join(', ');
  return new Refusal(
    `${name} was not applied: its tables stayed locked by others, and decisions must not wait for it. Transactions that are open: ` +
      `${holders || 'none any more'}. Wait for them, or end them (pg_terminate_backend), and run authz migrate again.`,
    error,
  );
}
