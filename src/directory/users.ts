/** Users, whom API keys belong to: create, read, update, delete. */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { type Actor, type Mutation, mutate } from '../db/mutate.ts';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { StoredAttributes } from '../policy/declared/declaration.ts';
import { inOrder } from './attributes.ts';
import { type Bounds, within } from './bounds.ts';
import { findOrCreate, notFound } from './common.ts';

export interface User {
  readonly id: string;
  readonly disabled: boolean;
  readonly disabledReason: string | null;
  readonly disabledAt: string | null;
  readonly businessesDisabled: boolean;
  readonly rateLimit: RateLimit | null;
  readonly attributes: StoredAttributes;
  readonly createdAt: string;
}

/** What a PUT sets: the whole state. */
export interface UserState {
  readonly disabled: boolean;
  readonly disabledReason: string | null;
  readonly businessesDisabled: boolean;
  readonly rateLimit: RateLimit | null;
  /** Declared ones: see `acceptAttributes`. */
  readonly attributes: StoredAttributes;
}

interface UserRow {
  id: string;
  disabled_at: Date | null;
  disabled_reason: string | null;
  businesses_disabled_at: Date | null;
  rate_limit_requests: number | null;
  rate_limit_window_seconds: number | null;
  attributes: StoredAttributes;
  created_at: Date;
}

const present = (row: UserRow): User => ({
  id: row.id,
  disabled: row.disabled_at !== null,
  disabledReason: row.disabled_reason,
  disabledAt: row.disabled_at?.toISOString() ?? null,
  businessesDisabled: row.businesses_disabled_at !== null,
  rateLimit: rateLimitOf(row),
  attributes: inOrder(row.attributes),
  createdAt: row.created_at.toISOString(),
});

export const rateLimitOf = (
  row: Pick<UserRow, 'rate_limit_requests' | 'rate_limit_window_seconds'>,
): RateLimit | null =>
  row.rate_limit_requests === null || row.rate_limit_window_seconds === null
    ? null
    : { requests: row.rate_limit_requests, windowSeconds: row.rate_limit_window_seconds };

/** Creates the user or replaces its state. A PUT that changes nothing leaves no event. */
export function putUser(
  db: Knex,
  actor: Actor,
  id: string,
  state: UserState,
): Promise<{ user: User; created: boolean }> {
  return mutate(db, actor, async (trx) => {
    const { row, created } = await findOrCreate<UserRow>(trx, 'users', { id });
    return write(trx, row, created, state);
  });
}

/** Changes the user to what `change` makes of its state, under the row's lock. @throws Failure NOT_FOUND, or what `change` throws */
export async function updateUser(
  db: Knex,
  actor: Actor,
  id: string,
  change: (before: User) => UserState,
): Promise<User> {
  const { user } = await mutate(db, actor, async (trx) => {
    const row = await lock(trx, id);
    return write(trx, row, false, change(present(row)));
  });
  return user;
}

async function write(
  trx: Knex.Transaction,
  row: UserRow,
  created: boolean,
  state: UserState,
): Promise<Mutation<{ user: User; created: boolean }>> {
  const { id } = row;
  const before = present(row);
  const since = (column: string, now: boolean) => (now ? trx.raw('coalesce(??, now())', [column]) : null);
  const [after] = await trx('users')
    .where({ id })
    .update({
      disabled_at: since('disabled_at', state.disabled),
      disabled_reason: state.disabledReason,
      businesses_disabled_at: since('businesses_disabled_at', state.businessesDisabled),
      rate_limit_requests: state.rateLimit?.requests ?? null,
      rate_limit_window_seconds: state.rateLimit?.windowSeconds ?? null,
      attributes: state.attributes,
    })
    .returning<UserRow[]>('*');
  const user = present(after ?? row);
  const result = { user, created };
  if (!created && JSON.stringify(before) === JSON.stringify(user)) return { result, events: [], changes: [] };
  const action = created ? 'user.create' : 'user.update';
  return {
    result,
    events: [{ action, kind: 'user', id, before: created ? undefined : before, after: user }],
    changes: [{ kind: 'user', id }],
  };
}

/** @throws Failure NOT_FOUND */
export async function getUser(db: Knex, id: string, bounds?: Bounds): Promise<User> {
  const row = await orFailure(db('users').where({ id }).modify(within.users(bounds)).first<UserRow | undefined>());
  if (!row) throw notFound('user', id);
  return present(row);
}

export const listUsers = (db: Knex, page: PageRequest, cursors: Cursors, bounds?: Bounds): Promise<Page<User>> =>
  readPage(
    page,
    cursors,
    'users',
    (place, limit) =>
      db<UserRow>('users').where('id', '>', place).modify(within.users(bounds)).orderBy('id').limit(limit),
    (row) => row.id,
    present,
  );

/** Deletes the user with its API keys and memberships. @throws Failure NOT_FOUND */
export function deleteUser(db: Knex, actor: Actor, id: string): Promise<void> {
  return mutate(db, actor, async (trx) => {
    const before = present(await lock(trx, id));
    await trx('users').where({ id }).delete();
    return {
      result: undefined,
      events: [{ action: 'user.delete', kind: 'user', id, before }],
      changes: [{ kind: 'user', id }],
    };
  });
}

async function lock(trx: Knex.Transaction, id: string): Promise<UserRow> {
  const row = await trx('users').where({ id }).forUpdate().first<UserRow | undefined>();
  if (!row) throw notFound('user', id);
  return row;
}
