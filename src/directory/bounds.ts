/**
 * What a caller that is bound to users or to businesses may see and change. A route refuses bound callers unless it says that it
 * heeds bounds, and then asks here, so that a new route is closed to them until somebody has thought about it.
 *
 * Bound to users: these, and their keys; and to see the businesses that they are members of. Bound to businesses: these, their
 * members, and the keys that are restricted to them alone; and to see the users that are members. Bound to both: what lies in both.
 */

import type { Knex } from 'knex';
import { Failure } from '../errors.ts';
import { notFound } from './common.ts';

/** Undefined: not bound by that. Never both. */
export interface Bounds {
  readonly users: ReadonlySet<string> | undefined;
  readonly businesses: ReadonlySet<string> | undefined;
}

/** Of the columns of `callers`. Undefined: not bound, as are all callers that nothing is known of. */
export function boundsOf(users: readonly string[] | null, businesses: readonly string[] | null): Bounds | undefined {
  if (users === null && businesses === null) return undefined;
  return { users: users ? new Set(users) : undefined, businesses: businesses ? new Set(businesses) : undefined };
}

export const outOfBounds = (): Failure =>
  new Failure(
    'FORBIDDEN',
    'The caller is bound to users or businesses, and this lies outside. Use a token that is not.',
  );

type Narrow = (query: Knex.QueryBuilder) => void;

const list = (ids: ReadonlySet<string>): string[][] => [[...ids]];

/** Conditions for `modify`: of the rows of `users`, `businesses`, `business_members` and `api_keys k`, those within the bounds. */
export const within = {
  users:
    (bounds: Bounds | undefined): Narrow =>
    (query) => {
      if (bounds?.users) query.whereRaw('users.id = any(?::text[])', list(bounds.users));
      if (bounds?.businesses)
        query.whereRaw(
          'exists (select from business_members m where m.user_id = users.id and m.business_id = any(?::text[]))',
          list(bounds.businesses),
        );
    },
  businesses:
    (bounds: Bounds | undefined): Narrow =>
    (query) => {
      if (bounds?.businesses) query.whereRaw('businesses.id = any(?::text[])', list(bounds.businesses));
      if (bounds?.users)
        query.whereRaw(
          'exists (select from business_members m where m.business_id = businesses.id and m.user_id = any(?::text[]))',
          list(bounds.users),
        );
    },
  members:
    (bounds: Bounds | undefined): Narrow =>
    (query) => {
      if (bounds?.users) query.whereRaw('user_id = any(?::text[])', list(bounds.users));
    },
  keys:
    (bounds: Bounds | undefined): Narrow =>
    (query) => {
      if (bounds?.users) query.whereRaw('k.user_id = any(?::text[])', list(bounds.users));
      if (bounds?.businesses)
        query.whereRaw(
          `k.restricted and exists (select from api_key_businesses r where r.key_id = k.id)
            and not exists (select from api_key_businesses r where r.key_id = k.id and r.business_id <> all(?::text[]))`,
          list(bounds.businesses),
        );
    },
};

const isOutside = (ids: ReadonlySet<string> | undefined, id: string): boolean => ids !== undefined && !ids.has(id);

/** Before a user is made or changed, which only callers may who are bound to users alone. @throws Failure FORBIDDEN */
export function refuseToPutUser(bounds: Bounds | undefined, id: string): void {
  if (bounds?.businesses || isOutside(bounds?.users, id)) throw outOfBounds();
}

/** Before a user, or what belongs to it as a whole, is deleted. @throws Failure FORBIDDEN; NOT_FOUND: another user */
export function refuseToEndUser(bounds: Bounds | undefined, id: string): void {
  if (bounds?.businesses) throw outOfBounds();
  if (isOutside(bounds?.users, id)) throw notFound('user', id);
}

/** Before a business is made or changed, which only callers may who are bound to businesses alone. @throws Failure FORBIDDEN */
export function refuseToPutBusiness(bounds: Bounds | undefined, id: string): void {
  if (bounds?.users || isOutside(bounds?.businesses, id)) throw outOfBounds();
}

/** Before a business is deleted. @throws Failure FORBIDDEN; NOT_FOUND: another business */
export function refuseToDeleteBusiness(bounds: Bounds | undefined, id: string): void {
  if (bounds?.users) throw outOfBounds();
  if (isOutside(bounds?.businesses, id)) throw notFound('business', id);
}

/** Before a membership is made or changed: a matter of its business. @throws Failure FORBIDDEN */
export function refuseToPutMember(bounds: Bounds | undefined, businessId: string, userId: string): void {
  if (!bounds) return;
  if (!bounds.businesses?.has(businessId) || isOutside(bounds.users, userId)) throw outOfBounds();
}

/** Before a membership is ended. @throws Failure FORBIDDEN; NOT_FOUND: of another business or user */
export function refuseToDeleteMember(bounds: Bounds | undefined, businessId: string, userId: string): void {
  if (!bounds) return;
  if (!bounds.businesses) throw outOfBounds();
  if (!bounds.businesses.has(businessId) || isOutside(bounds.users, userId)) throw notFound('business', businessId);
}

/** Before a key becomes one of that user with that restriction (null: none). @throws Failure FORBIDDEN */
export function refuseKeyOutside(
  bounds: Bounds | undefined,
  userId: string,
  restrictedBusinessIds: readonly string[] | null,
): void {
  const { users, businesses } = bounds ?? {};
  const reached = restrictedBusinessIds ?? [];
  const tooWide = businesses && (reached.length === 0 || reached.some((id) => !businesses.has(id)));
  if (isOutside(users, userId) || tooWide) throw outOfBounds();
}

/**
 * Before questions are loaded: each must name a business that the caller is bound to. Whose key it is, is not known yet, so
 * a caller that is bound to users may not ask. @throws Failure FORBIDDEN
 */
export function refuseQuestions(
  { users, businesses }: Bounds,
  questions: readonly { readonly businessId: string | undefined }[],
): void {
  const mayAsk = !users && questions.every(({ businessId }) => businessId !== undefined && businesses?.has(businessId));
  if (!mayAsk) throw outOfBounds();
}
