/** Schemas of the bodies and queries that HTTP routes and commands share. */

import { z } from 'zod';
import type { StoredAttributes } from '../policy/declared/declaration.ts';
import { given } from './exclusive.ts';
import { environmentSchema, idSchema, instantSchema, nameSchema, rateLimitSchema, reasonSchema } from './scalars.ts';

/** Any object: directory/attributes.ts reads its fields, by what is declared. A record of zod would drop a field named `__proto__`. */
export const attributesSchema = z
  .custom<StoredAttributes>(
    (value) => typeof value === 'object' && value !== null && !Array.isArray(value),
    'must be an object such as {"plan": "pro", "can": ["sms"]}',
  )
  .meta({
    id: 'Attributes',
    type: 'object',
    additionalProperties: {
      anyOf: [{ type: 'string' }, { type: 'boolean' }, { type: 'array', items: { type: 'string' } }],
    },
    description: 'By the names that facts.yaml of the policy declares: one value, or a list of grants.',
  });

export const pageQuery = {
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|1\d\d|200)$/, 'must be 1 to 200')
    .default('50')
    .meta({ type: 'integer', minimum: 1, maximum: 200, default: 50, pattern: undefined })
    .transform(Number),
  cursor: z.string().max(1024).optional(),
};

/** The issue of a reason without `disabled: true`. */
export const reasonNeedsDisabled = { path: ['disabledReason'], message: 'a reason goes with disabled: true' };
/** The same as JSON Schema. */
const REASON_IF_DISABLED = {
  not: { allOf: [given('disabledReason'), { properties: { disabled: { const: false } } }] },
};

export const userBody = z
  .strictObject({
    disabled: z.boolean().default(false),
    disabledReason: reasonSchema.nullable().default(null),
    businessesDisabled: z.boolean().default(false),
    rateLimit: rateLimitSchema.nullable().default(null),
    attributes: attributesSchema.default({}),
  })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled)
  .meta({ id: 'UserBody', ...REASON_IF_DISABLED });

export const businessBody = z
  .strictObject({
    disabled: z.boolean().default(false),
    disabledReason: reasonSchema.nullable().default(null),
    attributes: attributesSchema.default({}),
  })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled)
  .meta({ id: 'BusinessBody', ...REASON_IF_DISABLED });

/** owner, member or one that facts.yaml declares; which these are, directory/attributes.ts checks. */
export const roleSchema = z
  .string()
  .regex(/^[a-z][a-z0-9_]{0,63}$/, 'must be owner or member, or another role that facts.yaml of the policy declares');
export const memberBody = z.strictObject({ role: roleSchema }).meta({ id: 'MemberBody' });

const restrictedBusinessIds = z
  .array(idSchema)
  .min(1, 'must name a business; null, or absent, is an unrestricted key')
  .nullable();
const expiresAt = instantSchema.refine((text) => Date.parse(text) > Date.now(), 'must be in the future').nullable();

export const keyBody = z
  .strictObject({
    userId: idSchema,
    friendlyName: nameSchema,
    allowUserManagementApiRequests: z.boolean(),
    restrictedBusinessIds: restrictedBusinessIds.default(null),
    environment: environmentSchema.default('production'),
    expiresAt: expiresAt.optional(),
    rateLimit: rateLimitSchema.nullable().default(null),
    attributes: attributesSchema.default({}),
  })
  .meta({ id: 'KeyBody' });

export const keyChanges = z
  .strictObject({
    friendlyName: nameSchema.optional(),
    allowUserManagementApiRequests: z.boolean().optional(),
    restrictedBusinessIds: restrictedBusinessIds.optional(),
    environment: environmentSchema.optional(),
    expiresAt: expiresAt.optional(),
    rateLimit: rateLimitSchema.nullable().optional(),
    attributes: attributesSchema.optional(),
  })
  .meta({ id: 'KeyChanges' });

export const reasonBody = z.strictObject({ reason: reasonSchema.nullable().default(null) }).meta({ id: 'ReasonBody' });
export const rotateBody = z
  .strictObject({
    overlapSeconds: z.int().min(0, 'must be 0 to 2592000').max(2_592_000, 'must be 0 to 2592000').default(0),
  })
  .meta({ id: 'RotateBody' });
