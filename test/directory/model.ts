/** A model of the directory in plain TypeScript: the rows that an import should leave. */

import type { Knex } from 'knex';
import { rowsOf } from './imports.ts';

type Attributes = Record<string, string | boolean | string[]>;

interface User {
  id: string;
  disabled?: boolean;
  disabledReason?: string;
  businessesDisabled?: boolean;
  rateLimit?: { requests: number; windowSeconds: number } | null;
  attributes?: Attributes;
}
export interface Member {
  businessId: string;
  userId: string;
  role: 'owner' | 'member' | 'viewer';
}
export interface ApiKey {
  id: string;
  userId: string;
  friendlyName: string;
  allowUserManagementApiRequests: boolean;
  restrictedBusinessIds?: string[] | null;
  environment?: string;
  rateLimit?: { requests: number; windowSeconds: number };
  expiresAt?: string | null;
  revokedAt?: string;
  revokedReason?: string;
  apiKey?: string;
  attributes?: Attributes;
}
export interface Sample {
  users: User[];
  businesses: Pick<User, 'id' | 'disabled' | 'disabledReason' | 'attributes'>[];
  members: Member[];
  apiKeys: ApiKey[];
}

export const PAST = '2020-02-29T12:00:00.000Z';
export const FUTURE = '2999-12-31T23:59:59.000Z';

/** The expected rows. */
export interface Model {
  users: Map<string, object>;
  businesses: Map<string, object>;
  members: Map<string, object>;
  apiKeys: Map<string, ModelKey>;
}
interface ModelKey {
  grants: Record<string, unknown>;
  expiresAt: string | null;
  revokedAt: string | null;
  revokedReason: string | null;
  version: number;
}

/** As they are stored: grants in order, and names in the order that jsonb has. */
const sorted = (attributes: Attributes = {}) =>
  Object.entries(attributes)
    .map(([name, value]) => [name, Array.isArray(value) ? [...value].sort() : value])
    .sort();

const count = { created: 0, changed: 0, left: 0 };
type Counts = Record<keyof Model, typeof count>;

/** Imports into the model; `replaced` are the ids of rotated keys. */
export function importInto(
  model: Model,
  { users, businesses, members, apiKeys }: Sample,
  replaced: ReadonlySet<string>,
): Counts {
  const counts: Counts = {
    users: { ...count },
    businesses: { ...count },
    members: { ...count },
    apiKeys: { ...count },
  };
  const put = <K extends keyof Model>(list: K, id: string, next: object): boolean => {
    const map: Map<string, object> = model[list];
    const before = map.get(id);
    const outcome =
      before === undefined ? 'created' : JSON.stringify(before) === JSON.stringify(next) ? 'left' : 'changed';
    counts[list][outcome] += 1;
    if (outcome !== 'left') map.set(id, next);
    return outcome === 'changed';
  };
  for (const {
    id,
    disabled: off = false,
    disabledReason = null,
    businessesDisabled = false,
    rateLimit: limit = null,
    attributes,
  } of users) {
    put('users', id, {
      off,
      disabledReason,
      businessesDisabled,
      limit: limit && [limit.requests, limit.windowSeconds],
      attributes: sorted(attributes),
    });
  }
  for (const { id, disabled: off = false, disabledReason = null, attributes } of businesses)
    put('businesses', id, { off, disabledReason, attributes: sorted(attributes) });
  for (const { businessId, userId, role } of members) put('members', `${businessId}/${userId}`, { role });
  for (const entry of apiKeys) {
    const before = model.apiKeys.get(entry.id);
    const ended =
      before !== undefined && (replaced.has(entry.id) || (before.expiresAt !== null && before.expiresAt < FUTURE));
    const revoked = before !== undefined && before.revokedAt !== null;
    const { rateLimit: limit } = entry;
    const next: ModelKey = {
      grants: {
        userId: entry.userId,
        friendlyName: entry.friendlyName,
        allow: entry.allowUserManagementApiRequests,
        businesses: entry.restrictedBusinessIds ? [...entry.restrictedBusinessIds].sort() : null,
        environment: entry.environment ?? 'production',
        limit: limit ? [limit.requests, limit.windowSeconds] : null,
        attributes: sorted(entry.attributes),
      },
      expiresAt: ended ? before.expiresAt : (entry.expiresAt ?? null),
      revokedAt: revoked ? before.revokedAt : (entry.revokedAt ?? null),
      revokedReason: revoked ? before.revokedReason : (entry.revokedReason ?? null),
      version: before?.version ?? 1,
    };
    if (put('apiKeys', entry.id, next)) next.version += 1;
  }
  return counts;
}

/** The columns of all the tables; a row has those of its own. */
interface Row {
  id: string;
  business_id: string;
  user_id: string;
  key_id: string;
  role: string;
  disabled_at: Date | null;
  disabled_reason: string | null;
  businesses_disabled_at: Date | null;
  rate_limit_requests: number | null;
  rate_limit_window_seconds: number | null;
  attributes: Attributes;
  friendly_name: string;
  allow_user_management: boolean;
  restricted: boolean;
  environment: string;
  expires_at: Date | null;
  revoked_at: Date | null;
  revoked_reason: string | null;
  rotated_from?: string | null;
  version: string;
}
const limitOf = (row: Row) => row.rate_limit_requests && [row.rate_limit_requests, row.rate_limit_window_seconds];
const iso = (at: Date | null) => at?.toISOString() ?? null;

/** Reads the tables into a model, without the keys that others were rotated to. */
export async function readModel(db: Knex): Promise<Model> {
  const rows = (await rowsOf(db)) as Record<string, Row[]>;
  const map = <T>(table: string, id: (row: Row) => string, value: (row: Row) => T) =>
    new Map((rows[table] ?? []).filter((row) => !row.rotated_from).map((row): [string, T] => [id(row), value(row)]));
  const off = (row: Row) => ({ off: row.disabled_at !== null, disabledReason: row.disabled_reason });
  const restrictions = rows['api_key_businesses'] ?? [];
  return {
    users: map(
      'users',
      ({ id }) => id,
      (row) => ({
        ...off(row),
        businessesDisabled: row.businesses_disabled_at !== null,
        limit: limitOf(row),
        attributes: Object.entries(row.attributes).sort(),
      }),
    ),
    businesses: map(
      'businesses',
      ({ id }) => id,
      (row) => ({ ...off(row), attributes: Object.entries(row.attributes).sort() }),
    ),
    members: map(
      'business_members',
      (row) => `${row.business_id}/${row.user_id}`,
      (row) => ({ role: row.role }),
    ),
    apiKeys: map(
      'api_keys',
      ({ id }) => id,
      (row) => ({
        grants: {
          userId: row.user_id,
          friendlyName: row.friendly_name,
          allow: row.allow_user_management,
          businesses: row.restricted
            ? restrictions
                .filter((entry) => entry.key_id === row.id)
                .map((entry) => entry.business_id)
                .sort()
            : null,
          environment: row.environment,
          limit: limitOf(row),
          attributes: Object.entries(row.attributes).sort(),
        },
        expiresAt: iso(row.expires_at),
        revokedAt: iso(row.revoked_at),
        revokedReason: row.revoked_reason,
        version: Number(row.version),
      }),
    ),
  };
}
