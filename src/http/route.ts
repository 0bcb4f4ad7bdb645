/**
 * A route is one value: its path, schemas, answers, scope and handler. Router, validation and OpenAPI document are made from
 * it, so that they cannot disagree.
 */

import { z } from 'zod';
import { type Awaitable, attempt, type Settle } from '../awaitable.ts';
import type { Actor } from '../db/mutate.ts';
import type { Deadline } from '../deadline.ts';
import type { Caller } from '../directory/find-caller.ts';
import type { FailureCode } from '../errors.ts';
import { compile } from '../input/compile.ts';
import type { JsonBounds } from '../input/json.ts';
import type { Scopes } from './authenticate.ts';
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
  /** The `Message` of its example; default: the description. */
  readonly message?: string;
  /** The schema of `Data`, with an example (`shape`); undefined: no Data. */
  readonly data?: z.ZodType;
  /** In place of the example of `data`, or of `body`. */
  readonly example?: object;
  /** The schema of the whole body, where that has no Success, Code and Message. */
  readonly body?: z.ZodType;
  /** Of a body that is not JSON. */
  readonly text?: Text;
  /** Name -> description. */
  readonly headers?: Readonly<Record<string, string>>;
}

interface Text {
  readonly type: string;
  readonly example: string;
  /** The same in another form, of another type. */
  readonly or?: Text;
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
  /** The failures besides those that scope and body imply (`refusalsOf` in openapi/failures.ts). */
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
