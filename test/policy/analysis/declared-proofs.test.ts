/** The findings of a check, and the smallest changes, agree with brute force where policies declare facts of every kind. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Finding } from '../../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { amount } from '../../support/long.ts';
import { type Entry, type Flat, factsIn, isStrict, type Spec, type Value } from '../declarations.ts';
import {
  type Declared,
  deciderIn,
  drawnRows,
  framed,
  holdsIn,
  type Line,
  lastCode,
  pathsOf,
  printed,
  situationsFor,
  someCode,
  somePattern,
  textsOf,
  withTrees,
} from '../declared-brute.ts';
import { matches, type Tree } from '../rules.ts';
import { SEED, times } from '../texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(20, 60, 1000));
const MOST = amount(10_000, 10_000, 30_000);

interface Stated {
  readonly tree: Tree;
  readonly actions: string;
  readonly verb: 'never' | 'only';
  readonly code: string;
}

interface Checked extends Declared {
  readonly invariants: readonly Stated[];
}

/** Rows with or without those that deny what may never be allowed, and with or without one that matches everything. */
const checked: fc.Arbitrary<Checked> = withTrees.chain(({ spec, tree }) =>
  fc
    .tuple(
      drawnRows(tree),
      lastCode,
      fc.array(
        fc.record({
          tree,
          actions: somePattern,
          verb: fc.constantFrom('never' as const, 'only' as const),
          code: someCode,
        }),
        { maxLength: 2 },
      ),
      fc.integer({ min: 0, max: 5 }),
    )
    .map(([rows, last, invariants, which]) => {
      const all = framed(spec, rows, last);
      const kept = which === 0 ? all.slice(1) : which === 1 ? all.slice(0, -1) : all;
      return { spec, invariants, rows: which === 2 ? kept.filter(({ id }) => id !== 'register') : kept };
    }),
);

/** One situation, with who decides it. */
interface Decided {
  readonly facts: Flat;
  readonly row: Line | undefined;
}

const isAllow = (row: Line | undefined): boolean => row?.code === 'OK';
const matching = (rows: readonly Line[], facts: Flat): readonly Line[] =>
  rows.filter(({ action }) => matches(String(facts['r.request.action']), action));

/** The findings, as `rule place`; rows and invariants by their numbers. */
function bruteForce({ spec, rows, invariants }: Checked, all: readonly Decided[]): Set<string> {
  const found = new Set<string>();
  const numberOf = (row: Line): number => rows.indexOf(row) + 1;
  const deciding = new Set<Line>();
  const hiders = new Map<Line, Set<string>>();
  const applied = new Set<Stated>();
  for (const { facts, row } of all) {
    if (!row) found.add('undecided');
    else deciding.add(row);
    const may =
      facts['r.key.status'] === 'active' &&
      facts['r.user.status'] === 'active' &&
      facts['r.freeze.active'] === false &&
      (!isStrict(spec) || facts['r.request.registered'] === true);
    if (row && isAllow(row) && !may) found.add(`forbidden-allow ${numberOf(row)}`);
    for (const other of row ? matching(rows, facts) : [])
      if (row && holdsIn(other.tree, facts)) hiders.set(other, (hiders.get(other) ?? new Set()).add(row.id));
    for (const [index, invariant] of invariants.entries()) {
      if (!matches(String(facts['r.request.action']), invariant.actions)) continue;
      if (holdsIn(invariant.tree, facts) !== (invariant.verb === 'never')) continue;
      applied.add(invariant);
      if (row?.code === invariant.code) found.add(`invariant-violated ${index + 1}`);
    }
  }
  for (const row of rows) {
    if (deciding.has(row)) continue;
    const by = [...(hiders.get(row) ?? [])].sort();
    found.add(by.length === 0 ? `row-never-matches ${numberOf(row)}` : `row-hidden ${numberOf(row)} ${by.join()}`);
  }
  for (const [index, invariant] of invariants.entries())
    if (!applied.has(invariant)) found.add(`invariant-vacuous ${index + 1}`);
  for (const gain of gainsIn({ spec, rows }, all)) found.add(`ignorance-grants ${gain}`);
  return found;
}

/** A fact, or all of an address, of which somebody may know nothing; and from which values of it to which others nothing may be lost. */
interface Unit {
  readonly paths: readonly string[];
  readonly isStep: (low: Flat, high: Flat) => boolean;
}

const NOTHING: readonly (Value | undefined)[] = ['unknown', false];

/** What is known no better than nothing in `low`, or, where it takes away, in `high`. */
const rises =
  (path: string, withholds: boolean) =>
  (low: Flat, high: Flat): boolean =>
    low[path] === high[path] || NOTHING.includes((withholds ? high : low)[path]);

function unitsOf({ attributes, asked, networks }: Spec, named: ReadonlySet<string>): readonly Unit[] {
  const group: Readonly<Record<string, string>> = { key: 'key', user: 'user', business: 'target' };
  const entries: (readonly [string, Entry])[] = [
    ...Object.entries(attributes).map(([name, entry]) => {
      const [owner = '', last] = name.split('.');
      return [`r.${group[owner]}.${last}`, entry] as const;
    }),
    ...Object.entries(asked).map(([name, entry]) => [`r.asked.${name}`, entry] as const),
  ];
  const alone = entries.flatMap(([path, entry]) => {
    const paths = 'grants' in entry ? entry.grants.map((grant) => `${path}.${grant}`) : [path];
    return paths.map((one): Unit => ({ paths: [one], isStep: rises(one, entry.withholds) }));
  });
  const role: Unit = {
    paths: ['r.target.role'],
    isStep: (low, high) => low['r.target.role'] === 'other' && high['r.target.role'] !== 'none',
  };
  const nets = Object.entries(networks)
    .map(([name, { withholds }]) => [`r.network.${name}`, withholds] as const)
    .filter(([path]) => named.has(path));
  const ofAddress = [['r.request.addressed', false] as const, ...nets];
  const address: Unit = {
    paths: ofAddress.map(([path]) => path),
    isStep: (low, high) => ofAddress.every(([path, withholds]) => rises(path, withholds)(low, high)),
  };
  return [...alone, role, address].filter(({ paths }) => paths.some((path) => named.has(path)));
}

