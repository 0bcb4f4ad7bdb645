/** What the service has stored, as plain data, in the words of its HTTP API; and what is known of a key and a business in it. */

import type { StoredAttributes } from '../../../src/policy/declared/declaration.ts';
import { closed, type Facts } from '../../../src/policy/facts.ts';
import type { Stored } from '../../../src/policy/facts-under.ts';
import type { PublicReasons } from '../../../src/policy/message.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';

export interface WorldUser {
  readonly disabled?: boolean;
  /** Public. */
  readonly disabledReason?: string | null;
  readonly businessesDisabled?: boolean;
  readonly attributes?: StoredAttributes;
}

export interface WorldBusiness {
  readonly disabled?: boolean;
  /** Public. */
  readonly disabledReason?: string | null;
  readonly attributes?: StoredAttributes;
  /** The id of a user -> its role. */
  readonly members?: Readonly<Record<string, string>>;
}

export interface WorldKey {
  /** What the client sends, any text without spaces; absent: the id of the key. */
  readonly apiKey?: string;
  readonly userId: string;
  readonly allowUserManagementApiRequests?: boolean;
  /** Absent or null: all of its user's. */
  readonly restrictedBusinessIds?: readonly string[] | null;
  /** Absent: production. */
  readonly environment?: string;
  /** RFC 3339; absent or null: never. */
  readonly expiresAt?: string | null;
  readonly revoked?: boolean;
  readonly attributes?: StoredAttributes;
  /** It is over its rate limit. Nothing is counted here. */
  readonly rateLimitExceeded?: boolean;
}

/** Denies what fits all that it names. */
export interface WorldFreeze {
  /** A pattern: `call:*`. */
  readonly action?: string | null;
  readonly apiKeyId?: string | null;
  readonly userId?: string | null;
  readonly businessId?: string | null;
  /** Public. */
  readonly reason: string;
  /** RFC 3339; absent: it does not end. */
  readonly until?: string;
}

/** By their ids. */
export interface World {
  readonly users?: Readonly<Record<string, WorldUser>>;
  readonly businesses?: Readonly<Record<string, WorldBusiness>>;
  readonly keys?: Readonly<Record<string, WorldKey>>;
  readonly freezes?: readonly WorldFreeze[];
  /** RFC 3339: when it is asked; absent: now. */
  readonly at?: string;
}

/** What a world says of a key and a business. */
export interface KnownInWorld extends Stored {
  readonly reasons: PublicReasons;
  readonly rateLimitExceeded: boolean;
}

const { key: UNKNOWN_KEY, user: UNKNOWN_USER, target: NO_TARGET } = BUILT_IN.nothingKnown;
const NO_ATTRIBUTES: StoredAttributes = closed({});

/** `apiKey`: what the client sent; undefined: none. `now`: milliseconds since 1970. */
export function knownIn(
  world: World,
  apiKey: string | undefined,
  businessId: string | undefined,
  now: number,
): KnownInWorld {
  const isSent = ([id, one]: [string, WorldKey]): boolean => (one.apiKey ?? id) === apiKey;
  const [id, key] = (apiKey ? Object.entries(world.keys ?? {}).find(isSent) : undefined) ?? [];
  if (id === undefined || !key) {
    const target = businessId === undefined ? NO_TARGET : { ...NO_TARGET, id: businessId, status: 'unknown' as const };
    const stored = { key: NO_ATTRIBUTES, user: NO_ATTRIBUTES, target: NO_ATTRIBUTES };
    return { key: UNKNOWN_KEY, user: UNKNOWN_USER, target, stored, reasons: {}, rateLimitExceeded: false };
  }
  const user = own(world.users, key.userId);
  const business = businessId === undefined ? undefined : own(world.businesses, businessId);
  return {
    key: {
      id,
      status: statusOf(key, now),
      userManagement: key.allowUserManagementApiRequests ?? false,
      environment: key.environment ?? 'production',
    },
    user: user
      ? {
          id: key.userId,
          status: user.disabled ? 'disabled' : 'active',
          businesses: user.businessesDisabled ? 'disabled' : 'active',
        }
      : UNKNOWN_USER,
    target: businessId === undefined ? NO_TARGET : targetOf(businessId, business, key, user && key.userId),
    stored: {
      key: key.attributes ?? NO_ATTRIBUTES,
      user: user?.attributes ?? NO_ATTRIBUTES,
      target: business?.attributes ?? NO_ATTRIBUTES,
    },
    reasons: { user: reasonOf(user), target: reasonOf(business) },
    rateLimitExceeded: key.rateLimitExceeded ?? false,
  };
}

function statusOf({ revoked, expiresAt }: WorldKey, now: number): Facts['key']['status'] {
  if (revoked) return 'revoked';
  return (expiresAt ?? null) !== null && momentOf(expiresAt, 'expiresAt') <= now ? 'expired' : 'active';
}

/** Milliseconds since 1970. @throws TypeError: it is no time, and so neither before nor after any other */
export function momentOf(text: string | null | undefined, name: string): number {
  const moment = Date.parse(text ?? '');
  if (Number.isNaN(moment)) throw new TypeError(`${name} of the world must be a time such as 2030-01-31T12:00:00Z`);
  return moment;
}

function targetOf(
  id: string,
  business: WorldBusiness | undefined,
  { restrictedBusinessIds }: WorldKey,
  userId: string | undefined,
): Facts['target'] {
  const isListed = business !== undefined && (restrictedBusinessIds?.includes(id) ?? false);
  const role = userId === undefined ? undefined : own(business?.members, userId);
  return {
    id,
    status: business ? (business.disabled ? 'disabled' : 'active') : 'unknown',
    // Of a role that the policy does not declare, factsUnder makes `other`.
    role: (role ?? 'none') as Facts['target']['role'],
    inRestriction: !restrictedBusinessIds || isListed,
  };
}

const reasonOf = (one: WorldUser | WorldBusiness | undefined): string | undefined =>
  one?.disabled ? (one.disabledReason ?? undefined) : undefined;

const own = <T>(all: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  all && Object.hasOwn(all, name) ? all[name] : undefined;
