/**
 * Promise 3: caching never changes an answer. A model test: the cache, the interned facts and the memo against uncached evaluation of
 * facts that a second implementation makes, on a database model that changes at random during slow reads, with attributes,
 * addresses, moments around the edges of schedules, and freezes that begin and end.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { canonicalFacts } from '../../src/audit/record/entry.ts';
import { createCache, type Read } from '../../src/facts/cache.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { covering, type Freeze, indexFreezes } from '../../src/freezes/covering.ts';
import { withFreeze } from '../../src/freezes/in-force.ts';
import { withLimit } from '../../src/limits/limits.ts';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { type Asked, factsUnder, type Stored } from '../../src/policy/facts-under.ts';
import { memoizedDecide } from '../../src/policy/memo.ts';
import { SEED, shippedPolicy, times } from '../policy/texts.ts';
import { declaredPolicy } from '../support/declared.ts';
import { amount } from '../support/long.ts';
import { expectedFacts, isCovered, type Under } from './expected.ts';
import { BUSINESSES, createWorld, HOSTILE, KEYS, randomFrom } from './world.ts';

const LOOKUPS = Number(process.env['LOOKUPS'] ?? amount(20_000, 30_000, 1_000_000));
const RUNS = 10;
const ACTIONS = ['call:create', 'call:read', 'business:read', 'user:usage:read', 'account:read', 'user:create'];
const ADDRESSES = [
  undefined,
  '203.0.113.7',
  '203.0.113.200',
  '::ffff:203.0.113.200',
  '198.51.100.1',
  '2001:db8::1',
  '::1',
];
const ATTRIBUTES = [
  undefined,
  {},
  { soft: true },
  { soft: false, state: 'on' },
  { state: 'off' },
  { soft: true, state: 'on' },
];
const IDS = ['r.key.id', 'r.user.id', 'r.target.id'];
const EXCEEDED = { exceeded: true, limit: 1, remaining: 0, resetSeconds: 1 };
/** When a schedule begins or ends: a morning, a Saturday, a day that is excepted, and one that is not. */
const EDGES = [
  '2026-12-24T08:00',
  '2026-12-25T08:00',
  '2026-12-25T12:00',
  '2026-12-26T00:00',
  '2026-12-28T00:00',
  '2026-12-30T12:00',
];

describe(`cache, memo and plain evaluation (FC_SEED=${SEED})`, () => {
  it(`agree on ${LOOKUPS} lookups`, async function () {
    this.timeout(120_000 + LOOKUPS * 2);
    const shipped = await shippedPolicy();
    const declared = await declaredPolicy();
    const deny = declared.rows.find(({ effect }) => effect === 'deny') ?? expect.fail('no row denies');
    // Its decision tells all facts, so that none is taken for another's.
    const when = { ...deny.when, constants: new Map(IDS.map((path) => [path, new Set(HOSTILE)])) };
    const telling: Policy = Object.freeze({
      ...declared,
      rows: Object.freeze([{ ...deny, when }, ...declared.rows]),
      match: (facts: Facts) => ({ row: { ...deny, id: JSON.stringify(facts) }, allowed: false }),
    });
    const notOfIds = (name: string, value: unknown): unknown => (name === 'id' ? undefined : value);
    const tellingSituations: Policy = Object.freeze({
      ...declared,
      match: (facts: Facts) => ({ row: { ...deny, id: JSON.stringify(facts, notOfIds) }, allowed: false }),
    });
    let evaluated = 0;
    const counting = (policy: Policy, under: Under): Tried => {
      const match: Policy['match'] = (facts) => {
        evaluated += 1;
        return policy.match(facts);
      };
      return { under, policy, counted: Object.freeze({ ...policy, match }) };
    };
    const tried = [
      counting(telling, 'every kind'),
      counting(tellingSituations, 'every kind'),
      counting(declared, 'every kind'),
      counting(shipped, 'shipped'),
    ];
    const totals = { recalled: 0, loaded: 0, stale: 0, decided: 0, frozen: 0 };
    const plain = plainly();
    await fc.assert(
      fc.asyncProperty(fc.integer(), async (seed) => {
        const counted = await run(seed, LOOKUPS / RUNS, tried, plain);
        for (const name of Object.keys(totals) as (keyof typeof totals)[]) totals[name] += counted[name];
      }),
      { ...times(RUNS), endOnFailure: true },
    );
    console.log(
      `        ${totals.recalled} from the cache, ${totals.loaded} read, ${totals.stale} of them not kept; ` +
        `${totals.decided} decisions, ${evaluated} of them evaluated, ${totals.frozen} frozen`,
    );
    expect(totals.recalled + totals.loaded).to.be.at.least(LOOKUPS);
    expect(totals.recalled).to.be.above(LOOKUPS / 2);
    expect(totals.stale).to.be.above(LOOKUPS / 20_000);
    expect(evaluated).to.be.below(totals.decided * 0.8);
    expect(totals.frozen).to.be.within(LOOKUPS / 100, LOOKUPS / 2);
  });
});

