/**
 * Faults of Redis: killed, suspended, cut off, slow, full, with few rights. Under each, every question is counted, and no
 * process allows more than the limit in a window.
 */

import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Redis } from 'ioredis';
import { createLimits, type Limits } from '../../src/limits/limits.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { ROOT } from '../support/cli.ts';
import { startProxy, type Proxy as TcpProxy } from '../support/proxy.ts';
import { describeWithRedis, type RedisServer, startRedis } from '../support/redis.ts';
import { loadedOf } from './loaded.ts';

const LIMIT = { requests: 100, windowSeconds: 3600 };
const log = createLog('silent');

describeWithRedis('limits whose Redis', () => {
  let redis: RedisServer;
  let proxy: TcpProxy;
  const open: Limits[] = [];

  before(async () => {
    redis = await startRedis();
    proxy = await startProxy(redis.url);
  });
  afterEach(async () => {
    for (const limits of open.splice(0)) limits.close();
    redis.signal('SIGCONT');
    await proxy.heal();
    const client = new Redis(redis.url);
    await client.config('SET', 'maxmemory', '0');
    client.disconnect();
  });
  after(async () => {
    await proxy?.close();
    await redis?.close();
  });

  /** A process's limits, by way of the proxy. The wait is long, because here only faults are to exceed it. */
  const start = async (waitMs = 1000, url = proxy.url): Promise<Limits> => {
    const limits = await createLimits({ fallback: LIMIT, redis: { url, waitMs } }, log);
    open.push(limits);
    return limits;
  };
  /** How many of so many requests at once are let through. */
  const pass = async (limits: Limits, key: string, requests: number): Promise<number> => {
    const states = await Promise.all(Array.from({ length: requests }, () => limits.consume([loadedOf(key)])));
    return states.filter(([state]) => state?.exceeded === false).length;
  };
  const isUp = (limits: Limits) => eventually(() => limits.stats().redisUp);

  const FAULTS: Readonly<Record<string, () => unknown>> = {
    'is suspended': () => redis.signal('SIGSTOP'),
    'is killed': () => redis.kill(),
    'resets connections and refuses new ones': () => proxy.refuse(),
    'takes everything and answers nothing': () => proxy.swallow(),
    'answers too late': () => proxy.delay(1500),
    'cuts off an answer': () => proxy.cutAfter(3),
    'is full': async () => {
      const client = new Redis(redis.url);
      await client.config('SET', 'maxmemory', '1');
      client.disconnect();
    },
  };
  for (const [name, fault] of Object.entries(FAULTS)) {
    it(`${name} are counted locally, from where they stood, and in Redis again when it is back`, async () => {
      const [limits, other] = [await start(), await start()];
      expect(await pass(limits, name, 60)).to.equal(60);
      await fault();
      const refused = await pass(limits, name, 250);
      expect(refused, 'after the fault').to.equal(40);
      expect(limits.stats().countedLocally).to.be.above(0);
      // Each on its own: not one of them lets more than the limit through.
      expect(await pass(other, name, 250)).to.be.at.most(100);

      if (name === 'is killed') await redis.restart();
      redis.signal('SIGCONT');
      await proxy.heal();
      const client = new Redis(redis.url);
      await client.config('SET', 'maxmemory', '0');
      client.disconnect();
      await isUp(limits);
      await isUp(other);
      // Even if it has come back empty.
      expect(await pass(limits, name, 250)).to.equal(0);
      expect(await pass(other, name, 250)).to.equal(0);
      const { countedLocally } = limits.stats();
      const passed = (await Promise.all([pass(limits, `${name}: new`, 125), pass(other, `${name}: new`, 125)])) as [
        number,
        number,
      ];
      expect(passed[0] + passed[1]).to.equal(100);
      expect(limits.stats().countedLocally).to.equal(countedLocally);
    });
  }

  it('is asked once for all that is counted in a turn, 500 at a time, and each question has a count of its own', async () => {
    const limits = await start(1000, redis.url);
    const client = new Redis(redis.url);
    const calls = async (): Promise<number> => {
      const [, evalsha = '0'] = /cmdstat_evalsha:calls=(\d+)/.exec(await client.info('commandstats')) ?? [];
      return Number(evalsha);
    };
    for (const [questions, trips] of [
      [1, 1],
      [200, 1],
      [501, 2],
    ] as const) {
      const before = await calls();
      const keys = Array.from({ length: questions }, (_, n) => `${questions}: ${n % 150}`);
      const states = await Promise.all(keys.map((key) => limits.consume([loadedOf(key)])));
      expect((await calls()) - before, `${questions} questions`).to.equal(trips);
      const used = new Map<string, number>();
      for (const [place, key] of keys.entries()) {
        used.set(key, (used.get(key) ?? 0) + 1);
        expect(states[place]?.[0]?.remaining, key).to.equal(LIMIT.requests - (used.get(key) ?? 0));
      }
    }
    expect(limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
    client.disconnect();
  });

  it('holds a window without an end, or one past all counting, denies no longer than a window, or counts on', async () => {
    const limits = await start(1000, redis.url);
    const client = new Redis(redis.url);
    await client.set('iqra-authz:limit:3600:endless', '7');
    await client.set('iqra-authz:limit:3600:huge', '9007199254740993', 'EX', 60);
    const [[endless], [huge]] = await Promise.all([
      limits.consume([loadedOf('endless')]),
      limits.consume([loadedOf('huge')]),
    ]);
    expect(endless).to.include({ exceeded: false, remaining: LIMIT.requests - 8, resetSeconds: 3600 });
    expect(huge?.exceeded).to.equal(true);
    expect(await client.ttl('iqra-authz:limit:3600:endless')).to.be.within(1, 3600);
    expect(limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
    client.disconnect();
  });

  it('answers too late cost one timeout, not one for each request', async function () {
    // If each waited, these would take half a minute.
    this.timeout(15_000);
    const limits = await start(300);
    proxy.delay(600);
    for (let count = 0; count < 100; count += 1) {
      await pass(limits, 'in turn', 1);
      await sleep(25);
    }
    expect(limits.stats().redisUp).to.equal(false);
  });

  it('is not there, or hangs, at the start are counted locally until it is', async () => {
    await proxy.refuse();
    const early = await start();
    expect(await pass(early, 'early', 250)).to.equal(100);
    await proxy.heal();
    await isUp(early);
    redis.signal('SIGSTOP');
    const hanging = await start();
    expect(await pass(hanging, 'hanging', 250)).to.equal(100);
    redis.signal('SIGCONT');
    await isUp(hanging);
  });

  it('is slow end locally no later than in Redis', async () => {
    const limits = await start();
    const second = { ...loadedOf('a second'), limit: { requests: 1, windowSeconds: 1 } };
    proxy.delay(400);
    await limits.consume([second]);
    proxy.delay(0);
    const client = new Redis(redis.url);
    await eventually(async () => (await client.exists('iqra-authz:limit:1:a second')) === 0);
    client.disconnect();
    const [state] = await limits.consume([second]);
    expect([state?.exceeded, limits.stats().countedLocally]).to.deep.equal([false, 0]);
  });

  it('has answered while this process was blocked are counted in Redis', async () => {
    // Past the proxy, which is busy with this process.
    const limits = await start(50, redis.url);
    const counted = limits.consume([loadedOf('busy')]);
    const until = performance.now() + 500;
    while (performance.now() < until);
    await counted;
    expect(limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
  });

  it('grants only the rights that the docs name are counted in Redis', async () => {
    const page = await readFile(path.join(ROOT, 'docs', 'administration.md'), 'utf8');
    const rights = /`(\+@connection [^`]+)`/.exec(page)?.[1]?.split(/\s+/) ?? [];
    const client = new Redis(redis.url);
    await client.call('ACL', ['SETUSER', 'limits', 'reset', 'on', '>its-password', ...rights]);
    await client.script('FLUSH');
    const url = redis.url.replace('//', '//limits:its-password@');
    const limits = await start(1000, `${url}/2`);
    expect(await pass(limits, 'with rights', 250)).to.equal(100);
    expect(limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
    await client.select(2);
    expect(await client.get('iqra-authz:limit:3600:with rights')).to.equal('250');
    client.disconnect();
  });

  it('holds their windows expires every one of them', async () => {
    const limits = await start();
    await pass(limits, 'ending', 3);
    const client = new Redis(redis.url);
    const names = await client.keys('*');
    expect(names).to.include('iqra-authz:limit:3600:ending');
    for (const name of names) {
      const seconds = await client.ttl(name);
      // -2: expired meanwhile, as the window of probes does within a second.
      expect(seconds === -2 || (seconds >= 0 && seconds <= 3600), `${name}: ${seconds}`).to.equal(true);
    }
    client.disconnect();
  });
});
