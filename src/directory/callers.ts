/** Callers: the services that may use this API, each with a token. Created, rotated and revoked by operators. */

import type { Knex } from 'knex';
import { createToken, digestOf, type Pepper } from '../credentials/token.ts';
import { orFailure } from '../db/failure.ts';
import { type Actor, type Change, mutate } from '../db/mutate.ts';
import { Failure } from '../errors.ts';
import { uuidv7 } from '../uuid.ts';
import { notFound } from './common.ts';
import type { Scope } from './find-caller.ts';

interface CallerRow {
  id: string;
  name: string;
  scopes: Scope[];
  bound_users: string[] | null;
  bound_businesses: string[] | null;
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  rotated_from: string | null;
  expired: boolean;
}

/** Of `callers`, and of the view of it without digests, which auditors may read. */
const COLUMNS =
  'id, name, scopes, bound_users, bound_businesses, created_at, expires_at, revoked_at, rotated_from, coalesce(expires_at <= now(), false) as expired';

/** A caller as it is shown: without its token and digest. */
export interface CallerRecord {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
  /** Ids that it is bound to; null: it is not. */
  readonly boundUsers: readonly string[] | null;
  readonly boundBusinesses: readonly string[] | null;
  readonly status: 'active' | 'expired' | 'revoked';
  readonly createdAt: string;
  readonly expiresAt: string | null;
  readonly revokedAt: string | null;
  readonly rotatedFrom: string | null;
}

/** A new caller, and its token in clear, which is shown this once. */
export interface NewCaller {
  readonly token: string;
  readonly caller: CallerRecord;
}

const present = (row: CallerRow): CallerRecord => ({
  id: row.id,
  name: row.name,
  scopes: row.scopes,
  boundUsers: row.bound_users,
  boundBusinesses: row.bound_businesses,
  status: row.revoked_at ? 'revoked' : row.expired ? 'expired' : 'active',
  createdAt: row.created_at.toISOString(),
  expiresAt: row.expires_at?.toISOString() ?? null,
  revokedAt: row.revoked_at?.toISOString() ?? null,
  rotatedFrom: row.rotated_from,
});

export function createCaller(
  db: Knex,
  pepper: Pepper,
  actor: Actor,
  name: string,
  scopes: readonly Scope[],
  { users = null, businesses = null }: { users?: readonly string[] | null; businesses?: readonly string[] | null } = {},
): Promise<NewCaller> {
  return mutate(db, actor, async (trx) => {
    const made = await insert(trx, pepper, { name, scopes, bound_users: users, bound_businesses: businesses });
    return {
      result: made,
      events: [{ action: 'caller.create', kind: 'caller', id: made.caller.id, after: made.caller }],
      changes: [changeOfNew(pepper, made)],
    };
  });
}

export async function listCallers(db: Knex): Promise<CallerRecord[]> {
  const { rows } = await orFailure(db.raw<{ rows: CallerRow[] }>(`select ${COLUMNS} from audited_callers order by id`));
  return rows.map(present);
}

/**
 * Creates a caller with the same name, scopes and bounds, and a new token; the old one expires `overlapSeconds` from now.
 * @throws Failure NOT_FOUND; CONFLICT when it is revoked, expired or already rotated
 */
export function rotateCaller(
  db: Knex,
  pepper: Pepper,
  actor: Actor,
  id: string,
  overlapSeconds: number,
): Promise<NewCaller> {
  return mutate(db, actor, async (trx) => {
    const row = await lock(trx, id);
    const before = present(row);
    if (before.status !== 'active')
      throw new Failure('CONFLICT', `The caller ${id} is ${before.status}. Make a new one instead.`);
    const next = await trx('callers').where({ rotated_from: id }).first<{ id: string } | undefined>('id');
    if (next)
      throw new Failure('CONFLICT', `The caller ${id} has been rotated to ${next.id} already. Rotate that one.`);
    const { name, scopes, bound_users, bound_businesses } = row;
    const made = await insert(trx, pepper, { name, scopes, bound_users, bound_businesses, rotated_from: id });
    const end = trx.raw('least(expires_at, now() + make_interval(secs => ?))', [overlapSeconds]);
    await trx('callers').where({ id }).update({ expires_at: end });
    return {
      result: made,
      events: [
        { action: 'caller.rotate', kind: 'caller', id, before, after: present(await lock(trx, id)) },
        { action: 'caller.create', kind: 'caller', id: made.caller.id, after: made.caller },
      ],
      changes: [{ kind: 'caller', id, digest: row.digest }, changeOfNew(pepper, made)],
    };
  });
}

const changeOfNew = (pepper: Pepper, { token, caller }: NewCaller): Change => ({
  kind: 'caller',
  id: caller.id,
  digest: digestOf(pepper, token),
});

/** Revokes a caller for good, at once. One that is revoked already stays as it is. @throws Failure NOT_FOUND */
export function revokeCaller(db: Knex, actor: Actor, id: string): Promise<CallerRecord> {
  return mutate(db, actor, async (trx) => {
    const row = await lock(trx, id);
    const before = present(row);
    if (row.revoked_at) return { result: before, events: [], changes: [] };
    await trx('callers').where({ id }).update({ revoked_at: trx.fn.now() });
    const after = present(await lock(trx, id));
    return {
      result: after,
      events: [{ action: 'caller.revoke', kind: 'caller', id, before, after }],
      changes: [{ kind: 'caller', id, digest: row.digest }],
    };
  });
}

/** Lets a caller expire at `at` (RFC 3339), or at its own expiry where that is earlier. @throws Failure NOT_FOUND */
export function endCaller(db: Knex, actor: Actor, id: string, at: string): Promise<CallerRecord> {
  return mutate(db, actor, async (trx) => {
    const row = await lock(trx, id);
    const before = present(row);
    await trx('callers')
      .where({ id })
      .update({ expires_at: trx.raw('least(expires_at, ?::timestamptz)', [at]) });
    const after = present(await lock(trx, id));
    if (after.expiresAt === before.expiresAt) return { result: before, events: [], changes: [] };
    return {
      result: after,
      events: [{ action: 'caller.update', kind: 'caller', id, before, after }],
      changes: [{ kind: 'caller', id, digest: row.digest }],
    };
  });
}

type ChangingRow = CallerRow & { readonly digest: Buffer };

async function lock(trx: Knex.Transaction, id: string): Promise<ChangingRow> {
  const { rows } = await trx.raw<{ rows: ChangingRow[] }>(
    `select ${COLUMNS}, digest from callers where id = ? for update`,
    [id],
  );
  const [row] = rows;
  if (!row) throw notFound('caller', id);
  return row;
}

interface InsertedRow {
  readonly name: string;
  readonly scopes: readonly Scope[];
  readonly bound_users: readonly string[] | null;
  readonly bound_businesses: readonly string[] | null;
  readonly rotated_from?: string;
}

async function insert(trx: Knex.Transaction, pepper: Pepper, row: InsertedRow): Promise<NewCaller> {
  const token = createToken('caller');
  const id = uuidv7();
  const digest = digestOf(pepper, token);
  await trx('callers').insert({ ...row, id, digest, pepper_id: pepper.id });
  return { token, caller: present(await lock(trx, id)) };
}
