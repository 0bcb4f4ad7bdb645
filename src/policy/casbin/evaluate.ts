/** Evaluates parts of a rule with Casbin's own evaluator, so that an explanation says what Casbin saw. */

import expressionEval from '@casbin/expression-eval';
import { Util } from 'casbin';
import type { Facts } from '../facts.ts';

/** Compiles a printed predicate: its names escaped, and the fact groups and keyMatch in scope, as in Casbin. */
export function compilePredicate(text: string): (facts: Facts) => boolean {
  const evaluate = expressionEval.compile(Util.escapeAssertion(text));
  return (facts) => {
    const context = Object.fromEntries(Object.entries(facts).map(([group, of]) => [`r_${group}`, of]));
    return evaluate({ ...context, keyMatch: Util.keyMatchFunc }) === true;
  };
}

/** Whether a printed predicate is true of `facts`. */
export const evaluatorFor =
  (facts: Facts): ((text: string) => boolean) =>
  (text) =>
    compilePredicate(text)(facts);
