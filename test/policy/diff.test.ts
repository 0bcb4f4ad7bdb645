/**
 * The semantic difference of two policies, held against brute force: for policies at random each of all situations is
 * asked of both, one after the other. `ROUNDS=300` asks about more policies than the default.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { OverBound, partitionOf } from '../../src/policy/classes.ts';
import { type Change, diffOf, Undecided } from '../../src/policy/diff.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { buildPolicy, compilePolicy, type Policy } from '../../src/policy/policy.ts';
import { tableOf } from '../../src/policy/table.ts';
import { deciderOf, everySituation, type Line, lines, meaningOf, pairOfLines, policyOf } from './brute.ts';
import { canOccur } from './oracle.ts';
import { edited, SEED, shippedPolicy, shippedTexts, times, withFile } from './texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? 8);

async function policyWith(file: string, from: string, to: string): Promise<Policy> {
  const { policy, findings } = await compilePolicy(edited(await shippedTexts(), file, from, to));
  return policy ?? expect.fail(findings[0]?.message ?? 'no policy');
}

describe(`the difference of two policies (seed ${SEED})`, function () {
  this.timeout(600_000);

  let all: readonly Facts[];
  before(() => {
    all = everySituation();
  });

  /** What brute force says of each change, by `old,new`; undefined where there is none. */
  function compare(rows: readonly [readonly Line[], readonly Line[]], changes: readonly Change[], label: Label): void {
    const stated = changes.map((change) => ({ label: label.of(change), holds: change.when.map(meaningOf) }));
    expect(new Set(stated.map((one) => one.label)).size, 'each change is stated once').to.equal(stated.length);
    const seen = new Set<string>();
    for (const facts of all) {
      const wanted = label.by(deciderOf(rows[0], facts), deciderOf(rows[1], facts));
      const got = stated.filter((one) => one.holds.some((holds) => holds(facts))).map((one) => one.label);
      if (got.length !== (wanted ? 1 : 0) || got[0] !== wanted) {
        expect.fail(`wanted ${wanted}, got ${got} for ${JSON.stringify(facts)}`);
      }
      if (wanted) seen.add(wanted);
    }
    expect(stated.map((one) => one.label)).to.have.members([...seen]);
    for (const { example, situations } of changes) {
      expect(canOccur(example.facts)).to.equal(true);
      const pair = rows.map((side) => deciderOf(side, example.facts));
      expect(pair.map(({ id, code }) => `${code} ${id}`)).to.deep.equal(
        [example.old, example.new].map(({ rule, code }) => `${code} ${rule}`),
      );
      expect(situations).to.be.above(0);
    }
  }

  interface Label {
    readonly of: (change: Change) => string;
    readonly by: (older: Line, newer: Line) => string | undefined;
  }
  const CODES: Label = {
    of: (change) => `${change.old.code},${change.new.code}`,
    by: (older, newer) => (older.code === newer.code ? undefined : `${older.code},${newer.code}`),
  };
  const ROWS: Label = {
    of: ({ rules }) => rules.map((pair) => `${pair.old},${pair.new}`).join(),
    by: (older, newer) => (older.code !== newer.code || older.id === newer.id ? undefined : `${older.id},${newer.id}`),
  };

  it('is what asking both about every situation finds, no more and no less', async () => {
    const found = { equivalent: 0, different: 0 };
    const property = fc.asyncProperty(pairOfLines, async (rows) => {
      const difference = diffOf(await policyOf(rows[0]), await policyOf(rows[1]));
      expect(difference.equivalent).to.equal(difference.changes.length === 0);
      found[difference.equivalent ? 'equivalent' : 'different'] += 1;
      compare(rows, difference.changes, CODES);
      compare(rows, difference.ruleChanges, ROWS);
    });
    await fc.assert(property, times(ROUNDS));
    console.log(
      `      ${found.different} pairs differ, ${found.equivalent} are equivalent, on ${all.length} situations each`,
    );
  });

  it('and the table of a policy says of every situation which row decides it', async () => {
    const property = fc.asyncProperty(lines, async (rows) => {
      const table = tableOf(await policyOf(rows));
      const stated = table.rows.map((row) => ({ rule: row.rule, holds: row.when.map(meaningOf) }));
      for (const facts of all) {
        const got = stated.filter((one) => one.holds.some((holds) => holds(facts))).map((one) => one.rule);
        if (got.length !== 1 || got[0] !== deciderOf(rows, facts).id) {
          expect.fail(`${deciderOf(rows, facts).id} decides, the table says ${got} for ${JSON.stringify(facts)}`);
        }
      }
    });
    await fc.assert(property, times(ROUNDS));
  });
});
