/**
 * A route is one value: what it is asked, what it answers, who may ask, and the function that does it. The router and
 * the OpenAPI document are both made from these values, so that neither can say what the other does not.
 */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type Router from '@koa/router';
import { z } from 'zod';
import type { Actor } from '../db/mutate.ts';
import type { Deadline } from '../deadline.ts';
import type { Caller, Scope } from '../directory/find-caller.ts';
import { Failure, type FailureCode, type Issue } from '../errors.ts';
import { compile } from '../input/compile.ts';
import { invalid, printPath, refused } from '../input/json.ts';
import { validate } from '../input/scalars.ts';
import type { Service } from '../service.ts';
import { readJson } from './body.ts';
import { authenticate, type State } from './context.ts';
import type { Answered } from './exchange.ts';

export type Method = 'get' | 'put' | 'post' | 'patch' | 'delete';

/** What a handler gets: every part of it has passed its schema. */
export interface Asked<Params, Query, Headers, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly headers: Headers;
  readonly body: Body;
  readonly caller: Caller;
  readonly actor: Actor;
  readonly deadline: Deadline;
}

/** One of the answers that a route may give, for the document. */
export interface AnswerShape {
  readonly description: string;
  /** Of `Data`; none where there is no Data. Its `examples` are the document's. */
  readonly data?: z.ZodType;
  /** Of the whole body, where that is not in the one shape of the others. */
  readonly body?: z.ZodType;
  /** Of a body that is no JSON: its media type, and an example. */
  readonly text?: { readonly type: string; readonly example: string };
  /** Name -> what it says. */
  readonly headers?: Readonly<Record<string, string>>;
}

interface RouteShape<
  Params extends z.ZodType,
  Query extends z.ZodType,
  Headers extends z.ZodObject,
  Body extends z.ZodType,
> {
  readonly method: Method;
  /** As OpenAPI writes it: `/users/{id}`. */
  readonly path: string;
  /** What the caller's token must have; null: nobody is asked for one. */
  readonly scope: Scope | null;
  readonly summary: string;
  readonly params?: Params;
  readonly query?: Query;
  /** Those that the handler reads. */
  readonly headers?: Headers;
  readonly body?: Body;
  /** Compiles `body` into a fast acceptor (input/compile.ts): for routes that are asked thousands of times a second. */
  readonly compileBody?: true;
  /** Bytes; 16 KiB unless said otherwise. */
  readonly maxBytes?: number;
  /** A body of which every field may be left out may be left out itself. */
  readonly bodyOptional?: true;
  readonly bodyExample?: object;
  readonly answers: Readonly<Record<number, AnswerShape>>;
  /** Those beyond what any route may answer. */
  readonly failures?: readonly FailureCode[];
  readonly handle: (
    asked: Asked<z.output<Params>, z.output<Query>, z.output<Headers>, z.output<Body>>,
  ) => Answered | Promise<Answered>;
}

export type Route = Omit<RouteShape<z.ZodType, z.ZodType, z.ZodObject, z.ZodType>, 'handle' | 'compileBody'> & {
  /** The parsed body, or undefined where `body` has to parse it. */
  readonly acceptBody: ((value: unknown) => unknown) | undefined;
  readonly handle: (asked: Asked<never, never, never, never>) => Answered | Promise<Answered>;
};

const NOTHING = z.strictObject({});
const BODY_BYTES = 16 * 1024;

/** Keeps the types of the schemas and of the handler together. */
export const route = <
  Params extends z.ZodType = typeof NOTHING,
  Query extends z.ZodType = typeof NOTHING,
  Headers extends z.ZodObject = typeof NOTHING,
  Body extends z.ZodType = typeof NOTHING,
>({
  compileBody,
  ...shape
}: RouteShape<Params, Query, Headers, Body>): Route =>
  ({ ...shape, acceptBody: compileBody && shape.body && compile(shape.body) }) as unknown as Route;

/** What its address told of a request: the parameters in the path, and what stands after the question mark. */
interface Address {
  readonly params: object;
  readonly query: string;
}

const NONE = Object.freeze({});
const SLOW_BODY_MS = 100;
const BARE: Address = { params: NONE, query: '' };

/** Puts the routes into the router, each by its path for a name. */
export function mount(router: Router<State>, routes: readonly Route[], service: Service): void {
  for (const shape of routes) {
    router[shape.method](shape.path, shape.path.replace(/\{(\w+)\}/g, ':$1'), (ctx) =>
      answer(shape, service, ctx.req, ctx.state, { params: ctx['params'], query: ctx.querystring }),
    );
  }
}

/** What a route answers: from the token of who asks to the reply. @throws Failure */
export async function answer(
  shape: Route,
  { findCaller }: Service,
  request: IncomingMessage,
  { deadline, requestId }: State,
  { params, query }: Address = BARE,
): Promise<Answered> {
  let caller = shape.scope ? await authenticate(request, findCaller, shape.scope, deadline) : NOBODY;
  const since = performance.now();
  const json = shape.body && !(shape.bodyOptional && hasNoBody(request));
  const body = json ? await deadline.excuse(readJson(request, shape.maxBytes ?? BODY_BYTES)) : NONE;
  // Whoever sends a body slowly may have been revoked meanwhile.
  if (shape.scope && performance.now() - since > SLOW_BODY_MS) {
    caller = await authenticate(request, findCaller, shape.scope, deadline);
  }
  const headers = headersOf(shape, request.headers);
  const valid = validateParts(shape, { params, query: queryOf(query), headers, body });
  const asked: Asked<unknown, unknown, unknown, unknown> = {
    params: valid.params,
    query: valid.query,
    headers: valid.headers,
    body: valid.body,
    caller,
    actor: { id: caller.id, requestId },
    deadline,
  };
  return shape.handle(asked as never);
}

const NOBODY: Caller = { id: 'nobody', scopes: new Set() };

const hasNoBody = ({ headers }: IncomingMessage): boolean =>
  headers['content-type'] === undefined &&
  headers['transfer-encoding'] === undefined &&
  (headers['content-length'] ?? '0') === '0';

/** All that is wrong with any part is told at once. */
function validateParts(
  shape: Route,
  parts: { params: unknown; query: ReadonlyMap<string, string[]>; headers: object; body: unknown },
) {
  const issues: Issue[] = [];
  const attempt = (schema: z.ZodType | undefined, value: unknown, path?: string): unknown => {
    // Most routes take nothing in most places, and most requests bring nothing there.
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
    // The name of a header would be taken for that of a field; the message says which it is.
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

/** @throws Failure INVALID_REQUEST for what URLSearchParams would replace, and for what the database would not take. */
function queryOf(text: string): ReadonlyMap<string, string[]> {
  if (text === '') return NO_QUERY;
  let decoded: string;
  try {
    decoded = decodeURIComponent(text);
  } catch {
    throw invalid('', 'the query is not percent-encoded UTF-8');
  }
  if (decoded.includes('\0')) throw invalid('', 'the character NUL is not accepted');
  const query = new Map<string, string[]>();
  for (const [name, value] of new URLSearchParams(text)) query.set(name, [...(query.get(name) ?? []), value]);
  // Something like `?&`, which is no parameter, and not nothing either.
  if (query.size === 0) query.set('', ['']);
  return query;
}
