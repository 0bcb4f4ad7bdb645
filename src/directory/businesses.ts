/** Businesses and their members, the users with access: create, read, update, delete. */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { type Actor, type Mutation, mutate } from '../db/mutate.ts';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { Failure } from '../errors.ts';
import type { StoredAttributes } from '../policy/declared/declaration.ts';
import { inOrder } from './attributes.ts';
import { type Bounds, within } from './bounds.ts';
import { findOrCreate, notFound } from './common.ts';

export interface Business {
  readonly id: string;
  readonly disabled: boolean;
  readonly disabledReason: string | null;
  readonly disabledAt: string | null;
  readonly attributes: StoredAttributes;
  readonly createdAt: string;
}

/** What a PUT sets: the whole state. */
export interface BusinessState {
  readonly disabled: boolean;
  readonly disabledReason: string | null;
  /** Declared ones: see `acceptAttributes`. */
  readonly attributes: StoredAttributes;
}

export interface Member {
  readonly businessId: string;
  readonly userId: string;
  /** owner, member, or one that was declared when it was written: see `acceptRole`. */
  readonly role: string;
}

interface BusinessRow {
  id: string;
  disabled_at: Date | null;
  disabled_reason: string | null;
  attributes: StoredAttributes;
  created_at: Date;
}

interface MemberRow {
  business_id: string;
  user_id: string;
  role: string;
}

const present = (row: BusinessRow): Business => ({
  id: row.id,
  disabled: row.disabled_at !== null,
  disabledReason: row.disabled_reason,
  disabledAt: row.disabled_at?.toISOString() ?? null,
  attributes: inOrder(row.attributes),
  createdAt: row.created_at.toISOString(),
});

const presentMember = (row: MemberRow): Member => ({
  businessId: row.business_id,
  userId: row.user_id,
  role: row.role,
});

/** Creates the business or replaces its state. A PUT that changes nothing leaves no event. */
export function putBusiness(
  db: Knex,
  actor: Actor,
  id: string,
  state: BusinessState,
): Promise<{ business: Business; created: boolean }> {
  return mutate(db, actor, async (trx) => {
    const { row, created } = await findOrCreate<BusinessRow>(trx, 'businesses', { id });
    return write(trx, row, created, state);
  });
}

/** Changes the business to what `change` makes of its state, under the row's lock. @throws Failure NOT_FOUND, or what `change` throws */
export async function updateBusiness(
  db: Knex,
  actor: Actor,
  id: string,
  change: (before: Business) => BusinessState,
): Promise<Business> {
  const { business } = await mutate(db, actor, async (trx) => {
    const row = await lock(trx, id);
    return write(trx, row, false, change(present(row)));
  });
  return business;
}

async function write(
  trx: Knex.Transaction,
  row: BusinessRow,
  created: boolean,
  state: BusinessState,
): Promise<Mutation<{ business: Business; created: boolean }>> {
  const { id } = row;
  const before = present(row);
  const [after] = await trx('businesses')
    .where({ id })
    .update({
      disabled_at: state.disabled ? trx.raw('coalesce(disabled_at, now())') : null,
      disabled_reason: state.disabledReason,
      attributes: state.attributes,
    })
    .returning<BusinessRow[]>('*');
  const business = present(after ?? row);
  const result = { business, created };
  if (!created && JSON.stringify(before) === JSON.stringify(business)) return { result, events: [], changes: [] };
  const action = created ? 'business.create' : 'business.update';
  return {
    result,
    events: [{ action, kind: 'business', id, before: created ? undefined : before, after: business }],
    changes: [{ kind: 'business', id }],
  };
}

/** @throws Failure NOT_FOUND */
export async function getBusiness(db: Knex, id: string, bounds?: Bounds): Promise<Business> {
  const found = db('businesses').where({ id }).modify(within.businesses(bounds)).first<BusinessRow | undefined>();
  const row = await orFailure(found);
  if (!row) throw notFound('business', id);
  return present(row);
}

export const listBusinesses = (
  db: Knex,
  page: PageRequest,
  cursors: Cursors,
  bounds?: Bounds,
): Promise<Page<Business>> =>
  readPage(
    page,
    cursors,
    'businesses',
    (place, limit) =>
      db<BusinessRow>('businesses')
        .where('id', '>', place)
        .modify(within.businesses(bounds))
        .orderBy('id')
        .limit(limit),
    (row) => row.id,
    present,
  );

/**
 * Deletes the business, its memberships and its rows in restrictions of keys. A key that was restricted to it alone stays
 * restricted, to nothing: a business that is created later under the same id is not granted to it. @throws Failure NOT_FOUND
 */
