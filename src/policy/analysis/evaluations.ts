/** Remembers how tests come out: each reads one fact, so Casbin evaluates it once for each value of that. */

import { compilePredicate } from '../casbin/evaluate.ts';
import { withValues } from '../changed-facts.ts';
import type { Facts } from '../facts.ts';
import type { Predicate } from '../row.ts';
import type { Test } from './reasons.ts';

export type Value = string | boolean;

/** Whether a part of a rule is true, with these values of facts by path; of others, those of the facts that it was made with. */
export type TestEvaluator = (part: Predicate, values: ReadonlyMap<string, Value>) => boolean;

export function evaluationsOf(facts: Facts): TestEvaluator {
  const tests = new Map<
    string,
    { readonly run: (facts: Facts) => boolean; readonly known: Map<Value | undefined, boolean> }
  >();
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
  const comesOut = ({ text, path }: Test, values: ReadonlyMap<string, Value>): boolean => {
    const test = tests.get(text) ?? { run: compilePredicate(text), known: new Map() };
    tests.set(text, test);
    const value = path === undefined ? undefined : values.get(path);
    const before = test.known.get(value);
    if (before !== undefined) return before;
    const result = test.run(
      path === undefined || value === undefined ? facts : withValues(facts, new Map([[path, value]])),
    );
    test.known.set(value, result);
    return result;
  };
  return isTrue;
}
