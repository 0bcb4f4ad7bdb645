/**
 * Promise 3: caching never changes an answer. A model test: the cache and the memo against uncached evaluation, on a database
 * model that changes at random during slow reads.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { createCache, type Read } from '../../src/facts/cache.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { memoizedDecide } from '../../src/policy/memo.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { SEED, shippedPolicy, times } from '../policy/texts.ts';
import { factsWith } from '../support/facts.ts';
import { amount } from '../support/long.ts';
import { BUSINESSES, createWorld, type Groups, KEYS, randomFrom } from './world.ts';

const LOOKUPS = Number(process.env['LOOKUPS'] ?? amount(50_000, 250_000));
const RUNS = 10;
const ACTIONS = ['call:create', 'business:read', 'user:usage:read', 'account:read', 'user:create'];
const LIMITS = [false, true].map((exceeded) => factsWith({ limit: { exceeded } }).limit);

describe(`cache, memo and plain evaluation (FC_SEED=${SEED})`, () => {
  it(`agree on ${LOOKUPS} lookups`, async function () {
    this.timeout(120_000 + LOOKUPS / 5);
    const policy = await shippedPolicy();
    const denying: Policy = Object.freeze({
      ...policy,
      match: () => ({ row: policy.rows.find(({ effect }) => effect === 'deny'), allowed: false }),
    });
    const plain = plainly();
    const totals = { recalled: 0, loaded: 0, stale: 0 };
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const counted = await run(seed, LOOKUPS / RUNS, [policy, denying], plain);
        for (const name of ['recalled', 'loaded', 'stale'] as const) totals[name] += counted[name];
      }),
      { ...times(RUNS), endOnFailure: true },
    );
    console.log(`        ${totals.recalled} from the cache, ${totals.loaded} read, ${totals.stale} of them not kept`);
    expect(totals.recalled + totals.loaded).to.be.at.least(LOOKUPS);
    expect(totals.recalled).to.be.above(LOOKUPS / 2);
    expect(totals.stale).to.be.above(LOOKUPS / 20_000);
  });
});

/** `decide`, memoised by the text of its arguments, which is all that it may depend on. */
function plainly(): (policy: Policy, facts: Facts) => string {
  const said = new Map<Policy, Map<string, string>>();
  return (policy, facts) => {
    const texts = said.get(policy) ?? new Map<string, string>();
    said.set(policy, texts);
    const { key, user, target, limit, request } = facts;
    const text = `${textOf(key)}${textOf(user)}${textOf(target)}${textOf(limit)}${request.action}`;
    const known = texts.get(text) ?? outcomeOf(() => decide(policy, facts));
    texts.set(text, known);
    return known;
  };
}

const groups = new WeakMap<object, string>();
/** The JSON of a frozen group of facts, computed once per object. */
function textOf(group: object): string {
  const known = groups.get(group) ?? JSON.stringify(group);
  groups.set(group, known);
  return known;
}

function outcomeOf(run: () => Decision): string {
  try {
    const { effect, code, rule } = run();
    return `${effect} ${code} ${rule}`;
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

async function run(seed: number, lookups: number, policies: readonly Policy[], plain: ReturnType<typeof plainly>) {
  const random = randomFrom(seed);
  const world = createWorld(random);
  let now = 0;
  const freshness = createFreshness(() => now);
  // Smaller than the world, so that entries are evicted, too.
  const cache = createCache<Groups>(freshness, { count: 240, bytes: 2 ** 20 });
  const memo = memoizedDecide();
  let polled = Number.NEGATIVE_INFINITY;
  let applied = 0;
  const pending: (() => void)[] = [];
  const counted = { recalled: 0, loaded: 0, stale: 0 };

  const compare = (groups: Groups): void => {
    const policy = policies[random(policies.length)] as Policy;
    const limit = LIMITS[random(8) === 0 ? 1 : 0] as Facts['limit'];
    const action = ACTIONS[random(ACTIONS.length)] as string;
    const facts = factsWith({ request: { action } }, { ...BUILT_IN.nothingKnown, ...groups, limit });
    const said = outcomeOf(() => memo(policy, facts));
    if (said !== plain(policy, facts)) expect(said, JSON.stringify(facts)).to.equal(plain(policy, facts));
  };

  const poll = (): void => {
    freshness.applyPoll(world.poll(applied === 0 ? freshness.position() : applied, now));
    applied = world.last();
    polled = now;
  };

  const load = (k: number, b: number): void => {
    const askedAt = world.last();
    const before = world.touchedSince(applied, k, b) ? undefined : JSON.stringify(world.truth(k, b));
    const read = () =>
      new Promise<Read<Groups>>((resolve) => {
        let snapshot: Read<Groups> | undefined;
        // The snapshot is taken now or when the read completes.
        if (random(2) === 0) snapshot = world.read(k, b);
        pending.push(() => resolve(snapshot ?? world.read(k, b)));
      });
    counted.loaded += 1;
    const asked = cache.load([world.nameOf(k, b)], read).then(([groups]) => {
      if (!groups) throw new Error('nothing was loaded');
      compare(groups);
      const { status } = groups.key;
      // What did not change during the read must be returned as it was, except that a key may have expired.
      if (before && !world.touchedSince(askedAt, k, b) && status !== 'active' && status !== 'expired')
        expect(JSON.stringify(groups)).to.equal(before);
    });
    asked.catch((error: unknown) => failures.push(error));
  };
  const failures: unknown[] = [];

  for (let lookup = 0; lookup < lookups; ) {
    const step = random(10_000);
    if (step < 8) world.mutate();
    else if (step < 11 && world.last() > applied) {
      // A commit of this process, applied before earlier commits of others are polled.
      freshness.applyCommit(world.commitAt(world.last()));
    } else if (step < 60) poll();
    else if (step < 120) {
      const milliseconds = random(30);
      now += milliseconds;
      world.pass(milliseconds);
    } else if (step === 120) {
      now += 1100;
      world.pass(1100);
    } else if (step === 121 && random(10) === 0) freshness.applyCommit(undefined);
    else if (pending.length > 0 && (step < 400 || pending.length > 8)) {
      pending.splice(random(pending.length), 1)[0]?.();
      // Let the promises of the read settle.
      await undefined;
      await undefined;
    } else {
      lookup += 1;
      // A skewed distribution: low numbers are asked for more often.
      const k = random(1 + random(KEYS));
      const b = random(1 + random(BUSINESSES + 1));
      const [groups] = cache.recall([world.nameOf(k, b)]) ?? [];
      if (!groups) {
        load(k, b);
        continue;
      }
      counted.recalled += 1;
      if (now - polled >= 1000) throw new Error('it answered from the cache though nothing confirms it');
      compare(groups);
      if (!world.touchedSince(applied, k, b)) expectSame(groups, world.truth(k, b));
    }
  }
  for (const resolve of pending) resolve();
  await new Promise(setImmediate);
  expect(failures).to.deep.equal([]);
  counted.stale = cache.stats().stale;
  return counted;
}

function expectSame(groups: Groups, truth: Groups): void {
  for (const group of ['key', 'user', 'target'] as const) {
    for (const [fact, value] of Object.entries(truth[group])) {
      if ((groups[group] as Record<string, unknown>)[fact] !== value) expect(groups[group]).to.deep.equal(truth[group]);
    }
  }
}
