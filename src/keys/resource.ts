/** The API key as a resource: its fields, the columns of `api_keys` that they come from, and the way between the two. */

import { inOrder } from '../directory/attributes.ts';
import { rateLimitOf } from '../directory/users.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { StoredAttributes } from '../policy/declared/declaration.ts';

/** The fields of a key that can be set and changed. */
export interface Grants {
  readonly friendlyName: string;
  readonly allowUserManagementApiRequests: boolean;
  /** Null: unrestricted. Empty when the last business of a restriction was deleted: then the key may use none. */
  readonly restrictedBusinessIds: readonly string[] | null;
  readonly environment: string;
  /** RFC 3339. */
  readonly expiresAt: string | null;
  /** Null: none of its own; facts/stored-facts.ts says which limit holds then. */
  readonly rateLimit: RateLimit | null;
  /** Declared ones: see `acceptAttributes`. */
  readonly attributes: StoredAttributes;
}

export interface ApiKey extends Grants {
  readonly id: string;
  readonly userId: string;
  readonly hint: string;
  readonly createdAt: string;
  readonly revokedAt: string | null;
  readonly revokedReason: string | null;
  readonly rotatedFrom: string | null;
  readonly rotatedTo: string | null;
  readonly lastUsedAt: string | null;
  readonly status: 'active' | 'expired' | 'revoked';
  readonly version: number;
}

export interface KeyRow {
  id: string;
  user_id: string;
  friendly_name: string;
  hint: string;
  allow_user_management: boolean;
  restricted: boolean;
  business_ids: string[];
  environment: string;
  rate_limit_requests: number | null;
  rate_limit_window_seconds: number | null;
  attributes: StoredAttributes;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  revoked_reason: string | null;
  rotated_from: string | null;
  rotated_to: string | null;
  last_used_at: Date | null;
  version: number;
  expired: boolean;
}

/** The columns of a KeyRow, of `audited_keys k`, which auditors may read. Expiry compares with the database's clock. */
export const COLUMNS = `
  k.id, k.user_id, k.friendly_name, k.hint, k.allow_user_management, k.restricted, k.business_ids, k.environment,
  k.rate_limit_requests, k.rate_limit_window_seconds, k.attributes, k.created_at, k.expires_at, k.revoked_at, k.revoked_reason,
  k.rotated_from, k.rotated_to, k.last_used_at, k.version::int, coalesce(k.expires_at <= now(), false) as expired`;

export const present = (row: KeyRow): ApiKey => ({
  id: row.id,
  userId: row.user_id,
  friendlyName: row.friendly_name,
  hint: row.hint,
  allowUserManagementApiRequests: row.allow_user_management,
  restrictedBusinessIds: row.restricted ? row.business_ids : null,
  environment: row.environment,
  rateLimit: rateLimitOf(row),
  attributes: inOrder(row.attributes),
  createdAt: row.created_at.toISOString(),
  expiresAt: row.expires_at?.toISOString() ?? null,
  revokedAt: row.revoked_at?.toISOString() ?? null,
  revokedReason: row.revoked_reason,
  rotatedFrom: row.rotated_from,
  rotatedTo: row.rotated_to,
  lastUsedAt: row.last_used_at?.toISOString() ?? null,
  status: row.revoked_at ? 'revoked' : row.expired ? 'expired' : 'active',
  version: row.version,
});

/** The columns for the grants, or for those of them in `only`. The list of businesses has a table of its own. */
export function grantColumns(grants: Grants, only?: ReadonlySet<string>) {
  const has = (name: keyof Grants): boolean => only === undefined || only.has(name);
  return {
    ...(has('friendlyName') && { friendly_name: grants.friendlyName }),
    ...(has('allowUserManagementApiRequests') && { allow_user_management: grants.allowUserManagementApiRequests }),
    ...(has('restrictedBusinessIds') && { restricted: grants.restrictedBusinessIds !== null }),
    ...(has('environment') && { environment: grants.environment }),
    ...(has('expiresAt') && { expires_at: grants.expiresAt === null ? null : new Date(grants.expiresAt) }),
    ...(has('rateLimit') && {
      rate_limit_requests: grants.rateLimit?.requests ?? null,
      rate_limit_window_seconds: grants.rateLimit?.windowSeconds ?? null,
    }),
    ...(has('attributes') && { attributes: grants.attributes }),
  };
}
