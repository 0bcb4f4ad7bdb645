/**
 * Mutation testing of policies that declare facts: of every small change of facts.yaml or of a row, either the folder is refused, or
 * `diff` says what it changes, or brute force finds that it changes nothing. `diff` and brute force must agree on which of these.
 */

import { expect } from 'chai';
import { diffOf, Undecided } from '../../src/policy/analysis/diff.ts';
import { prove } from '../../src/policy/analysis/proofs.ts';
import { createMatcher } from '../../src/policy/casbin/matcher.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { compilePolicy } from '../../src/policy/policy.ts';
import { amount } from '../support/long.ts';
import { readCondition } from './conditions.ts';
import type { Entry, Hours, Spec } from './declarations.ts';
import {
  type Declared,
  deciderIn,
  framed,
  type Line,
  policyOf,
  situationsFor,
  textsOf,
  viewsOf,
} from './declared-brute.ts';
import type { Tree } from './rules.ts';

const NOTHING: Spec = {
  attributes: {},
  roles: {},
  networks: {},
  schedules: {},
  asked: {},
  known: {},
  groups: {},
  strict: false,
};

const deny = (id: string, when: string, action = '*', code = 'PERMISSION_DENIED'): Line => ({
  id,
  action,
  tree: readCondition(when),
  code,
});
const policy = (parts: Partial<Spec>, ...rows: readonly Line[]): Declared => {
  const spec = { ...NOTHING, ...parts };
  return { spec, rows: framed(spec, rows, 'OK') };
};

/** Together they declare and use every kind of fact. */
const POLICIES: Readonly<Record<string, Declared>> = {
  attributes: policy(
    {
      attributes: {
        'user.plan': { values: ['free', 'pro', 'max'], withholds: false },
        'business.has': { grants: ['hold', 'sla'], withholds: true },
      },
    },
    deny('plan', "!(r.user.plan in ['pro', 'max'])", 'call:*'),
    deny('hold', 'r.target.has.hold'),
  ),
  'roles and what is asked': policy(
    { roles: { viewer: true }, asked: { soft: { boolean: true, withholds: false } } },
    deny('role', "r.target.status != 'none' && (r.target.role in ['none', 'other'])", '*', 'USER_DISABLED'),
    deny('viewer', "r.target.role == 'viewer' && !r.asked.soft", 'call:*'),
  ),
  networks: policy(
    {
      networks: {
        office: { prefixes: ['10.1.0.0/16', '2001:db8::/32'], withholds: false },
        berlin: { prefixes: ['10.1.2.0/24'], withholds: false },
        blocked: { prefixes: ['10.1.2.3/32', '128.0.0.0/1'], withholds: true },
      },
      attributes: { 'key.can': { grants: ['sms', 'fax'], withholds: false } },
    },
    deny('blocked', 'r.network.blocked'),
    deny('berlin', '!r.network.berlin && !r.key.can.fax', 'call:create', 'USER_DISABLED'),
    deny('office', '!r.network.office && !r.key.can.sms', 'call:*'),
  ),
  schedules: policy(
    {
      schedules: {
        hours: {
          days: ['mon', 'tue', 'wed', 'thu', 'fri'],
          from: '08:00',
          to: '18:00',
          zone: 'Europe/Berlin',
          except: ['2026-05-01'],
        },
        nights: { days: ['sun', 'sat'], from: '22:00', to: '06:30', zone: 'Asia/Tokyo', except: ['2026-12-26'] },
      },
      asked: { kind: { values: ['text', 'voice'], withholds: false } },
    },
    deny('nights', 'r.schedule.nights', '*', 'USER_DISABLED'),
    deny('hours', "!r.schedule.hours && r.asked.kind != 'text'", 'call:*'),
  ),
  'the register': policy(
    {
      known: { 'call:create': 'x', 'call:read': 'x', 'user:read': 'x', 'report:read': 'x' },
      groups: { reads: ['call:read', 'user:read', 'report:read'], calls: ['call:create', 'call:read'] },
      strict: true,
      attributes: { 'user.level': { values: ['low', 'high'], withholds: false } },
    },
    deny('reads', "!r.request.group.reads && r.user.level != 'high'"),
    deny('calls', "r.request.group.calls && !(r.user.level in ['low', 'high'])", '*', 'USER_DISABLED'),
  ),
};

