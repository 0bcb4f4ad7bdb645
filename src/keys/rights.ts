/** What whoever makes and changes keys may do: within which bounds, with user management or not, and how long a key may live. */

import type { Bounds } from '../directory/bounds.ts';
import { Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';
import type { Grants } from './resource.ts';

export interface KeyRights {
  /** Keys outside are not there, and none is made or moved there. */
  readonly bounds: Bounds | undefined;
  /** Whether keys with the user-management permission may be made, widened and rotated. */
  readonly userManagement: boolean;
  /** How long a key may live, in milliseconds from when it was made; undefined: as long as one likes. */
  readonly maxLifetimeMs: number | undefined;
}

/** Operators grant what they like; how long a key may live is the same for all. */
export const operatorRights = (maxLifetimeMs: number | undefined): KeyRights => ({
  bounds: undefined,
  userManagement: true,
  maxLifetimeMs,
});

/** As a number that compares: never is later than any time. */
const end = (instant: string | null): number => (instant === null ? Number.POSITIVE_INFINITY : Date.parse(instant));

/** Whether `to` is a later time than `from`; null: never. */
export const isLater = (to: string | null, from: string | null): boolean => end(to) > end(from);

/**
 * Refuses a key with user management to whoever may not grant that: `after` is what the key is to be, `before` what it was, if it
 * was. @throws Failure FORBIDDEN
 */
export function refuseUserManagement({ userManagement }: KeyRights, after: Grants, before?: Grants): void {
  if (userManagement || !after.allowUserManagementApiRequests || (before && !widens(before, after))) return;
  const message =
    'To make, widen or rotate a key with user management, the caller needs the scope keys:grant-user-management. Use a token that has it.';
  throw new Failure('FORBIDDEN', message);
}

/** Whether the key may do more than before, or may, as far as can be told: what an environment or an attribute permits is the policy's to say. */
function widens(before: Grants, after: Grants): boolean {
  const reached = before.restrictedBusinessIds;
  return (
    !before.allowUserManagementApiRequests ||
    isLater(after.expiresAt, before.expiresAt) ||
    (reached !== null && (after.restrictedBusinessIds?.some((id) => !reached.includes(id)) ?? true)) ||
    after.environment !== before.environment ||
    JSON.stringify(after.rateLimit) !== JSON.stringify(before.rateLimit) ||
    JSON.stringify(after.attributes) !== JSON.stringify(before.attributes)
  );
}

/**
 * The expiry of a key that is made now: the one that was asked for, or, where none was named, the latest possible (null: never).
 * @throws Failure INVALID_REQUEST: it is later than that
 */
export function expiryOfNew({ maxLifetimeMs }: KeyRights, wanted: string | null | undefined): string | null {
  if (maxLifetimeMs === undefined) return wanted ?? null;
  const latest = new Date(Date.now() + maxLifetimeMs).toISOString();
  if (wanted === undefined) return latest;
  if (isLater(wanted, latest)) throw tooLate(latest);
  return wanted;
}

/** The expiry of what a key is rotated to: its own, or the latest possible where that is earlier. */
export function expiryOfNext(rights: KeyRights, own: string | null): string | null {
  const latest = expiryOfNew(rights, undefined);
  return isLater(own, latest) ? latest : own;
}

/** An expiry may be moved to an earlier time in any case, and to a later one within the key's lifetime. @throws Failure INVALID_REQUEST */
export function refuseLaterExpiry(
  { maxLifetimeMs }: KeyRights,
  { createdAt, expiresAt }: { readonly createdAt: string; readonly expiresAt: string | null },
  wanted: string | null | undefined,
): void {
  if (maxLifetimeMs === undefined || wanted === undefined || !isLater(wanted, expiresAt)) return;
  const latest = new Date(Date.parse(createdAt) + maxLifetimeMs).toISOString();
  if (isLater(wanted, latest)) throw tooLate(latest);
}

const tooLate = (latest: string): Failure =>
  invalid('expiresAt', `MAX_KEY_LIFETIME ends this key by ${latest}; name a time up to then`);
