/** The cache of facts on a real database: how often it reads, how long entries live, and what invalidates them. */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createToken, digestOf, type Pepper } from '../../src/credentials/token.ts';
import { putBusiness, putMember } from '../../src/directory/businesses.ts';
import { deleteUser, putUser } from '../../src/directory/users.ts';
import { createKey, deleteKey, revokeKey, updateKey } from '../../src/keys/keys.ts';
import { operatorRights } from '../../src/keys/rights.ts';
import { createUsage } from '../../src/keys/usage.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { inheritsNothing } from '../support/facts.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProxy } from '../support/proxy.ts';
import { insertKey, type TestService } from '../support/service.ts';
import { type Cached, startCached } from './cached.ts';

const ACTOR = { id: 'test' };
const RIGHTS = operatorRights(undefined);
const BURST = 50;
const ENABLED = { disabled: false, disabledReason: null, attributes: {} };
const USER = { ...ENABLED, businessesDisabled: false, rateLimit: null };
const pepper: Pepper = { id: 'new', secret: randomBytes(32) };
const older: Pepper = { id: 'old', secret: randomBytes(32) };

describe('cached facts', () => {
  let url: string;
  let cached: Cached;
  let apiKey: string;

  const keyUnder = (under: Pepper, id: string, row = {}, businesses?: readonly string[]) =>
    insertKey({ db: cached.db, pepper: under } as TestService, { id, user_id: 'ann', ...row }, businesses);
  const statusOf = async (key: string): Promise<string | undefined> => (await cached.load([key]))[0]?.key.status;

  beforeEach(async () => {
    url = await newDatabase();
    cached = await startCached(url, [pepper, older]);
    const { db } = cached;
    await db('users').insert([{ id: 'ann' }, { id: 'bob' }]);
    await db('businesses').insert([{ id: 'a' }, { id: 'b' }]);
    await db('business_members').insert({ business_id: 'a', user_id: 'ann', role: 'owner' });
    apiKey = await keyUnder(pepper, 'k');
  });
  afterEach(() => cached.close());

  it('are the same objects until they change, and are not read again', async () => {
    const [first] = await cached.load([apiKey, 'a']);
    expect(cached.reads()).to.equal(1);
    await putUser(cached.db, ACTOR, 'bob', { ...USER, disabled: true });
    await cached.applied();
    const [second] = await cached.load([apiKey, 'a']);
    expect(cached.reads()).to.equal(0);
    for (const group of ['key', 'user', 'target', 'stored'] as const) {
      expect(second?.[group]).to.equal(first?.[group]);
      expect(Object.isFrozen(first?.[group])).to.equal(true);
      expect(inheritsNothing(first?.[group] ?? {})).to.equal(true);
    }
  });

  it('take one read for concurrent misses of one key (single-flight), and one for all misses of a batch', async () => {
    await Promise.all(Array.from({ length: BURST }, () => cached.load([apiKey, 'a'])));
    expect(cached.reads()).to.equal(1);
    const others = await Promise.all(['x', 'y', 'z'].map((id) => keyUnder(pepper, id)));
    const batch = [apiKey, ...others, ...others, createToken('apiKey')].map((key) => [key, 'a'] as const);
    const loaded = await cached.load(...batch, ['junk'], [apiKey, 'b']);
    expect(cached.reads()).to.equal(1);
    expect(loaded.map(({ key }) => key.id)).to.deep.equal(['k', 'x', 'y', 'z', 'x', 'y', 'z', '', '', 'k']);
    expect(loaded.at(-1)?.target).to.include({ id: 'b', role: 'none' });
  });

  it('take one read for all that is missing in a turn of the event loop, and are told at once from then on', async () => {
    const others = await Promise.all(['x', 'y', 'z'].map((id) => keyUnder(pepper, id)));
    const questions = [...others, apiKey, createToken('apiKey')].map((key) => [key, 'a'] as const);
    const loaded = await Promise.all(questions.map((one) => cached.load(one)));
    expect(cached.reads()).to.equal(1);
    expect(loaded.map(([one]) => one?.key.id)).to.deep.equal(['x', 'y', 'z', 'k', '']);
    const known = cached.atOnce(['junk', 'a'], [apiKey, 'a'], [others[1] ?? '', 'a']) ?? [];
    expect(known.map(({ key }) => key.id)).to.deep.equal(['', 'k', 'y']);
    expect(known[1]).to.equal(loaded[3]?.[0]);
    expect(cached.reads()).to.equal(0);
    expect(cached.atOnce([apiKey, 'a'], [apiKey, 'b'])).to.equal(undefined);
  });

  it('are read again after a migration has changed the columns of the prepared statement, which costs one failure', async () => {
    const keys = await Promise.all(['x', 'y', 'z'].map((id) => keyUnder(pepper, id)));
    await cached.load([keys[0] ?? '']);
    await cached.db.raw('alter table users alter disabled_reason type varchar(500)');
    const failure = await cached.load([keys[1] ?? '']).catch((error: { code?: string }) => error.code);
    expect(failure).to.equal('0A000');
    expect(await statusOf(keys[1] ?? '')).to.equal('active');
    expect(await statusOf(keys[2] ?? '')).to.equal('active');
  });

  it('are read without preparing from then on where a session has lost what was prepared, which costs one failure', async () => {
    const keys = await Promise.all(['x', 'y', 'z', 'w'].map((id) => keyUnder(pepper, id)));
    await cached.load([keys[0] ?? '']);
    await cached.reading.raw('deallocate all');
    const failure = await cached.load([keys[1] ?? '']).catch((error: { code?: string }) => error.code);
    expect(failure).to.equal('26000');
    for (const key of keys.slice(1)) {
      await cached.reading.raw('deallocate all');
      expect(await statusOf(key)).to.equal('active');
    }
  });

  it('of unknown keys (negative entries) have an LRU of their own, and evict no positive entry', async () => {
    await cached.close();
    cached = await startCached(url, [pepper], { bounds: { count: 20, bytes: 2 ** 20 } });
    await cached.load([apiKey, 'a']);
    const junk = Array.from({ length: 100 }, () => createToken('apiKey'));
    for (const key of junk) expect(await statusOf(key)).to.equal('unknown');
    expect(cached.cache.stats()).to.include({ size: 1, unknown: 2 });
    cached.reads();
    await cached.load([apiKey, 'a'], [junk.at(-1) ?? '']);
    expect(cached.reads()).to.equal(0);
    for (let n = 0; n < 10; n += 1) await cached.load(['iqra_junk'], [apiKey.slice(0, -1)], ['']);
    expect(cached.reads()).to.equal(0);
  });

  it('are invalidated by a change of what they were made from, of each kind', async () => {
    const { db } = cached;
    const restricted = await keyUnder(pepper, 'r', {}, ['a']);
    const shown = async () => {
      const loaded = await cached.load([apiKey, 'a'], [apiKey, 'b'], [apiKey, 'new'], [restricted, 'a']);
      return loaded.map(
        ({ key, user, target }) =>
          `${key.status} ${user.status} ${target.status} ${target.role} ${target.inRestriction}`,
      );
    };
    const seen = [await shown()];
    const steps = [
      () => putMember(db, ACTOR, { businessId: 'b', userId: 'ann', role: 'member' }),
      () => putBusiness(db, ACTOR, 'new', ENABLED),
      () => putBusiness(db, ACTOR, 'b', { ...ENABLED, disabled: true }),
      () => updateKey(db, ACTOR, RIGHTS, 'r', { restrictedBusinessIds: ['b'] }),
      () => putUser(db, ACTOR, 'ann', { ...USER, disabled: true }),
      () => revokeKey(db, ACTOR, 'k', null),
      () => deleteKey(db, ACTOR, 'r'),
      () => deleteUser(db, ACTOR, 'ann'),
    ];
    for (const step of steps) {
      await step();
      await cached.applied();
      seen.push(await shown());
      // The expected facts are those of a process with an empty cache.
      const fresh = await startCached(url, [pepper, older]);
      const kept = cached;
      cached = fresh;
      expect(seen.at(-1)).to.deep.equal(await shown());
      cached = kept;
      await fresh.close();
    }
    expect(new Set(seen.map(String)).size).to.equal(steps.length + 1);
  });

  it('hold attributes as they are stored, frozen, until one of them changes, and count their memory', async () => {
    const { db, cache } = cached;
    const stored = async (business: string) => {
      await cached.load([apiKey, business]);
      return cache.recall([digestOf(pepper, apiKey).toString('latin1') + business])?.[0]?.stored;
    };
    const plain = (attributes: object | undefined) => JSON.parse(JSON.stringify(attributes));
    expect(plain(await stored('a'))).to.deep.equal({ key: {}, user: {}, target: {} });
    const before = cache.stats().bytes;
    const can = Array.from({ length: 64 }, (_, n) => `grant_${n}`);
    const steps: [() => Promise<unknown>, object][] = [
      [() => updateKey(db, ACTOR, RIGHTS, 'k', { attributes: { can } }), { key: { can }, user: {}, target: {} }],
      [
        () => putUser(db, ACTOR, 'ann', { ...USER, attributes: { plan: 'pro' } }),
        { key: { can }, user: { plan: 'pro' }, target: {} },
      ],
      [
        () => putBusiness(db, ACTOR, 'a', { ...ENABLED, attributes: { beta: true } }),
        { key: { can }, user: { plan: 'pro' }, target: { beta: true } },
      ],
      [() => putUser(db, ACTOR, 'ann', USER), { key: { can }, user: {}, target: { beta: true } }],
    ];
    for (const [step, expected] of steps) {
      await step();
      await cached.applied();
      const now = await stored('a');
      expect(plain(now)).to.deep.equal(expected);
      for (const one of [now, now?.key, now?.user, now?.target, now?.key['can']])
        expect(Object.isFrozen(one)).to.equal(true);
    }
    expect(plain(await stored('no-such-business'))).to.deep.equal({ key: { can }, user: {}, target: {} });
    expect(plain(await stored(''))).to.deep.equal({ key: { can }, user: {}, target: {} });
    // Two entries more, and 64 grants in each of the three.
    expect(cache.stats().bytes - before).to.be.above(2 * 500 + 3 * 64 * 9);
    expect(cached.reads()).to.equal(steps.length + 3);
  });

  it('count what is made of each beside the cache, too', async () => {
    const plain = cached.cache.stats;
    await cached.load([apiKey, 'a']);
    const other = await startCached(url, [pepper], { bounds: { count: 20, bytes: 2 ** 20, besides: () => 5000 } });
    await other.load([apiKey, 'a']);
    expect(other.cache.stats().bytes).to.equal(plain().bytes + 5000 - 100);
    await other.close();
  });

  it('of an expiring key change at its expiry by the clock of the database', async () => {
    const key = await keyUnder(pepper, 'e', {
      expires_at: cached.db.raw(`clock_timestamp() + interval '3 seconds'`),
    });
    const clock = async () =>
      (await cached.db.raw(`select clock_timestamp() >= expires_at as over from api_keys where id = 'e'`)).rows[0].over;
    expect(await statusOf(key)).to.equal('active');
    cached.reads();
    expect(await statusOf(key)).to.equal('active');
    expect(cached.reads()).to.equal(0);
    for (let over = false; !over; ) {
      // The database's clock is read before and after the key is asked for.
      const before = await clock();
      const status = await statusOf(key);
      over = await clock();
      if (before === over) expect(status).to.equal(over ? 'expired' : 'active');
      await sleep(25);
    }
    await sleep(50);
    expect(await statusOf(key)).to.equal('expired');
    cached.reads();
    expect(await statusOf(key)).to.equal('expired');
    expect(cached.reads()).to.equal(0);
  });

  it('of a key that moves to the current pepper are invalidated by its revocation, under both digests', async () => {
    const [byOld, other] = [await keyUnder(older, 'o'), await keyUnder(older, 'p')];
    const [known] = await cached.load([byOld], [other]);
    const usage = createUsage(cached.db, createLog('silent'));
    usage.note({ keyId: 'o', at: Date.now(), redigest: known?.redigest });
    await usage.close();
    expect((await cached.db('api_keys').where({ id: 'o' }).first()).digest).to.deep.equal(digestOf(pepper, byOld));
    expect(await statusOf(byOld)).to.equal('active');
    for (const [id, key] of [
      ['o', byOld],
      ['p', other],
    ] as const) {
      await revokeKey(cached.db, ACTOR, id, null);
      await cached.applied();
      expect(await statusOf(key)).to.equal('revoked');
    }
  });

  it('of an unknown key are invalidated when it is created, under any pepper', async () => {
    const key = createToken('apiKey');
    for (const [index, under] of [pepper, older].entries()) {
      expect(await statusOf(key)).to.equal('unknown');
      // As if another process created a key and drew this very text.
      const { key: made } = await createKey(cached.db, pepper, ACTOR, RIGHTS, 'ann', GRANTS);
      const digest = digestOf(under, key);
      await cached.db('api_keys').where({ id: made.id }).update({ digest, pepper_id: under.id });
      await revokeKey(cached.db, ACTOR, made.id, null);
      await cached.applied();
      expect(await statusOf(key), `pepper ${index}`).to.equal('revoked');
      await deleteKey(cached.db, ACTOR, made.id);
      await cached.applied();
    }
  });

  describe('that change while they are read', () => {
    for (const whose of ['of another process', 'of its own'] as const) {
      it(`are not cached, nor given to a request that starts after the change ${whose}`, async () => {
        const proxy = await startProxy(url);
        const slow = await startCached(url, [pepper], { readUrl: proxy.url });
        if (whose === 'of its own') slow.own();
        await slow.load([createToken('apiKey')]);
        // The snapshot is from before the change, and arrives after it.
        proxy.hold();
        const early = slow.load([apiKey, 'a']);
        while (proxy.held() === 0) await sleep(5);
        await revokeKey(whose === 'of its own' ? slow.db : cached.db, ACTOR, 'k', null);
        if (whose === 'of another process') await slow.applied();
        // Concurrent with the read in flight, but begun after the change.
        const late = slow.load([apiKey, 'a']);
        await proxy.heal();
        expect((await early)[0]?.key.status).to.equal('active');
        expect((await late)[0]?.key.status).to.equal('revoked');
        expect(slow.cache.stats()).to.include({ stale: 1, size: 1 });
        slow.reads();
        expect((await slow.load([apiKey, 'a']))[0]?.key.status).to.equal('revoked');
        expect(slow.reads()).to.equal(0);
        await slow.close();
        await proxy.close();
      });
    }
  });

  it('are read from the database while freshness is not confirmed', async () => {
    const proxy = await startProxy(url);
    const alone = await startCached(proxy.url, [pepper], { readUrl: url });
    await alone.load([apiKey, 'a']);
    proxy.swallow();
    await eventually(() => !alone.freshness.confirmed());
    alone.reads();
    await alone.load([apiKey, 'a']);
    expect(alone.reads()).to.equal(1);
    await revokeKey(cached.db, ACTOR, 'k', null);
    expect((await alone.load([apiKey, 'a']))[0]?.key.status).to.equal('revoked');
    await proxy.heal();
    await alone.close();
    await proxy.close();
  });
});

const GRANTS = {
  friendlyName: 'a key',
  allowUserManagementApiRequests: false,
  restrictedBusinessIds: null,
  environment: 'production',
  expiresAt: null,
  rateLimit: null,
  attributes: {},
};
