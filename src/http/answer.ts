/** From a request to the answer of its route: the caller, the body, the handler. Both ways of a request run these very functions. */

import type { IncomingMessage } from 'node:http';
import type Router from '@koa/router';
import { attempt, type Settle } from '../awaitable.ts';
import type { Caller } from '../directory/find-caller.ts';
import { Failure } from '../errors.ts';
import { parseJson } from '../input/json.ts';
import type { Tracing } from '../telemetry/tracing.ts';
import type { Authenticate } from './authenticate.ts';
import { readBody } from './body.ts';
import type { State } from './context.ts';
import type { Answered } from './exchange.ts';
import { type Address, NONE, validParts } from './parts.ts';
import { type Asked, type Route, sizeLimitOf } from './route.ts';

const SLOW_BODY_MS = 100;
const BARE: Address = { params: NONE, query: '' };
const NOBODY: Caller = { id: 'nobody', scopes: new Set(), bounds: undefined };

/** What lets requests in. */
export interface Entrance {
  readonly authenticate: Authenticate;
  /** Undefined: no traces are made. */
  readonly tracing: Tracing | undefined;
}

/** A request on its way to an answer of its route. */
export interface Asking extends Entrance {
  readonly shape: Route;
  readonly request: IncomingMessage;
  readonly state: State;
  /** Undefined: the very path, without parameters and query. */
  readonly address?: Address;
}

/** Puts the routes into the router, each by its path for a name. What they settle with is what its function resolves to. */
export function mount(router: Router<State>, routes: readonly Route[], entrance: Entrance): void {
  for (const shape of routes) {
    router[shape.method](
      shape.path,
      shape.path.replace(/\{(\w+)\}/g, ':$1'),
      ({ req: request, state, params, querystring: query }) => {
        const address = query === '' && !shape.params ? BARE : { params: shape.params ? params : NONE, query };
        return new Promise<Answered | Failure>((resolve) =>
          answer({ ...entrance, shape, request, state, address }, resolve),
        );
      },
    );
  }
}

/** Authenticates the caller, reads and validates the request, and calls the handler. */
export function answer(asking: Asking, settle: Settle<Answered>): void {
  const { shape, authenticate, request, state } = asking;
  attempt(
    () => (shape.scope ? authenticate(request, shape.scope, shape.heedsBounds === true, state.deadline) : NOBODY),
    (caller) => answerTo(caller, asking, settle),
    settle,
  );
}

/** As `answer`, to a caller who is authenticated. */
export function answerTo(caller: Caller, asking: Asking, settle: Settle<Answered>): void {
  const { shape, authenticate, tracing, request, state } = asking;
  if (tracing && caller !== NOBODY) state.trace = tracing.begin(request, state);
  if (!shape.body || (shape.bodyOptional && hasNoBody(request))) {
    handle(caller, asking, undefined, settle);
    return;
  }
  const since = performance.now();
  readBody(request, sizeLimitOf(shape), (bytes) => {
    if (bytes instanceof Failure) {
      settle(bytes);
      return;
    }
    const took = performance.now() - since;
    state.deadline.extend(took);
    attempt(
      // Authenticated again after a slow body: the caller may have been revoked while it was sent.
      () =>
        shape.scope && took > SLOW_BODY_MS
          ? authenticate(request, shape.scope, shape.heedsBounds === true, state.deadline)
          : caller,
      (caller) => handle(caller, asking, bytes, settle),
      settle,
    );
  });
}

/** `bytes`: of the body; undefined: there is none. @throws Failure INVALID_REQUEST, or what `inspect` of the route does */
function handle(
  caller: Caller,
  { shape, request, state, address = BARE }: Asking,
  bytes: Buffer | undefined,
  settle: Settle<Answered>,
): void {
  const body = bytes ? parseJson(bytes, shape.json) : NONE;
  shape.inspect?.(body, state);
  const { params, query, headers, body: valid } = validParts(shape, request, address, body);
  const { deadline, requestId } = state;
  const actor = { id: caller.id, requestId };
  const asked: Asked<unknown, unknown, unknown, unknown> = {
    params,
    query,
    headers,
    body: valid,
    caller,
    actor,
    deadline,
    state,
  };
  shape.handle(asked as never, settle);
}

const hasNoBody = ({ headers }: IncomingMessage): boolean =>
  headers['content-type'] === undefined &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0';
