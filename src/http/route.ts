/**
 * A route is one value: its path, schemas, answers, scope and handler. Router, validation and OpenAPI document are made from
 * it, so that they cannot disagree.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type Router from '@koa/router';
import { z } from 'zod';
import { type Awaitable, attempt, type Settle } from '../awaitable.ts';
import type { Actor } from '../db/mutate.ts';
import type { Deadline } from '../deadline.ts';
import type { Caller } from '../directory/find-caller.ts';
import { Failure, type FailureCode, type Issue } from '../errors.ts';
import { compile } from '../input/compile.ts';
import { invalid, type JsonBounds, parseJson, printPath, refused } from '../input/json.ts';
import { validate } from '../input/scalars.ts';
import type { Authenticate, Scopes } from './authenticate.ts';
import { readBody } from './body.ts';
import type { State } from './context.ts';
import type { Answered } from './exchange.ts';

export type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';

/** What a handler gets: the parsed parts of the request, and who asks. */
export interface Asked<Params, Query, Headers, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Body;
  readonly caller: Caller;
  readonly actor: Actor;
  readonly deadline: Deadline;
  readonly state: State;
}

/** An answer of a route, for the OpenAPI document. */
export interface AnswerShape {
  readonly description: string;
  /** The schema of `Data`, with an example (`shape`); undefined: no Data. */
  readonly data?: z.ZodType;
  /** The schema of the whole body, where that has no Success, Code and Message. */
  readonly body?: z.ZodType;
  /** Of a body that is not JSON. */
  readonly text?: { readonly type: string; readonly example: string };
  /** Name -> description. */
  readonly headers?: Readonly<Record<string, string>>;
}

interface RouteShape<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Headers extends z.ZodObject,
  Body extends z.ZodType,
> {
  readonly method: Method;
  /** With parameters as OpenAPI writes them: `/users/{id}`. */
  readonly path: string;
  /** The scope that the caller needs, or any of several; null: no authentication. */
  readonly scope: Scopes | null;
  /** Callers that are bound to users or businesses may ask: `handle` sees to the bounds. Without it they get 403. */
  readonly heedsBounds?: true;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  /** The headers that the handler reads. */
  readonly headers?: Headers;
  readonly body?: Body;
  /** Is shown the body before it is validated. @throws Failure */
  readonly inspect?: (body: unknown, state: State) => void;
  /** Compiles `body` into a fast acceptor (input/compile.ts): for routes that are asked thousands of times a second. */
  readonly compileBody?: true;
  /** What the JSON of the body may hold; default: what that of all bodies may. */
  readonly json?: JsonBounds;
  /** The size limit of the body, in bytes; default 16 KiB. */
  readonly maxBytes?: number;
  /** Whether the body may be absent. Every field of it must be optional. */
  readonly bodyOptional?: true;
  readonly bodyExample?: object;
  readonly answers: Readonly<Record<number, AnswerShape>>;
  /** The failures besides those that scope and body imply (`failuresOf` in openapi.ts). */
  readonly failures?: readonly FailureCode[];
}

/** What answers. `settles` needs no promise: for routes that are asked thousands of times a second, which get a short way. */
type Handler<A> =
  | { readonly handle: (asked: A) => Awaitable<Answered>; readonly settles?: never }
  | { readonly settles: (asked: A, settle: Settle<Answered>) => void; readonly handle?: never };

export type Route = Omit<RouteShape<z.ZodType, z.ZodType, z.ZodObject, z.ZodType>, 'compileBody'> & {
  /** The parsed body, or undefined where `body` has to parse it. */
  readonly acceptBody: ((value: unknown) => unknown) | undefined;
  /** Whether it has a short way past Koa (short-way.ts). */
  readonly isShort: boolean;
  readonly handle: (asked: Asked<never, never, never, never>, settle: Settle<Answered>) => void;
};

const NOTHING = z.strictObject({});
const BODY_BYTES = 16 * 1024;

/** Of the body, in bytes. */
export const sizeLimitOf = ({ maxBytes = BODY_BYTES }: Route): number => maxBytes;

/** Makes a route, inferring the types of its handler from its schemas. */
export const route = <
  Params extends z.ZodType = typeof NOTHING,
  Query extends z.ZodType = typeof NOTHING,
  Headers extends z.ZodObject = typeof NOTHING,
  Body extends z.ZodType = typeof NOTHING,
>({
  compileBody,
  handle,
  settles,
  ...shape
}: RouteShape<Params, Query, Headers, Body> &
  Handler<Asked<z.output<Params>, z.output<Query>, z.output<Headers>, z.output<Body>>>): Route =>
  ({
    ...shape,
    acceptBody: compileBody && shape.body && compile(shape.body),
    isShort: settles !== undefined,
    handle: handle ? (asked: never, settle: Settle<Answered>) => attempt(() => handle(asked), settle, settle) : settles,
  }) as unknown as Route;

