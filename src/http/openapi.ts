/** Makes the OpenAPI 3.1 document from the routes and the zod schemas that validate their requests. */

import { z } from 'zod';
import { VERSION } from '../config.ts';
import { FAILURES, type FailureCode } from '../errors.ts';
import type { Scopes } from './authenticate.ts';
import { isStandard } from './context.ts';
import type { AnswerShape, Route } from './route.ts';
import { exampleOf } from './shared-shapes.ts';

type Json = Record<string, unknown>;

const REPLY = 'application/json';

/** `io`: input for requests, where fields with a default are optional; output for answers. */
function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any', reused: 'inline' }) as Json;
  return rest;
}

/** The failures of a route: those that its scope and body imply, and its own. */
function failuresOf({ path, scope, body, failures = [] }: Route): FailureCode[] {
  return [
    'INVALID_REQUEST',
    ...(scope ? (['UNAUTHENTICATED', 'FORBIDDEN', 'TOO_MANY_REQUESTS'] as const) : []),
    ...(body ? (['PAYLOAD_TOO_LARGE'] as const) : []),
    ...(body && !isStandard(path) ? (['UNSUPPORTED_MEDIA_TYPE'] as const) : []),
    ...failures,
    'INTERNAL',
    'UNAVAILABLE',
    'DEADLINE_EXCEEDED',
  ];
}

/** The OpenAPI document of these routes. */
export function openApi(routes: readonly Route[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route) };
  return {
    openapi: '3.1.0',
    info: {
      title: 'iqra-authz',
      version: VERSION,
      description:
        'May this API key do this action on this business? The policy decision point of the Iqra AI platform.',
    },
    paths,
    components: {
      securitySchemes: { callerToken: { type: 'http', scheme: 'bearer', description: 'A caller token, iqra_svc_...' } },
      schemas: { Failure: FAILURE },
    },
  };
}

const FAILURE: Json = {
  type: 'object',
  required: ['Success', 'Code', 'Message'],
  properties: {
    Success: { const: false },
    Code: { type: 'string', enum: Object.keys(FAILURES) },
    Message: { type: 'string' },
    Data: {
      type: 'object',
      properties: {
        issues: {
          type: 'array',
          items: {
            type: 'object',
            required: ['path', 'message'],
            properties: { path: { type: 'string' }, message: { type: 'string' } },
          },
        },
      },
    },
  },
};

function operation(route: Route): Json {
  const { method, path, scope, summary, body, bodyOptional, bodyExample } = route;
  return {
    operationId: `${method}${path.replace(/[^A-Za-z]+(\w)?/g, (_, letter: string | undefined) => (letter ?? '').toUpperCase())}`,
    summary,
    ...(scope && { security: [{ callerToken: [] }], description: needs(scope) }),
    parameters: [
      ...parameters(route.params, 'path'),
      ...parameters(route.query, 'query'),
      ...parameters(route.headers, 'header'),
    ],
    ...(body && {
      requestBody: {
        required: !bodyOptional,
        content: { [REPLY]: { schema: jsonSchema(body, 'input'), ...(bodyExample && { example: bodyExample }) } },
      },
    }),
    responses: responses(route),
  };
}

const needs = (scope: Scopes): string =>
  `Needs the scope ${(typeof scope === 'string' ? [scope] : scope).map((one) => `\`${one}\``).join(' or ')}.`;

function parameters(schema: z.ZodType | undefined, place: 'path' | 'query' | 'header'): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = jsonSchema(schema, 'input') as { properties?: Json; required?: string[] };
  return Object.entries(properties).map(([name, shape]) => ({
    name,
    in: place,
    required: required.includes(name),
    schema: shape,
  }));
}

function responses(route: Route): Json {
  const byStatus = new Map<number, FailureCode[]>();
  for (const code of failuresOf(route)) {
    const { status } = FAILURES[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const failures = [...byStatus].map(([status, codes]) => [status, failureResponse(status, codes)]);
  const answers = Object.entries(route.answers).map(([status, answer]) => [status, answerResponse(status, answer)]);
  return Object.fromEntries([...failures, ...answers]);
}

function answerResponse(status: string, { description, data, body, text, headers }: AnswerShape): Json {
  if (text) return { description, content: { [text.type]: { schema: { type: 'string' }, example: text.example } } };
  const success = status < '300';
  const example = {
    Success: success,
    Code: success ? 'OK' : 'UNAVAILABLE',
    Message: description,
    ...(data && { Data: exampleOf(data) }),
  };
  const whole = body && (exampleOf(body) as Json | undefined);
  const content = body
    ? { schema: jsonSchema(body, 'output'), ...(whole && { example: whole }) }
    : { schema: replySchema(data), example };
  return {
    description,
    ...(headers && { headers: headerSchemas(headers) }),
    ...(status !== '204' && status !== '304' && { content: { [REPLY]: content } }),
  };
}

const headerSchemas = (headers: Readonly<Record<string, string>>): Json =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );

const replySchema = (data: z.ZodType | undefined): Json => ({
  type: 'object',
  required: ['Success', 'Code', 'Message', ...(data ? ['Data'] : [])],
  properties: {
    Success: { type: 'boolean' },
    Code: { type: 'string' },
    Message: { type: 'string' },
    ...(data && { Data: jsonSchema(data, 'output') }),
  },
});

const ISSUES = [{ path: '', message: 'what to change' }];

const failureResponse = (status: number, codes: readonly FailureCode[]): Json => ({
  description: codes.map((code) => `${code}: ${FAILURES[code].message}`).join(' '),
  ...((status === 429 || status === 503) && { headers: headerSchemas({ 'Retry-After': 'Seconds.' }) }),
  content: {
    [REPLY]: {
      schema: { $ref: '#/components/schemas/Failure' },
      examples: Object.fromEntries(
        codes.map((code) => {
          const data = code === 'INVALID_REQUEST' && { Data: { issues: ISSUES } };
          return [code, { value: { Success: false, Code: code, Message: FAILURES[code].message, ...data } }];
        }),
      ),
    },
  },
});
