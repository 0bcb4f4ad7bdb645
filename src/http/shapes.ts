/** The shapes of addresses, headers and Data, as zod schemas with examples: the OpenAPI document is made from them. */

import { z } from 'zod';
import { roleSchema } from '../input/resources.ts';
import { idSchema, rateLimitSchema } from '../input/scalars.ts';

export const instant = z.iso.datetime().describe('RFC 3339, in UTC');
export const nullableInstant = instant.nullable();

/** An id in an address is text already. */
export const idParams = z.strictObject({ id: idSchema });
export const memberParams = z.strictObject({ id: idSchema, userId: idSchema });

export const ifMatchHeaders = z.object({
  'If-Match': z
    .string()
    .regex(
      /^(?:\*|(?:W\/)?"[!#-~]*"(?: *, *(?:W\/)?"[!#-~]*")*)$/,
      'If-Match takes the ETag of what was read, quotes included',
    )
    .describe('The ETag of what was read, or *. Without it the last write wins.')
    .optional(),
});

/** The object with an example of it, which its document shows. */
export const shape = <Shape extends z.ZodRawShape>(fields: Shape, example: z.input<z.ZodObject<Shape>>) =>
  z.object(fields).meta({ examples: [example] });

/** What `shape` was given. */
export const exampleOf = <Schema extends z.ZodType>(schema: Schema): z.input<Schema> =>
  (schema.meta()?.['examples'] as z.input<Schema>[] | undefined)?.[0] as z.input<Schema>;

export const pageOf = (item: z.ZodType) =>
  shape({ items: z.array(item), nextCursor: z.string().nullable() }, { items: [exampleOf(item)], nextCursor: null });

export const userData = shape(
  {
    id: z.string(),
    disabled: z.boolean(),
    disabledReason: z.string().nullable(),
    disabledAt: nullableInstant,
    businessesDisabled: z.boolean(),
    rateLimit: rateLimitSchema.nullable(),
    createdAt: instant,
  },
  {
    id: 'ada',
    disabled: true,
    disabledReason: 'The account was closed on request.',
    disabledAt: '2030-01-31T12:00:00.000Z',
    businessesDisabled: false,
    rateLimit: { requests: 600, windowSeconds: 60 },
    createdAt: '2029-06-01T08:00:00.000Z',
  },
);

export const businessData = shape(
  {
    id: z.string(),
    disabled: z.boolean(),
    disabledReason: z.string().nullable(),
    disabledAt: nullableInstant,
    createdAt: instant,
  },
  { id: 'bakery', disabled: false, disabledReason: null, disabledAt: null, createdAt: '2029-06-01T08:00:00.000Z' },
);

export const memberData = shape(
  { businessId: z.string(), userId: z.string(), role: roleSchema },
  { businessId: 'bakery', userId: 'ada', role: 'owner' },
);

export const keyData = shape(
  {
    id: z.string(),
    userId: z.string(),
    friendlyName: z.string(),
    hint: z.string(),
    allowUserManagementApiRequests: z.boolean(),
    restrictedBusinessIds: z.array(z.string()).nullable(),
    environment: z.string(),
    rateLimit: rateLimitSchema.nullable(),
    createdAt: instant,
    expiresAt: nullableInstant,
    revokedAt: nullableInstant,
    revokedReason: z.string().nullable(),
    rotatedFrom: z.string().nullable(),
    rotatedTo: z.string().nullable(),
    lastUsedAt: nullableInstant,
    status: z.enum(['active', 'expired', 'revoked']),
  },
  {
    id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    userId: 'ada',
    friendlyName: 'Only for the bakery',
    hint: 'iqra_4fGh...x2Pq',
    allowUserManagementApiRequests: false,
    restrictedBusinessIds: ['bakery'],
    environment: 'production',
    rateLimit: null,
    createdAt: '2029-06-01T08:00:00.000Z',
    expiresAt: '2030-06-01T08:00:00.000Z',
    revokedAt: null,
    revokedReason: null,
    rotatedFrom: null,
    rotatedTo: null,
    lastUsedAt: '2030-01-31T12:00:00.000Z',
    status: 'active',
  },
);

export const newKeyData = shape({ apiKey: z.string(), key: keyData }, { apiKey: 'iqra_...', key: exampleOf(keyData) });

export const adminData = shape(
  {
    id: z.uuid(),
    at: instant,
    actor: z.string(),
    action: z.string(),
    kind: z.string(),
    subject: z.string(),
    before: z.looseObject({}).nullable(),
    after: z.looseObject({}).nullable(),
    requestId: z.string().nullable(),
  },
  {
    id: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    at: '2030-01-31T12:00:00.000Z',
    actor: 'bootstrap',
    action: 'member.create',
    kind: 'member',
    subject: 'bakery/ada',
    before: null,
    after: { businessId: 'bakery', userId: 'ada', role: 'owner' },
    requestId: '7f3a',
  },
);

export const nullableText = z.string().nullable();
export const decisionData = shape(
  {
    decisionId: z.uuid(),
    status: z.int(),
    rule: z.string(),
    policy: z.string(),
    apiKeyId: nullableText,
    userId: nullableText,
    businessId: nullableText,
    action: z.string(),
    rateLimit: z
      .object({ limit: z.int(), remaining: z.int(), resetSeconds: z.int() })
      .describe('With OK and RATE_LIMITED: what the key may still ask in the window under way.')
      .optional(),
    retryAfterSeconds: z.int().describe('With RATE_LIMITED: when to ask again.').optional(),
  },
  {
    decisionId: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
    status: 200,
    rule: 'allow-on-target',
    policy: 'sha256:5ed05654',
    apiKeyId: 'ada-main',
    userId: 'ada',
    businessId: 'bakery',
    action: 'call:create',
    rateLimit: { limit: 600, remaining: 599, resetSeconds: 60 },
  },
);
export const decisionReplyShape = shape(
  {
    Success: z.boolean(),
    Code: z.string(),
    Message: z.string(),
    Data: decisionData,
  },
  { Success: true, Code: 'OK', Message: 'The request is allowed.', Data: exampleOf(decisionData) },
);

export const readinessData = shape(
  {
    database: z.boolean(),
    migrations: z.boolean(),
    policy: z.string(),
    draining: z.boolean(),
  },
  { database: true, migrations: true, policy: 'sha256:5ed05654', draining: false },
);

export const revokedData = shape({ revoked: z.int() }, { revoked: 3 });
export const decisionsData = shape(
  { decisions: z.array(decisionReplyShape) },
  { decisions: [exampleOf(decisionReplyShape)] },
);
export const openApiData = z.looseObject({ openapi: z.string() });
