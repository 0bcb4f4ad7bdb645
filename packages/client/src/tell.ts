/** Tells onDecision what became of questions, without a chance to change it. */

import { AuthzError } from './errors.ts';
import type { Sending } from './transport.ts';
import type { Decision, Question, Told } from './types.ts';

/** Asks, and tells of each question. @throws what `ask` throws */
export async function telling(
  onDecision: ((told: Told) => unknown) | undefined,
  questions: readonly Question[],
  { requestId, startedAt }: Sending,
  ask: () => Promise<Decision<string>[]>,
): Promise<Decision<string>[]> {
  if (!onDecision) return ask();
  // As they are asked: the objects may be put to another use by the time of the answer.
  const asked = questions.map(({ action, businessId }) => ({ action, businessId }));
  const tell = (id: string, outcomeOf: (at: number) => { decision: Decision<string> } | { error: unknown }): void => {
    const milliseconds = performance.now() - startedAt;
    for (const [at, question] of asked.entries())
      tellOne(onDecision, { question, requestId: id, milliseconds, ...outcomeOf(at) });
  };
  try {
    const decisions = await ask();
    // Of a batch, it is that of the batch.
    tell(decisions[0]?.requestId ?? requestId, (at) => ({ decision: decisions[at] as Decision<string> }));
    return decisions;
  } catch (error) {
    tell(error instanceof AuthzError ? error.requestId : requestId, () => ({ error }));
    throw error;
  }
}

/** What it throws, or rejects with, is a warning of the process. */
function tellOne(onDecision: (told: Told) => unknown, told: Told): void {
  const warn = (error: unknown): void =>
    process.emitWarning(`onDecision of a client of iqra-authz failed: ${String(error)}`, 'AuthzWarning');
  try {
    Promise.resolve(onDecision(told)).catch(warn);
  } catch (error) {
    warn(error);
  }
}
