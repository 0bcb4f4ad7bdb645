/** Runs the policy cases. Every load does, so that an edit that breaks one never goes live. */

import { type Decision, decide, isSameDecision, type Policy } from '../decide.ts';
import type { Facts } from '../facts.ts';
import type { Case } from '../folder/cases.ts';
import type { Report } from '../folder/findings.ts';

/** Budget of all cases together, in units of about 20 ns: about 4 s. */
const MAX_COST = 200_000_000;
/** Yields after so many cases. */
const STEP = 50;

/** Reports cases that fail. Yields every few milliseconds. `costOf`: an upper bound in units of about 20 ns. */
export function* checkCases(
  policy: Policy,
  cases: readonly Case[],
  costOf: (facts: Facts) => number,
  report: Report,
): Generator<void> {
  let cost = 0;
  for (const [index, { name, facts, want, file, line, column }] of cases.entries()) {
    if (index % STEP === 0) yield;
    cost += costOf(facts);
    if (cost > MAX_COST) {
      const message =
        'cases times rows exceed what a check can run; this case and those after it were not run: remove some';
      report({ file, line, column, rule: 'too-large', message });
      return;
    }
    const got = attempt(policy, facts);
    if (typeof got === 'object' && isSameDecision(got, want)) continue;
    report({
      file,
      line,
      column,
      rule: 'case-fails',
      message: `${name}: wanted ${outcomeText(want)}, got ${outcomeText(got)}`,
    });
  }
}

/** The decision, or why there is none. */
export function attempt(policy: Policy, facts: Facts): Decision | string {
  try {
    return decide(policy, facts);
  } catch (error) {
    return `a failure (${((error as Error).cause as Error | undefined)?.message ?? (error as Error).message})`;
  }
}

export const outcomeText = (decision: Decision | string): string =>
  typeof decision === 'string' ? decision : `${decision.effect} ${decision.code} by ${decision.rule}`;
