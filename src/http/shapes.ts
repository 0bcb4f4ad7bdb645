/** The shapes of addresses and of Data, as zod schemas: the OpenAPI document is made from them. */

import { z } from 'zod';
import { roleSchema } from '../bodies.ts';
import { idSchema, rateLimitSchema } from '../validate.ts';

const instant = z.iso.datetime().describe('RFC 3339, in UTC');
const nullableInstant = instant.nullable();

/** An id in an address is text already. */
export const idParams = z.strictObject({ id: idSchema });
export const memberParams = z.strictObject({ id: idSchema, userId: idSchema });

export const pageOf = (item: z.ZodType) => z.object({ items: z.array(item), nextCursor: z.string().nullable() });

export const userData = z.object({
  id: z.string(),
  disabled: z.boolean(),
  disabledReason: z.string().nullable(),
  disabledAt: nullableInstant,
  businessesDisabled: z.boolean(),
  rateLimit: rateLimitSchema.nullable(),
  createdAt: instant,
});

export const businessData = z.object({
  id: z.string(),
  disabled: z.boolean(),
  disabledReason: z.string().nullable(),
  disabledAt: nullableInstant,
  createdAt: instant,
});

export const memberData = z.object({ businessId: z.string(), userId: z.string(), role: roleSchema });

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
