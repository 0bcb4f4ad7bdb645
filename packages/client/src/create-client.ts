/** A client of the service, made of its settings. */

import { askAll, askOne, write } from './authorize.ts';
import { type ClientOptions, checkDeadline, readSettings, type Settings } from './settings.ts';
import { createTransport, type Sending } from './transport.ts';
import type { AskOptions, Client, Decision, Question, Told } from './types.ts';

/** @throws TypeError: a setting cannot be used; the message says what to change */
export function createClient<Own extends string = never>(options: ClientOptions): Client<Own> {
  const settings = readSettings(options);
  const transport = createTransport(settings);
  const authorizeAll = (questions: readonly Question[], asked: AskOptions = {}): Promise<Decision<string>[]> => {
    const sending = sendingOf(asked, settings);
    const all = async (): Promise<Decision<string>[]> =>
      askAll(
        transport,
        questions.map((question) => write(question, sending.requestId)),
        sending,
      );
    return told(settings, questions, sending, all);
  };
  return Object.freeze({
    authorize: async (question: Question, asked: AskOptions = {}) => {
      const sending = sendingOf(asked, settings);
      const one = async (): Promise<Decision<string>[]> => [
        await askOne(transport, write(question, sending.requestId), sending),
      ];
      const [decision] = await told(settings, [question], sending, one);
      return decision as Decision<Own>;
    },
    authorizeAll: authorizeAll as Client<Own>['authorizeAll'],
    close: transport.close,
  });
}

/** Tells onDecision what became of each question. */
async function told(
  { onDecision }: Settings,
  questions: readonly Question[],
  { requestId, startedAt }: Sending,
  ask: () => Promise<Decision<string>[]>,
): Promise<Decision<string>[]> {
  if (!onDecision) return ask();
  const tell = (outcome: (at: number) => Pick<Told, 'decision' | 'error'>): void => {
    const milliseconds = performance.now() - startedAt;
    for (const [at, { action, businessId }] of questions.entries())
      tellOne(onDecision, {
        question: { action, ...(businessId !== undefined && { businessId }) },
        requestId,
        milliseconds,
        ...outcome(at),
      } as Told);
  };
  try {
    const decisions = await ask();
    tell((at) => ({ decision: decisions[at] }) as Pick<Told, 'decision'>);
    return decisions;
  } catch (error) {
    tell(() => ({ error }));
    throw error;
  }
}

/** What it throws, or rejects with, must not change the answer. */
function tellOne(onDecision: (told: Told) => unknown, what: Told): void {
  const warn = (error: unknown): void =>
    process.emitWarning(`onDecision of a client of iqra-authz failed: ${String(error)}`, 'AuthzWarning');
  try {
    Promise.resolve(onDecision(what)).catch(warn);
  } catch (error) {
    warn(error);
  }
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** @throws TypeError: an option cannot be used */
function sendingOf({ requestId, deadlineMs, signal, traceparent }: AskOptions, usual: Settings): Sending {
  if (requestId !== undefined && !REQUEST_ID.test(requestId))
    throw new TypeError('requestId must be 1-128 of the characters A-Z a-z 0-9 . _ : -');
  return {
    requestId: requestId ?? crypto.randomUUID(),
    startedAt: performance.now(),
    deadlineMs: deadlineMs === undefined ? usual.deadlineMs : checkDeadline(deadlineMs),
    signal,
    traceparent,
  };
}
