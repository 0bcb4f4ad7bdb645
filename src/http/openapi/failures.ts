/** How routes can fail, for the document: a response for each status, which all routes share that can have it. */

import { FAILURES, type FailureCode } from '../../errors.ts';
import { isStandard } from '../context.ts';
import type { Route } from '../route.ts';
import { type Json, refTo } from './schemas.ts';

/** Of every route. A client does the same about all three: it has no answer, and may ask again. */
const OF_THE_SERVER = ['INTERNAL', 'UNAVAILABLE', 'DEADLINE_EXCEEDED'] as const;
const SERVER_FAILURE = 'ServerFailure';

/** The failures of a route that are its client's to mend: those that its scope and body imply, and its own. */
function refusalsOf({ path, scope, body, failures = [] }: Route): FailureCode[] {
  return [
    'INVALID_REQUEST',
    ...(scope ? (['UNAUTHENTICATED', 'FORBIDDEN', 'TOO_MANY_REQUESTS'] as const) : []),
    ...(body ? (['PAYLOAD_TOO_LARGE'] as const) : []),
    ...(body && !isStandard(path) ? (['UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...failures,
  ];
}

/** Status -> a reference to what `failureComponents` has. */
export const failureResponses = (route: Route): Json =>
  Object.fromEntries([
    ...refusalsOf(route).map((code) => [FAILURES[code].status, refTo('responses', code)]),
    ['5XX', refTo('responses', SERVER_FAILURE)],
  ]);

/** The responses of these routes by name, each of one status, and so of one code; and the schema that all of them narrow. */
export function failureComponents(routes: readonly Route[]): {
  readonly responses: Readonly<Record<string, Json>>;
  readonly schema: Json;
} {
  const codes = Object.keys(FAILURES) as FailureCode[];
  const used = new Set(routes.flatMap(refusalsOf));
  return {
    responses: {
      ...Object.fromEntries(codes.filter((code) => used.has(code)).map((code) => [code, response([code])])),
      [SERVER_FAILURE]: response(OF_THE_SERVER),
    },
    schema: {
      type: 'object',
      required: ['Success', 'Code', 'Message'],
      properties: {
        Success: { type: 'boolean', const: false },
        Code: { type: 'string', enum: codes },
        Message: { type: 'string' },
        Data: {
          type: 'object',
          required: ['issues'],
          properties: { issues: { type: 'array', items: ISSUE } },
        },
      },
    },
  };
}

const ISSUE: Json = {
  type: 'object',
  required: ['path', 'message'],
  properties: { path: { type: 'string' }, message: { type: 'string' } },
};
const ISSUES = [{ path: 'action', message: 'must be lower-case words joined by colons, such as call:create' }];

const RETRY_AFTER = { description: 'Seconds, after which to ask again.', schema: { type: 'integer', format: 'int32' } };
const CHALLENGE = { description: 'Bearer', schema: { type: 'string' } };

function response(codes: readonly FailureCode[]): Json {
  const [first] = codes;
  const headers = {
    ...((first === 'TOO_MANY_REQUESTS' || first === 'INTERNAL') && { 'Retry-After': RETRY_AFTER }),
    ...(first === 'UNAUTHENTICATED' && { 'WWW-Authenticate': CHALLENGE }),
  };
  return {
    description: codes.map((code) => `${FAILURES[code].status} ${code}: ${FAILURES[code].message}`).join(' '),
    ...(Object.keys(headers).length > 0 && { headers }),
    content: {
      'application/json': {
        schema: {
          allOf: [
            refTo('schemas', 'Failure'),
            { type: 'object', required: ['Code'], properties: { Code: { type: 'string', enum: codes } } },
          ],
        },
        examples: Object.fromEntries(codes.map((code) => [code, { value: example(code) }])),
      },
    },
  };
}

const example = (code: FailureCode): Json => ({
  Success: false,
  Code: code,
  Message: FAILURES[code].message,
  ...(code === 'INVALID_REQUEST' && { Data: { issues: ISSUES } }),
});