interface Tried {
  readonly under: Under;
  readonly policy: Policy;
  /** The same, and its evaluations are counted. */
  readonly counted: Policy;
}

/** `decide`, memoised by the text of its arguments, which is all that it may depend on. */
function plainly(): (policy: Policy, facts: string) => string {
  const said = new Map<Policy, Map<string, string>>();
  return (policy, facts) => {
    const texts = said.get(policy) ?? new Map<string, string>();
    said.set(policy, texts);
    const known = texts.get(facts) ?? outcomeOf(() => decide(policy, JSON.parse(facts) as Facts));
    if (texts.size > 100_000) texts.clear();
    texts.set(facts, known);
    return known;
  };
}

function outcomeOf(run: () => Decision): string {
  try {
    const { effect, code, rule } = run();
    return `${effect} ${code} ${rule}`;
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

async function run(seed: number, lookups: number, tried: readonly Tried[], plain: ReturnType<typeof plainly>) {
  const random = randomFrom(seed);
  const world = createWorld(random);
  let now = 0;
  const freshness = createFreshness(() => now);
  // Smaller than the world, so that entries are evicted, too.
  const cache = createCache<Stored>(freshness, { count: 240, bytes: 2 ** 20 });
  const memo = memoizedDecide();
  let polled = Number.NEGATIVE_INFINITY;
  let applied = 0;
  const pending: (() => void)[] = [];
  const counted = { recalled: 0, loaded: 0, stale: 0, decided: 0, frozen: 0 };
  const freezes: Freeze[] = [];
  let index = indexFreezes(freezes);

  const pick = <T>(of: readonly T[]): T => of[random(of.length)] as T;
  /** The first ones most often, so that the memo has much to recall. */
  const often = <T>(of: readonly T[]): T => of[random(1 + random(1 + random(of.length)))] as T;
  const momentNear = (): number => Date.parse(`${often(EDGES)}Z`) + (random(2) ? random(5) - 2 : random(86_400_000));

  /** One begins, or is lifted; their ends come and go with the moments. */
  const freezeOrLift = (): void => {
    if (freezes.length > 2 && random(2)) freezes.splice(random(freezes.length), 1);
    else {
      const id = (): string | null => (random(2) ? null : pick(HOSTILE));
      const named = {
        action: pick([null, 'call:create', 'call:*', 'user:*']),
        keyId: id(),
        userId: id(),
        businessId: id(),
      };
      freezes.push({ id: String(random(1e9)), ...named, reason: 'x', until: momentNear() });
    }
    index = indexFreezes([...freezes]);
  };

  const compare = (stored: Stored): void => {
    if (random(100) === 0) freezeOrLift();
    const { under, policy, counted: counting } = often(tried);
    const moment = momentNear();
    const asked: Asked = { action: often(ACTIONS), ip: often(ADDRESSES), attributes: often(ATTRIBUTES), moment };
    const exceeded = random(8) === 0;
    const freeze = covering(index, { ...stored, request: asked }, moment);
    const facts = withFreeze(
      withLimit(factsUnder(policy.schema, stored, asked), exceeded ? EXCEEDED : undefined),
      freeze,
    );
    const frozen = isCovered(freezes, stored, asked.action, moment);
    const expected = expectedFacts(under, stored, asked, exceeded, frozen);
    // Twice, since the text of a group is kept.
    for (const text of [canonicalFacts(facts), canonicalFacts(facts)])
      if (text !== expected) expect(text).to.equal(expected);
    const said = outcomeOf(() => memo(counting, facts));
    if (said !== plain(policy, expected)) expect(said, expected).to.equal(plain(policy, expected));
    counted.decided += 1;
    counted.frozen += Number(frozen);
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
      new Promise<Read<Stored>>((resolve) => {
        let snapshot: Read<Stored> | undefined;
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

function expectSame(groups: Stored, truth: Stored): void {
  for (const group of ['key', 'user', 'target', 'stored'] as const) {
    for (const [fact, value] of Object.entries(truth[group])) {
      if ((groups[group] as Record<string, unknown>)[fact] !== value) expect(groups[group]).to.deep.equal(truth[group]);
    }
  }
}
