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
  digest: Buffer;
  scopes: Scope[];
  created_at: Date;
  expires_at: Date | null;
  revoked_at: Date | null;
  rotated_from: string | null;
  expired: boolean;
}

const COLUMNS =
  'id, name, digest, scopes, created_at, expires_at, revoked_at, rotated_from, coalesce(expires_at <= now(), false) as expired';

/** A caller as it is shown: without its token and digest. */
export interface CallerRecord {
  readonly id: string;
  readonly name: string;
  readonly scopes: readonly Scope[];
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
): Promise<NewCaller> {
  return mutate(db, actor, async (trx) => {
    const made = await insert(trx, pepper, name, scopes, null);
    return {
      result: made,
      events: [{ action: 'caller.create', kind: 'caller', id: made.caller.id, after: made.caller }],
      changes: [changeOfNew(pepper, made)],
    };
  });
}

export async function listCallers(db: Knex): Promise<CallerRecord[]> {
  const { rows } = await orFailure(db.raw<{ rows: CallerRow[] }>(`select ${COLUMNS} from callers order by id`));
  return rows.map(present);
}

/**
 * Creates a caller with the same name and scopes and a new token; the old one expires `overlapSeconds` from now.
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
    const made = await insert(trx, pepper, row.name, row.scopes, id);
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

async function lock(trx: Knex.Transaction, id: string): Promise<CallerRow> {
  const { rows } = await trx.raw<{ rows: CallerRow[] }>(`select ${COLUMNS} from callers where id = ? for update`, [id]);
  const [row] = rows;
  if (!row) throw notFound('caller', id);
  return row;
}

async function insert(
  trx: Knex.Transaction,
  pepper: Pepper,
  name: string,
  scopes: readonly Scope[],
  rotatedFrom: string | null,
): Promise<NewCaller> {
  const token = createToken('caller');
  const id = uuidv7();
  const digest = digestOf(pepper, token);
  await trx('callers').insert({ id, name, digest, pepper_id: pepper.id, scopes, rotated_from: rotatedFrom });
  return { token, caller: present(await lock(trx, id)) };
}
