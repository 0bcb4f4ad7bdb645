/** Migrations: from an empty database to every table, by several processes at once, and never backwards. */

import { readdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { MIGRATIONS } from '../../migrations/index.ts';
import { connect } from '../../src/db/connect.ts';
import { migrate, migrationsCurrent } from '../../src/db/migrate.ts';
import { Refusal } from '../../src/errors.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';

const TABLES = [
  'api_key_businesses',
  'api_keys',
  'business_members',
  'businesses',
  'callers',
  'decision_records',
  'situations',
  'users',
];

describe('migrations', () => {
  it('are all listed, under their file names', () => {
    // A folder beside a migration holds its parts.
    const files = readdirSync(path.join(import.meta.dirname, '..', '..', 'migrations'))
      .filter((file) => file.endsWith('.ts'))
      .map((file) => path.parse(file).name)
      .filter((name) => name !== 'index');
    expect([...MIGRATIONS.keys()]).to.deep.equal(files.sort());
  });

  for (const postgres of POSTGRES) {
    describe(`on ${postgres}`, () => {
      it('create every table once when several processes start at once', async () => {
        const url = await newDatabase(postgres, 'template1');
        const db = connect({ url, poolSize: 2 });
        const pools = [db, ...Array.from({ length: 5 }, () => connect({ url, poolSize: 2 }))];
        const applied = await Promise.all(pools.map((pool) => migrate(pool)));
        expect(applied.flat()).to.deep.equal([...MIGRATIONS.keys()]);
        const { rows } = await db.raw(`select tablename from pg_tables where schemaname = 'public' order by 1`);
        expect(rows.map((row: { tablename: string }) => row.tablename)).to.include.members(TABLES);
        for (const pool of pools) await pool.destroy();
      });

      it('leave no half-applied migration and no lock when a connection is terminated', async () => {
        const url = await newDatabase(postgres, 'template1');
        const db = connect({ url, poolSize: 2 });
        const victim = connect({ url, poolSize: 2 });
        const next = connect({ url, poolSize: 2 });
        // An open transaction creates a table of the same name, so the migration waits for it.
        const trx = await db.transaction();
        await trx.raw('create table decisions (id int)');
        const cut = rejection(migrate(victim));
        await waitForLock(db);
        await trx.raw(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
        );
        await cut;
        await trx.rollback();
        expect(await migrate(next)).to.deep.equal([...MIGRATIONS.keys()]);
        for (const pool of [db, victim, next]) await pool.destroy();
      });

      it('go back to nothing, and forth again', async () => {
        const db = connect({ url: await newDatabase(postgres), poolSize: 1 });
        const objects = async (): Promise<string[]> => {
          const { rows } = await db.raw<{ rows: { name: string }[] }>(
            `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relname !~ '^knex_'
             union all select proname from pg_proc where pronamespace = 'public'::regnamespace
             union all select typname from pg_type where typnamespace = 'public'::regnamespace and typtype = 'd' order by 1`,
          );
          // The template was migrated before a midnight that came since, perhaps: the days of its partitions are then others.
          return rows.map(({ name }) => name.replace(/^decisions_\d{8}/, 'decisions_DAY')).sort();
        };
        const made = await objects();
        const migrations = [...MIGRATIONS.values()];
        for (const { down } of migrations.toReversed()) await down?.(db);
        expect(await objects()).to.deep.equal([]);
        for (const { up } of migrations) await up(db);
        expect(await objects()).to.deep.equal(made);
        await db.destroy();
      });

      it('refuse a database that was migrated past the code, and serve any other that is newer', async () => {
        const db = connect({ url: await newDatabase(postgres), poolSize: 2 });
        expect(await migrationsCurrent(db, 5000)).to.equal(true);
        const later = { batch: 9, migration_time: new Date() };
        await db('knex_migrations').insert({ name: '998_additive', ...later });
        await db('knex_migrations').insert({ name: '999_breaks_what_knows_less', breaking: '001_initial', ...later });
        expect(await migrate(db)).to.deep.equal([]);
        expect(await migrationsCurrent(db, 5000)).to.equal(true);
        await db('knex_migrations').insert({ name: '999_from_the_future', breaking: '998_additive', ...later });
        const refusal = await rejection(migrate(db));
        expect(refusal).to.be.instanceOf(Refusal);
        expect(refusal.message).to.include('999_from_the_future').and.include('newer than this code');
        expect(await migrationsCurrent(db, 5000)).to.equal(false);
        await db.destroy();
      });

      it('refuse what no reader would take', async () => {
        const db = connect({ url: await newDatabase(postgres), poolSize: 1 });
        const at = '2026-01-02T03:04:05Z';
        for (const user of [
          { disabled_reason: 'a reason without a date' },
          { disabled_at: at, disabled_reason: '' },
          { disabled_at: at, disabled_reason: 'x'.repeat(301) },
          { rate_limit_requests: 5 },
          { rate_limit_requests: 0, rate_limit_window_seconds: 60 },
        ])
          expect(await rejection(db('users').insert({ id: 'u', ...user }))).to.have.property('code', '23514');
        await db('users').insert({ id: 'u', disabled_at: at, disabled_reason: 'x'.repeat(300) });
        await db.destroy();
      });

      it('compare ids byte by byte, whatever the collation of the database', async () => {
        const db = connect({ url: await newDatabase(postgres), poolSize: 1 });
        await db('users').insert([{ id: 'a' }, { id: 'A' }, { id: '_' }, { id: '-' }, { id: '10' }, { id: '9' }]);
        const rows = await db('users').select('id').orderBy('id');
        expect(rows.map((row) => row.id)).to.deep.equal(['-', '10', '9', 'A', '_', 'a']);
        for (const id of ['', 'a b', 'ä', 'x'.repeat(65), 'a\n']) {
          expect(await rejection(db('users').insert({ id }))).to.have.property('code', '23514');
        }
        await db.destroy();
      });
    });
  }
});

async function waitForLock(db: ReturnType<typeof connect>): Promise<void> {
  for (;;) {
    const { rows } = await db.raw(
      `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
    );
    if (rows.length > 0) return;
    await sleep(10);
  }
}
