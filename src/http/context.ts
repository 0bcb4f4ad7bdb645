/** The state of a request: id, deadline, start time, route. */

import type { IncomingMessage } from 'node:http';
import { type Deadline, deadlineIn } from '../deadline.ts';
import { holdsSecret } from '../mask.ts';
import type { Trace } from '../telemetry/tracing.ts';
import { uuidv7 } from '../uuid.ts';

export interface State {
  /** For the logs, and for the answer: the caller's, where that will do, else a new UUIDv7. */
  requestId: string;
  /** The X-Request-Id header as it was sent. */
  readonly sentRequestId: string | undefined;
  /** X-Request-Id of the answer, where that is to be the very text that was sent; otherwise it is `requestId`. */
  echo: string | undefined;
  readonly deadline: Deadline;
  /** The start time, in milliseconds of `performance.now()`. */
  readonly since: number;
  /** The path of the route that it is for; undefined where there is none. */
  readonly route: string | undefined;
  /** What is wrong with how it is framed; undefined: nothing. */
  readonly fault: string | undefined;
  /** The trace that it is part of, from when its caller is known. */
  trace: Trace | undefined;
}

/** What lines of the log say of the trace of a request. */
export const traceFields = ({ trace }: State): { readonly trace_id?: string; readonly span_id?: string } =>
  trace ? { trace_id: trace.id, ...(trace.span && { span_id: trace.span.id }) } : {};

/** What the log of decisions has of the request that a question came in. */
export const originOf = ({ sentRequestId, requestId, trace }: State) => ({
  // None where the caller sent one that is no plain text.
  callerRequestId: sentRequestId === requestId ? sentRequestId : undefined,
  traceId: trace?.id,
});

/** `fault`: of its framing (`faultOfFraming`). */
export function stateOf(
  request: IncomingMessage,
  deadlineMs: number,
  route: string | undefined,
  fault: string | undefined,
): State {
  // Repeats are one text: Node joins them, or the request was refused before.
  const sentRequestId = request.headers['x-request-id'] as string | undefined;
  return {
    requestId: sentRequestId !== undefined && isPlain(sentRequestId) ? sentRequestId : uuidv7(),
    sentRequestId,
    echo: sentRequestId !== undefined && isStandard(route) && !holdsSecret(sentRequestId) ? sentRequestId : undefined,
    deadline: deadlineIn(deadlineMs),
    since: performance.now(),
    route,
    fault,
    trace: undefined,
  };
}

/** Whether a route is one of AuthZEN, whose answers are as that standard says. */
export const isStandard = (route: string | undefined): boolean => route?.startsWith('/access/') === true;

/** Whether an address, or a route, is one of those where gateways ask. Their client's header Authorization is not their own. */
export const isForGateway = (address: string | undefined): boolean => address?.startsWith('/gateway/') === true;

/** Whether a request id may be logged: plain text, in which there is no key. */
const isPlain = (id: string): boolean => /^[A-Za-z0-9._:-]{1,128}$/.test(id) && !holdsSecret(id);
