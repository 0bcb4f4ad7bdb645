/**
 * The proofs, compared with brute force over all situations: for random policies and invariants they find the same.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { prove } from '../../../src/policy/analysis/proofs.ts';
import { countSituations, situations } from '../../../src/policy/analysis/situations.ts';
import { createMatcher, type Matcher } from '../../../src/policy/casbin/matcher.ts';
import { parseRule } from '../../../src/policy/casbin/rule.ts';
import { mayBeAllowed } from '../../../src/policy/decide.ts';
import type { Facts } from '../../../src/policy/facts.ts';
import type { Finding } from '../../../src/policy/folder/findings.ts';
import type { Invariant } from '../../../src/policy/folder/invariants.ts';
import type { Row } from '../../../src/policy/row.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import { amount } from '../../support/long.ts';
import { pattern, tree, write } from '../rules.ts';
import { SEED, times } from '../texts.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(25, 60, 200));

const codeOf = (code: string): Pick<Row, 'effect' | 'code'> => ({ effect: code === 'OK' ? 'allow' : 'deny', code });
const ruleOf = tree.map((node) =>
  parseRule(
    write(node, () => 0),
    BUILT_IN,
  ),
);
const somePattern = fc.oneof({ arbitrary: fc.constant('*'), weight: 2 }, { arbitrary: pattern, weight: 1 });
const code = fc.constantFrom('OK', 'A', 'B');

/** Random rows, many of them near copies, so that some hide others. */
const someRows = fc
  .tuple(
    fc.array(ruleOf, { minLength: 1, maxLength: 3 }),
    fc.array(fc.tuple(fc.nat(), somePattern, code), { minLength: 1, maxLength: 6 }),
  )
  .map(([rules, made]) =>
    made.map(([which, action, of], index): Row => {
      const when = rules[which % rules.length] ?? parseRule('true', BUILT_IN);
      return { id: `row-${index}`, action, when, ...codeOf(of), file: '10-x.csv', line: index + 1 };
    }),
  );
const someInvariants = fc.array(fc.tuple(ruleOf, somePattern, code, fc.boolean()), { maxLength: 3 }).map((made) =>
  made.map(([when, action, forbidden, whenItHolds], index): Invariant => {
    const place = { file: 'invariants.yaml', line: index + 1, column: 1 };
    const condition: Row = { id: `invariant-${index}`, action, when, ...codeOf('A'), ...place };
    return { name: `invariant ${index}`, condition, whenItHolds, forbidden: new Set([forbidden]), place };
  }),
);

/** The findings by brute force. */
function bruteForce(matcher: Matcher, rows: readonly Row[], invariants: readonly Invariant[]): Set<string> {
  const found = new Set<string>();
  const deciders = new Set<Row>();
  const hiders = new Map<Row, Set<string>>();
  const applied = new Set<Invariant>();
  const conditionOf = (invariant: Invariant, facts: Facts): boolean =>
    matcher.matchesAlone({ ...invariant.condition, action: '*' }, facts) === invariant.whenItHolds;
  for (const facts of situations([...rows, ...invariants.map(({ condition }) => condition)], BUILT_IN)) {
    const { row } = matcher.match(facts);
    if (row) deciders.add(row);
    else found.add('undecided');
    if (row?.effect === 'allow' && !mayBeAllowed(facts, BUILT_IN)) found.add(`forbidden-allow ${row.line}`);
    for (const other of rows) {
      if (row && matcher.matchesAlone(other, facts)) hiders.set(other, (hiders.get(other) ?? new Set()).add(row.id));
    }
    for (const invariant of invariants) {
      const { action } = invariant.condition;
      const inPattern = action.endsWith('*')
        ? facts.request.action.startsWith(action.slice(0, -1))
        : facts.request.action === action;
      if (!inPattern || !conditionOf(invariant, facts)) continue;
      applied.add(invariant);
      if (row && invariant.forbidden.has(row.code)) found.add(`invariant-violated ${invariant.place.line}`);
    }
  }
  for (const row of rows) {
    if (deciders.has(row)) continue;
    const by = [...(hiders.get(row) ?? [])].sort();
    found.add(by.length === 0 ? `row-never-matches ${row.line}` : `row-hidden ${row.line} ${by.join()}`);
  }
  for (const invariant of invariants) {
    if (!applied.has(invariant)) found.add(`invariant-vacuous ${invariant.place.line}`);
  }
  return found;
}

function proved(matcher: Matcher, rows: readonly Row[], invariants: readonly Invariant[]): Set<string> {
  const found = new Set<string>();
  const report = ({ rule, line, message }: Finding): void => {
    // What ignorance of a role gains is compared in declared-proofs.test.ts.
    if (rule === 'ignorance-grants') return;
    const by = [...message.matchAll(/(row-\d+) \(/g)].map(([, id]) => id).sort();
    found.add(rule === 'undecided' ? rule : `${rule} ${line}${rule === 'row-hidden' ? ` ${by.join()}` : ''}`);
  };
  for (const _ of prove(matcher, rows, invariants, report));
  return found;
}

describe(`a proof (seed ${SEED})`, function () {
  this.timeout(600_000);

  it('finds what brute force finds, and nothing else', () => {
    const seen = new Map<string, number>();
    fc.assert(
      fc.property(someRows, someInvariants, (rows, invariants) => {
        const all = [...rows, ...invariants.map(({ condition }) => condition)];
        if (countSituations(all, BUILT_IN, 3000) > 3000) return;
        const matcher = createMatcher(rows, BUILT_IN);
        const want = bruteForce(matcher, rows, invariants);
        expect([...proved(matcher, rows, invariants)].sort()).to.deep.equal([...want].sort());
        for (const finding of new Set([...want].map((text) => text.split(' ')[0] ?? ''))) {
          seen.set(finding, (seen.get(finding) ?? 0) + 1);
        }
      }),
      times(ROUNDS),
    );
    console.log(`      compared: ${[...seen].map(([finding, count]) => `${count} with ${finding}`).join(', ')}`);
    expect([...seen.keys()]).to.have.members([
      'undecided',
      'forbidden-allow',
      'row-hidden',
      'row-never-matches',
      'invariant-violated',
      'invariant-vacuous',
    ]);
  });
});