/** `row paths`: what the row denies, and is allowed where less is known. */
function gainsIn({ spec, rows }: Declared, all: readonly Decided[]): Set<string> {
  const gains = new Set<string>();
  const byAction = new Map<string, Decided[]>();
  for (const one of all) {
    const { facts } = one;
    if (facts['r.key.status'] !== 'active' || facts['r.user.status'] !== 'active' || facts['r.freeze.active']) continue;
    const action = String(facts['r.request.action']);
    byAction.set(action, [...(byAction.get(action) ?? []), one]);
  }
  for (const [action, here] of byAction) {
    const tried = rows.filter((row) => matches(action, row.action));
    const named = new Set(tried.flatMap(({ tree }) => pathsOf(tree)));
    const others = (unit: Unit) =>
      [...named, 'r.target.status', 'r.target.id'].filter((path) => !unit.paths.includes(path));
    for (const unit of unitsOf(spec, named)) {
      const rest = others(unit);
      const alike = new Map<string, Decided[]>();
      for (const one of here) {
        const key = rest.map((path) => one.facts[path]).join('|');
        alike.set(key, [...(alike.get(key) ?? []), one]);
      }
      for (const group of alike.values()) {
        for (const low of group.filter(({ row }) => isAllow(row))) {
          for (const high of group) {
            if (!high.row || isAllow(high.row) || !unit.isStep(low.facts, high.facts)) continue;
            const paths = unit.paths.filter((path) => low.facts[path] !== high.facts[path]);
            gains.add(`${rows.indexOf(high.row) + 1} ${paths.sort().join()}`);
          }
        }
      }
    }
  }
  return gains;
}

const COMPARED = new Set([
  'undecided',
  'forbidden-allow',
  'row-never-matches',
  'row-hidden',
  'invariant-violated',
  'invariant-vacuous',
  'ignorance-grants',
]);

/** What `buildPolicy` reports, in the form of `bruteForce`. */
async function found({ spec, rows, invariants }: Checked): Promise<Set<string>> {
  const stated = invariants.map(({ tree, actions, verb, code }, index) =>
    JSON.stringify({ name: `i${index}`, actions, when: printed(tree), [verb]: code }),
  );
  const texts = new Map([
    ...(await textsOf({ spec, rows })),
    ['invariants.yaml', `{"invariants": [\n${stated.join(',\n')}]}\n`],
  ]);
  const { findings } = await buildPolicy(texts);
  return new Set(findings.filter(({ rule }) => COMPARED.has(rule)).map(inShort));
}

function inShort({ rule, line, message }: Finding): string {
  const named = [...message.matchAll(/([a-z]+(?:-\d+)?) \(10-rows/g)].map(([, id]) => id);
  const [before = '', after = ''] = message.split(', this row denies what is allowed where ');
  const paths = [...before.matchAll(/r(?:\.\w+){2,3}/g)].map(([path]) => path);
  if (rule === 'undecided') return rule;
  if (rule === 'row-hidden') return `${rule} ${line} ${named.sort().join()}`;
  if (rule.startsWith('invariant')) return `${rule} ${line - 1}`;
  if (rule !== 'ignorance-grants') return `${rule} ${line}`;
  const address = after.startsWith('the address is left out') ? ['r.request.addressed'] : [];
  return `${rule} ${line} ${[...new Set([...paths, ...address])].sort().join()}`;
}

/** Two lists of findings, and the policy that they are of. */
const differenceOf = ({ rows, invariants }: Checked, got: readonly string[], want: readonly string[]): string =>
  [
    `found: ${got.filter((one) => !want.includes(one)).join('; ') || 'nothing more'}`,
    `brute force alone: ${want.filter((one) => !got.includes(one)).join('; ') || 'nothing'}`,
    ...rows.map((row) => `${row.id} ${row.action} ${printed(row.tree)} ${row.code}`),
    ...invariants.map((one) => `${one.verb} ${one.code} ${one.actions} ${printed(one.tree)}`),
  ].join('\n');

describe(`the check of policies that declare facts (seed ${SEED})`, function () {
  this.timeout(3_600_000);

  it('finds what brute force finds, and nothing else', async () => {
    const seen = new Map<string, number>();
    let skipped = 0;
    const property = fc.asyncProperty(checked, async (one) => {
      const situations = situationsFor(
        [one],
        MOST,
        one.invariants.map(({ tree }) => tree),
      );
      if (!situations) {
        skipped += 1;
        return;
      }
      const all = situations.map((situation): Decided => {
        const facts = factsIn(one.spec, situation);
        return { facts, row: deciderIn(one.rows, facts) };
      });
      const want = bruteForce(one, all);
      const got = [...(await found(one))].sort();
      if (got.join('; ') !== [...want].sort().join('; ')) expect.fail(differenceOf(one, got, [...want].sort()));
      for (const rule of new Set([...want].map((text) => text.split(' ')[0] ?? '')))
        seen.set(rule, (seen.get(rule) ?? 0) + 1);
    });
    await fc.assert(property, times(ROUNDS));
    console.log(`      ${skipped} skipped; ${[...seen].map(([rule, count]) => `${count} with ${rule}`).join(', ')}`);
    expect([...seen.keys()]).to.include.members([...COMPARED]);
  });
});
