/** From our answer to a decision of AuthZEN. */

import type { Answer } from '../../authorize.ts';
import { Failure } from '../../errors.ts';
import { limitData } from '../replies.ts';

/** Said of a key that was named and not shown: its limit was not looked at. */
export const ASSUMES = Object.freeze({ 'limit.exceeded': false });

/** `{decision, context}`: the reasons stand under the status that the client is to be answered with. */
export function decisionOf(answer: Answer): Readonly<Record<string, unknown>> {
  const { effect, code, status, decisionId, message, rule, facts } = answer;
  return {
    decision: effect === 'allow',
    context: {
      code,
      status,
      decisionId,
      reason_user: { [status]: message },
      reason_admin: { [status]: rule },
      ...limitData(answer),
      ...(facts.request.byId && { assumes: ASSUMES }),
    },
  };
}

/** Of an item that is no evaluation. It was not evaluated, so it is not recorded. */
export const faultyDecision = ({ status, message, issues = [] }: Failure): Readonly<Record<string, unknown>> => ({
  decision: false,
  context: {
    error: { status, message: [message, ...issues.map(({ path, message: says }) => `${path}: ${says}`)].join(' ') },
  },
});

/** The value, or the fault of an item. @throws whatever else `make` throws */
export function orFault<T>(make: () => T): T | Failure {
  try {
    return make();
  } catch (error) {
    if (error instanceof Failure && error.code === 'INVALID_REQUEST') return error;
    throw error;
  }
}
