/**
 * Property tests of the rule language: Casbin evaluates an accepted rule as our own evaluator does, its print is a fixed point,
 * and the enumerated situations have every combination that the rules tell apart.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { situations } from '../../../src/policy/analysis/situations.ts';
import { parseRule, RuleError } from '../../../src/policy/casbin/rule.ts';
import type { Policy } from '../../../src/policy/decide.ts';
import type { Facts } from '../../../src/policy/facts.ts';
import type { Row, Rule } from '../../../src/policy/row.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import { canOccur } from '../oracle.ts';
import {
  attempt,
  factsLike,
  holds,
  matches,
  pattern,
  readPrint,
  type Tree,
  ruleText as text,
  tree,
  write,
} from '../rules.ts';
import { SEED, shippedPolicy, times, uncheckedPolicy } from '../texts.ts';

const row = (index: number, action: string, when: Rule): Row => ({
  id: `row-${index}`,
  action,
  when,
  effect: index % 2 === 0 ? 'deny' : 'allow',
  code: 'X',
  file: '10-x.csv',
  line: index,
});

describe(`a rule of the language (seed ${SEED})`, function () {
  this.timeout(120_000);

  let policy: Policy;
  let facts: fc.Arbitrary<Facts>;

  before(async () => {
    policy = await shippedPolicy();
    facts = factsLike([...situations(policy.rows, BUILT_IN)]);
  });

  it('is accepted, and its print has the same value', () => {
    fc.assert(
      fc.property(text, fc.array(facts, { minLength: 20, maxLength: 20 }), (rule, samples) => {
        const print = readPrint(parseRule(rule.text, BUILT_IN).text);
        for (const sample of samples) expect(holds(print, sample)).to.equal(holds(rule.node, sample));
      }),
      times(1000),
    );
  });

  it('prints to a fixed point', () => {
    fc.assert(
      fc.property(text, (rule) => {
        const once = parseRule(rule.text, BUILT_IN);
        const twice = attempt(once.text);
        // The print writes lists out, so it can exceed the bounds of length and depth.
        if (twice instanceof RuleError) expect(twice.message).to.match(/split (it|the rule) into rows/);
        else expect(twice).to.deep.equal(once);
      }),
      times(1000),
    );
  });

  it('decides in Casbin as in our evaluator: by the first row that matches', async () => {
    const rows = fc.array(fc.tuple(pattern, text), { minLength: 1, maxLength: 6 });
    await fc.assert(
      fc.asyncProperty(rows, fc.array(facts, { minLength: 20, maxLength: 20 }), async (made, samples) => {
        const unchecked = await uncheckedPolicy(
          made.map(([by, rule], index) => row(index, by, parseRule(rule.text, BUILT_IN))),
        );
        for (const sample of samples) {
          const first = made.findIndex(([by, rule]) => matches(sample.request.action, by) && holds(rule.node, sample));
          expect(unchecked.match(sample)).to.deep.equal({ row: unchecked.rows[first], allowed: first % 2 === 1 });
        }
      }),
      times(250),
    );
  });

  describe('has every combination of matches among the situations, all of which can occur:', () => {
    const hasAllOf = (rows: Rows): void => {
      const known = [...(vectorsOf(rows, Number.POSITIVE_INFINITY) ?? [])];
      fc.assert(
        fc.property(facts, (sample) => {
          expect(known).to.include(vectorOf(rows, sample));
        }),
        times(2000),
      );
    };

    it('the shipped rows', () => {
      hasAllOf(rowsOf(policy.rows));
    });

    it('rows that name the word that stands for all other texts', () => {
      const always: Tree = { kind: 'constant', value: true };
      const named = (value: string): Tree => ({ kind: 'equals', path: 'r.key.id', value, not: false });
      hasAllOf(['x:*', 'x:x', 'xx:*', 'user:*', 'user:x', 'user:x:*', 'user:xx:xx'].map((by) => [by, always]));
      hasAllOf([
        ['*', named('x')],
        ['x:x', named('xx')],
        ['*', named('k1')],
      ]);
    });

    it('random rows', () => {
      const some = fc.array(fc.tuple(pattern, tree), { minLength: 1, maxLength: 2 });
      let compared = 0;
      fc.assert(
        fc.property(some, fc.array(facts, { minLength: 20, maxLength: 20 }), (made, samples) => {
          const known = vectorsOf(made, 4_000);
          if (!known) return;
          compared += 1;
          for (const sample of samples) expect([...known]).to.include(vectorOf(made, sample));
        }),
        times(50),
      );
      expect(compared, 'how many were few enough to compare').to.be.above(15);
    });
  });
});

type Rows = readonly (readonly [pattern: string, node: Tree])[];

const rowsOf = (rows: readonly Row[]): Rows => rows.map(({ action, when }) => [action, readPrint(when.text)]);

/** Which of the rows match, each taken alone. */
const vectorOf = (rows: Rows, facts: Facts): string =>
  rows.map(([by, node]) => Number(matches(facts.request.action, by) && holds(node, facts))).join('');

/** Which rows match, for all situations that they tell apart; undefined above `most`. */
function vectorsOf(rows: Rows, most: number): Set<string> | undefined {
  const vectors = new Set<string>();
  let count = 0;
  for (const facts of situations(
    rows.map(([by, node], index) =>
      row(
        index,
        by,
        parseRule(
          write(node, () => 0),
          BUILT_IN,
        ),
      ),
    ),
    BUILT_IN,
  )) {
    if (!canOccur(facts)) expect.fail(`${JSON.stringify(facts)} cannot occur`);
    vectors.add(vectorOf(rows, facts));
    count += 1;
    if (count > most) return undefined;
  }
  return vectors;
}
