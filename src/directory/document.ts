/**
 * What an import reads: users, businesses, members and API keys. They come as one JSON document with a list of each, or as
 * JSON lines with one entry each; either way an entry has the same schema.
 */

import { z } from 'zod';
import { isToken } from '../credentials/token.ts';
import { Failure, type Issue } from '../errors.ts';
import { reasonNeedsDisabled, roleSchema } from '../input/resources.ts';
import {
  environmentSchema,
  idSchema,
  instantSchema,
  nameSchema,
  rateLimitSchema,
  reasonSchema,
  validate,
} from '../input/scalars.ts';

const disabled = {
  disabled: z.boolean().default(false),
  disabledReason: reasonSchema.nullish(),
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
  role: roleSchema,
});

/** Null or absent: unrestricted. An empty list could be meant as either, so it is refused. */
const restrictionSchema = z
  .array(idSchema)
  .min(1, 'must name a business, or be null for an unrestricted key')
  .superRefine((ids, context) => {
    const first = new Map<string, number>();
    for (const [index, id] of ids.entries()) {
      const other = first.get(id);
      if (other === undefined) first.set(id, index);
      else
        context.addIssue({ code: 'custom', path: [index], message: `is the same as restrictedBusinessIds[${other}]` });
    }
  });

const apiKeySchema = z
  .strictObject({
    id: idSchema,
    userId: idSchema,
    friendlyName: nameSchema,
    allowUserManagementApiRequests: z.boolean(),
    restrictedBusinessIds: restrictionSchema.nullish(),
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

/** The lists of the document, in the order in which their entries refer to each other, with the schema of these. */
const SCHEMAS = {
  users: userSchema,
  businesses: businessSchema,
  members: memberSchema,
  apiKeys: apiKeySchema,
} as const;

export type List = keyof typeof SCHEMAS;

/** List -> what a line calls an entry of it. */
export const LISTS = { users: 'user', businesses: 'business', members: 'member', apiKeys: 'apiKey' } as const;

const LIST_OF_ENTRY: ReadonlyMap<string, List> = new Map(
  (Object.keys(LISTS) as List[]).map((list): [string, List] => [LISTS[list], list]),
);

/** What was found at a place (an index, or the number of a line): not yet known to be an entry of its list. */
export interface Found {
  readonly list: List;
  readonly n: number;
  readonly value: unknown;
}

/** An entry as it is to be loaded. */
export type Entry = {
  [L in List]: { readonly list: L; readonly n: number; readonly value: z.output<(typeof SCHEMAS)[L]> };
}[List];

export type ApiKeyEntry = z.output<typeof apiKeySchema>;

/** @throws Failure INVALID_REQUEST that names everything that is wrong, by paths within the entry. */
export const parseEntry = ({ list, n, value }: Found): Entry =>
  ({ list, n, value: validate(SCHEMAS[list], value) }) as Entry;

const listSchema = z.array(z.unknown(), 'must be a list').optional();
const documentSchema = z.strictObject(
  { users: listSchema, businesses: listSchema, members: listSchema, apiKeys: listSchema },
  'must be an object with the lists users, businesses, members and apiKeys, each of them optional',
);

/** What is wrong with a document around its entries, and everything that stands in its lists. */
export function* itemsOf(document: unknown): Generator<Found | Issue> {
  yield* issuesOf(() => validate(documentSchema, document));
  const lists = (typeof document === 'object' ? (document ?? {}) : {}) as Record<string, unknown>;
  for (const list of Object.keys(LISTS) as List[]) {
    const values = lists[list];
    if (Array.isArray(values)) for (const [n, value] of values.entries()) yield { list, n, value };
  }
}

/** What stands on line `n`. @throws Failure INVALID_REQUEST when it is not one named entry */
export function entryOfLine(n: number, line: unknown): Found {
  const [name, ...others] = typeof line === 'object' && line !== null ? Object.keys(line) : [];
  const list = name === undefined ? undefined : LIST_OF_ENTRY.get(name);
  if (name !== undefined && list !== undefined && others.length === 0) {
    return { list, n, value: (line as Record<string, unknown>)[name] };
  }
  const message = 'must be an object with one entry: {"user": …}, {"business": …}, {"member": …} or {"apiKey": …}';
  throw new Failure('INVALID_REQUEST', undefined, { issues: [{ path: '', message }] });
}

/** What `work` complains of; nothing when it is content. */
export function issuesOf(work: () => unknown): readonly Issue[] {
  try {
    work();
    return [];
  } catch (error) {
    if (error instanceof Failure && error.issues) return error.issues;
    throw error;
  }
}