interface Mutant {
  readonly what: string;
  readonly of: Declared;
}

function* without<T>(of: Readonly<Record<string, T>>): Generator<[what: string, of: Record<string, T>]> {
  for (const name of Object.keys(of))
    yield [`without ${name}`, Object.fromEntries(Object.entries(of).filter(([other]) => other !== name))];
}
function* edits<T>(
  of: Readonly<Record<string, T>>,
  edit: (one: T) => Iterable<T>,
): Generator<[what: string, of: Record<string, T>]> {
  yield* without(of);
  for (const [name, one] of Object.entries(of))
    for (const other of edit(one)) yield [`${name}: ${JSON.stringify(other)}`, { ...of, [name]: other }];
}
const less = <T>(list: readonly T[]): T[][] => list.map((_, at) => list.toSpliced(at, 1));

function* entryEdits(entry: Entry): Generator<Entry> {
  yield { ...entry, withholds: !entry.withholds };
  if ('values' in entry)
    for (const values of [...less(entry.values), [...entry.values, 'extra']]) yield { ...entry, values };
  if ('grants' in entry)
    for (const grants of [...less(entry.grants), [...entry.grants, 'extra']]) yield { ...entry, grants };
  if ('boolean' in entry) yield { values: ['a', 'b'], withholds: entry.withholds };
}

function* networkEdits(one: Spec['networks'][string]): Generator<Spec['networks'][string]> {
  yield { ...one, withholds: !one.withholds };
  for (const prefixes of [...less(one.prefixes), [...one.prefixes, '0.0.0.0/1'], [...one.prefixes, '10.1.2.0/24']])
    yield { ...one, prefixes };
}

const minuteOff = (time: string, by: number): string => {
  const minutes = 60 * Number(time.slice(0, 2)) + Number(time.slice(3)) + by;
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
};
function* hoursEdits(one: Hours): Generator<Hours> {
  for (const by of [-1, 1]) {
    yield { ...one, from: minuteOff(one.from, by) };
    yield { ...one, to: minuteOff(one.to, by) };
  }
  for (const days of less(one.days)) yield { ...one, days };
  for (const except of [...less(one.except), [...one.except, '2026-07-11'], [...one.except, '2026-12-24']])
    yield { ...one, except };
  yield { ...one, zone: 'UTC' };
}

function* specMutants(spec: Spec): Generator<[what: string, spec: Spec]> {
  for (const part of ['attributes', 'asked'] as const)
    for (const [what, of] of edits(spec[part], entryEdits)) yield [what, { ...spec, [part]: of }];
  for (const [what, roles] of without(spec.roles)) yield [what, { ...spec, roles }];
  yield ['another role', { ...spec, roles: { ...spec.roles, auditor: true } }];
  for (const [what, networks] of edits(spec.networks, networkEdits)) yield [what, { ...spec, networks }];
  for (const [what, schedules] of edits(spec.schedules, hoursEdits)) yield [what, { ...spec, schedules }];
  for (const [what, known] of without(spec.known)) yield [what, { ...spec, known }];
  yield ['another action', { ...spec, known: { ...spec.known, 'z:z': 'x' } }];
  yield ['not strict, or strict', { ...spec, strict: !spec.strict }];
  const inGroups = (list: readonly string[]): string[][] => [
    ...less(list),
    ...Object.keys(spec.known).flatMap((action) => (list.includes(action) ? [] : [[...list, action]])),
  ];
  for (const [what, groups] of edits(spec.groups, inGroups)) yield [what, { ...spec, groups }];
}

