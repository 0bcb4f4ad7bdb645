/** last_used_at of keys: written behind in batches, never once per request. */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import knex, { type Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { createUsage } from '../../src/keys/usage.ts';
import { createLog, type Log } from '../../src/log.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const LOG = createLog('silent');
const NEVER = 2 ** 31 - 1;
const SOON = 20;
const AT = Date.parse('2030-01-01T00:00:00Z');

describe('the last use of a key', () => {
  it('is written after the requests, once for all of them, and does not change the version', async () => {
    const url = await newDatabase();
    const service = await startService({ DATABASE_URL: url });
    const client = clientOf(service);
    await client.newUser('ann', 'a');
    const { id, apiKey } = await client.newKey('ann');
    const before = await client.call('GET', `/keys/${id}`);
    const rowAt = async () =>
      (await service.db('api_keys').where({ id }).first(service.db.raw('ctid::text, xmin::text'))) as object;
    const place = await rowAt();
    const since = Date.now();
    for (let n = 0; n < 20; n += 1) expect(await client.decide(apiKey, 'a')).to.equal('OK');
    expect(await rowAt()).to.deep.equal(place);
    const changes = await service.db('changes').count().first();
    await service.close();

    const again = await startService({
      DATABASE_URL: url,
      KEY_PEPPERS: `test:${service.pepper.secret.toString('base64')}`,
    });
    try {
      const after = await clientOf(again).call('GET', `/keys/${id}`);
      const { lastUsedAt, ...rest } = after.body.Data as Record<string, unknown>;
      expect(Date.parse(String(lastUsedAt))).to.be.within(since, Date.now());
      expect({ ...rest, lastUsedAt: null }).to.deep.equal(before.body.Data);
      expect(after.headers.get('etag')).to.equal(before.headers.get('etag'));
      expect(await again.db('changes').count().first()).to.deep.equal(changes);
      const patched = await clientOf(again).call(
        'PATCH',
        `/keys/${id}`,
        {},
        { 'if-match': before.headers.get('etag') ?? '' },
      );
      expect(patched.status).to.equal(200);
    } finally {
      await again.close();
    }
  });

  describe('in batches', () => {
    let url: string;
    let db: Knex;
    const pepper = { id: 'test', secret: randomBytes(32) };
    const lastUse = async (id: string): Promise<number | undefined> =>
      (await db('api_keys').where({ id }).first<{ last_used_at: Date | null }>('last_used_at')).last_used_at?.getTime();
    const becomes = async (id: string, at: number): Promise<void> => {
      while ((await lastUse(id)) !== at) await sleep(10);
    };

    before(async () => {
      url = await newDatabase();
      db = connect({ url, poolSize: 3 });
      await db('users').insert({ id: 'ann' });
    });

    beforeEach(async () => {
      await db('api_keys').delete();
      for (const id of ['k1', 'k2', 'k3']) await insertKey({ db, pepper } as TestService, { id, user_id: 'ann' });
    });

    after(() => db?.destroy());

    it('is written periodically', async () => {
      const usage = createUsage(db, LOG, { intervalMs: SOON });
      usage.note({ keyId: 'k1', at: AT });
      await becomes('k1', AT);
      usage.note({ keyId: 'k1', at: AT + 1 });
      await becomes('k1', AT + 1);
      await usage.close();
    });

    it('of a key in steady use is written once in a while, not by every flush', async () => {
      const own = connect({ url, poolSize: 1 });
      let writes = 0;
      own.on('query', () => {
        writes += 1;
      });
      const usage = createUsage(own, LOG, { intervalMs: SOON });
      const since = performance.now();
      for (let at = AT; writes < 3; at += 1) {
        usage.note({ keyId: 'k1', at });
        await sleep(1);
      }
      expect(performance.now() - since).to.be.at.least(3 * 8 * SOON);
      await usage.close();
      await own.destroy();
    });

    it('is written when the service closes', async () => {
      const usage = createUsage(db, LOG, { intervalMs: NEVER });
      for (const [index, keyId] of ['k1', 'k2', 'gone'].entries()) usage.note({ keyId, at: AT + index });
      expect(await lastUse('k1')).to.equal(undefined);
      await usage.close();
      expect([await lastUse('k1'), await lastUse('k2'), await lastUse('k3')]).to.deep.equal([AT, AT + 1, undefined]);
    });

    it('never moves to an earlier time', async () => {
      const uses = [createUsage(db, LOG, { intervalMs: NEVER }), createUsage(db, LOG, { intervalMs: NEVER })];
      uses[0]?.note({ keyId: 'k1', at: AT + 5000 });
      uses[1]?.note({ keyId: 'k1', at: AT });
      for (const usage of uses) await usage.close();
      expect(await lastUse('k1')).to.equal(AT + 5000);
    });

    it('of a locked key is written with the next batch, and delays no other key', async () => {
      const usage = createUsage(db, LOG, { intervalMs: SOON });
      const trx = await db.transaction();
      await trx('api_keys').where({ id: 'k1' }).forUpdate();
      usage.note({ keyId: 'k1', at: AT });
      usage.note({ keyId: 'k2', at: AT });
      await becomes('k2', AT);
      expect(await lastUse('k1')).to.equal(undefined);
      await trx.commit();
      await becomes('k1', AT);
      await usage.close();
    });

    it('is written on closing after the flush under way, which has an earlier one', async () => {
      const usage = createUsage(db, LOG, { intervalMs: SOON });
      const trx = await db.transaction();
      await trx.raw('lock table api_keys in access exclusive mode');
      usage.note({ keyId: 'k1', at: AT });
      const waits = "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      while ((await db.raw(waits)).rows.length === 0) await sleep(10);
      usage.note({ keyId: 'k1', at: AT + 1 });
      const closed = usage.close();
      await trx.commit();
      await closed;
      expect(await lastUse('k1')).to.equal(AT + 1);
    });

    it('is written on closing where the flush under way fails', async () => {
      const usage = createUsage(db, LOG, { intervalMs: SOON });
      const trx = await db.transaction();
      await trx.raw('lock table api_keys in access exclusive mode');
      usage.note({ keyId: 'k1', at: AT });
      const waits = "select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
      while ((await db.raw(waits)).rows.length === 0) await sleep(10);
      const closed = usage.close();
      await db.raw(`select pg_terminate_backend(pid) from (${waits}) waiting`);
      await trx.commit();
      await closed;
      expect(await lastUse('k1')).to.equal(AT);
    });

    it('is given up on closing where the database takes too long, and says how many keys that concerns', async () => {
      const warnings: object[] = [];
      const log = { warn: (fields: object) => void warnings.push(fields) } as unknown as Log;
      const limited = connect({ url, poolSize: 1, limitMs: 60_000 });
      const usage = createUsage(limited, log, { intervalMs: NEVER, lastFlushMs: SOON });
      const trx = await db.transaction();
      await trx.raw('lock table api_keys in access exclusive mode');
      for (const keyId of ['k1', 'k2']) usage.note({ keyId, at: AT });
      await usage.close();
      await trx.rollback();
      await limited.destroy();
      expect(warnings).to.have.length(1);
      expect(warnings[0]).to.have.property('keys', 2);
      expect(warnings[0]).to.have.property('error').that.is.an.instanceOf(knex.KnexTimeoutError);
    });

    it('is written once a database that failed is back', async () => {
      const warnings: object[] = [];
      const log = { warn: (fields: object) => void warnings.push(fields) } as unknown as Log;
      const usage = createUsage(db, log, { intervalMs: SOON });
      await db.raw('alter table api_keys rename to hidden');
      usage.note({ keyId: 'k1', at: AT });
      while (warnings.length === 0) await sleep(10);
      await db.raw('alter table hidden rename to api_keys');
      await becomes('k1', AT);
      await usage.close();
    });
  });
});
