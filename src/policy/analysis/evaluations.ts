/**
 * Remembers how tests come out. A test compares one fact with one literal, so all texts but that one come out alike, and Casbin
 * evaluates it once for that literal and once for all others.
 */

import { compilePredicate } from '../casbin/evaluate.ts';
import { withValues } from '../changed-facts.ts';
import type { Facts } from '../facts.ts';
import type { Predicate } from '../row.ts';
import type { Test } from './reasons.ts';

export type Value = string | boolean;

/** Facts by path. */
export interface Values {
  readonly get: (path: string) => Value | undefined;
}

/** Whether a part of a rule is true of these facts. */
export type TestEvaluator = (part: Predicate, values: Values) => boolean;

/** How a test comes out by the value of its fact, or by OTHERS for the texts that it does not name. */
interface Known {
  readonly run: (facts: Facts) => boolean;
  readonly outcomes: Map<Value | typeof OTHERS, boolean>;
}

const OTHERS = Symbol('texts that a test does not name');

/** `facts`: any of the schema, whose values of other facts are those that literals and the action are evaluated with. */
export function evaluationsOf(facts: Facts): TestEvaluator {
  const byTest = new Map<Test, Known>();
  const byText = new Map<string, Known>();

  const knownOf = (test: Test): Known => {
    const before = byTest.get(test);
    if (before) return before;
    const known = byText.get(test.text) ?? { run: compilePredicate(test.text), outcomes: new Map() };
    byTest.set(test, known);
    byText.set(test.text, known);
    return known;
  };

  const comesOut = (test: Test, values: Values): boolean => {
    const { run, outcomes } = knownOf(test);
    const value = test.path === undefined ? undefined : values.get(test.path);
    const isNamed = typeof value !== 'string' || test.text.startsWith('keyMatch') || test.text.includes(`'${value}'`);
    const kind = isNamed ? (value ?? false) : OTHERS;
    const before = outcomes.get(kind);
    if (before !== undefined) return before;
    const { path } = test;
    const outcome = run(
      path === undefined || value === undefined ? facts : withValues(facts, new Map([[path, value]])),
    );
    outcomes.set(kind, outcome);
    return outcome;
  };

  const isTrue: TestEvaluator = (part, values) => {
    switch (part.kind) {
      case 'not':
        return !isTrue(part.of, values);
      case 'both':
        return isTrue(part.left, values) && isTrue(part.right, values);
      case 'either':
        return isTrue(part.left, values) || isTrue(part.right, values);
      default:
        return comesOut(part, values);
    }
  };
  return isTrue;
}
