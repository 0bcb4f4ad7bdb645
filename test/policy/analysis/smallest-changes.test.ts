/** The smallest changes that turn a denial into an allow agree with brute force: every situation, every difference, every part. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { ChangeSet } from '../../../src/policy/analysis/change-sets.ts';
import { type SmallestChanges, smallestChanges } from '../../../src/policy/analysis/smallest-changes.ts';
import type { Policy } from '../../../src/policy/decide.ts';
import { type Facts, valueAt } from '../../../src/policy/facts.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { ACTIVE, factsWith } from '../../support/facts.ts';
import { amount } from '../../support/long.ts';
import { deciderOf, everySituation, lines, policyOf } from '../brute.ts';
import { SEED, shippedPolicy, times } from '../texts.ts';

const PATHS = [...BUILT_IN.paths.keys()];

const find = (policy: Policy, facts: Facts, most = 100_000): SmallestChanges =>
  runToEnd(smallestChanges(policy, facts, most));

/** The differences between two records: `path value`, with the new value. */
const differences = (from: Facts, to: Facts): ReadonlySet<string> =>
  new Set(
    PATHS.filter((path) => valueAt(from, path) !== valueAt(to, path)).map((path) => `${path} ${valueAt(to, path)}`),
  );

/** All minimal sets of differences to situations that are allowed. */
function bruteForce(allowed: readonly Facts[], facts: Facts): string[] {
  const sets = allowed
    .filter(({ request }) => request.action === facts.request.action)
    .map((other) => differences(facts, other))
    .sort((a, b) => a.size - b.size);
  const minimal: ReadonlySet<string>[] = [];
  for (const set of sets) {
    if (!minimal.some((smaller) => [...smaller].every((one) => set.has(one)))) minimal.push(set);
  }
  return minimal.map((set) => [...set].sort().join(', ')).sort();
}

/** What a set of changes stands for, in terms of the situations that brute force goes through. */
function expand({ changes }: ChangeSet, samples: ReadonlyMap<string, ReadonlySet<string | boolean>>): string[] {
  const lists = changes.map(({ path, to }) => {
    const values = 'anyOf' in to ? to.anyOf : [...(samples.get(path) ?? [])].filter((one) => !to.noneOf.includes(one));
    return values.map((value) => `${path} ${value}`);
  });
  return lists
    .reduce<string[][]>((sets, list) => sets.flatMap((set) => list.map((one) => [...set, one])), [[]])
    .map((set) => set.sort().join(', '));
}

describe('the smallest changes', () => {
  let policy: Policy;
  before(async () => {
    policy = await shippedPolicy();
  });
  const said = (facts: Facts, most?: number): string[] =>
    find(policy, facts, most).sets.map(({ size, changes }) =>
      [
        size,
        ...changes.map(
          ({ path, to }) => `${path} ${'anyOf' in to ? to.anyOf.join('|') : `not ${to.noneOf.join('|')}`}`,
        ),
      ].join('; '),
    );

  it('are none of an allow', () => {
    expect(find(policy, ACTIVE)).to.deep.equal({ sets: [], incomplete: null });
  });

  it('are one change where one is enough, with all values that would do', () => {
    expect(said(factsWith({ key: { status: 'revoked' } }, ACTIVE))).to.deep.equal(['1; r.key.status active']);
    expect(said(factsWith({ target: { role: 'none' } }, ACTIVE))).to.deep.equal(['1; r.target.role owner|member']);
    expect(said(factsWith({ freeze: { active: true } }, ACTIVE))).to.deep.equal(['1; r.freeze.active false']);
    expect(said(factsWith({ limit: { exceeded: true } }, ACTIVE))).to.deep.equal(['1; r.limit.exceeded false']);
  });

  it('are as many as it takes', () => {
    const facts = factsWith(
      { key: { status: 'expired' }, user: { status: 'disabled', businesses: 'disabled' }, freeze: { active: true } },
      ACTIVE,
    );
    expect(said(facts)).to.deep.equal([
      '4; r.key.status active; r.user.status active; r.user.businesses active; r.freeze.active false',
    ]);
  });

  it('are consistent: an unknown key takes an id, a user and what a target needs', () => {
    expect(said(factsWith({ request: { action: 'account:read' } }))).to.deep.equal([
      '4; r.key.id not ; r.key.status active; r.user.id not ; r.user.status active',
    ]);
    expect(
      said(factsWith({ request: { action: 'call:create' }, target: { id: 'b1', status: 'unknown' } })),
    ).to.deep.equal([
      '7; r.key.id not ; r.key.status active; r.user.id not ; r.user.status active; r.target.status active; r.target.role owner|member; r.target.inRestriction true',
    ]);
  });

  it('are several where there are several ways', () => {
    const facts = factsWith({ request: { action: 'account:read' }, target: { role: 'none' } }, ACTIVE);
    expect(said(facts)).to.deep.equal([
      '1; r.target.role owner|member',
      '3; r.target.id ; r.target.status none; r.target.inRestriction false',
    ]);
    expect(find(policy, facts, 1)).to.deep.equal({ sets: find(policy, facts).sets.slice(0, 1), incomplete: 'cut' });
  });

  it('say that there may be more where the budget is spent', () => {
    const facts = factsWith({ request: { action: 'account:read' } });
    const { sets, incomplete } = runToEnd(smallestChanges(policy, facts, 20, 5_000));
    expect({ sets, incomplete }).to.deep.equal({ sets: [], incomplete: 'budget' });
  });
});

describe(`the smallest changes under random policies (seed ${SEED})`, function () {
  this.timeout(240_000);

  let all: readonly Facts[];
  let samples: ReadonlyMap<string, ReadonlySet<string | boolean>>;
  before(() => {
    all = everySituation();
    samples = new Map(PATHS.map((path) => [path, new Set(all.map((facts) => valueAt(facts, path)))]));
  });

  /** Half of the policies allow what no other row decides. */
  const policies = fc
    .tuple(lines, fc.boolean())
    .map(([rows, open]) => (open ? rows.map((row) => (row.id === 'last' ? { ...row, code: 'OK' } : row)) : rows));

  it('are those of brute force', async () => {
    let tried = 0;
    const property = fc.asyncProperty(
      policies,
      fc.array(fc.nat(), { minLength: 6, maxLength: 6 }),
      async (rows, picks) => {
        const policy = await policyOf(rows);
        const allowed = all.filter((facts) => deciderOf(rows, facts).code === 'OK');
        for (const facts of picks.map((pick) => all[pick % all.length] as Facts)) {
          if (deciderOf(rows, facts).code === 'OK') continue;
          const { sets, incomplete } = find(policy, facts);
          expect(incomplete).to.equal(null);
          const expanded = sets.flatMap((set) => expand(set, samples));
          expect(expanded.toSorted(), JSON.stringify(facts)).to.deep.equal(bruteForce(allowed, facts));
          expect(sets.map(({ size }) => size)).to.deep.equal(sets.map(({ size }) => size).toSorted((a, b) => a - b));
          tried += expanded.length;
        }
      },
    );
    await fc.assert(property, times(amount(30, 40, 60)));
    expect(tried).to.be.above(50);
  });
});
