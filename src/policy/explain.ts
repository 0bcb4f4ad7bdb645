/**
 * Why a policy decides as it does: each row that was tried, and what in it was true or false. The verdict is that of
 * `decide`; the parts are run by Casbin's own evaluator, and an explanation that the verdict contradicts is not given.
 */

import expressionEval from '@casbin/expression-eval';
import { Util } from 'casbin';
import { valueAt } from './analysis/classes.ts';
import { ACTION_PATH, type Condition } from './casbin/rule.ts';
import { type Decision, decide } from './decide.ts';
import { FACT_GROUPS, type Facts, readFacts } from './facts.ts';
import type { Effect, Row } from './folder/rows.ts';
import type { Policy } from './policy.ts';

/** A part of a row that had a say in whether it matches. */
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
  /** What settled it: all of these together, and nothing else in the row, whatever else it says. */
  readonly reasons: readonly Reason[];
}

export interface Explanation {
  readonly policy: string;
  readonly facts: Facts;
  readonly decision: Decision;
  /** The rows in their order, up to the one that decided. Those below were not tried. */
  readonly tried: readonly TriedRow[];
}

/**
 * Explains what `policy` says of `given`.
 * @throws Failure UNAVAILABLE, as `decide` does · Error: the parts contradict the verdict, which none should ever see
 */
export function explain(policy: Policy, given: Facts): Explanation {
  const decision = decide(policy, given);
  const facts = readFacts(given);
  const tried = policy.rows.slice(0, 1 + policy.rows.findIndex((row) => row.id === decision.rule));
  return {
    policy: policy.digest,
    facts,
    decision,
    tried: tried.map((row) => {
      const wanted = row.id === decision.rule;
      const { matched, reasons } = tryRow(row, facts);
      if (matched !== wanted)
        throw new Error(`the parts of the row ${row.id} contradict the decision of ${decision.rule}`);
      return { rule: row.id, file: row.file, line: row.line, effect: row.effect, code: row.code, matched, reasons };
    }),
  };
}

function tryRow(row: Row, facts: Facts): { matched: boolean; reasons: readonly Reason[] } {
  const run = runner(facts);
  const action: Condition = { kind: 'test', text: `keyMatch(${ACTION_PATH}, '${row.action}')`, path: ACTION_PATH };
  if (!run(action)) return { matched: false, reasons: reasonsOf(action, run, facts) };
  const reasons = reasonsOf(row.when.tree, run, facts);
  // That a row for all actions takes this one says nothing.
  return {
    matched: run(row.when.tree),
    reasons: row.action === '*' ? reasons : [...reasonsOf(action, run, facts), ...reasons],
  };
}

type Run = (part: Condition) => boolean;

/** Runs a print as Casbin runs it: its names escaped, the groups of facts and keyMatch in reach. */
function runner(facts: Facts): Run {
  const context = Object.fromEntries(FACT_GROUPS.map((group) => [`r_${group}`, facts[group]]));
  return ({ text }) =>
    expressionEval.compile(Util.escapeAssertion(text))({ ...context, keyMatch: Util.keyMatchFunc }) === true;
}

/** The tests that settled a condition: of several that would each do, the first, as it is the one that is come to. */
function reasonsOf(condition: Condition, run: Run, facts: Facts): readonly Reason[] {
  const value = run(condition);
  switch (condition.kind) {
    case 'test':
      return [reasonOf(condition, value, facts)];
    case 'not':
      agree(condition, value, !run(condition.of));
      return reasonsOf(condition.of, run, facts);
    default: {
      const { kind, left, right } = condition;
      const [a, b] = [run(left), run(right)];
      agree(condition, value, kind === 'both' ? a && b : a || b);
      const alone = kind === 'either';
      if (a === alone) return reasonsOf(left, run, facts);
      if (b === alone) return reasonsOf(right, run, facts);
      return [...reasonsOf(left, run, facts), ...reasonsOf(right, run, facts)];
    }
  }
}

function agree({ text }: Condition, whole: boolean, parts: boolean): void {
  if (whole !== parts) throw new Error(`the parts of ${text} contradict it`);
}

const reasonOf = ({ text, path }: Condition & { readonly kind: 'test' }, value: boolean, facts: Facts): Reason => ({
  test: text.replace(/^\((.*)\)$/, '$1'),
  value,
  ...(path !== undefined && { fact: { path, value: valueAt(facts, path) } }),
});

/** An explanation in words that can be pasted into a report. */
export function printExplanation({ policy, facts, decision, tried }: Explanation): string {
  const named = FACT_GROUPS.map((group) =>
    Object.entries(facts[group])
      .map(([fact, value]) => `${group}.${fact}=${print(value)}`)
      .join(' '),
  );
  return [
    `${decision.effect} ${decision.code} by the row ${decision.rule}`,
    `policy ${policy}`,
    '',
    'Facts:',
    ...named.map((line) => `  ${line}`),
    '',
    'Rows, in their order, up to the first that matches:',
    ...tried.map((row, index) => printRow(row, index + 1)),
  ].join('\n');
}

const print = (value: string | boolean): string =>
  typeof value === 'string' ? `'${JSON.stringify(value).slice(1, -1)}'` : String(value);

function printRow({ rule, file, line, effect, code, matched, reasons }: TriedRow, number: number): string {
  const because = reasons.map(
    ({ test, value, fact }) =>
      `       ${test} is ${value}${fact && fact.path !== test ? `: ${fact.path} is ${print(fact.value)}` : ''}`,
  );
  const verdict = matched ? `matches: ${effect} ${code}` : 'does not match';
  return [`  ${number}. ${rule} (${file}:${line}) ${verdict}, because`, ...because].join('\n');
}