export function deleteBusiness(db: Knex, actor: Actor, id: string): Promise<void> {
  return mutate(db, actor, async (trx) => {
    const before = present(await lock(trx, id));
    // The restriction of these keys changes, so their version (ETag) must, or a PATCH with If-Match would not notice.
    await trx.raw(
      'update api_keys set version = version + 1 where id in (select key_id from api_key_businesses where business_id = ?)',
      [id],
    );
    await trx('businesses').where({ id }).delete();
    return {
      result: undefined,
      events: [{ action: 'business.delete', kind: 'business', id, before }],
      changes: [{ kind: 'business', id }],
    };
  });
}

/**
 * Makes the user a member with that role, or changes the role. A user outside the bounds is not there: its membership would bring it
 * within them. @throws Failure NOT_FOUND when either does not exist
 */
export function putMember(
  db: Knex,
  actor: Actor,
  wanted: Member,
  bounds?: Bounds,
): Promise<{ member: Member; created: boolean }> {
  const { businessId, userId, role } = wanted;
  const place = { business_id: businessId, user_id: userId };
  return mutate(db, actor, async (trx) => {
    await lock(trx, businessId, 'share');
    const user = await trx('users').where({ id: userId }).modify(within.users(bounds)).forShare().first('id');
    if (!user) throw notFound('user', userId);
    const { row, created } = await findOrCreate<MemberRow>(trx, 'business_members', place, { role });
    const result = { member: wanted, created };
    if (!created && row.role === role) return { result, events: [], changes: [] };
    if (!created) await trx('business_members').where(place).update({ role });
    const action = created ? 'member.create' : 'member.update';
    return {
      result,
      events: [
        {
          action,
          kind: 'member',
          id: memberId(wanted),
          before: created ? undefined : presentMember(row),
          after: wanted,
        },
      ],
      // Cached facts with a membership bear the user's tag.
      changes: [{ kind: 'user', id: userId }],
    };
  });
}

/** Changes the role of who has the role `from`. Nobody becomes a member by it, and a role that has changed meanwhile is left. */
export const updateMember = (db: Knex, actor: Actor, wanted: Member, from: string): Promise<void> =>
  mutate(db, actor, async (trx) => {
    const { businessId, userId, role } = wanted;
    await lock(trx, businessId, 'share');
    const updated = await trx('business_members')
      .where({ business_id: businessId, user_id: userId, role: from })
      .update({ role });
    if (updated === 0) return { result: undefined, events: [], changes: [] };
    const before = { businessId, userId, role: from };
    return {
      result: undefined,
      events: [{ action: 'member.update', kind: 'member', id: memberId(wanted), before, after: wanted }],
      changes: [{ kind: 'user', id: userId }],
    };
  });

/** @throws Failure NOT_FOUND when there is no such business. */
export async function listMembers(
  db: Knex,
  businessId: string,
  page: PageRequest,
  cursors: Cursors,
  bounds?: Bounds,
): Promise<Page<Member>> {
  await getBusiness(db, businessId, bounds);
  return readPage(
    page,
    cursors,
    `members ${businessId}`,
    (place, limit) =>
      db<MemberRow>('business_members')
        .where('business_id', businessId)
        .where('user_id', '>', place)
        .modify(within.members(bounds))
        .orderBy('user_id')
        .limit(limit),
    (row) => row.user_id,
    presentMember,
  );
}

/** Ends the user's membership. @throws Failure NOT_FOUND when it is no member */
export function deleteMember(db: Knex, actor: Actor, businessId: string, userId: string): Promise<void> {
  return mutate(db, actor, async (trx) => {
    const place = { business_id: businessId, user_id: userId };
    const [row] = await trx('business_members').where(place).delete().returning<MemberRow[]>('*');
    if (!row) throw new Failure('NOT_FOUND', `The user ${userId} is no member of the business ${businessId}.`);
    const before = presentMember(row);
    return {
      result: undefined,
      events: [{ action: 'member.delete', kind: 'member', id: memberId(before), before }],
      changes: [{ kind: 'user', id: userId }],
    };
  });
}

const memberId = ({ businessId, userId }: Member): string => `${businessId}/${userId}`;

async function lock(trx: Knex.Transaction, id: string, strength: 'update' | 'share' = 'update'): Promise<BusinessRow> {
  const query = trx('businesses').where({ id });
  const row = await (strength === 'update' ? query.forUpdate() : query.forShare()).first<BusinessRow | undefined>();
  if (!row) throw notFound('business', id);
  return row;
}
