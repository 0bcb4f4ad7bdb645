/** API keys: create, read, update, rotate, revoke and delete them. */

import type { Knex } from 'knex';
import { createToken, digestOf, hintOf, isToken, type Pepper } from '../credentials/token.ts';
import { orFailure } from '../db/failure.ts';
import { type Actor, type Change, mutate } from '../db/mutate.ts';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { type Bounds, refuseKeyOutside, within } from '../directory/bounds.ts';
import { notFound } from '../directory/common.ts';
import { Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';
import { uuidv7 } from '../uuid.ts';
import { type ApiKey, COLUMNS, type Grants, grantColumns, type KeyRow, present } from './resource.ts';
import {
  expiryOfNew,
  expiryOfNext,
  isLater,
  type KeyRights,
  refuseLaterExpiry,
  refuseUserManagement,
} from './rights.ts';

/** A new key: the resource, and the key in clear, which is stored nowhere and shown this once. */
export interface NewKey {
  readonly apiKey: string;
  readonly key: ApiKey;
}

/** The grants of a new key. Where no expiry is named, MAX_KEY_LIFETIME names one. */
export type NewGrants = Omit<Grants, 'expiresAt'> & { readonly expiresAt?: string | null | undefined };

/**
 * @throws Failure FORBIDDEN; INVALID_REQUEST: an unknown user, a restriction to a business that the user is no member of, a late
 *   expiry
 */
export function createKey(
  db: Knex,
  pepper: Pepper,
  actor: Actor,
  rights: KeyRights,
  userId: string,
  wanted: NewGrants,
): Promise<NewKey> {
  return mutate(db, actor, async (trx) => {
    const grants = { ...wanted, expiresAt: expiryOfNew(rights, wanted.expiresAt) };
    refuseUserManagement(rights, grants);
    refuseKeyOutside(rights.bounds, userId, grants.restrictedBusinessIds);
    const user = await trx('users').where({ id: userId }).forShare().first('id');
    // To who is bound to businesses, a user that does not exist looks like one that is no member of them.
    if (rights.bounds?.businesses) await refuseUnreachable(trx, userId, grants.restrictedBusinessIds);
    if (!user) throw invalid('userId', `there is no user ${userId}; make it first`);
    await refuseUnreachable(trx, userId, grants.restrictedBusinessIds);
    const made = await insertKey(trx, pepper, userId, grants, null);
    return {
      result: made,
      events: [{ action: 'key.create', kind: 'key', id: made.key.id, after: made.key }],
      changes: [changeOfNew(pepper, made)],
    };
  });
}

/** @throws Failure NOT_FOUND */
export async function getKey(db: Knex, id: string, bounds?: Bounds): Promise<ApiKey> {
  const row = await orFailure(select(db).where('k.id', id).modify(within.keys(bounds)).first<KeyRow | undefined>());
  if (!row) throw notFound('key', id);
  return present(row);
}

/** The key of a leaked clear text, revoked or not. @throws Failure NOT_FOUND */
export async function findKey(db: Knex, peppers: readonly Pepper[], apiKey: string): Promise<ApiKey> {
  const digests = isToken('apiKey', apiKey) ? peppers.map((pepper) => digestOf(pepper, apiKey)) : [];
  const [id] = await findIds(db, digests);
  if (id === undefined) throw new Failure('NOT_FOUND', 'This is no key of ours, or it has been deleted.');
  return getKey(db, id);
}

/** The ids of the keys with one of these digests. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function findIds(db: Knex, digests: readonly Buffer[]): Promise<string[]> {
  const { rows } = await orFailure(
    db.raw<{ rows: { id: string }[] }>('select id from authz_find_keys(?::bytea[]) as id', [digests as Buffer[]]),
  );
  return rows.map(({ id }) => id);
}

/** The keys of one user or of all, by id. Ids of our own are UUIDv7, so they are in the order of creation. */
export const listKeys = (
  db: Knex,
  userId: string | undefined,
  page: PageRequest,
  cursors: Cursors,
  bounds?: Bounds,
): Promise<Page<ApiKey>> =>
  readPage(
    page,
    cursors,
    userId === undefined ? 'keys' : `keys of ${userId}`,
    (place, limit) => {
      const query = select(db).where('k.id', '>', place).modify(within.keys(bounds)).orderBy('k.id').limit(limit);
      return (userId === undefined ? query : query.where('k.user_id', userId)) as PromiseLike<KeyRow[]>;
    },
    (row) => row.id,
    present,
  );

/**
 * Changes the fields that `grants` has and leaves the others. `mayChange` checks the version that is found, under the row's
 * lock (If-Match). @throws Failure NOT_FOUND, FORBIDDEN, INVALID_REQUEST, PRECONDITION_FAILED; CONFLICT: a later expiry for an
 *   expired or replaced key
 */
export function updateKey(
  db: Knex,
  actor: Actor,
  rights: KeyRights,
  id: string,
  grants: Partial<Grants>,
  mayChange: (version: number) => boolean = () => true,
): Promise<ApiKey> {
  return mutate(db, actor, async (trx) => {
    const row = await lockedRowOf(trx, id, rights.bounds);
    if (!mayChange(row.version)) throw new Failure('PRECONDITION_FAILED');
    const before = present(row);
    refuseUserManagement(rights, { ...before, ...grants }, before);
    refuseRevival(before, grants.expiresAt);
    refuseLaterExpiry(rights, before, grants.expiresAt);
    const { restrictedBusinessIds } = grants;
    if (restrictedBusinessIds !== undefined) {
      refuseKeyOutside(rights.bounds, row.user_id, restrictedBusinessIds);
      await refuseUnreachable(trx, row.user_id, restrictedBusinessIds);
      await trx('api_key_businesses').where({ key_id: id }).delete();
      await restrict(trx, id, restrictedBusinessIds);
    }
    const wanted = present({ ...(await rowOf(trx, id)), ...changedColumns(grants) });
    if (JSON.stringify(wanted) === JSON.stringify(before)) return { result: before, events: [], changes: [] };
    await trx('api_keys')
      .where({ id })
      .update({ ...changedColumns(grants), version: trx.raw('version + 1') });
    const after = await getKey(trx, id);
    return {
      result: after,
      events: [{ action: 'key.update', kind: 'key', id, before, after }],
      changes: [changeOf(row)],
    };
  });
}

/** INVARIANT: the expiry of a key that has expired, or was rotated to another, is never moved to a later time. */
function refuseRevival({ id, status, rotatedTo, expiresAt }: ApiKey, wanted: string | null | undefined): void {
  if (wanted === undefined || (status !== 'expired' && rotatedTo === null)) return;
  if (!isLater(wanted, expiresAt)) return;
  const state = rotatedTo === null ? 'has expired' : `has been replaced by ${rotatedTo}`;
  throw new Failure('CONFLICT', `The key ${id} ${state}, so its expiry cannot be moved. Make a new key instead.`);
}

/**
 * Makes a key with the same grants, and lets the old one expire `overlapSeconds` from now, or at its own expiry when that
 * is earlier. @throws Failure NOT_FOUND; FORBIDDEN; CONFLICT when the key is revoked, expired or already rotated
 */
export function rotateKey(
  db: Knex,
  pepper: Pepper,
  actor: Actor,
  rights: KeyRights,
  id: string,
  overlapSeconds: number,
): Promise<NewKey> {
  return mutate(db, actor, async (trx) => {
    // The user's row is locked before the key's, as revokeKeysOf does: no deadlock, and no new key escapes revokeKeysOf.
    await trx.raw('select from users where id = (select user_id from api_keys where id = ?) for key share', [id]);
    await trx.raw('select from api_keys where id = ? for update', [id]);
    // Locks the businesses: one that was deleted and recreated under its id meanwhile must not get into the copied restriction.
    await trx.raw(
      'select from api_key_businesses r join businesses b on b.id = r.business_id where r.key_id = ? for key share of b',
      [id],
    );
    const row = await rowOf(trx, id, rights.bounds);
    const before = present(row);
    refuseUserManagement(rights, before);
    if (before.status !== 'active')
      throw new Failure('CONFLICT', `The key ${id} is ${before.status}. Make a new one instead.`);
    if (before.rotatedTo !== null) {
      throw new Failure('CONFLICT', `The key ${id} has been rotated to ${before.rotatedTo} already. Rotate that one.`);
    }
    // The grants are copied unchecked: a business that the user has lost access to is denied at each decision anyway.
    const grants = { ...before, expiresAt: expiryOfNext(rights, before.expiresAt) };
    const made = await insertKey(trx, pepper, row.user_id, grants, id);
    const end = trx.raw(`least(expires_at, now() + make_interval(secs => ?))`, [overlapSeconds]);
    await trx('api_keys')
      .where({ id })
      .update({ expires_at: end, version: trx.raw('version + 1') });
    return {
      result: made,
      events: [
        { action: 'key.rotate', kind: 'key', id, before, after: await getKey(trx, id) },
        { action: 'key.create', kind: 'key', id: made.key.id, after: made.key },
      ],
      changes: [changeOf(row), changeOfNew(pepper, made)],
    };
  });
}

/** Revokes a key for good, at once. One that is revoked already stays as it is. @throws Failure NOT_FOUND */
export function revokeKey(db: Knex, actor: Actor, id: string, reason: string | null, bounds?: Bounds): Promise<ApiKey> {
  return mutate(db, actor, async (trx) => {
    const row = await lockedRowOf(trx, id, bounds);
    const before = present(row);
    if (before.revokedAt !== null) return { result: before, events: [], changes: [] };
    await trx('api_keys')
      .where({ id })
      .update({ revoked_at: trx.fn.now(), revoked_reason: reason, version: trx.raw('version + 1') });
    const after = await getKey(trx, id);
    return {
      result: after,
      events: [{ action: 'key.revoke', kind: 'key', id, before, after }],
      changes: [changeOf(row)],
    };
  });
}

/** Revokes all keys of a user. Returns how many were not revoked before. @throws Failure NOT_FOUND */
export function revokeKeysOf(db: Knex, actor: Actor, userId: string, reason: string | null): Promise<number> {
  return mutate(db, actor, async (trx) => {
    // The lock on the user keeps a key from being created meanwhile that this would miss.
    const user = await trx('users').where({ id: userId }).forUpdate().first('id');
    if (!user) throw notFound('user', userId);
    const revoked = await trx('api_keys')
      .where({ user_id: userId })
      .whereNull('revoked_at')
      .update({ revoked_at: trx.fn.now(), revoked_reason: reason, version: trx.raw('version + 1') });
    if (revoked === 0) return { result: 0, events: [], changes: [] };
    return {
      result: revoked,
      events: [{ action: 'user.revoke-keys', kind: 'user', id: userId, after: { revoked, reason } }],
      changes: [{ kind: 'user', id: userId }],
    };
  });
}

/** @throws Failure NOT_FOUND */
export function deleteKey(db: Knex, actor: Actor, id: string, bounds?: Bounds): Promise<void> {
  return mutate(db, actor, async (trx) => {
    const row = await lockedRowOf(trx, id, bounds);
    await trx('api_keys').where({ id }).delete();
    return {
      result: undefined,
      events: [{ action: 'key.delete', kind: 'key', id, before: present(row) }],
      changes: [changeOf(row)],
    };
  });
}

const changeOf = (row: ChangingRow): Change => ({ kind: 'key', id: row.id, digest: row.digest });

const changeOfNew = (pepper: Pepper, { apiKey, key }: NewKey): Change => ({
  kind: 'key',
  id: key.id,
  digest: digestOf(pepper, apiKey),
});

const select = (db: Knex) => db('audited_keys as k').select(db.raw(COLUMNS));

/** With the digest, which a change must name so that caches drop the key. */
type ChangingRow = KeyRow & { readonly digest: Buffer };

/** @throws Failure NOT_FOUND */
async function lockedRowOf(trx: Knex.Transaction, id: string, bounds: Bounds | undefined): Promise<ChangingRow> {
  await trx('api_keys').where({ id }).forUpdate().first('id');
  return rowOf(trx, id, bounds);
}

/** @throws Failure NOT_FOUND: there is none, or it is not within the bounds */
async function rowOf(db: Knex, id: string, bounds?: Bounds): Promise<ChangingRow> {
  const found = select(db)
    .join('api_keys as stored', 'stored.id', 'k.id')
    .select('stored.digest')
    .where('k.id', id)
    .modify(within.keys(bounds));
  const row = await orFailure(found.first<ChangingRow | undefined>());
  if (!row) throw notFound('key', id);
  return row;
}

async function insertKey(
  trx: Knex.Transaction,
  pepper: Pepper,
  userId: string,
  grants: Grants,
  rotatedFrom: string | null,
): Promise<NewKey> {
  const apiKey = createToken('apiKey');
  const id = uuidv7();
  await trx('api_keys').insert({
    id,
    user_id: userId,
    ...grantColumns(grants),
    digest: digestOf(pepper, apiKey),
    pepper_id: pepper.id,
    hint: hintOf(apiKey),
    rotated_from: rotatedFrom,
  });
  await restrict(trx, id, grants.restrictedBusinessIds);
  return { apiKey, key: await getKey(trx, id) };
}

/** Inserts the restriction of a key that has none yet. The businesses must be locked. */
async function restrict(trx: Knex.Transaction, id: string, businessIds: readonly string[] | null): Promise<void> {
  await trx.raw(
    'insert into api_key_businesses (key_id, business_id) select ?, unnest(?::text[]) on conflict do nothing',
    [id, (businessIds ?? []) as string[]],
  );
}

/**
 * Checks that the user is a member of the businesses, and locks them, so that none can be deleted and recreated under its id
 * before a key is restricted to it. @throws Failure INVALID_REQUEST that names the others
 */
async function refuseUnreachable(
  trx: Knex.Transaction,
  userId: string,
  businessIds: readonly string[] | null,
): Promise<void> {
  if (businessIds === null) return;
  const { rows } = await trx.raw<{ rows: { id: string }[] }>(
    `select b.id from businesses b join business_members m on m.business_id = b.id
     where b.id = any(?::text[]) and m.user_id = ? order by b.id for key share of b`,
    [businessIds as string[], userId],
  );
  const reached = new Set(rows.map((row) => row.id));
  const others = [...new Set(businessIds)].filter((id) => !reached.has(id));
  if (others.length === 0) return;
  const named = others.slice(0, 10);
  const more = others.length > named.length ? ' and others' : '';
  throw invalid(
    'restrictedBusinessIds',
    `the user ${userId} has no access to ${named.join(', ')}${more}; make it a member first, or leave them out`,
  );
}

const changedColumns = (grants: Partial<Grants>): Partial<ReturnType<typeof grantColumns>> =>
  grantColumns(grants as Grants, new Set(Object.keys(grants)));
