/** What surrounds every route, with Koa and without: admission, the answer of a failure, headers, metrics and the log. */

import type { IncomingMessage, ServerResponse } from 'node:http';
import { pipeline, type Readable } from 'node:stream';
import type { Settle } from '../awaitable.ts';
import { asFailure, Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';
import { type Log, logSampled } from '../log.ts';
import type { Service } from '../service.ts';
import { noteRefusal } from './authenticate.ts';
import { DRAIN_BYTES } from './body.ts';
import { isForGateway, isStandard, type State, traceFields } from './context.ts';
import { failureReply, type Reply } from './replies.ts';

/** Of a shutdown: `serving`; `draining`, where readiness fails and requests are served; `refusing`, where each gets a 503. */
export type Phase = 'serving' | 'draining' | 'refusing';

export interface Answered {
  /** Default: 200. */
  readonly status?: number;
  /** The body, sent as JSON; none with 204 and 304. */
  readonly reply?: Reply | Readonly<Record<string, unknown>>;
  /** As `reply`, written already. */
  readonly json?: string;
  /** A body that is sent as it is; its Content-Type is among the headers. */
  readonly text?: string | Buffer;
  /** A body that is made while it is sent (stream.ts); its Content-Type is among the headers. */
  readonly stream?: Readable;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Runs `work`, turns its failure into the answer of one, counts and logs the answer, and gives it to `finish`, once: in this call where the
 * work is done at once. Never throws what `work` does.
 */
export function settle(
  service: Service,
  phase: () => Phase,
  request: IncomingMessage,
  state: State,
  work: (settle: Settle<Answered>) => void,
  finish: (answered: Answered) => void,
): void {
  const { log, metrics } = service;
  let settled = false;
  const end: Settle<Answered> = (outcome) => {
    if (settled) {
      if (!(outcome instanceof Failure)) outcome.stream?.destroy();
      return;
    }
    settled = true;
    const failure = outcome instanceof Failure ? outcome : undefined;
    const answered = failure ? failureAnswer(failure, request, state, log) : (outcome as Answered);
    if (failure) {
      metrics.failed(failure.code);
      noteRefusal(service, request, state.route, failure);
    }
    // The path of the route, not of the request: that may hold anything, such as a key, and is not a closed set of labels.
    const { requestId, since, route, fault, trace } = state;
    const { status = 200 } = answered;
    const ms = performance.now() - since;
    metrics.answered(route, status, ms);
    if (log.isLevelEnabled('debug')) {
      const fields = { requestId, ...traceFields(state), method: request.method, route, status };
      log.debug({ ...fields, ms: Math.round(ms) }, 'request');
    }
    // Where requests begin is in doubt behind a fault of framing. While refusing, the answer of a request that was accepted earlier
    // closes its connection, too: no further request may follow on it.
    const closes = fault !== undefined || phase() === 'refusing';
    const sent = closes ? { ...answered, headers: { ...answered.headers, ...CLOSE } } : answered;
    if (!trace?.span) return finish(sent);
    trace.span.end(status, failure);
    finish({ ...sent, headers: { ...sent.headers, traceresponse: trace.span.header } });
  };
  try {
    if (state.fault !== undefined) throw invalid('', state.fault);
    if (phase() === 'refusing') throw new Failure('UNAVAILABLE', 'The service is stopping. Ask another replica.');
    if (service.outdated() && !WITHOUT_DATABASE.has(state.route)) throw new Failure('UNAVAILABLE', OUTDATED);
    work(end);
  } catch (thrown) {
    end(asFailure(thrown));
  }
}

/** What is answered of a process whose version the database was migrated past. */
const WITHOUT_DATABASE: ReadonlySet<string | undefined> = new Set(['/healthz', '/readyz', '/metrics', '/openapi.json']);
const OUTDATED = 'The database is of a newer version than this replica. Ask another replica.';

/** A failure as it is answered at a route. */
function failureAt(route: string | undefined, failure: Failure): Failure {
  // AuthZEN has no status for a media type that is not its own but 400.
  if (failure.code === 'UNSUPPORTED_MEDIA_TYPE' && isStandard(route)) return invalid('', failure.message);
  // Gateways hand the answer on: none of our callers' failures may look to a client like its own, nor like a denial.
  if (failure.code !== 'UNAVAILABLE' && isForGateway(route)) {
    const { retryAfterSeconds } = failure;
    return new Failure('UNAVAILABLE', undefined, { ...(retryAfterSeconds !== undefined && { retryAfterSeconds }) });
  }
  return failure;
}

/** The answer of a failure. The cause of a 5xx is logged, never sent. */
function failureAnswer(failure: Failure, request: IncomingMessage, state: State, log: Log): Answered {
  const { route, requestId } = state;
  const shown = failureAt(route, failure);
  const { code, status, allow, retryAfterSeconds } = shown;
  if (status >= 500) {
    const level = failure.code === 'INTERNAL' ? 'error' : 'warn';
    const error = failure.cause ?? (shown === failure ? undefined : failure);
    const fields = { requestId, ...traceFields(state), code: failure.code, error };
    logSampled(log, level, `${failure.code} ${kindOf(error)}`, fields, FAILED);
  }
  return {
    status,
    headers: {
      ...(code === 'UNAUTHENTICATED' && { 'WWW-Authenticate': 'Bearer' }),
      ...(allow && { Allow: allow.join(', ') }),
      ...(retryAfterSeconds !== undefined && { 'Retry-After': String(retryAfterSeconds) }),
      ...(!mayBeDrained(request) && CLOSE),
    },
    reply: failureReply(shown),
  };
}

const FAILED = 'a request failed';
const CUT = 'an answer was cut, as the rest of it failed';

/** What kind of fault a cause is, from a closed set: its code (of PostgreSQL, of the system), or the name of its class. */
const kindOf = (cause: unknown): string =>
  cause instanceof Error ? String((cause as { code?: unknown }).code ?? cause.name) : typeof cause;

/** Whether the rest of the body is so short that Node may read and drop it, and the connection be kept. */
function mayBeDrained({ complete, headers }: IncomingMessage): boolean {
  const unknown = headers['transfer-encoding'] !== undefined;
  return complete || (!unknown && Number(headers['content-length'] ?? 0) <= DRAIN_BYTES);
}

const CLOSE = { Connection: 'close' };

/** The headers of every answer, unless its route says otherwise. */
const HEADERS: Readonly<Record<string, string>> = { 'Cache-Control': 'no-store', 'X-Content-Type-Options': 'nosniff' };
const HEADER_LIST = Object.entries(HEADERS).flat();
const JSON_TYPE = 'application/json; charset=utf-8';

/** Writes the answer to the socket, where there still is one. */
export function deliver(
  { log }: Service,
  response: ServerResponse,
  { echo, requestId }: State,
  answered: Answered,
): void {
  const { stream } = answered;
  try {
    if (response.destroyed) stream?.destroy();
    else if (stream) sendStream(log, response, echo ?? requestId, { ...answered, stream });
    else send(response, echo ?? requestId, answered);
  } catch (error) {
    stream?.destroy();
    log.debug({ error }, 'a reply could not be delivered');
    response.destroy();
  }
}

const headersOf = (requestId: string, headers: Answered['headers']): string[] =>
  headers
    ? Object.entries({ ...HEADERS, 'X-Request-Id': requestId, ...headers }).flat()
    : HEADER_LIST.concat('X-Request-Id', requestId);

/**
 * In chunks, as the client takes them. INVARIANT: where a part fails, the connection is cut, and the last chunk is missing: no client can
 * take for the whole what is not (RFC 9112, section 8).
 */
function sendStream(
  log: Log,
  response: ServerResponse,
  requestId: string,
  { status = 200, headers, stream }: Answered & { readonly stream: Readable },
): void {
  response.writeHead(status, headersOf(requestId, headers));
  if (response.req.method === 'HEAD') {
    stream.destroy();
    response.end();
    return;
  }
  pipeline(stream, response, (error) => {
    // The client has gone, which it may.
    if (!error || error.code === 'ERR_STREAM_PREMATURE_CLOSE') return;
    logSampled(log, 'warn', CUT, { requestId, error }, CUT);
  });
}

function send(
  response: ServerResponse,
  requestId: string,
  { status = 200, headers, reply, json = reply && JSON.stringify(reply), text }: Answered,
): void {
  const body = json ?? text ?? '';
  const list = headersOf(requestId, headers);
  if (json !== undefined) list.push('Content-Type', JSON_TYPE);
  const bytes = Buffer.byteLength(body);
  if (status !== 204 && status !== 304) list.push('Content-Length', String(bytes));
  response.writeHead(status, list);
  // `write` and uncork send head and body in one write, of one string where it is one; `end(body)` would be a writev of two. A text of as
  // many bytes as characters is ASCII, which goes faster as latin1.
  if (bytes > 0) response.write(body, bytes === body.length ? 'latin1' : 'utf8');
  response.socket?.uncork();
  response.end();
}
