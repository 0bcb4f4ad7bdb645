/** Evaluates parts of a rule with Casbin's own evaluator, so that an explanation says what Casbin saw. */

import expressionEval from '@casbin/expression-eval';
import { Util } from 'casbin';
import type { Facts } from '../facts.ts';

/** Whether a printed predicate is true of `facts`: its names escaped, and the fact groups and keyMatch in scope, as in Casbin. */
export function evaluatorFor(facts: Facts): (text: string) => boolean {
  const context = Object.fromEntries(Object.entries(facts).map(([group, of]) => [`r_${group}`, of]));
  return (text) =>
    expressionEval.compile(Util.escapeAssertion(text))({ ...context, keyMatch: Util.keyMatchFunc }) === true;
}
