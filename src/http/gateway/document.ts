/** What the OpenAPI document says of the addresses that gateways ask at: they are no routes of the router (gateway.ts). */

import { FAILURES } from '../../errors.ts';
import { type Json, refTo } from '../openapi/schemas.ts';
import { tagOf } from '../openapi/tags.ts';
import { DENIAL_CODE } from '../shared-shapes.ts';
import { BODY_HEADER, IDENTITY } from './answers.ts';
import { METHODS, NAMED_IN } from './dialects.ts';

const TOKEN = 'gatewayToken';
const text: Json = { type: 'string' };

const identityHeaders = Object.fromEntries(
  Object.entries(IDENTITY).map(([of, name]) => [
    name,
    { description: `The id of the ${of}; empty where there is none.`, schema: text },
  ]),
);
const RETRY_AFTER = {
  'Retry-After': { description: 'Seconds, after which to ask again.', schema: { type: 'integer', format: 'int32' } },
};
const CHALLENGE = { 'WWW-Authenticate': { description: 'Token', schema: text } };

const answered = (description: string, schema: Json, example: Json, headers: Json = {}): Json => ({
  description,
  ...(Object.keys(headers).length > 0 && { headers }),
  content: { 'application/json': { schema, examples: { [String(example['Code'])]: { value: example } } } },
});
const denial = (description: string, Code: string, Message: string, headers?: Json): Json =>
  answered(
    description,
    {
      type: 'object',
      required: ['Success', 'Code', 'Message'],
      properties: { Success: { type: 'boolean', const: false }, Code: refTo('schemas', DENIAL_CODE), Message: text },
    },
    { Success: false, Code, Message },
    headers,
  );
const unavailable = answered(
  'Any failure, that of the gateway to show its token included. Never a denial.',
  {
    allOf: [
      refTo('schemas', 'Failure'),
      { type: 'object', required: ['Code'], properties: { Code: { type: 'string', enum: ['UNAVAILABLE'] } } },
    ],
  },
  { Success: false, Code: 'UNAVAILABLE', Message: FAILURES.UNAVAILABLE.message },
  RETRY_AFTER,
);

/** The components that `gatewayPaths` refers to. */
export const gatewayComponents: { readonly securitySchemes: Json; readonly responses: Json } = {
  securitySchemes: {
    [TOKEN]: {
      type: 'apiKey',
      in: 'header',
      name: 'Iqra-Caller',
      description:
        'Bearer and a caller token with the scope authorize. Set by the gateway: Authorization is that of its client.',
    },
  },
  responses: {
    GatewayAllow: answered(
      'Allowed. The headers are for the service behind the gateway.',
      refTo('schemas', 'Success'),
      { Success: true, Code: 'OK', Message: 'The API key may do this.' },
      identityHeaders,
    ),
    GatewayUnauthenticated: denial(
      'The client shows no live API key.',
      'INVALID_API_KEY',
      'The API key is missing, malformed, unknown, revoked or expired.',
      CHALLENGE,
    ),
    GatewayForbidden: denial(
      'Any other denial; and without a decision: no route of gateway.yaml, an ambiguous path, or a gateway that does not say what it was asked.',
      'PERMISSION_DENIED',
      'Nothing may be done here: no route leads to it.',
    ),
    GatewayRateLimited: denial(
      'The key is over its limit.',
      'RATE_LIMITED',
      'The API key is over its rate limit.',
      RETRY_AFTER,
    ),
    GatewayUnavailable: unavailable,
  },
};

const responses: Json = Object.fromEntries(
  Object.entries({
    200: 'Allow',
    401: 'Unauthenticated',
    403: 'Forbidden',
    429: 'RateLimited',
    503: 'Unavailable',
  }).map(([status, name]) => [status, refTo('responses', `Gateway${name}`)]),
);

const operation = (method: string, dialect: string, summary: string, parameters: readonly Json[]): Json => ({
  operationId: `${method.toLowerCase()}Gateway${dialect.charAt(0).toUpperCase()}${dialect.slice(1)}`,
  tags: [tagOf('/gateway')],
  summary,
  security: [{ [TOKEN]: ['authorize'] }],
  parameters,
  responses,
});

const header = (name: string, required: boolean, description: string): Json => ({
  name,
  in: 'header',
  required,
  description,
  schema: text,
});
/** OpenAPI has no parameter named Authorization: it takes that for a security scheme. */
const FOR_LOG = [header('User-Agent', false, 'Of the client, for the log.')];
const PATH = {
  name: 'path',
  in: 'path',
  required: true,
  description: 'The whole path and query of the request, slashes included.',
  schema: text,
};
const SUMMARIES: Readonly<Record<keyof typeof NAMED_IN, string>> = {
  nginx: `May this request go through? For auth_request of nginx. Every answer but 200 has its body in ${BODY_HEADER}, too.`,
  forwarded: 'May this request go through? For forward_auth of Caddy, ForwardAuth of Traefik.',
  haproxy: 'May this request go through? For HAProxy with Lua.',
};
const ENVOY = "May this request go through? For the HTTP service of Envoy's ext_authz, with any method.";
const ENVOY_METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH'];

/** Path -> operations. The client's Authorization is read at each. */
export const gatewayPaths: Readonly<Record<string, Json>> = {
  ...Object.fromEntries(
    Object.entries(NAMED_IN).map(([dialect, names]) => [
      `/gateway/${dialect}`,
      Object.fromEntries(
        METHODS.map((method) => [
          method.toLowerCase(),
          operation(method, dialect, SUMMARIES[dialect as keyof typeof NAMED_IN], [
            header(names.method, true, "The method of the client's request."),
            header(names.target, true, "The target of the client's request, as it stood in the request line."),
            ...FOR_LOG,
          ]),
        ]),
      ),
    ]),
  ),
  '/gateway/envoy/{path}': Object.fromEntries(
    ENVOY_METHODS.map((method) => [method.toLowerCase(), operation(method, 'envoy', ENVOY, [PATH, ...FOR_LOG])]),
  ),
};
