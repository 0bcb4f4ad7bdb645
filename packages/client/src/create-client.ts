/** A client of the service, made of its settings. */

import { askAll, askOne, write } from './authorize.ts';
import { coalescing } from './coalesce.ts';
import { evaluateOne } from './evaluate.ts';
import { freezesOf, keysOf } from './resources.ts';
import { type ClientOptions, checkDeadline, readSettings } from './settings.ts';
import { telling } from './tell.ts';
import { createTransport, type Sending } from './transport.ts';
import type { AskOptions, Client, Decision } from './types.ts';

/** @throws TypeError: a setting cannot be used; the message says what to change */
export function createClient<Own extends string = never>(options: ClientOptions): Client<Own> {
  const { deadlineMs, onDecision, coalesce, ...rest } = readSettings(options);
  const transport = createTransport(rest);
  const sendingOf = (asked: AskOptions = {}): Sending => sendingWith(asked, deadlineMs);
  const together = coalesce ? coalescing(transport) : undefined;
  return Object.freeze<Client<Own>>({
    authorize: async (question, asked = {}) => {
      const sending = sendingOf(asked);
      // A batch has one id and one trace: what has its own is asked alone.
      const merges = asked.requestId === undefined && asked.traceparent === undefined;
      const ask = (merges && together) || ((written, alone) => askOne(transport, written, alone));
      const [decision] = await telling(onDecision, [question], sending, async () => [
        await ask(write(question, sending.requestId), sending),
      ]);
      return decision as Decision<Own>;
    },
    authorizeAll: async (questions, asked) => {
      const sending = sendingOf(asked);
      const decisions = await telling(onDecision, questions, sending, async () => {
        const written = questions.map((question) => write(question, sending.requestId));
        return askAll(transport, written, sending);
      });
      return decisions as Decision<Own>[];
    },
    evaluate: async (evaluation, { subjectAuthorization, ...asked } = {}) =>
      evaluateOne(transport, evaluation, subjectAuthorization, sendingOf(asked)),
    keys: keysOf(transport, sendingOf),
    freezes: freezesOf(transport, sendingOf),
    close: transport.close,
  });
}

const REQUEST_ID = /^[A-Za-z0-9._:-]{1,128}$/;

/** @throws TypeError: an option cannot be used */
function sendingWith({ requestId, deadlineMs, signal, traceparent }: AskOptions, usualMs: number): Sending {
  if (requestId !== undefined && !REQUEST_ID.test(requestId))
    throw new TypeError('requestId must be 1-128 of the characters A-Z a-z 0-9 . _ : -');
  return {
    requestId: requestId ?? crypto.randomUUID(),
    startedAt: performance.now(),
    deadlineMs: deadlineMs === undefined ? usualMs : checkDeadline(deadlineMs),
    signal,
    traceparent,
  };
}
