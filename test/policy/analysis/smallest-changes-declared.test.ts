/** The smallest changes agree with brute force where rows read every kind of declared fact. */

import { expect } from 'chai';
import fc from 'fast-check';
import { type FactChange, mergedSets } from '../../../src/policy/analysis/change-sets.ts';
import { smallestChanges } from '../../../src/policy/analysis/smallest-changes.ts';
import { createMatcher } from '../../../src/policy/casbin/matcher.ts';
import { parseRule } from '../../../src/policy/casbin/rule.ts';
import { withValues } from '../../../src/policy/changed-facts.ts';
import type { Policy } from '../../../src/policy/decide.ts';
import type { Declaration, DeclaredValues } from '../../../src/policy/declared/declaration.ts';
import { NO_ROUTES } from '../../../src/policy/declared/gateway.ts';
import { NO_NAMES } from '../../../src/policy/declared/names.ts';
import { type Facts, valueAt } from '../../../src/policy/facts.ts';
import { schemaOf } from '../../../src/policy/schema.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { SEED, times } from '../texts.ts';

const values = (...of: string[]) => ({ kind: 'values' as const, values: of, withholds: false });
const WORKDAYS = { days: [1, 2, 3, 4, 5], zone: 'Europe/Berlin', except: [] };
const DECLARED: Declaration = {
  attributes: {
    user: new Map([['plan', values('free', 'pro', 'max')]]),
    business: new Map([['region', values('eu', 'us')]]),
    key: new Map([['can', { kind: 'grants', grants: ['sms', 'fax'], withholds: false }]]),
  },
  roles: ['viewer'],
  networks: [
    { name: 'office', prefixes: ['203.0.113.0/24'], withholds: false },
    { name: 'berlin', prefixes: ['203.0.113.0/25'], withholds: false },
    { name: 'blocked', prefixes: ['198.51.100.0/24', '203.0.113.255/32'], withholds: false },
  ],
  schedules: [
    { name: 'open', from: 8 * 60, to: 18 * 60, ...WORKDAYS },
    { name: 'lunch', from: 12 * 60, to: 13 * 60, ...WORKDAYS },
  ],
  asked: new Map<string, DeclaredValues>([
    ['soft', { kind: 'boolean', values: [], withholds: false }],
    ['kind', values('call', 'text')],
  ]),
  actions: { strict: false, known: new Map([['sms:send', 'Send']]), groups: new Map([['reads', ['sms:send']]]) },
};
const SCHEMA = schemaOf(DECLARED);

type Value = string | boolean;
type Assignment = Readonly<Record<string, Value>>;

/** Where an address can lie, by hand: none, elsewhere, in the office, in its part in Berlin, blocked, blocked in the office. */
const ADDRESSES: readonly Assignment[] = (
  [
    [false],
    [true],
    [true, 'office'],
    [true, 'office', 'berlin'],
    [true, 'blocked'],
    [true, 'blocked', 'office'],
  ] as const
).map(([addressed, ...names]) => ({
  'r.request.addressed': addressed,
  ...Object.fromEntries(
    ['office', 'berlin', 'blocked'].map((name) => [`r.network.${name}`, (names as readonly string[]).includes(name)]),
  ),
}));
const MOMENTS: readonly Assignment[] = [
  { 'r.schedule.open': false, 'r.schedule.lunch': false },
  { 'r.schedule.open': true, 'r.schedule.lunch': false },
  { 'r.schedule.open': true, 'r.schedule.lunch': true },
];
const ALONE: Readonly<Record<string, readonly Value[]>> = {
  'r.key.status': ['active', 'revoked'],
  'r.key.can.sms': [true, false],
  'r.user.plan': ['free', 'pro', 'max', 'unknown'],
  'r.target.role': ['owner', 'member', 'none', 'viewer', 'other'],
  'r.target.region': ['eu', 'us', 'unknown'],
  'r.asked.soft': [true, false],
  'r.asked.kind': ['call', 'text', 'unknown'],
  'r.freeze.active': [true, false],
};
const PARTS: readonly (readonly Assignment[])[] = [
  ADDRESSES,
  MOMENTS,
  ...Object.entries(ALONE).map(([path, values]) => values.map((value) => ({ [path]: value }))),
];
const PATHS = PARTS.flatMap(([first]) => Object.keys(first ?? {}));

/** A condition, as text and as what it means. */
interface Condition {
  readonly text: string;
  readonly holds: (facts: Assignment) => boolean;
}