function* treeMutants(tree: Tree): Generator<Tree> {
  yield { kind: 'not', of: tree };
  for (const value of [true, false]) yield { kind: 'constant', value };
  if (tree.kind === 'not') {
    yield tree.of;
    for (const of of treeMutants(tree.of)) yield { kind: 'not', of };
  }
  if (tree.kind === 'both' || tree.kind === 'either') {
    yield { ...tree, kind: tree.kind === 'both' ? 'either' : 'both' };
    yield tree.left;
    yield tree.right;
    for (const left of treeMutants(tree.left)) yield { ...tree, left };
    for (const right of treeMutants(tree.right)) yield { ...tree, right };
  }
  if (tree.kind === 'in') for (const values of less(tree.values)) if (values.length > 0) yield { ...tree, values };
}

function* mutantsOf({ spec, rows }: Declared): Generator<Mutant> {
  for (const [what, other] of specMutants(spec)) yield { what, of: { spec: other, rows } };
  for (const [index, row] of rows.entries()) {
    if (['first', 'last'].includes(row.id)) continue;
    yield { what: `without ${row.id}`, of: { spec, rows: rows.toSpliced(index, 1) } };
    const changed = [
      ...[...treeMutants(row.tree)].map((tree) => ({ ...row, tree })),
      ...['*', 'call:*', 'user:*'].filter((action) => action !== row.action).map((action) => ({ ...row, action })),
      { ...row, code: 'BUSINESS_DISABLED' },
    ];
    for (const other of changed) yield { what: JSON.stringify(other), of: { spec, rows: rows.with(index, other) } };
  }
}

type Fate = 'refused' | 'differs' | 'proof fails' | 'equivalent';

describe('mutants of facts.yaml, and of rows that read what it declares', function () {
  this.timeout(3_600_000);

  /** Whether both give every situation the same answer. */
  function isSame(a: Declared, b: Declared): boolean {
    const situations = situationsFor([a, b], 100_000) ?? expect.fail('too many situations');
    return situations.every((situation) => {
      const [before, after] = viewsOf([a, b], situation);
      return deciderIn(a.rows, before ?? {})?.code === deciderIn(b.rows, after ?? {})?.code;
    });
  }

  function isSound({ schema, rows }: Policy): boolean {
    let sound = true;
    for (const _ of prove(createMatcher(rows, schema), rows, [], ({ rule }) => {
      if (rule !== 'row-hidden' && rule !== 'row-never-matches') sound = false;
    }));
    return sound;
  }

  async function fateOf(original: Declared, older: Policy, mutant: Declared): Promise<Fate> {
    const { policy: newer } = compilePolicy(await textsOf(mutant));
    if (!newer) return 'refused';
    try {
      const { equivalent, changes } = diffOf(older, newer);
      expect(changes.length === 0, 'diff and brute force agree').to.equal(isSame(original, mutant));
      if (!equivalent) return 'differs';
    } catch (error) {
      if (!(error instanceof Undecided)) throw error;
    }
    return isSound(newer) ? 'equivalent' : 'proof fails';
  }

  for (const [title, original] of Object.entries(POLICIES)) {
    it(`are refused, named by diff, or change nothing: ${title}`, async () => {
      const older = await policyOf(original);
      expect(isSound(older), 'the policy itself is sound').to.equal(true);
      const fates = new Map<Fate, string[]>();
      const all = [...mutantsOf(original)].filter((_, index) => index % amount(6, 3, 1) === 0);
      for (const { what, of } of all) {
        const fate = await fateOf(original, older, of).catch((error: unknown) =>
          expect.fail(`${what}: ${String((error as Error).message)}`),
        );
        fates.set(fate, [...(fates.get(fate) ?? []), what]);
      }
      console.log(`      ${[...fates].map(([fate, { length }]) => `${length} ${fate}`).join(', ')}`);
      if (process.env['VERBOSE']) console.log(fates);
      expect(fates.get('differs')).not.to.equal(undefined);
    });
  }
});
