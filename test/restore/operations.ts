/** Random administration: each operation by the function that the service calls, on a few users, businesses, keys, callers and freezes. */

import fc from 'fast-check';
import type { Knex } from 'knex';
import type { Pepper } from '../../src/credentials/token.ts';
import { deleteBusiness, deleteMember, putBusiness, putMember } from '../../src/directory/businesses.ts';
import { createCaller, revokeCaller, rotateCaller } from '../../src/directory/callers.ts';
import { deleteUser, putUser } from '../../src/directory/users.ts';
import { Failure } from '../../src/errors.ts';
import { createFreeze, extendFreeze, liftFreeze } from '../../src/freezes/freezes.ts';
import { createKey, deleteKey, revokeKey, revokeKeysOf, rotateKey, updateKey } from '../../src/keys/keys.ts';
import { operatorRights } from '../../src/keys/rights.ts';

export const PEPPER: Pepper = { id: 'test', secret: Buffer.alloc(32, 7) };
const ACTOR = { id: 'test' };
const RIGHTS = operatorRights(undefined);

/** `which` picks among those that there are. */
export type Operation = (db: Knex) => Promise<unknown>;

const user = fc.constantFrom('ann', 'ben', 'cleo');
const business = fc.constantFrom('bakery', 'garage', 'kiosk');
const which = fc.nat(1000);
const rarely = fc.nat(3).map((drawn) => drawn === 0);
const hours = fc.constantFrom(1, 5, 20);
const rateLimit = fc.constantFrom(null, { requests: 5, windowSeconds: 60 }, { requests: 9, windowSeconds: 60 });
const attributes = fc.constantFrom({}, { plan: 'pro', region: 'eu' }, { can: ['reports', 'sms'] });
const later = (count: number): string => new Date(Date.UTC(2100, 0, 1, count)).toISOString();

async function pick(db: Knex, table: string, at: number): Promise<string> {
  const ids = (await db(table).orderBy('id').pluck('id')) as string[];
  return ids[at % ids.length] ?? 'none';
}

const grants = fc.record({
  friendlyName: fc.constant('a key'),
  allowUserManagementApiRequests: fc.boolean(),
  restrictedBusinessIds: fc.option(fc.uniqueArray(business, { minLength: 1 })),
  environment: fc.constantFrom('production', 'staging'),
  expiresAt: fc.option(hours.map(later)),
  rateLimit,
  attributes,
});

