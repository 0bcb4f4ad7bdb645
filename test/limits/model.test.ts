/**
 * Compares the limits with a model of a few lines, for random sequences of questions, batches and changed limits, in memory
 * and in Redis. Windows are far longer than the test, so that none ends in it.
 */

import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { RateLimit } from '../../src/input/scalars.ts';
import { createLimits, type Limits, withLimit } from '../../src/limits/limits.ts';
import { createLog } from '../../src/log.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { describeWithRedis, type RedisServer, startRedis } from '../support/redis.ts';
import { loadedOf } from './loaded.ts';

const FALLBACK: RateLimit = { requests: 3, windowSeconds: 3600 };
const log = createLog('silent');

interface Asked {
  readonly key: string;
  readonly keyStatus: 'active' | 'expired' | 'revoked';
  readonly userStatus: 'active' | 'disabled';
  readonly limit: RateLimit | undefined;
}

const often = <T>(value: T, ...others: T[]): fc.Arbitrary<T> =>
  fc.oneof({ weight: 8, arbitrary: fc.constant(value) }, { weight: 1, arbitrary: fc.constantFrom(...others) });
const asked: fc.Arbitrary<Asked> = fc.record({
  // Some that could be taken for another key's window.
  key: fc.constantFrom('a', 'b', '3600:a', '60:60:a', 'trial', 'probe', '__proto__'),
  keyStatus: often<Asked['keyStatus']>('active', 'expired', 'revoked'),
  userStatus: often<Asked['userStatus']>('active', 'disabled'),
  limit: fc.option(
    fc.record({ requests: fc.integer({ min: 1, max: 6 }), windowSeconds: fc.constantFrom(3600, 36_000) }),
    { nil: undefined },
  ),
});
const batches = fc.array(fc.array(asked, { minLength: 1, maxLength: 8 }), { maxLength: 12 });

/** What is exceeded and what remains, by one number for each key and length of window. */
function model() {
  const used = new Map<string, number>();
  return ({ key, keyStatus, userStatus, limit = FALLBACK }: Asked) => {
    if (keyStatus !== 'active' || userStatus !== 'active') return undefined;
    const window = JSON.stringify([key, limit.windowSeconds]);
    const count = (used.get(window) ?? 0) + 1;
    used.set(window, count);
    return { exceeded: count > limit.requests, limit: limit.requests, remaining: Math.max(0, limit.requests - count) };
  };
}

const holdsFor = (limits: () => Limits) =>
  fc.asyncProperty(batches, async (sequence) => {
    const run = randomUUID();
    const expected = model();
    for (const batch of sequence) {
      const loaded = batch.map((each) => loadedOf(`${each.key}.${run}`, each));
      const states = await limits().consume(loaded);
      const shown = states.map((state) => state && (({ resetSeconds: _, ...rest }) => rest)(state));
      expect(shown).to.deep.equal(batch.map(expected));
      for (const [index, state] of states.entries()) {
        expect(withLimit(BUILT_IN.nothingKnown, state).limit.exceeded).to.equal(state?.exceeded ?? false);
        if (!state) continue;
        const { windowSeconds } = batch[index]?.limit ?? FALLBACK;
        expect(state.resetSeconds).to.be.within(windowSeconds - 60, windowSeconds);
      }
    }
  });

describe('the limits of one process', () => {
  it('are those of the model', async () => {
    const limits = await createLimits({ fallback: FALLBACK, redis: undefined }, log);
    await fc.assert(
      holdsFor(() => limits),
      { numRuns: 500 },
    );
    expect(limits.stats()).to.deep.equal({ redisUp: undefined, countedLocally: 0 });
  });

  it('share two frozen facts among all keys', async () => {
    const limits = await createLimits({ fallback: { requests: 1, windowSeconds: 60 }, redis: undefined }, log);
    const ask = async (key: string): Promise<Facts> => {
      const [state] = await limits.consume([loadedOf(key)]);
      return withLimit(BUILT_IN.nothingKnown, state);
    };
    const [first, second] = [await ask('a'), await ask('b')];
    const [third, fourth] = [await ask('a'), await ask('b')];
    expect([first.limit.exceeded, third.limit.exceeded]).to.deep.equal([false, true]);
    expect(first.limit).to.equal(second.limit);
    expect(third.limit).to.equal(fourth.limit);
    for (const { limit } of [first, third]) expect(Object.isFrozen(limit)).to.equal(true);
  });
});

describeWithRedis('the limits with Redis', () => {
  let redis: RedisServer;
  let limits: Limits;

  before(async () => {
    redis = await startRedis();
    limits = await createLimits({ fallback: FALLBACK, redis: { url: redis.url, waitMs: 5000 } }, log);
  });
  after(async () => {
    limits?.close();
    await redis?.close();
  });

  it('are those of the model', async () => {
    await fc.assert(
      holdsFor(() => limits),
      { numRuns: 200 },
    );
    expect(limits.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
  });

  it('are those of the model when any of two processes is asked', async () => {
    const other = await createLimits({ fallback: FALLBACK, redis: { url: redis.url, waitMs: 5000 } }, log);
    let turn = 0;
    await fc.assert(
      holdsFor(() => (turn++ % 2 === 0 ? limits : other)),
      { numRuns: 200 },
    );
    expect(other.stats()).to.deep.equal({ redisUp: true, countedLocally: 0 });
    other.close();
  });
});
