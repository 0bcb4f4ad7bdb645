/** The document that an import reads: users, businesses, members and API keys, each list optional. */

import { z } from 'zod';
import { Failure, type Issue } from '../errors.ts';
import { isToken } from '../keys/token.ts';
import {
  environmentSchema,
  idSchema,
  instantSchema,
  nameSchema,
  rateLimitSchema,
  reasonSchema,
  validate,
} from '../validate.ts';

const disabled = {
  disabled: z.boolean().default(false),
  disabledReason: reasonSchema.nullish(),
};

const reasonNeedsDisabled = {
  path: ['disabledReason'],
  message: 'a reason goes with disabled: true',
};

const userSchema = z
  .strictObject({
    id: idSchema,
    ...disabled,
    businessesDisabled: z.boolean().default(false),
    rateLimit: rateLimitSchema.nullish(),
  })
  .refine((user) => user.disabled || user.disabledReason == null, reasonNeedsDisabled);

const businessSchema = z
  .strictObject({ id: idSchema, ...disabled })
  .refine((business) => business.disabled || business.disabledReason == null, reasonNeedsDisabled);

const memberSchema = z.strictObject({
  businessId: idSchema,
  userId: idSchema,
  role: z.enum(['owner', 'member'], 'must be owner or member'),
});

const apiKeySchema = z
  .strictObject({
    id: idSchema,
    userId: idSchema,
    friendlyName: nameSchema,
    allowUserManagementApiRequests: z.boolean(),
    /** Null or absent: unrestricted. An empty list could be meant as either, so it is refused. */
    restrictedBusinessIds: z
      .array(idSchema)
      .min(1, 'must name a business, or be null for an unrestricted key')
      .nullish(),
    environment: environmentSchema.default('production'),
    rateLimit: rateLimitSchema.nullish(),
    expiresAt: instantSchema.nullish(),
    revokedAt: instantSchema.nullish(),
    revokedReason: reasonSchema.nullish(),
    /** In clear, to be adopted; a key without it that is new is generated. */
    apiKey: z
      .string()
      .refine((text) => isToken('apiKey', text), 'is no API key of ours (iqra_ and 36 characters, checksum included)')
      .optional(),
  })
  .refine((key) => key.revokedAt != null || key.revokedReason == null, {
    path: ['revokedReason'],
    message: 'a reason goes with revokedAt',
  });

const documentSchema = z.strictObject({
  users: z.array(userSchema).default([]),
  businesses: z.array(businessSchema).default([]),
  members: z.array(memberSchema).default([]),
  apiKeys: z.array(apiKeySchema).default([]),
});

export type Document = z.output<typeof documentSchema>;

/** @throws Failure INVALID_REQUEST that names every bad entry by its path, entries that stand twice included. */
export function parseDocument(value: unknown): Document {
  const document = validate(documentSchema, value);
  const issues = [
    ...repeated('users', document.users, (user) => user.id),
    ...repeated('businesses', document.businesses, (business) => business.id),
    ...repeated('members', document.members, (member) => `${member.businessId} ${member.userId}`),
    ...repeated('apiKeys', document.apiKeys, (key) => key.id),
    ...repeated('apiKeys', document.apiKeys, (key) => key.apiKey),
    ...document.apiKeys.flatMap((key, index) =>
      repeated(`apiKeys[${index}].restrictedBusinessIds`, key.restrictedBusinessIds ?? [], (id) => id),
    ),
  ];
  if (issues.length > 0) throw new Failure('INVALID_REQUEST', undefined, { issues });
  return document;
}

function repeated<T>(list: string, entries: readonly T[], identity: (entry: T) => string | undefined): Issue[] {
  const first = new Map<string, number>();
  return entries.flatMap((entry, index) => {
    const key = identity(entry);
    if (key === undefined) return [];
    const other = first.get(key);
    if (other === undefined) {
      first.set(key, index);
      return [];
    }
    return [{ path: `${list}[${index}]`, message: `is the same as ${list}[${other}]` }];
  });
}