const atom = fc.constantFrom(...PATHS).chain((path): fc.Arbitrary<Condition> => {
  const values = ALONE[path] ?? [true, false];
  if (typeof values[0] === 'boolean') return fc.constant({ text: path, holds: (facts) => facts[path] === true });
  return fc.constantFrom(...values).map((value) => ({
    text: `${path} == '${value}'`,
    holds: (facts) => facts[path] === value,
  }));
});
const condition = fc.letrec<{ condition: Condition }>((tie) => ({
  condition: fc.oneof(
    { maxDepth: 3 },
    atom,
    tie('condition').map((of): Condition => ({ text: `!(${of.text})`, holds: (facts) => !of.holds(facts) })),
    fc.tuple(tie('condition'), tie('condition')).map(
      ([a, b]): Condition => ({
        text: `(${a.text}) && (${b.text})`,
        holds: (facts) => a.holds(facts) && b.holds(facts),
      }),
    ),
    fc.tuple(tie('condition'), tie('condition')).map(
      ([a, b]): Condition => ({
        text: `(${a.text}) || (${b.text})`,
        holds: (facts) => a.holds(facts) || b.holds(facts),
      }),
    ),
  ),
})).condition;

interface Row extends Condition {
  readonly allows: boolean;
}

const NEVER: Row = {
  text: "r.key.status != 'active' || r.user.status != 'active' || r.freeze.active",
  holds: (facts) => facts['r.key.status'] !== 'active' || facts['r.freeze.active'] === true,
  allows: false,
};

const rowsDrawn = fc
  .tuple(fc.array(fc.tuple(condition, fc.boolean()), { minLength: 1, maxLength: 5 }), fc.boolean())
  .map(([drawn, last]): Row[] => [
    NEVER,
    ...drawn.map(([one, allows]) => ({ ...one, allows })),
    { text: 'true', holds: () => true, allows: last },
  ]);

function policyOf(drawn: readonly Row[], schema = SCHEMA): Policy {
  const rows = drawn.map(({ text, allows }, index) => ({
    id: `row-${index}`,
    action: '*',
    when: parseRule(text, schema),
    effect: allows ? ('allow' as const) : ('deny' as const),
    code: allows ? 'OK' : 'PERMISSION_DENIED',
    file: '10-rows.csv',
    line: index + 1,
  }));
  return {
    digest: 'sha256:random',
    codes: new Map(),
    names: NO_NAMES,
    gateway: NO_ROUTES,
    rows,
    ...createMatcher(rows, schema),
  };
}

/** A member asks for `sms:send` with an active key, and these facts. */
const factsOf = (given: Assignment): Facts =>
  withValues(
    SCHEMA.nothingKnown,
    new Map<string, Value>([
      ['r.key.id', 'k1'],
      ['r.key.status', 'active'],
      ['r.user.id', 'u1'],
      ['r.user.status', 'active'],
      ['r.target.id', 'b1'],
      ['r.target.status', 'active'],
      ['r.request.action', 'sms:send'],
      ['r.request.registered', true],
      ...Object.entries(given),
    ]),
  );

function everything(): readonly Assignment[] {
  return PARTS.reduce<readonly Assignment[]>(
    (all, part) => all.flatMap((one) => part.map((other) => ({ ...one, ...other }))),
    [{}],
  );
}

/** All minimal sets of differences, of the paths that rows read, to an assignment that is allowed. */
function bruteForce(rows: readonly Row[], from: Assignment, all: readonly Assignment[]): string[] {
  const read = PATHS.filter((path) => rows.some(({ text }) => text.includes(path)));
  const sets = new Map<string, ReadonlySet<string>>();
  for (const other of all) {
    if (!rows.find(({ holds }) => holds(other))?.allows) continue;
    const differing = read.filter((path) => other[path] !== from[path]).map((path) => `${path} ${other[path]}`);
    sets.set(differing.sort().join(', '), new Set(differing));
  }
  const sorted = [...sets.values()].sort((a, b) => a.size - b.size);
  const minimal: ReadonlySet<string>[] = [];
  for (const set of sorted) {
    if (!minimal.some((smaller) => [...smaller].every((one) => set.has(one)))) minimal.push(set);
  }
  return minimal.map((set) => [...set].sort().join(', ')).sort();
}

