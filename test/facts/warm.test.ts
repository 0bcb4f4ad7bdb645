/** What a process caches before it serves: the busiest keys of the log, to which every rule of the cache applies; and that it serves without. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { type Pair, warmUp } from '../../src/facts/warm.ts';
import { revokeKey } from '../../src/keys/keys.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { type Cached, startCached } from './cached.ts';

const pepper = { id: 'new', secret: randomBytes(32) };
const older = { id: 'old', secret: randomBytes(32) };
const log = createLog('silent');
const ACTOR = { id: 'test' };

describe('the cache of a process that starts', () => {
  let cached: Cached;
  let keys: Readonly<Record<string, string>>;

  const keyUnder = (under: typeof pepper, id: string) =>
    insertKey({ db: cached.db, pepper: under } as TestService, { id, user_id: 'ann' });
  const warm = (busiest: () => Promise<readonly Pair[]>, limitMs?: number) =>
    warmUp({ db: cached.db, pepper, warm: cached.warm, confirmed: async () => undefined, busiest, log }, limitMs);
  const pair = (keyId: string, businessId?: string): Pair => ({ keyId, businessId });

  beforeEach(async () => {
    cached = await startCached(await newDatabase(), [pepper, older]);
    await cached.db('users').insert({ id: 'ann' });
    await cached.db('businesses').insert({ id: 'a' });
    await cached.db('business_members').insert({ business_id: 'a', user_id: 'ann', role: 'owner' });
    keys = { x: await keyUnder(pepper, 'x'), y: await keyUnder(pepper, 'y'), o: await keyUnder(older, 'o') };
  });
  afterEach(() => cached.close());

  it('has what is asked for by key, as if it had been read for a question', async () => {
    await warm(async () => [
      pair('x', 'a'),
      pair('x'),
      pair('y', 'a'),
      pair('y', 'gone'),
      pair('o', 'a'),
      pair('deleted'),
    ]);
    const [first = '', second = '', old = ''] = [keys['x'], keys['y'], keys['o']];
    const asked = [[first, 'a'], [first], [second, 'a'], [second, 'gone']] as const;
    const known = cached.atOnce(...asked);
    expect(known?.map(({ key, target }) => `${key.id} ${target.id} ${target.role}`)).to.deep.equal([
      'x a owner',
      'x  none',
      'y a owner',
      'y gone none',
    ]);
    // A key under an older pepper is found by its text alone.
    expect(cached.atOnce([old, 'a'])).to.equal(undefined);
    const fresh = await startCached(String(cached.db.client.config.connection.connectionString), [pepper, older]);
    expect(JSON.stringify(await fresh.load(...asked))).to.equal(JSON.stringify(known));
    await fresh.close();
  });

  it('has the connections that reads of facts use, whatever the log has seen', async () => {
    const { pool } = cached.db.client;
    expect(pool.numFree()).to.equal(1);
    await warm(async () => []);
    // A read may be done on the first one before the second is open.
    await eventually(() => pool.numFree() === 2);
  });

  it('is invalidated like any other', async () => {
    await warm(async () => [pair('x', 'a'), pair('y', 'a')]);
    await revokeKey(cached.db, ACTOR, 'x', null);
    await cached.applied();
    expect((await cached.load([keys['x'] ?? '', 'a']))[0]?.key.status).to.equal('revoked');
    expect(cached.atOnce([keys['y'] ?? '', 'a'])?.[0]?.key.status).to.equal('active');
  });

  it('is empty, and serves, where the log or the keys cannot be read, or not in time', async () => {
    const failing = async (): Promise<never> => {
      throw new Error('the log cannot be read');
    };
    await warm(failing);
    await warm(() => new Promise(() => undefined), 20);
    await cached.db.raw('alter table api_keys rename to hidden');
    await warm(async () => [pair('x', 'a')]);
    await cached.db.raw('alter table hidden rename to api_keys');
    expect(cached.cache.stats().size).to.equal(0);
    expect((await cached.load([keys['x'] ?? '', 'a']))[0]?.key.status).to.equal('active');
  });

  it('of a service is that of the keys that the log has seen lately', async () => {
    const url = await newDatabase();
    const secret = `test:${randomBytes(32).toString('base64')}`;
    const first = await startService({ DATABASE_URL: url, KEY_PEPPERS: secret });
    await first.db('users').insert({ id: 'ann' });
    const known = await Promise.all(['p', 'q'].map((id) => insertKey(first, { id, user_id: 'ann' })));
    const codeOf = async ({ ask }: TestService, apiKey: string): Promise<string> =>
      (await ask('/authorize', { apiKey, action: 'account:read' })).body.Code;
    for (const key of [...known, createToken('apiKey')]) await codeOf(first, key);
    await first.close();

    const second = await startService({ DATABASE_URL: url, KEY_PEPPERS: secret });
    const misses = async (): Promise<number> => {
      const text = await second.service.metrics.text();
      return Number(/^authz_cache_misses_total\{cache="facts"\} (\d+)$/m.exec(text)?.[1]);
    };
    const before = await misses();
    expect(before).to.equal(2);
    for (const key of known) expect(await codeOf(second, key)).to.equal('OK');
    expect(await misses()).to.equal(before);
    await second.close();
  });
});
