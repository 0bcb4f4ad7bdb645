/** Migrations of a later version beside a replica of this one that runs: what changes nothing for it, and what ends it. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { MIGRATIONS, type Migration } from '../../migrations/index.ts';
import { connect } from '../../src/db/connect.ts';
import { migrate } from '../../src/db/migrate.ts';
import { Refusal } from '../../src/errors.ts';
import { eventually } from '../http/process.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { MIGRATIONS_AFTER } from './successor.ts';

describe('a later version migrates, and a replica', () => {
  let service: TestService;
  let url: string;
  let db: Knex;
  let apiKey: string;

  beforeEach(async () => {
    url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    db = connect({ url, poolSize: 2 });
    await db('users').insert({ id: 'ada' });
    apiKey = await insertKey(service, { id: 'k', user_id: 'ada' });
  });
  afterEach(async () => {
    await service.close();
    await db.destroy();
  });

  const decide = (key = apiKey) => service.ask('/authorize', { apiKey: key, action: 'account:read' });
  const expand = (options = {}) => migrate(db, { migrations: MIGRATIONS_AFTER, ...options });
  /** A migration that breaks every version that knows this one's alone, as it is stored. */
  const BREAKING = { name: '900_breaking', batch: 9, breaking: '900_breaking' };

  it('goes on deciding, changing and being ready where that is additive', async () => {
    expect((await decide()).body.Code).to.equal('OK');
    expect(await expand()).to.deep.equal(['002_regions']);
    expect((await service.ask('/readyz')).body.Data).to.include({ migrations: true, log: true, current: true });
    const { body } = await decide();
    expect(body.Code).to.equal('OK');
    expect(await db('decisions').where({ id: body.Data?.['decisionId'], region: 'eu' })).to.have.length(1);
    const made = await service.ask('/keys', {
      userId: 'ada',
      friendlyName: 'another',
      allowUserManagementApiRequests: false,
    });
    expect(made.status).to.equal(201);
    expect((await decide(String(made.body.Data?.['apiKey']))).body.Code).to.equal('OK');
    expect((await service.ask('/keys/k/revoke', {})).status).to.equal(200);
    expect((await decide()).body.Code).to.equal('INVALID_API_KEY');
    const verified = await authz(['audit', 'verify'], { DATABASE_URL: url });
    expect(verified.code, verified.stdout + verified.stderr).to.equal(0);
  });

  it('answers nothing and changes nothing from the commit of what breaks it on, and says so within a second', async () => {
    expect((await decide()).body.Code).to.equal('OK');
    await db('knex_migrations').insert(BREAKING);
    // At once: the database takes no record of it, whether or not it has noticed.
    expect((await decide()).body).to.include({ Success: false, Code: 'UNAVAILABLE' });
    expect((await service.ask('/keys/k/revoke', {})).status).to.equal(503);
    expect(await db('api_keys').whereNotNull('revoked_at')).to.deep.equal([]);
    await eventually(async () => (await service.ask('/keys/k')).status === 503);
    const unready = await service.ask('/readyz');
    expect(unready.status).to.equal(503);
    expect(unready.body.Data).to.include({ migrations: false });
    expect((await decide()).body.Message).to.include('newer version');
    for (const path of ['/healthz', '/openapi.json']) expect((await service.ask(path)).status, path).to.equal(200);
    // Restored from before it, the database is this version's again.
    await db('knex_migrations').where({ name: BREAKING.name }).delete();
    await eventually(async () => (await decide()).body.Code === 'OK');
    expect((await service.ask('/readyz')).status).to.equal(200);
  });

  it('is waited for by what would break it', async () => {
    await eventually(async () => (await db('replicas')).length === 1);
    const refusal = await rejection(expand({ contract: true }));
    expect(refusal).to.be.instanceOf(Refusal);
    expect(refusal.message)
      .to.include('003_without_record_change would break replicas that run')
      .and.include('version');
    expect(await expand()).to.deep.equal([]);
    await db('replicas').update({ newest_migration: '002_regions' });
    expect(await expand({ contract: true })).to.deep.equal(['003_without_record_change']);
    const late = await rejection(migrate(db));
    expect(late).to.be.instanceOf(Refusal);
    expect(late.message).to.include('003_without_record_change').and.include('Deploy a version at least as new');
  });

  it('does not wait behind a migration that waits for a lock', async () => {
    const reader = await db.transaction();
    await reader.raw('lock table users, freezes in access share mode');
    const expanded = expand();
    const waits = `select from pg_locks where relation in ('users'::regclass, 'freezes'::regclass) and not granted`;
    for (let n = 0; n < 3; n += 1) {
      await eventually(async () => (await service.db.raw<{ rows: unknown[] }>(waits)).rows.length > 0);
      // A key that is not cached.
      expect((await decide(await insertKey(service, { user_id: 'ada' }))).body.Code).to.equal('OK');
    }
    await reader.rollback();
    expect(await expanded).to.deep.equal(['002_regions']);
  });

  it('keeps deciding where a migration gives up, and that one says who was in the way', async () => {
    const reader = await service.db.transaction();
    await reader.raw('lock table users in access share mode');
    await eventually(
      async () =>
        (
          await db.raw(
            `select from pg_stat_activity where pid <> pg_backend_pid() and xact_start < now() - interval '1 second'`,
          )
        ).rows.length > 0,
    );
    const refusal = await rejection(expand({ lockedLimitMs: 0 }));
    expect(refusal).to.be.instanceOf(Refusal);
    expect(refusal.message).to.include('002_regions was not applied').and.include('(iqra-authz)');
    expect((await decide()).body.Code).to.equal('OK');
    await reader.rollback();
  });

  it('needs no version between, but its contraction', async () => {
    const [first, second, third] = [...MIGRATIONS_AFTER] as [string, Migration][];
    expect(first?.[0]).to.equal([...MIGRATIONS.keys()][0]);
    const skipped = new Map([...MIGRATIONS_AFTER, ['004_next', { ...second?.[1], breaking: null } as Migration]]);
    const refusal = await rejection(migrate(db, { migrations: skipped }));
    expect(refusal.message).to.include(`lacks the migration ${third?.[0]}`).and.include('authz migrate --contract');
    // Of another line of versions.
    await db('knex_migrations').insert({ ...BREAKING, breaking: null });
    const other = new Map([...MIGRATIONS_AFTER, ['004_next', { ...second?.[1], breaking: null } as Migration]]);
    expect((await rejection(migrate(db, { migrations: other }))).message).to.include('another line of versions');
  });
});
