/**
 * One contract for the two ways to count, in this process's memory and in Redis: of the counters alone, and of the limits
 * made of them.
 */

import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createLimits, type Limits } from '../../src/limits/limits.ts';
import { type Count, memoryCounter } from '../../src/limits/memory.ts';
import { redisCounter } from '../../src/limits/redis.ts';
import { createLog } from '../../src/log.ts';
import { describeWithRedis, type RedisServer, startRedis } from '../support/redis.ts';
import { loadedOf } from './loaded.ts';

const log = createLog('silent');
const WAIT_MS = 5000;
const DEFAULT = { requests: 3, windowSeconds: 3600 };

/** Adds points to the window of that name, which lasts so many seconds where it begins. */
type Add = (name: string, points: number, seconds: number) => Promise<Count>;

interface Counted {
  readonly add: Add;
  readonly limits: Limits;
}

/** Of a window or of a key. */
const newName = (): string => randomUUID();

function countsByTheContract(counted: () => Counted): void {
  describe('as a counter', () => {
    const add: Add = (name, points, seconds) => counted().add(name, points, seconds);

    it('begins a window with the first points, of the length that is asked for', async () => {
      for (const seconds of [1, 60, 86_400]) {
        const { total, endsInMs } = await add(newName(), 1, seconds);
        expect(total).to.equal(1);
        expect(endsInMs).to.be.within(seconds * 1000 - 900, seconds * 1000);
      }
    });

    it('adds the points of one name, and of no other', async () => {
      const [one, other] = [newName(), newName()];
      const totals = [];
      for (const [name, points] of [
        [one, 1],
        [one, 5],
        [other, 2],
        [one, 100],
      ] as const) {
        totals.push((await add(name, points, 60)).total);
      }
      expect(totals).to.deep.equal([1, 6, 2, 106]);
    });

    it('gives each of many additions at once a total of its own', async () => {
      const name = newName();
      const counts = await Promise.all(Array.from({ length: 200 }, () => add(name, 1, 60)));
      const totals = counts.map(({ total }) => total).sort((a, b) => a - b);
      expect(totals).to.deep.equal(Array.from({ length: 200 }, (_, index) => index + 1));
    });

    it('keeps the end of a window, whatever is added to it', async () => {
      const name = newName();
      const begun = performance.now();
      const first = await add(name, 1, 600);
      const added = performance.now();
      await sleep(300);
      for (const seconds of [600, 3600, 1]) {
        const adding = performance.now();
        const { endsInMs } = await add(name, 1, seconds);
        const [least, most] = [performance.now() - begun, adding - added].map((passed) => first.endsInMs - passed);
        // Redis counts in whole milliseconds.
        expect(endsInMs).to.be.within(Number(least) - 5, Number(most) + 5);
      }
    });

    it('begins another window once one has ended, and not before', async () => {
      const name = newName();
      const begun = performance.now();
      const { endsInMs } = await add(name, 7, 1);
      const endsBefore = performance.now() + endsInMs;
      let adding = performance.now();
      // The end is a fixed time after the beginning, so only what is counted well before it must be in the window.
      let count = await add(name, 1, 1);
      if (performance.now() < begun + endsInMs - 200) expect(count.total).to.equal(8);
      while (count.total > 1) {
        // Redis counts in whole milliseconds.
        expect(adding).to.be.below(endsBefore + 5);
        await sleep(count.endsInMs);
        adding = performance.now();
        count = await add(name, 1, 1);
      }
      expect(performance.now() - begun).to.be.above(endsInMs - 5);
      expect(count.endsInMs).to.be.within(1, 1000);
    });
  });

  describe('as limits', () => {
    const consume: Limits['consume'] = (loaded) => counted().limits.consume(loaded);
    const ask = async (key: string, limit = DEFAULT) => {
      const [state] = await consume([loadedOf(key, { limit })]);
      return state && { exceeded: state.exceeded, limit: state.limit, remaining: state.remaining };
    };

    it('lets exactly the limit of a window through, of many requests at once', async () => {
      const loaded = loadedOf(newName(), { limit: { requests: 100, windowSeconds: 60 } });
      const states = (await Promise.all(Array.from({ length: 250 }, () => consume([loaded])))).flat();
      expect(states.filter((state) => state?.exceeded === false)).to.have.length(100);
      const remaining = states.map((state) => state?.remaining ?? -1).sort((a, b) => b - a);
      expect(remaining).to.deep.equal(Array.from({ length: 250 }, (_, index) => Math.max(0, 99 - index)));
    });

    it('takes the default where a key has no limit, and counts nothing of a key or user that is not active', async () => {
      const key = newName();
      const inactive = [
        loadedOf(key, { keyStatus: 'expired' }),
        loadedOf(key, { keyStatus: 'revoked' }),
        loadedOf(key, { userStatus: 'disabled' }),
      ];
      expect(await consume(inactive)).to.deep.equal([undefined, undefined, undefined]);
      const [state] = await consume([loadedOf(key)]);
      expect(state).to.include({ exceeded: false, limit: 3, remaining: 2 });
    });

    it('counts the questions of a batch one by one, in their order', async () => {
      const [one, two] = [newName(), newName()];
      const other = { requests: 1, windowSeconds: 60 };
      const batch = [one, two, one, one, two, one].map((key) => loadedOf(key, key === two ? { limit: other } : {}));
      const states = await consume(batch);
      expect(states.map((state) => [state?.exceeded, state?.remaining])).to.deep.equal([
        [false, 2],
        [false, 0],
        [false, 1],
        [false, 0],
        [true, 0],
        [true, 0],
      ]);
    });

    it('applies another number of requests at once, in the window under way', async () => {
      const key = newName();
      for (let times = 0; times < 4; times += 1) await ask(key);
      expect(await ask(key, { ...DEFAULT, requests: 10 })).to.deep.equal({ exceeded: false, limit: 10, remaining: 5 });
      expect(await ask(key, { ...DEFAULT, requests: 5 })).to.deep.equal({ exceeded: true, limit: 5, remaining: 0 });
    });

    it('begins another window for another length, and finds the first again where it was', async () => {
      const key = newName();
      for (let times = 0; times < 3; times += 1) await ask(key);
      const short = { requests: 2, windowSeconds: 60 };
      expect(await ask(key, short)).to.deep.equal({ exceeded: false, limit: 2, remaining: 1 });
      expect(await ask(key)).to.deep.equal({ exceeded: true, limit: 3, remaining: 0 });
      expect(await ask(key, short)).to.deep.equal({ exceeded: false, limit: 2, remaining: 0 });
    });

    it('tells whole seconds until the window ends, from 1 to its length', async () => {
      for (const windowSeconds of [1, 60, 86_400]) {
        const [state] = await consume([loadedOf(newName(), { limit: { requests: 1, windowSeconds } })]);
        expect(state?.resetSeconds).to.equal(windowSeconds);
      }
      const since = performance.now();
      const key = loadedOf(newName(), { limit: { requests: 1, windowSeconds: 60 } });
      await consume([key]);
      await sleep(300);
      const [state] = await consume([key]);
      const elapsedMs = performance.now() - since;
      // Rounded up: 59.7 seconds are 60.
      expect(state?.resetSeconds).to.be.within(Math.ceil(60 - elapsedMs / 1000), 60);
    });

    it('lets requests through again when the window has ended', async () => {
      const limit = { requests: 1, windowSeconds: 2 };
      for (;;) {
        const key = newName();
        const since = performance.now();
        await ask(key, limit);
        let denied = 0;
        while ((await ask(key, limit))?.exceeded) {
          denied += 1;
          await sleep(20);
        }
        if (denied > 0) return;
        // The window had ended before the second request came: anew.
        expect(performance.now() - since).to.be.above(1000);
      }
    });
  });
}

describe('counting in memory', () => {
  let counted: Counted;

  before(async () => {
    const addLocally = memoryCounter();
    counted = {
      add: async (name, points, seconds) => addLocally(name, points, seconds * 1000),
      limits: await createLimits({ fallback: DEFAULT, redis: undefined }, log),
    };
  });

  countsByTheContract(() => counted);
});

describeWithRedis('counting in Redis', () => {
  let redis: RedisServer;
  let counted: Counted;
  let close: () => void;

  before(async () => {
    redis = await startRedis();
    const options = { url: redis.url, waitMs: WAIT_MS };
    const counter = await redisCounter(options, log);
    counted = {
      add: async (name, points, seconds) =>
        (await counter.add(name, points, seconds)) ?? expect.fail('Redis did not count'),
      limits: await createLimits({ fallback: DEFAULT, redis: options }, log),
    };
    close = counter.close;
  });
  after(async () => {
    close?.();
    counted?.limits.close();
    await redis?.close();
  });
  afterEach(() => {
    expect(counted.limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
  });

  countsByTheContract(() => counted);
});
