/** The roles of deploy/roles.sql: the service works with the one, auditors read with the other, and neither can do more. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { makeSigningKey } from '../../src/audit/format/signatures.ts';
import { makePartitions } from '../../src/audit/record/partitions.ts';
import { connect } from '../../src/db/connect.ts';
import { findPolicy, storePolicy } from '../../src/rollout/store.ts';
import { authz } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { createRoles, loginOf as newLogin, ROLES_SQL } from '../support/roles.ts';
import { startService, type TestService } from '../support/service.ts';

const FORBIDDEN = '42501';

for (const postgres of POSTGRES)
  describe(`the roles on ${postgres}`, () => {
    let url: string;
    let owner: Knex;
    const opened: Knex[] = [];

    before(async () => {
      url = await newDatabase(postgres);
      owner = connect({ url, poolSize: 2 });
      // As one that an upgrade runs again.
      for (let time = 0; time < 2; time += 1) await createRoles(owner);
    });
    after(async () => {
      for (const db of opened) await db.destroy();
      await owner?.destroy();
    });

    /** The URL of a new login that is a member of the role. */
    const loginOf = (role: string): Promise<string> => newLogin(owner, url, role);
    const as = async (role: string): Promise<Knex> => {
      const db = connect({ url: await loginOf(role), poolSize: 1 });
      opened.push(db);
      return db;
    };
    const expectForbidden = async (db: Knex, statements: readonly string[]): Promise<void> => {
      for (const statement of statements) {
        const error = await db.raw(statement).then(
          () => ({ code: 'nothing' }),
          (error: { code?: string }) => error,
        );
        expect(error.code, statement).to.equal(FORBIDDEN);
      }
    };

    it('give the service all that it needs, from its start to its end', async () => {
      let service: TestService | undefined;
      try {
        service = await startService({ DATABASE_URL: await loginOf('authz_service') });
        const { call, data, decide, newKey, newUser } = clientOf(service);
        await newUser('ann', '42', 'other');
        const { apiKey, id } = await newKey('ann');
        expect(await decide(apiKey, '42')).to.equal('OK');
        expect(await decide('junk', '42')).to.equal('INVALID_API_KEY');
        await data('PATCH', `/keys/${id}`, { restrictedBusinessIds: ['other'] });
        expect(await decide(apiKey, '42')).to.equal('PERMISSION_DENIED');
        await data('POST', `/keys/${id}/rotate`, { overlapSeconds: 60 });
        await data('POST', `/keys/${id}/revoke`, {});
        for (const gone of [`/keys/${id}`, '/businesses/42/members/ann', '/businesses/42', '/users/ann'])
          expect((await call('DELETE', gone)).status, gone).to.equal(204);
        await data('POST', '/callers', { name: 'billing', scopes: ['authorize'] }).catch(() => undefined);
        expect((await call('GET', '/readyz')).status).to.equal(200);
      } finally {
        await service?.close();
      }
      expect(await owner('decisions').where({ caller_id: 'bootstrap' })).to.have.length(3);
    });

    it('let the service store network files, once, and an auditor read them', async () => {
      const [service, auditor] = [await as('authz_service'), await as('authz_auditor')];
      const texts = new Map([['blocked.txt', '10.0.0.0/8\n']]);
      for (const digit of ['a', 'b', 'b']) await storePolicy(service, `sha256:${digit.repeat(64)}`, texts);
      for (const db of [service, auditor]) expect((await findPolicy(db, 'b'.repeat(64))).texts).to.deep.equal(texts);
      await expectForbidden(service, [`update policy_files set text = ''`, 'delete from policy_files']);
      await expectForbidden(auditor, [`insert into policy_files values ('', '')`, `update policy_files set text = ''`]);
    });

    it('keep the service from changing the log, or anything that guards it', async () => {
      const db = await as('authz_service');
      const { rows } = await owner.raw(
        `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'decision_records'::regclass order by 1`,
      );
      const [partition] = rows.map(({ name }: { name: string }) => name);
      const log = ['decision_records', partition, 'chain_heads', 'checkpoints'];
      await expectForbidden(
        db,
        log.flatMap((table) => [
          `update ${table} set at = now()`.replace(
            'at = now()',
            table === 'chain_heads' ? 'records = 1' : 'at = now()',
          ),
          `delete from ${table}`,
          `truncate ${table}`,
          `drop table ${table}`,
          `alter table ${table} add column extra int`,
          `alter table ${table} disable trigger all`,
          `alter table ${table} owner to current_user`,
          `create rule r as on insert to ${table} do instead nothing`,
          `do $$ begin lock table ${table} in access exclusive mode; end $$`,
        ]),
      );
      await expectForbidden(db, [
        'insert into checkpoints select * from checkpoints',
        'insert into situations select * from situations',
        'update situations set last_day = last_day',
        'delete from situations',
        'truncate situations',
        `select authz_add_situations('[]', null, current_date)`,
        'insert into chain_heads select * from chain_heads',
        `insert into ${partition} select * from decision_records`,
        `select * from ${partition}`,
        `alter table decision_records detach partition ${partition}`,
        'create table mine (id int)',
        `create function mine() returns int language sql as 'select 1'`,
        'create schema mine',
        'set session_replication_role = replica',
        'drop function authz_advance_heads',
        `create or replace function authz_advance_heads(chain uuid, holder bytea, heads jsonb, inserted bigint) returns void language sql as 'select'`,
        'drop function authz_record_batch',
        'drop trigger authz_batch on decision_records',
        'insert into decision_records select * from decision_records where false',
        'delete from admin_events',
        'update admin_events set actor = actor',
        'update knex_migrations set name = name',
        'update peppers set proof = proof',
      ]);
    });

    it('let the service append a checkpoint under the next number alone', async () => {
      const db = await as('authz_service');
      const append = async (number: string): Promise<boolean> => {
        const { rows } = await db.raw(
          `select authz_append_checkpoint(?, now(), gen_random_uuid(), 1, '\\x${'00'.repeat(32)}', '[]', '', '') as stored`,
          [number],
        );
        return rows[0].stored;
      };
      for (const number of ['9223372036854775807', '-1', '0', '2', '1000'])
        expect(await append(number), number).to.equal(false);
      expect(await owner('checkpoints')).to.deep.equal([]);
      expect(await append('1')).to.equal(true);
      expect(await append('1')).to.equal(false);
      expect(await append('2')).to.equal(true);
      await owner('checkpoints').delete();
    });

    it('let the service move no head itself, and the owner none but forwards, by as many as were inserted', async () => {
      const db = await as('authz_service');
      await expectForbidden(db, [`select authz_advance_heads(gen_random_uuid(), '', '[]', 0)`]);
      const columns = ['boot', db.raw('day::text as day'), 'format', 'records', 'capability'];
      const [head] = await owner('chain_heads').select(columns);
      const moves = [
        { before: 0, records: 1 },
        { before: Number(head.records), records: Number(head.records) - 1 },
        { before: Number(head.records), records: Number(head.records) + 1 },
      ];
      for (const move of moves) {
        const heads = [{ ...head, ...move, opening: `\\x${'00'.repeat(32)}`, hash: `\\x${'11'.repeat(32)}` }];
        for (const inserted of [0, 2, -1]) {
          const moved = await rejection(
            owner.raw('select authz_advance_heads(?, ?, ?::jsonb, ?)', [
              head.boot,
              head.capability,
              JSON.stringify(heads),
              inserted,
            ]),
          );
          expect((moved as { code?: string }).code, JSON.stringify(move)).to.be.oneOf(['23000', 'AU001']);
        }
      }
      expect(await rejection(db.raw(`select authz_make_partition(current_date + 400)`))).to.have.property('code');
    });

    it('let auditors read the log, and nothing else', async () => {
      const db = await as('authz_auditor');
      expect(await db('decisions')).to.have.length(3);
      expect(await db('chain_heads')).to.have.length(1);
      for (const table of ['checkpoints', 'admin_events']) await db(table);
      await expectForbidden(
        db,
        [
          'users',
          'businesses',
          'business_members',
          'api_keys',
          'api_key_businesses',
          'callers',
          'peppers',
          'changes',
          'read_rates',
        ].map((table) => `select * from ${table}`),
      );
      await expectForbidden(
        db,
        ['decision_records', 'situations', 'chain_heads', 'checkpoints', 'admin_events'].flatMap((table) => [
          `insert into ${table} select * from ${table}`,
          `delete from ${table}`,
          `truncate ${table}`,
        ]),
      );
      await expectForbidden(db, [
        'update decision_records set code = code',
        'select authz_make_partition(current_date)',
        `select authz_advance_heads(gen_random_uuid(), '', '[]', 0)`,
        `select authz_append_checkpoint(1, now(), gen_random_uuid(), 1, '', '[]', '', '')`,
        'create table mine (id int)',
      ]);
    });

    it('let auditors hold up nothing that a service does from its start to its end', async () => {
      const address = await newDatabase(postgres);
      const other = connect({ url: address, poolSize: 1 });
      await createRoles(other);
      const [auditorUrl, DATABASE_URL] = [
        await newLogin(other, address, 'authz_auditor'),
        await newLogin(other, address, 'authz_service'),
      ];
      const auditor = connect({ url: auditorUrl, poolSize: 1 });
      opened.push(other, auditor);
      const folder = await mkdtemp(path.join(tmpdir(), 'authz-roles-'));
      const trx = await auditor.transaction();
      try {
        for (const key of [`hashtext('authz_make_partition')`, '7236542190417', '1'])
          await trx.raw(`select pg_advisory_xact_lock(${key})`);
        for (const table of [
          'decisions',
          'chain_heads',
          'checkpoints',
          'pruned_days',
          'admin_events',
          'policies',
          'freezes',
        ])
          await trx.raw(`lock table ${table} in access share mode`);
        await trx.raw(`select authz_record_read('tail', null, null, 'cli:jane', null)`);
        const settings = {
          DATABASE_URL,
          AUDIT_SIGNING_KEY: makeSigningKey(),
          AUDIT_CHECKPOINTS: path.join(folder, 'checkpoints.jsonl'),
        };
        const service = await startService(settings);
        try {
          const { data, decide, newKey, newUser } = clientOf(service);
          await newUser('eve', '43');
          const { apiKey, id } = await newKey('eve');
          expect(await decide(apiKey, '43')).to.equal('OK');
          await data('POST', `/keys/${id}/revoke`, {});
          await data('GET', '/audit/decisions');
          await makePartitions(service.db, [new Date(Date.now() + 9 * 86_400_000).toISOString().slice(0, 10)]);
        } finally {
          await service.close();
        }
        expect(await readFile(settings.AUDIT_CHECKPOINTS, 'utf8')).to.include(`"type":"checkpoint"`);
      } finally {
        await trx.rollback();
        await rm(folder, { recursive: true });
      }
    });

    it('say what they grant of every table', async () => {
      const roles = await readFile(ROLES_SQL, 'utf8');
      const grants = roles.replaceAll(/^--.*$/gm, '').match(/^grant[^;]*;/gms) ?? [];
      const { rows } = await owner.raw(
        `select relname as name from pg_class
         where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v') and not relispartition`,
      );
      const tables = rows.map(({ name }: { name: string }) => name).filter((name: string) => !name.endsWith('_lock'));
      const silent = tables.filter((name: string) => !new RegExp(`\\b${name}\\b`).test(grants.join()));
      // Written by a function alone.
      expect(silent).to.deep.equal(['read_rates']);
    });

    it('leave migrations to the owner, and the service says so', async () => {
      const empty = new URL(await newDatabase(postgres, 'template1'));
      const login = new URL(await loginOf('authz_service'));
      empty.username = empty.password = login.username;
      const { code, stderr } = await authz(['migrate'], { DATABASE_URL: empty.href });
      expect(code).to.equal(1);
      expect(stderr).to.include("Run authz migrate as the tables' owner");
    });
  });
