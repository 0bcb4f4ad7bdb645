/** Schemas of the bodies and queries that HTTP routes and commands share. */

import { z } from 'zod';
import {
  actionSchema,
  environmentSchema,
  idSchema,
  instantSchema,
  ipSchema,
  nameSchema,
  rateLimitSchema,
  reasonSchema,
  searchText,
} from './scalars.ts';

export const pageQuery = {
  limit: z
    .string()
    .regex(/^(?:[1-9]\d?|1\d\d|200)$/, 'must be 1 to 200')
    .default('50')
    .transform(Number),
  cursor: z.string().max(1024).optional(),
};

/** The issue of a reason without `disabled: true`. */
export const reasonNeedsDisabled = { path: ['disabledReason'], message: 'a reason goes with disabled: true' };

export const userBody = z
  .strictObject({
    disabled: z.boolean().default(false),
    disabledReason: reasonSchema.nullable().default(null),
    businessesDisabled: z.boolean().default(false),
    rateLimit: rateLimitSchema.nullable().default(null),
  })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled);

export const businessBody = z
  .strictObject({ disabled: z.boolean().default(false), disabledReason: reasonSchema.nullable().default(null) })
  .refine((body) => body.disabled || body.disabledReason === null, reasonNeedsDisabled);

export const roleSchema = z.enum(['owner', 'member'], 'must be owner or member');
export const memberBody = z.strictObject({ role: roleSchema });

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

export const adminQuery = z.strictObject({
  ...pageQuery,
  actor: searchText(128).optional(),
  action: searchText(64).optional(),
  kind: searchText(32).optional(),
  subject: searchText(129).optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
});

const ACTIONS = 'must be an action such as call:create, or all of a noun such as call:*';

/** The filters of decisions. Without `from` the range is the last 24 hours. */
export const decisionFilter = {
  apiKeyId: idSchema.optional(),
  userId: idSchema.optional(),
  businessId: idSchema.optional(),
  callerId: idSchema.optional(),
  action: z
    .union(
      [
        actionSchema,
        z
          .string()
          .max(128)
          .regex(/^[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)*:\*$/),
      ],
      { error: ACTIONS },
    )
    .optional(),
  code: z
    .string()
    .regex(/^[A-Z][A-Z0-9_]{0,63}$/, 'must be a code such as USER_DISABLED')
    .optional(),
  effect: z.enum(['allow', 'deny'], 'must be allow or deny').optional(),
  rule: searchText(128).optional(),
  policy: z
    .string()
    .regex(/^(?:sha256:)?[0-9a-f]{8,64}$/, 'must be a policy digest, or its first 8 or more hex digits')
    .optional(),
  ip: ipSchema.optional(),
  requestId: searchText(128).optional(),
  from: instantSchema.optional(),
  to: instantSchema.optional(),
};

const inOrder = ({ from, to }: { from?: string | undefined; to?: string | undefined }): boolean =>
  from === undefined || to === undefined || from <= to;
const notInOrder = { path: ['to'], message: 'must not be before from' };

export const decisionQuery = z.strictObject({ ...pageQuery, ...decisionFilter }).refine(inOrder, notInOrder);
/** Without paging: for streams. */
export const decisionRange = z.strictObject(decisionFilter).refine(inOrder, notInOrder);
export const statsQuery = z
  .strictObject({
    by: z.enum(
      ['code', 'key', 'user', 'business', 'caller', 'action', 'minute', 'hour', 'day'],
      'must be code, key, user, business, caller, action, minute, hour or day',
    ),
    limit: pageQuery.limit,
    ...decisionFilter,
  })
  .refine(inOrder, notInOrder);
