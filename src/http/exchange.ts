/** What surrounds every answer, whichever way it goes: who may still ask, what a failure is answered with, and the log. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { asFailure, Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';
import type { Log } from '../log.ts';
import type { Service } from '../service.ts';
import { DRAIN_BYTES } from './body.ts';
import type { State } from './context.ts';
import { failureReply, type Reply } from './replies.ts';

/** `serving` while requests are taken, `draining` while they still are but readiness fails, `refusing` at the end. */
export type Phase = 'serving' | 'draining' | 'refusing';

export interface Answered {
  /** 200 unless said otherwise. */
  readonly status?: number;
  /** The body; none with 204. */
  readonly reply?: Reply | Readonly<Record<string, unknown>>;
  /** The body, where it is no JSON; its media type stands in the headers. */
  readonly text?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What a request is answered with: by `work`, or because of its failure. */
export async function settle(
  { log, metrics }: Service,
  phase: () => Phase,
  request: IncomingMessage,
  state: State,
  work: () => Promise<Answered>,
): Promise<Answered> {
  let answered: Answered;
  try {
    admit(request, phase());
    answered = await work();
  } catch (thrown) {
    const failure = asFailure(thrown);
    metrics.failed(failure.code);
    answered = failureAnswer(failure, request, state.requestId, log);
  }
  // Whether it was accepted before the end or refused after it, this is the last answer on its connection.
  if (phase() === 'refusing') answered = { ...answered, headers: { ...answered.headers, ...CLOSE } };
  // The route, not the address: nobody knows what a lost client puts into an address.
  const { requestId, since, route } = state;
  const { status = 200 } = answered;
  const ms = performance.now() - since;
  metrics.answered(route, status, ms);
  if (log.isLevelEnabled('debug')) {
    log.debug({ requestId, method: request.method, route, status, ms: Math.round(ms) }, 'request');
  }
  return answered;
}

/** @throws Failure for what no route may be asked, whichever it is. */
function admit({ headers, httpVersion }: IncomingMessage, phase: Phase): void {
  if (phase === 'refusing') throw new Failure('UNAVAILABLE', 'The service is stopping. Ask another replica.');
  // As HTTP/1.1 asks of a server.
  if (headers.host === undefined && httpVersion === '1.1') throw invalid('', 'send one Host header');
}

/** What is answered in place of an answer. What is the operator's to see is logged. */
function failureAnswer(failure: Failure, request: IncomingMessage, requestId: string, log: Log): Answered {
  const { code, status, allow, retryAfterSeconds } = failure;
  if (status >= 500) {
    log[code === 'INTERNAL' ? 'error' : 'warn']({ requestId, code, error: failure.cause }, 'a request failed');
  }
  return {
    status,
    headers: {
      ...(code === 'UNAUTHENTICATED' && { 'WWW-Authenticate': 'Bearer' }),
      ...(allow && { Allow: allow.join(', ') }),
      ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
      ...(!mayBeDrained(request) && CLOSE),
    },
    reply: failureReply(failure),
  };
}

/** Whether so little is left of a body that Node may read it away, and the client keep its connection. */
const mayBeDrained = (request: IncomingMessage): boolean =>
  request.complete || Number(request.headers['content-length'] ?? Number.POSITIVE_INFINITY) <= DRAIN_BYTES;

const CLOSE = { Connection: 'close' };

/** With every answer. */
export const HEADERS = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };
const HEADER_LIST = Object.entries(HEADERS).flat();

/** The answer onto the wire, without Koa. */
export function send(response: ServerResponse, requestId: string, answered: Answered): void {
  // Nobody is there any more.
  if (response.destroyed) return;
  const { status = 200, headers, reply, text = reply && JSON.stringify(reply) } = answered;
  const list = HEADER_LIST.concat('X-Request-Id', requestId);
  if (reply) list.push('Content-Type', 'application/json; charset=utf-8');
  if (status !== 204) list.push('Content-Length', String(Buffer.byteLength(text ?? '')));
  for (const name in headers) list.push(name, headers[name] ?? '');
  response.writeHead(status, list);
  // The head and the body leave as one string; `end` alone would make a vector of it and of an empty one.
  if (text) response.write(text);
  response.socket?.uncork();
  response.end();
}
