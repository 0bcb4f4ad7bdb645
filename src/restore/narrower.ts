/**
 * The narrower of two states: what a restored database has, and what it had come to. No right comes of it that the later state lacks. What
 * has an order (disabled, a restriction, an expiry, a limit of one window) takes the narrower; what has none (an attribute, an environment, a
 * role) takes the later value, since which one the policy gives less is not to be seen here. Later than all that was lost is what the restored
 * database itself has changed since: `own`, the names of those fields.
 */

import { inOrder } from '../directory/attributes.ts';
import type { Business, BusinessState } from '../directory/businesses.ts';
import type { User, UserState } from '../directory/users.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { ApiKey, Grants } from '../keys/resource.ts';
import type { StateOf } from './duties.ts';

export type Own = ReadonlySet<string>;

export const narrowerUser = (held: User, later: StateOf<'user'>, own: Own): UserState => ({
  disabled: held.disabled || later.disabled,
  disabledReason: held.disabled || !later.disabled ? held.disabledReason : later.disabledReason,
  businessesDisabled: held.businessesDisabled || later.businessesDisabled,
  rateLimit: narrowerLimit(held.rateLimit, later.rateLimit, own),
  attributes: own.has('attributes') ? held.attributes : inOrder(later.attributes),
});

export const narrowerBusiness = (held: Business, later: StateOf<'business'>, own: Own): BusinessState => ({
  disabled: held.disabled || later.disabled,
  disabledReason: held.disabled || !later.disabled ? held.disabledReason : later.disabledReason,
  attributes: own.has('attributes') ? held.attributes : inOrder(later.attributes),
});

/** An owner is taken to have every right that another role has; the other roles have no order. */
export const narrowerRole = (held: string, later: string, own: Own): string =>
  later === 'owner' || (held !== 'owner' && own.has('role')) ? held : later;

/** The fields that are to change. `reachable`: the businesses of the key's user; a restriction cannot name others. */
export function narrowerGrants(
  held: ApiKey,
  later: StateOf<'key'>,
  reachable: ReadonlySet<string>,
  own: Own,
): Partial<Grants> {
  const wanted = {
    allowUserManagementApiRequests: held.allowUserManagementApiRequests && later.allowUserManagementApiRequests,
    restrictedBusinessIds: narrowerRestriction(held.restrictedBusinessIds, later.restrictedBusinessIds),
    environment: own.has('environment') ? held.environment : later.environment,
    expiresAt: earlier(held.expiresAt, later.expiresAt),
    rateLimit: narrowerLimit(held.rateLimit, later.rateLimit, own),
    attributes: own.has('attributes') ? held.attributes : inOrder(later.attributes),
  };
  const changed = Object.entries(wanted).filter(
    ([name, value]) => JSON.stringify(value) !== JSON.stringify(held[name as keyof typeof wanted]),
  );
  const grants: Partial<Grants> = Object.fromEntries(changed);
  const { restrictedBusinessIds } = grants;
  if (restrictedBusinessIds == null) return grants;
  return { ...grants, restrictedBusinessIds: restrictedBusinessIds.filter((id) => reachable.has(id)) };
}

function narrowerRestriction(
  held: readonly string[] | null,
  later: readonly string[] | null,
): readonly string[] | null {
  if (held === null || later === null) return held ?? later;
  return held.filter((id) => later.includes(id));
}

/** Null: never. */
function earlier(held: string | null, later: string | null): string | null {
  if (held === null || later === null) return held ?? later;
  return Date.parse(later) < Date.parse(held) ? later : held;
}

/** Limits of different windows, and that of another setting (null), have no order. */
function narrowerLimit(held: RateLimit | null, later: RateLimit | null, own: Own): RateLimit | null {
  if (held === null || later === null || held.windowSeconds !== later.windowSeconds)
    return own.has('rateLimit') ? held : later;
  return later.requests < held.requests ? later : held;
}