function expand(changes: readonly FactChange[]): string[] {
  return changes
    .map(({ path, to }) => ('anyOf' in to ? to.anyOf.map((value) => `${path} ${value}`) : expect.fail('a text')))
    .reduce<string[][]>((sets, list) => sets.flatMap((set) => list.map((one) => [...set, one])), [[]])
    .map((set) => set.sort().join(', '));
}

describe('the smallest changes of declared facts', () => {
  const row = (text: string, allows: boolean): Row => ({ text, holds: () => true, allows });
  const REST = row('true', false);
  const found = (rows: readonly Row[], given: Assignment): string[] =>
    runToEnd(smallestChanges(policyOf([NEVER, ...rows]), factsOf(given))).sets.map(({ changes }) =>
      changes
        .map(({ path, to }) => `${path} ${'anyOf' in to ? to.anyOf.join('|') : `not ${to.noneOf.join('|')}`}`)
        .join('; '),
    );

  it('are consistent: of a business that is not asked about, no attribute is known', () => {
    const given = { 'r.target.region': 'eu', 'r.target.role': 'member' };
    expect(found([row("r.target.status == 'none'", true), REST], given)).to.deep.equal([
      'r.target.id ; r.target.status none; r.target.role none; r.target.region unknown',
    ]);
  });

  it('have one change for values that nothing tells apart', () => {
    expect(found([row("r.user.plan == 'free'", false), row('true', true)], { 'r.user.plan': 'free' })).to.deep.equal([
      'r.user.plan pro|max|unknown',
    ]);
  });

  it('move an address, or a moment, as one, and tell only of what rows read', () => {
    const rows = [row('r.network.berlin && r.schedule.lunch', true), REST];
    expect(found(rows, {})).to.deep.equal(['r.network.berlin true; r.schedule.lunch true']);
    const outside = [row('r.network.office && !r.network.berlin', true), REST];
    expect(found(outside, ADDRESSES[3] ?? {})).to.deep.equal(['r.network.berlin false']);
    const unblocked = [row('r.network.blocked', false), row('r.request.addressed', true), REST];
    expect(found(unblocked, {})).to.deep.equal(['r.request.addressed true']);
  });

  it('register an action that is not, where the register is strict', () => {
    const strict = schemaOf({ ...DECLARED, actions: { ...DECLARED.actions, strict: true } });
    const rows = [NEVER, row('!r.request.registered', false), row('true', true)];
    const facts = factsOf({ 'r.request.registered': false });
    expect(runToEnd(smallestChanges(policyOf(rows, strict), facts))).to.deep.equal({
      sets: [{ size: 1, changes: [{ path: 'r.request.registered', from: false, to: { anyOf: [true] } }] }],
      incomplete: null,
    });
  });

  it('leave out, fact by fact, what has a part that is enough', () => {
    const unit = {
      paths: ['r.network.office', 'r.network.blocked', 'r.network.berlin'],
      shown: new Set(['r.network.office', 'r.network.blocked']),
      choices: [
        { values: [true, false, true], all: [] },
        { values: [true, true, false], all: [] },
      ],
    };
    const now = new Map(unit.paths.map((path) => [path, false] as const));
    const sets = mergedSets(
      unit.choices.map((choice) => new Map([[unit, choice]])),
      now,
    );
    expect(sets.map(({ changes }) => changes.map(({ path }) => path))).to.deep.equal([['r.network.office']]);
  });
});

describe(`the smallest changes of declared facts (seed ${SEED})`, function () {
  this.timeout(240_000);

  it('are those of brute force', () => {
    const all = everything();
    let tried = 0;
    const property = fc.property(rowsDrawn, fc.array(fc.nat(), { minLength: 2, maxLength: 2 }), (rows, picks) => {
      const policy = policyOf(rows);
      for (const from of picks.map((pick) => all[pick % all.length] as Assignment)) {
        if (rows.find(({ holds }) => holds(from))?.allows) continue;
        const facts = factsOf(from);
        expect(PATHS.every((path) => valueAt(facts, path) === from[path])).to.equal(true);
        const { sets, incomplete } = runToEnd(smallestChanges(policy, facts, 100_000));
        expect(incomplete).to.equal(null);
        const found = sets.flatMap(({ changes }) => expand(changes)).sort();
        expect(found, JSON.stringify([rows.map(({ text, allows }) => [text, allows]), from])).to.deep.equal(
          bruteForce(rows, from, all),
        );
        tried += found.length;
      }
    });
    fc.assert(property, times(150));
    expect(tried).to.be.above(100);
  });
});