/** Each with how often it comes. */
const OPERATIONS: readonly (readonly [number, fc.Arbitrary<Operation>])[] = [
  [
    3,
    fc
      .tuple(user, rarely, rarely, rateLimit, attributes)
      .map(([id, disabled, businessesDisabled, limit, given]) => (db) => {
        const disabledReason = disabled ? 'a reason' : null;
        return putUser(db, ACTOR, id, {
          disabled,
          disabledReason,
          businessesDisabled,
          rateLimit: limit,
          attributes: given,
        });
      }),
  ],
  [
    2,
    fc.tuple(business, rarely, attributes).map(
      ([id, disabled, given]) =>
        (db) =>
          putBusiness(db, ACTOR, id, { disabled, disabledReason: null, attributes: given }),
    ),
  ],
  [
    4,
    fc.tuple(business, user, fc.constantFrom('owner', 'member', 'viewer')).map(
      ([businessId, userId, role]) =>
        (db) =>
          putMember(db, ACTOR, { businessId, userId, role }),
    ),
  ],
  [
    2,
    fc.tuple(business, user).map(
      ([b, u]) =>
        (db) =>
          deleteMember(db, ACTOR, b, u),
    ),
  ],
  [1, user.map((id) => (db) => deleteUser(db, ACTOR, id))],
  [1, business.map((id) => (db) => deleteBusiness(db, ACTOR, id))],
  [
    5,
    fc.tuple(user, grants).map(
      ([id, given]) =>
        (db) =>
          createKey(db, PEPPER, ACTOR, RIGHTS, id, given),
    ),
  ],
  [
    6,
    fc
      .tuple(which, grants, fc.subarray(['restrictedBusinessIds', 'expiresAt', 'rateLimit', 'environment'] as const))
      .map(([at, given, left]) => async (db) => {
        const some = Object.fromEntries(Object.entries(given).filter(([name]) => !(left as string[]).includes(name)));
        return updateKey(db, ACTOR, RIGHTS, await pick(db, 'api_keys', at), some);
      }),
  ],
  [3, which.map((at) => async (db) => revokeKey(db, ACTOR, await pick(db, 'api_keys', at), 'leaked'))],
  [1, which.map((at) => async (db) => deleteKey(db, ACTOR, await pick(db, 'api_keys', at)))],
  [
    2,
    fc.tuple(which, fc.constantFrom(0, 3600)).map(
      ([at, overlap]) =>
        async (db) =>
          rotateKey(db, PEPPER, ACTOR, RIGHTS, await pick(db, 'api_keys', at), overlap),
    ),
  ],
  [1, user.map((id) => (db) => revokeKeysOf(db, ACTOR, id, null))],
  [2, fc.constant((db: Knex) => createCaller(db, PEPPER, ACTOR, 'billing', ['authorize']))],
  [1, which.map((at) => async (db) => revokeCaller(db, ACTOR, await pick(db, 'callers', at)))],
  [
    2,
    fc.tuple(which, fc.constantFrom(0, 3600)).map(
      ([at, overlap]) =>
        async (db) =>
          rotateCaller(db, PEPPER, ACTOR, await pick(db, 'callers', at), overlap),
    ),
  ],
  [
    3,
    fc
      .tuple(fc.constantFrom(null, 'call:*', 'user:*'), fc.option(user), fc.option(business), fc.option(which), hours)
      .map(([action, userId, businessId, at, count]) => async (db) => {
        const apiKeyId = at === null ? null : await pick(db, 'api_keys', at);
        return createFreeze(db, ACTOR, { action, apiKeyId, userId, businessId }, 'a reason', { until: later(count) });
      }),
  ],
  [
    2,
    fc.tuple(which, hours).map(
      ([at, count]) =>
        async (db) =>
          extendFreeze(db, ACTOR, await pick(db, 'freezes', at), { until: later(count) }),
    ),
  ],
  [1, which.map((at) => async (db) => liftFreeze(db, ACTOR, await pick(db, 'freezes', at)))],
];

export const operations = (most: number): fc.Arbitrary<Operation[]> =>
  fc.array(fc.oneof(...OPERATIONS.map(([weight, arbitrary]) => ({ weight, arbitrary }))), {
    minLength: most / 2,
    maxLength: most,
    size: 'max',
  });

/** Something of everything, so that there is what the operations take away. */
export async function furnish(db: Knex): Promise<void> {
  const grants = { friendlyName: 'a key', allowUserManagementApiRequests: true, restrictedBusinessIds: null };
  for (const id of ['bakery', 'garage', 'kiosk'])
    await putBusiness(db, ACTOR, id, { disabled: false, disabledReason: null, attributes: {} });
  for (const [index, id] of ['ann', 'ben', 'cleo'].entries()) {
    const state = { disabled: false, disabledReason: null, businessesDisabled: false, rateLimit: null, attributes: {} };
    await putUser(db, ACTOR, id, state);
    for (const businessId of ['bakery', 'garage', 'kiosk'].slice(index))
      await putMember(db, ACTOR, { businessId, userId: id, role: 'owner' });
    for (const restrictedBusinessIds of [null, ['kiosk']])
      await createKey(db, PEPPER, ACTOR, RIGHTS, id, {
        ...grants,
        restrictedBusinessIds,
        environment: 'production',
        rateLimit: null,
        attributes: {},
      });
  }
  await createCaller(db, PEPPER, ACTOR, 'billing', ['authorize']);
}

/** Runs them; what is refused, for want of a user or of a right, changes nothing. */
export async function run(db: Knex, wanted: readonly Operation[]): Promise<void> {
  for (const operation of wanted) {
    try {
      await operation(db);
    } catch (error) {
      if (!(error instanceof Failure) || error.code === 'INTERNAL' || error.code === 'UNAVAILABLE') throw error;
    }
  }
}
