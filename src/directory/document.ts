/**
 * Schemas of what an import reads: users, businesses, members and API keys, in a JSON document with a list of each, or as
 * JSON lines with one entry each. An entry has the same schema in both.
 */

import { z } from 'zod';
import { isToken } from '../credentials/token.ts';
import { Failure, type Issue } from '../errors.ts';
import { invalid, refused } from '../input/json.ts';
import { attributesSchema, reasonNeedsDisabled, roleSchema } from '../input/resources.ts';
import {
  environmentSchema,
  idSchema,
  instantSchema,
  nameSchema,
  rateLimitSchema,
  reasonSchema,
  validate,
} from '../input/scalars.ts';
import type { Declaration } from '../policy/declared/declaration.ts';
import { acceptAttributes, acceptRole, isBuiltInRole, type Owner } from './attributes.ts';

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
    attributes: attributesSchema.default({}),
  })
  .refine((user) => user.disabled || user.disabledReason == null, reasonNeedsDisabled);

const businessSchema = z
  .strictObject({ id: idSchema, ...disabled, attributes: attributesSchema.default({}) })
  .refine((business) => business.disabled || business.disabledReason == null, reasonNeedsDisabled);

const memberSchema = z.strictObject({
  businessId: idSchema,
  userId: idSchema,
  role: roleSchema,
});

/** Null or absent: unrestricted. An empty list is ambiguous (no business, or no restriction?), so it is refused. */
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
    attributes: attributesSchema.default({}),
    expiresAt: instantSchema.nullish(),
    revokedAt: instantSchema.nullish(),
    revokedReason: reasonSchema.nullish(),
    /** An existing key in clear. A new entry without it gets a generated key. */
    apiKey: z
      .string()
      .refine((text) => isToken('apiKey', text), 'is no API key of ours (iqra_ and 36 characters, checksum included)')
      .optional(),
  })
  .refine((key) => key.revokedAt != null || key.revokedReason == null, {
    path: ['revokedReason'],
    message: 'a reason goes with revokedAt',
  });

/** The lists of a document and the schemas of their entries. Entries refer only to entries of earlier lists. */
const SCHEMAS = {
  users: userSchema,
  businesses: businessSchema,
  members: memberSchema,
  apiKeys: apiKeySchema,
} as const;

export type List = keyof typeof SCHEMAS;

/** List -> the name of its entries in JSON lines. */
export const LISTS = { users: 'user', businesses: 'business', members: 'member', apiKeys: 'apiKey' } as const;

/** Whose attributes the entries of a list have. */
const OWNERS = { users: 'user', businesses: 'business', apiKeys: 'key' } as const satisfies Record<string, Owner>;

const LIST_OF_ENTRY: ReadonlyMap<string, List> = new Map(
  (Object.keys(LISTS) as List[]).map((list): [string, List] => [LISTS[list], list]),
);

/** A value from a list that is not validated yet. */
export interface RawEntry {
  readonly list: List;
  /** Its index in the list, or its line number from 1. */
  readonly n: number;
  readonly value: unknown;
}

/** A validated entry. */
export type Entry = {
  [L in List]: { readonly list: L; readonly n: number; readonly value: z.output<(typeof SCHEMAS)[L]> };
}[List];

export type ApiKeyEntry = z.output<typeof apiKeySchema>;

/** What an entry is held against beside its schema. */
export interface EntryRules {
  /** How long from now a key may live, in milliseconds, unless it is revoked; undefined: no cap. */
  readonly maxLifetimeMs?: number | undefined;
  /** Of an entry that `needsDeclaration`. */
  readonly declaration: Declaration;
}

/** Whether an entry has attributes, or a role that is not built in. */
export function needsDeclaration({ list, value }: RawEntry): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { attributes, role } = value as Readonly<Record<string, unknown>>;
  return list === 'members' ? !isBuiltInRole(String(role)) : attributes !== undefined;
}

/** @throws Failure INVALID_REQUEST with all issues, by paths within the entry */
export function parseEntry({ list, n, value }: RawEntry, { maxLifetimeMs, declaration }: EntryRules): Entry {
  const entry = { list, n, value: validate(SCHEMAS[list], value) } as Entry;
  if (entry.list === 'members') {
    acceptRole(declaration, entry.value.role);
    return entry;
  }
  const { attributes } = entry.value;
  const issues = [
    ...issuesOf(() =>
      Object.assign(entry.value, { attributes: acceptAttributes(declaration, OWNERS[entry.list], attributes) }),
    ),
    ...issuesOf(() => entry.list === 'apiKeys' && refuseLongLife(entry.value, maxLifetimeMs)),
  ];
  if (issues.length > 0) throw refused(issues);
  return entry;
}

function refuseLongLife({ expiresAt, revokedAt }: ApiKeyEntry, maxLifetimeMs: number | undefined): void {
  if (maxLifetimeMs === undefined) return;
  const latest = Date.now() + maxLifetimeMs;
  if (revokedAt != null || (expiresAt != null && Date.parse(expiresAt) <= latest)) return;
  throw invalid('expiresAt', `must be ${new Date(latest).toISOString()} at the latest: MAX_KEY_LIFETIME caps it`);
}

const listSchema = z.array(z.unknown(), 'must be a list').optional();
const documentSchema = z.strictObject(
  { users: listSchema, businesses: listSchema, members: listSchema, apiKeys: listSchema },
  'must be an object with the lists users, businesses, members and apiKeys, each of them optional',
);

/** The issues of a document outside its entries, and every value in its lists. */
export function* itemsOf(document: unknown): Generator<RawEntry | Issue> {
  yield* issuesOf(() => validate(documentSchema, document));
  const lists = (typeof document === 'object' ? (document ?? {}) : {}) as Record<string, unknown>;
  for (const list of Object.keys(LISTS) as List[]) {
    const values = lists[list];
    if (Array.isArray(values)) for (const [n, value] of values.entries()) yield { list, n, value };
  }
}

/** The entry of line `n`. @throws Failure INVALID_REQUEST when the line is not an object with one known name */
export function entryOfLine(n: number, line: unknown): RawEntry {
  const [name, ...others] = typeof line === 'object' && line !== null ? Object.keys(line) : [];
  const list = name === undefined ? undefined : LIST_OF_ENTRY.get(name);
  if (name !== undefined && list !== undefined && others.length === 0) {
    return { list, n, value: (line as Record<string, unknown>)[name] };
  }
  const message = 'must be an object with one entry: {"user": …}, {"business": …}, {"member": …} or {"apiKey": …}';
  throw new Failure('INVALID_REQUEST', undefined, { issues: [{ path: '', message }] });
}

/** The issues of the Failure that `work` throws; none when it succeeds. Other errors pass through. */
export function issuesOf(work: () => unknown): readonly Issue[] {
  try {
    work();
    return [];
  } catch (error) {
    if (error instanceof Failure && error.issues) return error.issues;
    throw error;
  }
}
