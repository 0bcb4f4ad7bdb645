/** `diff`, `table`, coverage and `decide` agree with brute force where policies declare facts of every kind. `ROUNDS=1000` tries more. */

import { expect } from 'chai';
import fc from 'fast-check';
import { runCases } from '../../../src/policy/analysis/coverage.ts';
import { type Change, diffOf } from '../../../src/policy/analysis/diff.ts';
import { tableOf } from '../../../src/policy/analysis/table.ts';
import { decide } from '../../../src/policy/decide.ts';
import { amount } from '../../support/long.ts';
import type { Flat, Situation } from '../declarations.ts';
import {
  type Declared,
  deciderIn,
  declaredPair,
  declaredPolicy,
  flatten,
  type Line,
  meaningIn,
  nested,
  pathsOf,
  policyOf,
  situationsFor,
  textsOf,
  viewsOf,
} from '../declared-brute.ts';
import { matches } from '../rules.ts';
import { SEED, times } from '../texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(6, 30, 1000));
const MOST = amount(20_000, 20_000, 60_000);

const deciderOf = ({ rows }: Declared, facts: Flat): Line => deciderIn(rows, facts) ?? expect.fail('no row decides');

/** What brute force can tell of facts: those that rows read, with an action of the same kind. */
function kindOf(facts: Flat, all: readonly Declared[]): string {
  const named = new Set(all.flatMap(({ rows }) => rows.flatMap(({ tree }) => pathsOf(tree))));
  const action = String(facts['r.request.action']);
  const patterns = all.flatMap(({ rows }) => rows).map((row) => matches(action, row.action));
  const values = [...named].sort().map((path) => {
    const value = facts[path];
    return path === 'r.key.environment' && value !== '' && value !== 'prod' ? 'z' : value;
  });
  return JSON.stringify([values, patterns]);
}

describe(`policies that declare facts (seed ${SEED})`, function () {
  this.timeout(3_600_000);

  interface Label {
    readonly of: (change: Change) => string;
    readonly by: (older: Line, newer: Line) => string | undefined;
  }
  const BY_CODE: Label = {
    of: (change) => `${change.old.code},${change.new.code}`,
    by: (older, newer) => (older.code === newer.code ? undefined : `${older.code},${newer.code}`),
  };
  const BY_ROW: Label = {
    of: ({ rules }) => rules.map((pair) => `${pair.old},${pair.new}`).join(),
    by: (older, newer) => (older.code !== newer.code || older.id === newer.id ? undefined : `${older.id},${newer.id}`),
  };

  function compare(
    pair: readonly [Declared, Declared],
    situations: readonly Situation[],
    changes: readonly Change[],
    label: Label,
  ): void {
    const stated = changes.map((change) => ({ label: label.of(change), holds: change.when.map(meaningIn) }));
    expect(new Set(stated.map((one) => one.label)).size, 'each change is stated once').to.equal(stated.length);
    const seen = new Set<string>();
    const kinds = new Set<string>();
    for (const situation of situations) {
      const views = viewsOf(pair, situation);
      const [before, after] = views as [Flat, Flat];
      kinds.add(kindOf(after, [pair[1]]));
      const wanted = label.by(deciderOf(pair[0], before), deciderOf(pair[1], after));
      const got = stated.filter((one) => one.holds.some((holds) => holds(views))).map((one) => one.label);
      if (got.length !== (wanted ? 1 : 0) || got[0] !== wanted)
        expect.fail(
          `wanted ${wanted}, got ${got} for ${JSON.stringify(situation)}; said ${JSON.stringify(changes.map((one) => [label.of(one), one.when]))}`,
        );
      if (wanted) seen.add(wanted);
    }
    expect(stated.map((one) => one.label)).to.have.members([...seen]);
    for (const { example } of changes) {
      const facts = flatten(example.facts);
      expect(deciderOf(pair[1], facts)).to.include({ id: example.new.rule, code: example.new.code });
      expect(kinds.has(kindOf(facts, [pair[1]])), `${JSON.stringify(facts)} can occur`).to.equal(true);
    }
  }

  it('differ exactly as brute force finds', async () => {
    const found = { different: 0, equivalent: 0, skipped: 0, situations: 0, labelled: 0 };
    const property = fc.asyncProperty(declaredPair, async (pair) => {
      const situations = situationsFor(pair, MOST);
      if (!situations) {
        found.skipped += 1;
        return;
      }
      const difference = diffOf(await policyOf(pair[0]), await policyOf(pair[1]));
      expect(difference.equivalent).to.equal(difference.changes.length + difference.asked.length === 0);
      compare(pair, situations, difference.changes, BY_CODE);
      compare(pair, situations, difference.ruleChanges, BY_ROW);
      found[difference.equivalent ? 'equivalent' : 'different'] += 1;
      found.situations += situations.length;
      if (difference.changes.some(({ when }) => when.some((one) => one.includes('@')))) found.labelled += 1;
    });
    await fc.assert(property, times(ROUNDS));
    console.log(`      ${JSON.stringify(found)}`);
    expect(found.different).to.be.above(ROUNDS / 10);
  });

  it('decide as brute force does, and their table and coverage say so', async () => {
    const found = { compared: 0, skipped: 0, situations: 0 };
    const property = fc.asyncProperty(declaredPolicy, async (declared) => {
      const situations = situationsFor([declared], MOST);
      if (!situations) {
        found.skipped += 1;
        return;
      }
      const policy = await policyOf(declared);
      const table = tableOf(policy);
      const stated = table.rows.map((row) => ({ rule: row.rule, holds: row.when.map(meaningIn) }));
      const deciders = new Set<string>();
      const passed = new Set<string>();
      for (const [index, situation] of situations.entries()) {
        const views = viewsOf([declared], situation);
        const facts = views[0] as Flat;
        const decider = deciderOf(declared, facts);
        deciders.add(decider.id);
        for (const row of declared.rows.slice(0, declared.rows.indexOf(decider)))
          if (matches(situation.action, row.action)) passed.add(row.id);
        const got = stated.filter((one) => one.holds.some((holds) => holds(views))).map((one) => one.rule);
        if (got.length !== 1 || got[0] !== decider.id)
          expect.fail(
            `${decider.id} decides, the table says ${got} for ${JSON.stringify(situation)}; ${JSON.stringify(table.rows)}`,
          );
        if (index % 97 === 0)
          expect(decide(policy, nested(facts))).to.include({ rule: decider.id, code: decider.code });
      }
      const { rows } = runCases(policy, await textsOf(declared));
      const said = rows.map(({ rule, matched, passed: not }) => [rule, matched !== null, not !== null]);
      expect(said).to.deep.equal(declared.rows.map(({ id }) => [id, deciders.has(id), passed.has(id)]));
      found.compared += 1;
      found.situations += situations.length;
    });
    await fc.assert(property, times(ROUNDS));
    console.log(`      ${JSON.stringify(found)}`);
  });
});
