/**
 * The short way of a decision, past Koa: where the head of a request is plain and its caller is known, the route is run from the body on
 * by the very functions that Koa's router runs it by, and answered by the same. Koa has every other request, untouched:
 * nothing of it was read or counted. docs/adr/0009-short-way.md says why the two ways cannot differ.
 */

import type { IncomingMessage, RequestListener } from 'node:http';
import type { Caller } from '../directory/find-caller.ts';
import type { Service } from '../service.ts';
import { answerTo, type Entrance } from './answer.ts';
import type { Authenticate } from './authenticate.ts';
import { isJson } from './body.ts';
import { stateOf } from './context.ts';
import { deliver, type Phase, settle } from './exchange.ts';
import { faultOfFraming } from './framing.ts';
import { type Route, sizeLimitOf } from './route.ts';

/** Answers what may go the short way of one of the routes; `otherwise` gets all else. */
export function shortWay(
  service: Service,
  phase: () => Phase,
  routes: readonly Route[],
  { authenticate, tracing }: Entrance,
  otherwise: RequestListener,
): RequestListener {
  const shortOf = new Map(routes.filter(({ isShort }) => isShort).map((shape) => [shape.path, shape]));
  return (request, response) => {
    const { method, url = '' } = request;
    const shape = method === 'POST' ? shortOf.get(url) : undefined;
    const caller = shape && isPlain(request, shape) ? knownCaller(request, shape, authenticate) : undefined;
    if (!shape || !caller) {
      otherwise(request, response);
      return;
    }
    const state = stateOf(request, service.config.DECISION_DEADLINE_MS, shape.path, undefined);
    settle(
      service,
      phase,
      request,
      state,
      (end) => answerTo(caller, { shape, authenticate, tracing, request, state }, end),
      (answered) => deliver(service, response, state, answered),
    );
  };
}

/** Whether the head leaves nothing to be asked about: JSON of a length that the route takes, and no fault of its framing. */
function isPlain(request: IncomingMessage, shape: Route): boolean {
  const { headers } = request;
  return (
    headers['transfer-encoding'] === undefined &&
    headers.expect === undefined &&
    isJson(headers) &&
    Number(headers['content-length'] ?? Number.NaN) <= sizeLimitOf(shape) &&
    faultOfFraming(request) === undefined
  );
}

const knownCaller = (
  request: IncomingMessage,
  { scope, heedsBounds }: Route,
  authenticate: Authenticate,
): Caller | undefined => (scope ? authenticate.known(request, scope, heedsBounds === true) : undefined);
