/** The smallest changes agree with brute force under random declarations: every situation with the action, every difference, every part. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { ChangeSet } from '../../../src/policy/analysis/change-sets.ts';
import { smallestChanges } from '../../../src/policy/analysis/smallest-changes.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { amount } from '../../support/long.ts';
import { type Flat, factsIn, type Value } from '../declarations.ts';
import {
  type Declared,
  deciderIn,
  declaredPolicy,
  nested,
  pathsOf,
  policyOf,
  situationsFor,
} from '../declared-brute.ts';
import { matches, type Tree } from '../rules.ts';
import { SEED, times } from '../texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(8, 30, 500));
const MOST = 20_000;
/** Varied always, since whoever gets another target has another role there. */
const ROLE: Tree = { kind: 'fact', path: 'r.target.role' };

/** Facts that come in combinations, so that they are told of only where a row reads them. */
const isCombined = (path: string): boolean => /^r\.(?:network|schedule)\.|^r\.request\.addressed$/.test(path);

const allows = ({ rows }: Declared, facts: Flat): boolean => deciderIn(rows, facts)?.code === 'OK';

/** All minimal sets of differences to situations with the same action that are allowed. */
function bruteForce(declared: Declared, from: Flat, all: readonly Flat[], named: ReadonlySet<string>): string[] {
  const registered = 'r.request.registered';
  const told = Object.keys(from).filter((path) => !isCombined(path) || named.has(path));
  const sets = new Map<string, ReadonlySet<string>>();
  // Whoever keeps facts.yaml can put the action into the register, and that changes nothing else.
  const reachable = all.filter((other) => other['r.request.action'] === from['r.request.action']);
  for (const other of reachable.flatMap((one) => [true, false].map((value) => ({ ...one, [registered]: value })))) {
    if (!allows(declared, other)) continue;
    const differing = told
      .filter((path) => (other as Flat)[path] !== from[path])
      .map((path) => `${path} ${(other as Flat)[path]}`);
    sets.set(differing.sort().join(', '), new Set(differing));
  }
  const minimal: ReadonlySet<string>[] = [];
  for (const set of [...sets.values()].sort((a, b) => a.size - b.size))
    if (!minimal.some((smaller) => [...smaller].every((one) => set.has(one)))) minimal.push(set);
  return minimal.map((set) => [...set].sort().join(', ')).sort();
}

/** What a set of changes stands for, in terms of the situations that brute force goes through. */
function expand({ changes }: ChangeSet, samples: ReadonlyMap<string, ReadonlySet<Value>>): string[] {
  const lists = changes.map(({ path, to }) => {
    const values = 'anyOf' in to ? to.anyOf : [...(samples.get(path) ?? [])].filter((one) => !to.noneOf.includes(one));
    return values.map((value) => `${path} ${value}`);
  });
  return lists
    .reduce<string[][]>((sets, list) => sets.flatMap((set) => list.map((one) => [...set, one])), [[]])
    .map((set) => set.sort().join(', '));
}

describe(`the smallest changes under random declarations (seed ${SEED})`, function () {
  this.timeout(3_600_000);

  it('are those of brute force', async () => {
    const found = { compared: 0, skipped: 0, sets: 0 };
    const picks = fc.array(fc.nat(), { minLength: 3, maxLength: 3 });
    const property = fc.asyncProperty(declaredPolicy, picks, async (declared, which) => {
      const situations = situationsFor([declared], MOST, [ROLE]);
      if (!situations) {
        found.skipped += 1;
        return;
      }
      const all = situations.map((situation) => factsIn(declared.spec, situation));
      const samples = new Map(
        Object.keys(all[0] ?? {}).map((path) => [
          path,
          new Set(path === 'r.request.registered' ? [true, false] : all.map((facts) => facts[path] as Value)),
        ]),
      );
      const policy = await policyOf(declared);
      for (const from of which.map((pick) => all[pick % all.length] as Flat)) {
        if (allows(declared, from)) continue;
        const rows = declared.rows.filter((row) => matches(String(from['r.request.action']), row.action));
        const { sets, incomplete } = runToEnd(smallestChanges(policy, nested(from), 100_000));
        expect(incomplete).to.equal(null);
        const expanded = [...new Set(sets.flatMap((set) => expand(set, samples)))].sort();
        const wanted = bruteForce(declared, from, all, new Set(rows.flatMap(({ tree }) => pathsOf(tree))));
        expect(expanded, JSON.stringify(from)).to.deep.equal(wanted);
        found.compared += 1;
        found.sets += expanded.length;
      }
    });
    await fc.assert(property, times(ROUNDS));
    console.log(`      ${JSON.stringify(found)}`);
    expect(found.sets).to.be.above(ROUNDS);
  });
});
