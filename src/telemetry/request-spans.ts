/** The spans of a request that is traced: that of the server, and those within it. */

import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api';
import type { Awaitable } from '../awaitable.ts';
import { Failure } from '../errors.ts';

/**
 * Of one request. Times are milliseconds since 1970 by one reading of the clock, carried on by the monotonic one, so that no step of the clock
 * makes a span longer than it was, or negative.
 */
export interface RequestSpans {
  readonly server: Span;
  readonly within: Context;
  readonly now: () => number;
  /** When the last of what was waited for was there. */
  mark: number;
  /** The spans that statements are done for, while they are open. */
  load: Span | undefined;
  record: Span | undefined;
}

/** The methods of HTTP that a span may name: any other text could be anything. */
const METHODS: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'POST',
  'PUT',
  'DELETE',
  'CONNECT',
  'OPTIONS',
  'TRACE',
  'PATCH',
]);

/** A request as far as spans tell of it. */
export interface Served {
  readonly method: string | undefined;
  readonly version: string;
  /** The path of its route, never its own: that may hold anything, such as a key. */
  readonly route: string;
  /** When it began, by `performance.now()`. */
  readonly since: number;
}

/** `parent`: where it is part of a trace that is recorded by others, too. */
export function requestSpans(
  tracer: Tracer,
  { method = '', version, route, since }: Served,
  parent: Context,
): RequestSpans {
  const known = METHODS.has(method);
  const offset = Date.now() - performance.now();
  const attributes = {
    'http.request.method': known ? method : '_OTHER',
    'http.route': route,
    'url.scheme': 'http',
    'network.protocol.version': version,
  };
  const startTime = since + offset;
  const name = `${known ? method : 'HTTP'} ${route}`;
  const server = tracer.startSpan(name, { kind: SpanKind.SERVER, startTime, attributes }, parent);
  const now = (): number => performance.now() + offset;
  return {
    server,
    within: trace.setSpan(ROOT_CONTEXT, server),
    now,
    mark: startTime,
    load: undefined,
    record: undefined,
  };
}

/** Says of a span what it failed with: a code or the name of a class, never a message, which may quote what was asked. */
export function failed(span: Span, error: unknown): void {
  const { code } = Object(error) as { code?: unknown };
  const named = error instanceof Error ? error.name : typeof error;
  span.setAttribute(
    'error.type',
    error instanceof Failure || /^[A-Z0-9_]{1,40}$/.test(String(code)) ? String(code) : named,
  );
  span.setStatus({ code: SpanStatusCode.ERROR });
}

/** Runs a part of what is done for a request within a span of its own. */
export function during<T>(
  tracer: Tracer,
  spans: RequestSpans,
  name: string,
  work: (span: Span) => Awaitable<T>,
  about: (value: T, atOnce: boolean) => Attributes = () => ({}),
): Awaitable<T> {
  const span = tracer.startSpan(name, { startTime: spans.now() }, spans.within);
  const end = (): void => {
    spans.mark = spans.now();
    span.end(spans.mark);
  };
  const ended = (atOnce: boolean) => (value: T) => {
    span.setAttributes(about(value, atOnce));
    end();
    return value;
  };
  const fail = (error: unknown): never => {
    failed(span, error);
    end();
    throw error;
  };
  let value: Awaitable<T>;
  try {
    value = work(span);
  } catch (error) {
    return fail(error);
  }
  return value instanceof Promise ? value.then(ended(false), fail) : ended(true)(value);
}
