/** Asks in the words of AuthZEN. */

import { jsonOf } from './authorize.ts';
import { BadQuestion } from './errors.ts';
import { isObject } from './read-json.ts';
import { noAnswer } from './read-reply.ts';
import type { Sending, Transport } from './transport.ts';
import type { Evaluated, Evaluation } from './types.ts';

const MOST_BYTES = 64 * 1024;

/** @throws Unavailable, TimedOut, NotPermitted, BadQuestion; the reason of the signal */
export async function evaluateOne(
  { send }: Transport,
  evaluation: Evaluation,
  subjectAuthorization: string | undefined,
  sending: Sending,
): Promise<Evaluated> {
  const { requestId } = sending;
  // What no header can hold, no client has sent in one.
  if (subjectAuthorization !== undefined && !/^[\t\x20-\x7e\x80-\xff]*$/.test(subjectAuthorization))
    throw new BadQuestion('subjectAuthorization must be a header as it came.', { requestId });
  const headers = subjectAuthorization === undefined ? {} : { 'iqra-subject-authorization': subjectAuthorization };
  const body = jsonOf(evaluation, requestId);
  const call = { method: 'POST', path: '/access/v1/evaluation', body, headers, maxBytes: MOST_BYTES, repeatable: true };
  const reply = await send(call, sending);
  const evaluated = reply.status === 200 ? readEvaluated(reply.body, requestId) : undefined;
  if (!evaluated) throw noAnswer('it is no decision of AuthZEN', { status: reply.status, requestId });
  return evaluated;
}

/** INVARIANT: `decision` is true only where the code and the status of the decision say the same. */
function readEvaluated(value: unknown, requestId: string): Evaluated | undefined {
  if (!isObject(value) || !isObject(value['context'])) return undefined;
  const { decision, context } = value;
  const { code, status, decisionId } = context as Readonly<Record<string, unknown>>;
  if (typeof code !== 'string' || typeof status !== 'number' || typeof decisionId !== 'string') return undefined;
  const allows = code === 'OK' && status === 200;
  if (decision !== allows) return undefined;
  return { decision: allows, context: context as Evaluated['context'], requestId };
}
