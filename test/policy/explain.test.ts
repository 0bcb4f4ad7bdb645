/** Explanations agree with `decide`, and their reasons are sufficient: whatever else is so, each row comes out the same. */

import { expect } from 'chai';
import fc from 'fast-check';
import { decide, type Policy } from '../../src/policy/decide.ts';
import { explain, explaining, type Reason } from '../../src/policy/explain.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { ACTIVE, factsWith } from '../support/facts.ts';
import { deciderOf, everySituation, lines, meaningOf, policyOf } from './brute.ts';
import { holds, matches } from './rules.ts';
import { SEED, shippedPolicy, times } from './texts.ts';

const reasonsIn = (policy: Policy, facts: Facts, rule: string): readonly Reason[] | undefined =>
  explain(policy, facts).tried.find((row) => row.rule === rule)?.reasons;

describe('an explanation', () => {
  let policy: Policy;
  before(async () => {
    policy = await shippedPolicy();
  });

  it('has the rows up to the one that decides, and no further', () => {
    const { decision, tried } = explain(policy, { ...ACTIVE, user: { ...ACTIVE.user, status: 'disabled' } });
    expect(decision).to.deep.equal({ effect: 'deny', code: 'USER_DISABLED', rule: 'user-disabled' });
    expect(tried.map(({ rule, matched }) => [rule, matched])).to.deep.equal([
      ['key-not-active', false],
      ['user-unknown', false],
      ['user-disabled', true],
    ]);
    expect(tried[2]).to.include({ file: '10-api-key.csv', line: 4, effect: 'deny', code: 'USER_DISABLED' });
  });

  it('can be made row by row, between which decisions go on', () => {
    const work = explaining(policy, ACTIVE);
    let pauses = 0;
    let step = work.next();
    for (; !step.done; step = work.next()) pauses += 1;
    expect(step.value).to.deep.equal(explain(policy, ACTIVE));
    expect(pauses).to.equal(step.value.tried.length).and.to.equal(policy.rows.length);
  });

  it('names what settled a row and leaves the rest of it out', () => {
    const alone = { ...ACTIVE, target: BUILT_IN.nothingKnown.target };
    expect(reasonsIn(policy, alone, 'target-outside-restriction')).to.deep.equal([
      { test: "r.target.status != 'none'", value: false, fact: { path: 'r.target.status', value: 'none' } },
    ]);
    expect(reasonsIn(policy, alone, 'target-required')).to.deep.equal([
      { test: "r.target.status == 'none'", value: true, fact: { path: 'r.target.status', value: 'none' } },
      ...['user:*', 'account:*'].map((pattern) => ({
        test: `keyMatch(r.request.action, '${pattern}')`,
        value: false,
        fact: { path: 'r.request.action', value: 'call:create' },
      })),
    ]);
    // Of the two comparisons of `in`, the one that is true.
    expect(reasonsIn(policy, ACTIVE, 'allow-on-target')?.map(({ test }) => test)).to.deep.equal([
      "r.target.status == 'active'",
      "r.target.role == 'member'",
      'r.target.inRestriction',
    ]);
  });

  it('gives the action as the reason of a row for other actions', () => {
    expect(reasonsIn(policy, ACTIVE, 'user-management-not-permitted')).to.deep.equal([
      {
        test: "keyMatch(r.request.action, 'user:*')",
        value: false,
        fact: { path: 'r.request.action', value: 'call:create' },
      },
    ]);
  });

  it('fails where there is no decision', () => {
    expect(() => explain(policy, { ...ACTIVE, key: { ...ACTIVE.key, id: '' } })).to.throw(/could not decide/);
  });

  it('fails where the evaluated parts contradict the decision', () => {
    const [first] = policy.rows;
    const lying: Policy = { ...policy, match: () => ({ row: first, allowed: false }) };
    expect(() => explain(lying, ACTIVE)).to.throw(/contradict/);
    const last = policy.rows.at(-1);
    const late: Policy = { ...policy, match: () => ({ row: last, allowed: true }) };
    expect(() => explain(late, factsWith({ limit: { exceeded: true } }, ACTIVE))).to.throw(/contradict/);
  });
});

describe(`explanations of random policies (seed ${SEED})`, function () {
  this.timeout(120_000);

  let all: readonly Facts[];
  before(() => {
    all = everySituation();
  });

  it('agree with decide and with the rows, and their reasons settle each row whatever the other facts', async () => {
    const property = fc.asyncProperty(
      lines,
      fc.array(fc.nat(), { minLength: 20, maxLength: 20 }),
      async (rows, picks) => {
        const policy = await policyOf(rows);
        for (const facts of picks.map((pick) => all[pick % all.length] as Facts)) {
          const { decision, tried } = explain(policy, facts);
          expect(decision).to.deep.equal(decide(policy, facts));
          expect(tried.at(-1)?.rule).to.equal(decision.rule).and.to.equal(deciderOf(rows, facts).id);
          for (const { rule, matched, reasons } of tried) {
            const line = rows.find((row) => row.id === rule) ?? expect.fail();
            const means = (other: Facts): boolean =>
              matches(other.request.action, line.action) && holds(line.tree, other);
            expect(matched).to.equal(means(facts));
            const tests = reasons.map((reason) => ({ ...reason, holds: meaningOf(reason.test) }));
            for (const { holds: test, value, fact } of tests) {
              expect(test(facts)).to.equal(value);
              if (fact) expect([...BUILT_IN.paths.keys()]).to.include(fact.path);
            }
            // A sample: every 97th situation, from a random start.
            for (let index = (picks[0] as number) % 97; index < all.length; index += 97) {
              const other = all[index] as Facts;
              if (tests.every(({ holds: test, value }) => test(other) === value))
                expect(means(other)).to.equal(matched);
            }
          }
        }
      },
    );
    await fc.assert(property, times(15));
  });
});
