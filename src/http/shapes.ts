/** The shapes of requests and of Data, as zod schemas: they validate, and the OpenAPI document is made from them. */

import { z } from 'zod';
import { SCOPES } from '../directory/find-caller.ts';
import { environmentSchema, idSchema, instantSchema, nameSchema, rateLimitSchema, reasonSchema } from '../validate.ts';

const instant = z.iso.datetime().describe('RFC 3339, in UTC');
const nullableInstant = instant.nullable();

/** An id in an address is text already. */
export const idParams = z.strictObject({ id: idSchema });
export const memberParams = z.strictObject({ id: idSchema, userId: idSchema });

export const pageQuery = {
  limit: z
    .string()
    .regex(/^[0-9]{1,3}$/, 'must be 1 to 200')
    .transform(Number)
    .refine((limit) => limit >= 1 && limit <= 200, 'must be 1 to 200')
    .default(50),
  cursor: z.string().max(1024).optional(),
};

export const pageOf = (item: z.ZodType) => z.object({ items: z.array(item), nextCursor: z.string().nullable() });

const reasonNeedsDisabled = { path: ['disabledReason'], message: 'a reason goes with disabled: true' };

export const userBody = z
  .strictObject({
    disabled: z.boolean().default(false),
    disabledReason: reasonSchema.nullable().default(null),
    businessesDisabled: z.boolean().default(false),
    rateLimit: rateLimitSchema.nullable().default(null),
  })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled);

export const userData = z.object({
  id: z.string(),
  disabled: z.boolean(),
  disabledReason: z.string().nullable(),
  disabledAt: nullableInstant,
  businessesDisabled: z.boolean(),
  rateLimit: rateLimitSchema.nullable(),
  createdAt: instant,
});

export const businessBody = z
  .strictObject({ disabled: z.boolean().default(false), disabledReason: reasonSchema.nullable().default(null) })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled);

export const businessData = z.object({
  id: z.string(),
  disabled: z.boolean(),
  disabledReason: z.string().nullable(),
  disabledAt: nullableInstant,
  createdAt: instant,
});

const role = z.enum(['owner', 'member'], 'must be owner or member');
export const memberBody = z.strictObject({ role });
export const memberData = z.object({ businessId: z.string(), userId: z.string(), role });

const restrictedBusinessIds = z
  .array(idSchema)
  .min(1, 'must name a business; null, or absent, is an unrestricted key')
  .nullable();
const expiresAt = instantSchema.refine((text) => Date.parse(text) > Date.now(), 'must be in the future').nullable();

export const keyBody = z.strictObject({
  userId: idSchema,
  friendlyName: nameSchema,
  allowUserManagementApiRequests: z.boolean(),
  restrictedBusinessIds: restrictedBusinessIds.default(null),
  environment: environmentSchema.default('production'),
  expiresAt: expiresAt.default(null),
  rateLimit: rateLimitSchema.nullable().default(null),
});

export const keyChanges = z.strictObject({
  friendlyName: nameSchema.optional(),
  allowUserManagementApiRequests: z.boolean().optional(),
  restrictedBusinessIds: restrictedBusinessIds.optional(),
  environment: environmentSchema.optional(),
  expiresAt: expiresAt.optional(),
  rateLimit: rateLimitSchema.nullable().optional(),
});

export const reasonBody = z.strictObject({ reason: reasonSchema.nullable().default(null) });
export const rotateBody = z.strictObject({
  overlapSeconds: z.int().min(0, 'must be 0 to 2592000').max(2_592_000, 'must be 0 to 2592000').default(0),
});

export const keyData = z.object({
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
});

export const newKeyData = z.object({ apiKey: z.string(), key: keyData });

export const adminQuery = z.strictObject({
  ...pageQuery,
  actor: z.string().max(128).optional(),
  action: z.string().max(64).optional(),
  kind: z.string().max(32).optional(),
  subject: z.string().max(129).optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
});

export const adminData = z.object({
  id: z.uuid(),
  at: instant,
  actor: z.string(),
  action: z.string(),
  kind: z.string(),
  subject: z.string(),
  before: z.looseObject({}).nullable(),
  after: z.looseObject({}).nullable(),
  requestId: z.string().nullable(),
});

export const scopeName = z.enum(SCOPES);

const nullableText = z.string().nullable();
export const decisionData = z.object({
  decisionId: z.uuid(),
  status: z.int(),
  rule: z.string(),
  policy: z.string(),
  apiKeyId: nullableText,
  userId: nullableText,
  businessId: nullableText,
  action: z.string(),
});
export const decisionReplyShape = z.object({
  Success: z.boolean(),
  Code: z.string(),
  Message: z.string(),
  Data: decisionData,
});

export const readinessData = z.object({
  database: z.boolean(),
  migrations: z.boolean(),
  policy: z.string(),
  draining: z.boolean(),
});
