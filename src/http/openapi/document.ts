/** Makes the OpenAPI 3.1 document from the routes and the zod schemas that validate their requests. */

import type { Config } from '../../config.ts';
import { VERSION } from '../../release.ts';
import type { AnswerShape, Route } from '../route.ts';
import { DENIAL_CODE, examplesOf } from '../shared-shapes.ts';
import { failureComponents, failureResponses } from './failures.ts';
import { createSchemas, type Json, refTo, type Schemas } from './schemas.ts';
import { tagOf, tagsOf } from './tags.ts';

const REPLY = 'application/json';

export interface Document extends Json {
  readonly paths: Readonly<Record<string, Json>>;
  readonly components: Json & { readonly schemas: Readonly<Record<string, Json>> };
}

/** What is answered and is no route: paths, and the components that they refer to. */
export interface Besides {
  readonly paths: Readonly<Record<string, Json>>;
  readonly securitySchemes: Json;
  readonly responses: Json;
}

/** The document of these routes, which are at the root of where it is itself. */
export function openApi(routes: readonly Route[], besides: Besides): Document {
  const schemas = createSchemas();
  const paths: Record<string, Json> = {};
  for (const route of routes) paths[route.path] = { ...paths[route.path], [route.method]: operation(route, schemas) };
  Object.assign(paths, besides.paths);
  const failures = failureComponents(routes);
  return {
    openapi: '3.1.0',
    info: {
      title: 'iqra-authz',
      version: VERSION,
      description: DESCRIPTION,
      license: { name: 'MIT', identifier: 'MIT' },
    },
    servers: [HERE],
    tags: tagsOf(Object.keys(paths)),
    paths,
    components: {
      securitySchemes: {
        callerToken: { type: 'http', scheme: 'bearer', description: TOKEN },
        ...besides.securitySchemes,
      },
      responses: { ...failures.responses, ...besides.responses },
      schemas: { Success: SUCCESS, Failure: failures.schema, ...schemas.named() },
    },
  };
}

const DESCRIPTION =
  'May this API key do this action on this business? The policy decision point of the Iqra AI platform. Every answer has an ' +
  'X-Request-Id: the one that was sent, where it is plain text of at most 128 characters, or a new one.';
const TOKEN = 'A caller token, iqra_svc_... An operation names the scopes that do for it, any one of them.';

const HERE: Json = { url: '/' };

type Places = Pick<Config, 'AUTHZEN_BASE_URL' | 'PORT' | 'ADMIN_PORT'>;

/**
 * The document with where its paths are reached: those of `administration` where the document is itself, if that is not where questions are
 * asked (ADMIN_PORT).
 */
export function withServers(document: Document, config: Places, administration: ReadonlySet<string>): Document {
  const { AUTHZEN_BASE_URL: base, PORT, ADMIN_PORT } = config;
  if (ADMIN_PORT === undefined) return { ...document, servers: [base === undefined ? HERE : { url: base }] };
  const variables = { host: { default: 'localhost' }, port: { default: String(PORT) } };
  const main = base === undefined ? { url: 'http://{host}:{port}', variables } : { url: base };
  const paths = Object.entries(document.paths).map(([path, item]) => [
    path,
    administration.has(path) ? item : { ...item, servers: [main] },
  ]);
  return { ...document, paths: Object.fromEntries(paths) };
}

/** The document for a policy: the codes that its denials can have are an enumeration. */
export function withDenialCodes(document: Document, codes: Iterable<string>): Json {
  const { components } = document;
  const denialCode = { ...components.schemas[DENIAL_CODE], enum: [...codes].filter((code) => code !== 'OK') };
  return {
    ...document,
    components: { ...components, schemas: { ...components.schemas, [DENIAL_CODE]: denialCode } },
  };
}