/** The parameters of the path, and the query without its question mark, as they were sent. */
interface Address {
  readonly params: object;
  readonly query: string;
}

const NONE = Object.freeze({});
const SLOW_BODY_MS = 100;
const BARE: Address = { params: NONE, query: '' };

/** A request on its way to an answer of its route. */
export interface Asking {
  readonly shape: Route;
  readonly authenticate: Authenticate;
  readonly request: IncomingMessage;
  readonly state: State;
  /** Undefined: the very path, without parameters and query. */
  readonly address?: Address;
}

/** Puts the routes into the router, each by its path for a name. What they settle with is what the router's middleware resolves to. */
export function mount(router: Router<State>, routes: readonly Route[], authenticate: Authenticate): void {
  for (const shape of routes) {
    router[shape.method](
      shape.path,
      shape.path.replace(/\{(\w+)\}/g, ':$1'),
      ({ req: request, state, params, querystring: query }) => {
        const address = query === '' && !shape.params ? BARE : { params: shape.params ? params : NONE, query };
        return new Promise<Answered | Failure>((resolve) =>
          answer({ shape, authenticate, request, state, address }, resolve),
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
  const { shape, authenticate, request, state } = asking;
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

/** The parsed parts. @throws Failure INVALID_REQUEST */
function validParts(shape: Route, request: IncomingMessage, { params, query }: Address, body: unknown): Parts {
  // The usual case of a question: nothing but a body, which is accepted.
  const accepted =
    params === NONE && query === '' && !shape.headers ? (shape.acceptBody?.(body) as object | undefined) : undefined;
  if (accepted !== undefined) return { params: NONE, query: NONE, headers: NONE, body: accepted };
  return validateParts(shape, { params, query: queryOf(query), headers: headersOf(shape, request.headers), body });
}

interface Parts {
  readonly params: unknown;
  readonly query: unknown;
  readonly headers: unknown;
  readonly body: unknown;
}

const NOBODY: Caller = { id: 'nobody', scopes: new Set(), bounds: undefined };

const hasNoBody = ({ headers }: IncomingMessage): boolean =>
  headers['content-type'] === undefined &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0';

/** Validates all parts before it fails. @throws Failure INVALID_REQUEST with the issues of all of them */
function validateParts(
  shape: Route,
  parts: { params: unknown; query: ReadonlyMap<string, string[]>; headers: object; body: unknown },
) {
  const issues: Issue[] = [];
  const attempt = (schema: z.ZodType | undefined, value: unknown, path?: string): unknown => {
    // The usual case, without zod: no schema, and nothing sent.
    if (!schema && value === NONE) return NONE;
    try {
      return validate(schema ?? NOTHING, value);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      issues.push(...(error.issues ?? []).map((issue) => ({ ...issue, path: path ?? issue.path })));
      return undefined;
    }
  };
  for (const [name, values] of parts.query) {
    if (values.length > 1) issues.push({ path: printPath([name]), message: 'this parameter stands here twice' });
  }
  const query =
    parts.query === NO_QUERY ? NONE : Object.fromEntries([...parts.query].map(([name, [value]]) => [name, value]));
  const valid = {
    params: attempt(shape.params, parts.params),
    query: attempt(shape.query, query),
    // Without a path, which would read as a field of the body: the message names the header.
    headers: attempt(shape.headers, parts.headers, ''),
    body: shape.acceptBody?.(parts.body) ?? attempt(shape.body, parts.body),
  };
  if (issues.length > 0) throw refused(issues);
  return valid;
}

const headersOf = ({ headers }: Route, given: IncomingHttpHeaders): object =>
  headers
    ? Object.fromEntries(
        Object.keys(headers.shape)
          .map((name) => [name, given[name.toLowerCase()]])
          .filter(([, value]) => value !== undefined),
      )
    : NONE;

const NO_QUERY: ReadonlyMap<string, string[]> = new Map();
/** More than any route takes. Each costs, and some routes need no token. */
const MOST_PARAMETERS = 64;

/** @throws Failure INVALID_REQUEST for bytes that URLSearchParams would replace by U+FFFD, and for NUL, which PostgreSQL refuses */
function queryOf(text: string): ReadonlyMap<string, string[]> {
  if (text === '') return NO_QUERY;
  if (text.split('&', MOST_PARAMETERS + 1).length > MOST_PARAMETERS)
    throw invalid('', `the query has more than ${MOST_PARAMETERS} parameters`);
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    throw invalid('', 'the query is not percent-encoded UTF-8');
  }
  if (decoded.includes('\0')) throw invalid('', 'the character NUL is not accepted');
  const query = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) query.set(name, [...(query.get(name) ?? []), value]);
  // A query without a parameter, such as `?&`, counts as an unknown one.
  if (query.size === 0) query.set('', ['']);
  return query;
}
