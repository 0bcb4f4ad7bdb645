/** Asks /authorize, and /authorize/batch for many. */

import { BadQuestion } from './errors.ts';
import { type Asked, readDecision } from './read-decision.ts';
import { isObject } from './read-json.ts';
import { noAnswer } from './read-reply.ts';
import type { Sending, Transport } from './transport.ts';
import type { Decision, Question } from './types.ts';

const MOST_DECISION_BYTES = 64 * 1024;
const MOST_DECISIONS_BYTES = 1024 * 1024;
/** What a batch may have (docs/http-api.md). */
const MOST_QUESTIONS = 100;
const MOST_BATCH_BYTES = 256 * 1024;
/** Around the questions of a batch. */
const [BEFORE, AFTER] = ['{"requests":[', ']}'];
/** Batches of one call that are under way at once. */
const AT_ONCE = 4;

/** A question as JSON, and what its decision must say: as they are when it is asked, whatever becomes of the object. */
export interface Written {
  readonly question: Asked;
  readonly json: string;
}

/** @throws Unavailable, TimedOut, NotPermitted, BadQuestion; the reason of the signal */
export async function askOne(
  { send }: Transport,
  { question, json }: Written,
  sending: Sending,
): Promise<Decision<string>> {
  const call = { method: 'POST', path: '/authorize', body: json, maxBytes: MOST_DECISION_BYTES, repeatable: true };
  const { status, body } = await send(call, sending);
  const decision = status === 200 ? readDecision(body, question, sending.requestId) : undefined;
  if (!decision) throw noAnswer('it is no decision on this question', { status, requestId: sending.requestId });
  return decision;
}

/** The decisions on at most as many questions as a batch may have, in their order. @throws as askOne */
export async function askBatch(
  { send }: Transport,
  batch: readonly Written[],
  sending: Sending,
): Promise<Decision<string>[]> {
  const text = BEFORE + batch.map(({ json }) => json).join(',') + AFTER;
  const call = {
    method: 'POST',
    path: '/authorize/batch',
    body: text,
    maxBytes: MOST_DECISIONS_BYTES,
    repeatable: true,
  };
  const { status, body } = await send(call, sending);
  const { requestId } = sending;
  const data = status === 200 && isObject(body) && body['Success'] === true && body['Code'] === 'OK' && body['Data'];
  const values = isObject(data) ? data['decisions'] : undefined;
  if (!Array.isArray(values) || values.length !== batch.length)
    throw noAnswer(`it is no ${batch.length} decisions`, { status, requestId });
  return batch.map(({ question }, at) => {
    const decision = readDecision(values[at], question, requestId);
    if (!decision) throw noAnswer(`decision ${at} is none on its question`, { status, requestId });
    return decision;
  });
}

/** The decisions on any number of questions, in their order: all, or the first error. @throws as askOne */
export async function askAll(
  transport: Transport,
  questions: readonly Written[],
  sending: Sending,
): Promise<Decision<string>[]> {
  const batches = batchesOf(questions);
  const answers: Decision<string>[][] = batches.map(() => []);
  const failed = new AbortController();
  const signal = sending.signal ? AbortSignal.any([sending.signal, failed.signal]) : failed.signal;
  const pending = batches.entries();
  const worker = async (): Promise<void> => {
    for (const [at, { first, batch }] of pending)
      answers[at] = await askBatch(transport, batch, { ...sending, signal }).catch((error: unknown) => {
        throw renumbered(error, first);
      });
  };
  try {
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, batches.length) }, worker));
  } catch (error) {
    failed.abort(error);
    throw error;
  }
  return answers.flat();
}

interface Batch<One> {
  /** The place of its first question among all. */
  readonly first: number;
  readonly batch: One[];
}

/** Splits questions, in their order, into batches that the service takes. */
export function batchesOf<One extends Written>(questions: readonly One[]): Batch<One>[] {
  const batches: Batch<One>[] = [];
  let room = 0;
  for (const [first, written] of questions.entries()) {
    const bytes = Buffer.byteLength(written.json) + 1;
    let last = batches.at(-1);
    if (!last || last.batch.length === MOST_QUESTIONS || bytes > room) {
      last = { first, batch: [] };
      batches.push(last);
      room = MOST_BATCH_BYTES - BEFORE.length - AFTER.length;
    }
    last.batch.push(written);
    room -= bytes;
  }
  return batches;
}

/** The place of a question in its batch, of the path of an issue: `requests[3].action`. */
export const PLACE = /^requests\[(\d{1,3})\]\.?/;

/** An error of a batch, with the places of its questions among all. */
function renumbered(error: unknown, first: number): unknown {
  if (!(error instanceof BadQuestion) || first === 0) return error;
  const issues = error.issues.map(({ path, message }) => {
    const [, place] = PLACE.exec(path) ?? [];
    return { path: place === undefined ? path : path.replace(place, String(first + Number(place))), message };
  });
  return new BadQuestion(error.message, { ...error, issues });
}

/** A question as JSON. @throws BadQuestion: it is none */
export function write(question: Question, requestId: string): Written {
  const json = jsonOf(question, requestId);
  const { action, businessId } = question;
  return { question: { action, businessId }, json };
}

/** What is asked, as JSON. @throws BadQuestion: it is no object, or cannot be written */
export function jsonOf(asked: object, requestId: string): string {
  try {
    const json: unknown = JSON.stringify(asked);
    if (typeof json === 'string' && json.startsWith('{')) return json;
  } catch {
    // A BigInt or a circle. The error may quote the question.
  }
  throw new BadQuestion('The question cannot be written as JSON.', { requestId });
}
