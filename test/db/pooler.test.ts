/** Two replicas behind PgBouncer in transaction mode: nothing is lost, refused or stale that would not be without it. */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { Refusal } from '../../src/errors.ts';
import { eventually, settingsOf } from '../http/process.ts';
import { authz } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { type Cluster, startMigratedCluster } from '../support/cluster.ts';
import { describeWithPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const ROUNDS = 2;
const QUESTIONS = 12;

describeWithPgBouncer('behind PgBouncer in transaction mode', () => {
  let cluster: Cluster;
  let pooler: PgBouncer;
  let db: Knex;
  let replicas: readonly [TestService, TestService];
  let apiKey: string;

  before(async () => {
    cluster = await startMigratedCluster();
    const database = new URL(cluster.url).pathname.slice(1);
    db = connect({ url: cluster.url, poolSize: 2 });
    // What would lose decisions: a commit is confirmed before it is written, and is written 10 s later.
    await db.raw(`alter database ${database} set synchronous_commit = off`);
    await db.raw(`alter database ${database} set default_transaction_isolation = 'serializable'`);
    await db.raw(`alter database ${database} set datestyle = 'SQL, DMY'`);
    await db.raw(`alter database ${database} set statement_timeout = '500ms'`);
    await db.raw(`alter system set wal_writer_delay = '10s'`);
    await db.raw('select pg_reload_conf()');
    pooler = await startPgBouncer(cluster.url);
    const settings = {
      DATABASE_URL: pooler.url,
      KEY_PEPPERS: `test:${randomBytes(32).toString('base64')}`,
      BOOTSTRAP_TOKEN: randomBytes(16).toString('hex'),
    };
    replicas = [await startService(settings), await startService(settings)];
    await db('users').insert({ id: 'ann' });
    apiKey = await insertKey({ db, pepper: replicas[0].pepper }, { id: 'key', user_id: 'ann' });
  });
  after(async () => {
    for (const replica of replicas ?? []) await replica.close();
    await db?.destroy();
    await pooler?.close();
    await cluster?.close();
  });

  const question = () => ({ apiKey, action: 'account:read' });
  const askBoth = (count: number) =>
    Promise.all(Array.from({ length: count }, (_, n) => replicas[n % 2 === 0 ? 0 : 1].ask('/authorize', question())));

  it('every question and change is answered, whichever replica it is put to', async () => {
    for (let round = 0; round < 5; round += 1) {
      const asked = await askBoth(40);
      const put = await Promise.all(
        Array.from({ length: 40 }, (_, n) =>
          clientOf(replicas[n % 2 === 0 ? 0 : 1]).call('PUT', `/users/u${n % 5}`, { disabled: n % 3 === 0 }),
        ),
      );
      expect([...asked, ...put].filter(({ status }) => status >= 300)).to.deep.equal([]);
    }
    const { body } = await replicas[1].ask('/users');
    expect(JSON.stringify(body)).to.match(/"createdAt":"\d{4}-\d\d-\d\dT/);
  });

  it('statements have the limit of their pool', async () => {
    for (const limitMs of [undefined, 100]) {
      const own = connect({ url: pooler.url, poolSize: 1, ...(limitMs && { limitMs }) });
      const ended = await own.raw('select pg_sleep(0.6)').then(
        () => 'done',
        ({ code }) => code,
      );
      // The connection is of use after a failure, too.
      expect((await own.raw('show statement_timeout')).rows).to.deep.equal([
        { statement_timeout: `${limitMs ?? 0}${limitMs ? 'ms' : ''}` },
      ]);
      await own.destroy();
      expect(ended).to.equal(limitMs ? '57014' : 'done');
    }
  });

  it('what one replica revokes the other refuses within a second', async () => {
    const doomed = await insertKey({ db, pepper: replicas[0].pepper }, { id: 'doomed', user_id: 'ann' });
    const ask = async () => (await replicas[1].ask('/authorize', { apiKey: doomed, action: 'account:read' })).body.Code;
    expect(await ask()).to.equal('OK');
    await clientOf(replicas[0]).data('POST', '/keys/doomed/revoke', {});
    const revokedAt = performance.now();
    let lastAllow = revokedAt;
    await eventually(async () => {
      const startedAt = performance.now();
      if ((await ask()) !== 'OK') return true;
      lastAllow = startedAt;
      return undefined;
    });
    expect(lastAllow - revokedAt).to.be.below(1000);
  });

  it('a document is imported; the log is verified, exported and counted', async () => {
    const env = { ...settingsOf(replicas[0], pooler.url), LOG_LEVEL: 'silent' };
    const users = JSON.stringify({ users: Array.from({ length: 500 }, (_, n) => ({ id: `imported-${n}` })) });
    expect((await authz(['import', '-'], env, users)).stderr).to.equal('');
    expect(await db('users').whereLike('id', 'imported-%')).to.have.length(500);
    for (const verb of ['audit verify', 'audit export', 'audit stats --by day', 'user list'])
      expect(await authz(verb.split(' '), env), verb).to.include({ code: 0, stderr: '' });
  });

  it('the log and the change feed go past it on request, to the same database only', async () => {
    await db.raw(`create role direct superuser login password 'direct'`);
    const direct = new URL(cluster.url);
    direct.username = direct.password = 'direct';
    const past = { ...settingsOf(replicas[0], pooler.url), DATABASE_DIRECT_URL: direct.href };
    const service = await startService(past);
    const answer = await service.ask('/authorize', { action: 'account:read' });
    // The last statement of each of its connections.
    const queries = await eventually(async () => {
      const { rows } = await db.raw(`select query from pg_stat_activity where usename = 'direct'`);
      const all = JSON.stringify(rows);
      return all.includes('authz_require_recorded') && all.includes('from change_counter') && all;
    });
    await service.close();
    expect(answer.status).to.equal(200);
    expect(queries).not.to.include('api_keys');
    const other = await newDatabase();
    const refused = await rejection(startService({ ...past, DATABASE_DIRECT_URL: other }));
    expect(refused).to.be.instanceOf(Refusal).with.property('message').that.includes('DATABASE_DIRECT_URL');
  });

  it('no answered decision is lost when PostgreSQL is killed, and all is well soon after', async () => {
    for (let round = 0; round < ROUNDS; round += 1) {
      await db.raw('checkpoint');
      const answers = await askBoth(QUESTIONS);
      await cluster.signal('SIGKILL');
      const ids = answers.map(({ body }) => String(body.Data?.['decisionId']));
      expect(answers.map(({ status }) => status)).to.deep.equal(answers.map(() => 200));
      await eventually(async () => {
        await sleep(100);
        return db.raw('select 1').then(
          () => true,
          () => undefined,
        );
      });
      const since = performance.now();
      await eventually(async () => (await askBoth(2)).every(({ status }) => status === 200));
      // Of these, up to server_login_retry are PgBouncer's.
      console.log(`      both replicas answer again ${(performance.now() - since).toFixed()} ms after PostgreSQL does`);
      expect(await db('decisions').whereIn('id', ids).pluck('id')).to.have.members(ids);
    }
  });
});