const SUCCESS: Json = {
  type: 'object',
  required: ['Success', 'Code', 'Message'],
  properties: {
    Success: { type: 'boolean', const: true },
    Code: { type: 'string', const: 'OK' },
    Message: { type: 'string' },
  },
};

function operation(route: Route, schemas: Schemas): Json {
  const { method, path, scope, summary, body, bodyOptional, bodyExample } = route;
  const scopes = scope === null ? [] : typeof scope === 'string' ? [scope] : scope;
  const parameters = (['path', 'query', 'header'] as const).flatMap((place) => parametersOf(route, place, schemas));
  return {
    operationId: `${method}${path.replace(/[^A-Za-z]+(\w)?/g, (_, letter: string | undefined) => (letter ?? '').toUpperCase())}`,
    tags: [tagOf(path)],
    summary,
    security: scopes.map((one) => ({ callerToken: [one] })),
    ...(parameters.length > 0 && { parameters }),
    ...(body && {
      requestBody: {
        required: !bodyOptional,
        content: {
          [REPLY]: {
            schema: schemas.of(body, 'input'),
            ...(bodyExample && { examples: { example: { value: bodyExample } } }),
          },
        },
      },
    }),
    responses: {
      ...failureResponses(route),
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, answer]) => [status, answerResponse(status, answer, schemas)]),
      ),
    },
  };
}

function parametersOf(route: Route, place: 'path' | 'query' | 'header', schemas: Schemas): Json[] {
  const schema = { path: route.params, query: route.query, header: route.headers }[place];
  if (!schema) return [];
  const { properties = {}, required = [] } = schemas.of(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...shape }]) => ({
    name,
    in: place,
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema: shape,
  }));
}

function answerResponse(status: string, answer: AnswerShape, schemas: Schemas): Json {
  const { description, text, headers } = answer;
  const content = text ? textContent(text) : { [REPLY]: replyContent(status < '300', answer, schemas) };
  return {
    description,
    ...(headers && { headers: headerSchemas(headers) }),
    ...(status !== '204' && status !== '304' && { content }),
  };
}

const textContent = ({ type, example, or }: NonNullable<AnswerShape['text']>): Json => ({
  [type]: { schema: { type: 'string' }, examples: { example: { value: example } } },
  ...(or && textContent(or)),
});

function replyContent(succeeds: boolean, answer: AnswerShape, schemas: Schemas): Json {
  const { description, message = description, example, data, body } = answer;
  const own = example && [example];
  if (body) return { schema: schemas.of(body, 'output'), ...named(own ?? examplesOf(body)) };
  const examples = data ? (own ?? examplesOf(data)).map((Data) => ({ Data })) : [{}];
  const said = { Success: succeeds, Code: succeeds ? 'OK' : 'UNAVAILABLE', Message: message };
  return {
    schema: replySchema(succeeds, data && schemas.of(data, 'output')),
    ...named(examples.map((one) => ({ ...said, ...one }))),
  };
}

/** By number, from 1, or by the codes that they have. */
const named = (examples: readonly unknown[]): Json =>
  examples.length === 0
    ? {}
    : {
        examples: Object.fromEntries(
          examples.map((value, index) => [(value as { Code?: string }).Code ?? `example${index + 1}`, { value }]),
        ),
      };

/** A reply of an outcome that is no failure of the route, and its Data. */
function replySchema(succeeds: boolean, data: Json | undefined): Json {
  const own = data && { type: 'object', required: ['Data'], properties: { Data: data } };
  if (succeeds) return own ? { allOf: [refTo('schemas', 'Success'), own] } : refTo('schemas', 'Success');
  return {
    type: 'object',
    required: ['Success', 'Code', 'Message', 'Data'],
    properties: {
      Success: { type: 'boolean', const: false },
      Code: { type: 'string', const: 'UNAVAILABLE' },
      Message: { type: 'string' },
      Data: data,
    },
  };
}

const headerSchemas = (headers: Readonly<Record<string, string>>): Json =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  );
