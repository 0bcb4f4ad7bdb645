/**
 * Why a policy decides as it does: each row that was tried, and which of its tests were true or false. The decision is that
 * of `decide`; the tests are evaluated by Casbin's own evaluator, and where the two disagree, `explain` throws.
 */

import { settlingTests, type Test } from './analysis/reasons.ts';
import { evaluatorFor } from './casbin/evaluate.ts';
import { type Decision, decide, type Policy } from './decide.ts';
import { ACTION_PATH, type Facts, valueAt } from './facts.ts';
import type { Effect, Predicate, Row } from './row.ts';
import { runToEnd } from './time-slices.ts';

/** A test of a row that settled whether it matches. */
export interface Reason {
  /** In the rule language, such as `r.key.status != 'active'`. */
  readonly test: string;
  readonly value: boolean;
  /** The fact that it reads, with its value; absent from the literals true and false. */
  readonly fact?: { readonly path: string; readonly value: string | boolean };
}

export interface TriedRow {
  readonly rule: string;
  readonly file: string;
  readonly line: number;
  readonly effect: Effect;
  readonly code: string;
  readonly matched: boolean;
  /** Together these settle whether it matches, whatever the rest of the row says. */
  readonly reasons: readonly Reason[];
}

export interface Explanation {
  readonly policy: string;
  readonly facts: Facts;
  readonly decision: Decision;
  /** In their order, up to the row that decided. */
  readonly tried: readonly TriedRow[];
}

/**
 * Explains what `policy` says of `given`. Yields after each row: a thousand of them take a fifth of a second.
 * @throws Failure UNAVAILABLE, as `decide` does · Error: tests and decision disagree, a defect of ours
 */
export function* explaining(policy: Policy, given: Facts): Generator<void, Explanation> {
  const decision = decide(policy, given);
  const facts = policy.schema.read(given);
  const tried: TriedRow[] = [];
  for (const row of policy.rows.slice(0, 1 + policy.rows.findIndex(({ id }) => id === decision.rule))) {
    const { matched, reasons } = tryRow(row, facts);
    if (matched !== (row.id === decision.rule))
      throw new Error(`the parts of the row ${row.id} contradict the decision of ${decision.rule}`);
    tried.push({ rule: row.id, file: row.file, line: row.line, effect: row.effect, code: row.code, matched, reasons });
    yield;
  }
  return { policy: policy.digest, facts, decision, tried };
}

/** As `explaining`, at once. */
export const explain = (policy: Policy, given: Facts): Explanation => runToEnd(explaining(policy, given));

function tryRow(row: Row, facts: Facts): { matched: boolean; reasons: readonly Reason[] } {
  const evaluate = evaluatorFor(facts);
  const run = ({ text }: Predicate): boolean => evaluate(text);
  const action: Predicate = { kind: 'test', text: `keyMatch(${ACTION_PATH}, '${row.action}')`, path: ACTION_PATH };
  if (!run(action)) return { matched: false, reasons: reasonsOf(action, run, facts) };
  const reasons = reasonsOf(row.when.tree, run, facts);
  // `*` matches every action, so it is left out of the reasons.
  return {
    matched: run(row.when.tree),
    reasons: row.action === '*' ? reasons : [...reasonsOf(action, run, facts), ...reasons],
  };
}

/** The tests that settle a predicate, with what they read. */
const reasonsOf = (predicate: Predicate, run: (part: Predicate) => boolean, facts: Facts): readonly Reason[] =>
  settlingTests(predicate, run).map((test) => reasonOf(test, run(test), facts));

const reasonOf = ({ text, path }: Test, value: boolean, facts: Facts): Reason => ({
  test: text.replace(/^\((.*)\)$/, '$1'),
  value,
  ...(path !== undefined && { fact: { path, value: valueAt(facts, path) } }),
});
