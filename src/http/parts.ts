/** The parts of a request, validated by the schemas of its route: parameters, query, headers and body. */

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { z } from 'zod';
import { Failure, type Issue } from '../errors.ts';
import { invalid, printPath, refused } from '../input/json.ts';
import { validate } from '../input/scalars.ts';
import type { Route } from './route.ts';

/** The parameters of the path, and the query without its question mark, as they were sent. */
export interface Address {
  readonly params: object;
  readonly query: string;
}

/** A part that was not sent, and may not be. */
export const NONE = Object.freeze({});
const NOTHING = z.strictObject({});

/** The parsed parts. @throws Failure INVALID_REQUEST */
export function validParts(shape: Route, request: IncomingMessage, { params, query }: Address, body: unknown): Parts {
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
