/** Freezes as a resource: made, extended and lifted, each with an admin event, and in force everywhere within a second. */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { type Actor, type Mutation, mutate } from '../db/mutate.ts';
import { type Cursors, type Page, type PageRequest, readPage } from '../db/page.ts';
import { Failure } from '../errors.ts';
import { invalid } from '../input/json.ts';
import { matchesPattern } from '../policy/action-patterns.ts';
import { uuidv7 } from '../uuid.ts';

/** What a freeze covers: the questions that fit all that is named. All null: everything. */
export interface Scope {
  /** A pattern such as `call:*`. */
  readonly action: string | null;
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
}

/** When a freeze ends: an RFC 3339 time, or so many seconds from now by the database's clock. */
export type End =
  | { readonly until: string; readonly forSeconds?: undefined }
  | { readonly until?: undefined; readonly forSeconds: number };

export interface FreezeRecord extends Scope {
  readonly id: string;
  /** Public: the client reads it. */
  readonly reason: string;
  readonly createdAt: string;
  readonly until: string;
  readonly liftedAt: string | null;
  readonly status: 'in force' | 'ended' | 'lifted';
}

interface Row {
  id: string;
  action: string | null;
  key_id: string | null;
  user_id: string | null;
  business_id: string | null;
  reason: string;
  created_at: Date;
  until: Date;
  lifted_at: Date | null;
  ended: boolean;
}

const COLUMNS =
  'id, action, key_id, user_id, business_id, reason, created_at, until, lifted_at, until <= now() as ended';

const present = (row: Row): FreezeRecord => ({
  id: row.id,
  action: row.action,
  apiKeyId: row.key_id,
  userId: row.user_id,
  businessId: row.business_id,
  reason: row.reason,
  createdAt: row.created_at.toISOString(),
  until: row.until.toISOString(),
  liftedAt: row.lifted_at?.toISOString() ?? null,
  status: row.lifted_at ? 'lifted' : row.ended ? 'ended' : 'in force',
});

/**
 * Freezes what `scope` names until `end`.
 * @throws Failure INVALID_REQUEST: a key, user or business that there is not, or an end that has passed
 */
export function createFreeze(db: Knex, actor: Actor, scope: Scope, reason: string, end: End): Promise<FreezeRecord> {
  return mutate(db, actor, async (trx) => {
    await refuseUnknown(trx, scope);
    const { rows } = await trx.raw<{ rows: Row[] }>(
      `insert into freezes (id, action, key_id, user_id, business_id, reason, until)
       values (?, ?, ?, ?, ?, ?, ${endSql(end)}) returning ${COLUMNS}`,
      [uuidv7(), scope.action, scope.apiKeyId, scope.userId, scope.businessId, reason, endBinding(end)],
    );
    return changed('freeze.create', undefined, refusePast(rows[0]));
  });
}

/**
 * Moves the end of a freeze in force, without a gap.
 * @throws Failure NOT_FOUND; CONFLICT when it is lifted or has ended; INVALID_REQUEST: an end that has passed
 */
export function extendFreeze(db: Knex, actor: Actor, id: string, end: End): Promise<FreezeRecord> {
  return mutate(db, actor, async (trx) => {
    const before = await lockFreeze(trx, id);
    if (before.status !== 'in force')
      throw new Failure(
        'CONFLICT',
        `The freeze ${id} is ${before.status === 'lifted' ? 'lifted' : 'over'}; make another.`,
      );
    const { rows } = await trx.raw<{ rows: Row[] }>(
      `update freezes set until = ${endSql(end)} where id = ? returning ${COLUMNS}`,
      [endBinding(end), id],
    );
    return changed('freeze.extend', before, refusePast(rows[0]));
  });
}

/** Ends a freeze, at once; one that is over stays as it is. @throws Failure NOT_FOUND */
export function liftFreeze(db: Knex, actor: Actor, id: string): Promise<FreezeRecord> {
  return mutate(db, actor, async (trx) => {
    const before = await lockFreeze(trx, id);
    if (before.status !== 'in force') return { result: before, events: [], changes: [] };
    const { rows } = await trx.raw<{ rows: Row[] }>(
      `update freezes set lifted_at = now() where id = ? returning ${COLUMNS}`,
      [id],
    );
    return changed('freeze.lift', before, presentOne(rows[0]));
  });
}

/** @throws Failure NOT_FOUND */
export async function getFreeze(db: Knex, id: string): Promise<FreezeRecord> {
  const { rows } = await orFailure(db.raw<{ rows: Row[] }>(`select ${COLUMNS} from freezes where id = ?`, [id]));
  return found(rows[0], id);
}

/** Freezes, the newest first; `inForce`: only those in force. */
export const listFreezes = (
  db: Knex,
  inForce: boolean,
  page: PageRequest,
  cursors: Cursors,
): Promise<Page<FreezeRecord>> =>
  readPage(
    page,
    cursors,
    inForce ? 'freezes in force' : 'freezes',
    async (place, limit) => {
      const conditions = [
        ...(place === '' ? [] : ['id < ?']),
        ...(inForce ? ['lifted_at is null and until > now()'] : []),
      ];
      const where = conditions.length > 0 ? `where ${conditions.join(' and ')}` : '';
      const { rows } = await db.raw<{ rows: Row[] }>(
        `select ${COLUMNS} from freezes ${where} order by id desc limit ?`,
        place === '' ? [limit] : [place, limit],
      );
      return rows;
    },
    (row) => row.id,
    present,
  );

/**
 * The freezes that covered a question at that time, by what is stored of them now. Where none did: first those that began just after,
 * since the time of a decision is the earliest that the database's clock can have shown; then those that had ended just before, since
 * a process may be a second late.
 */
export async function freezesAt(
  db: Knex,
  at: string,
  { action, apiKeyId, userId, businessId }: Scope & { readonly action: string },
): Promise<FreezeRecord[]> {
  const { rows } = await orFailure(
    db.raw<{ rows: Row[] }>(
      `select ${COLUMNS} from freezes
       where created_at <= ?::timestamptz + interval '2 seconds' and until > ?::timestamptz - interval '2 seconds'
         and (lifted_at is null or lifted_at > ?::timestamptz - interval '2 seconds')
         and (key_id is null or key_id = ?) and (user_id is null or user_id = ?) and (business_id is null or business_id = ?)
       order by id`,
      [at, at, at, apiKeyId, userId, businessId],
    ),
  );
  const covered = rows.map(present).filter((freeze) => freeze.action === null || matchesPattern(freeze.action, action));
  const exactly = covered.filter(
    ({ createdAt, until, liftedAt }) => createdAt <= at && until > at && (liftedAt === null || liftedAt > at),
  );
  if (exactly.length > 0) return exactly;
  const [began, ended] = [true, false].map((later) => covered.filter(({ createdAt }) => createdAt > at === later));
  return [...(began ?? []), ...(ended ?? [])];
}

/** `now()` is the start of the transaction, so that an end in seconds is exact. */
const endSql = ({ until }: End): string => (until === undefined ? `now() + ? * interval '1 second'` : '?::timestamptz');
const endBinding = ({ until, forSeconds }: End): string | number => until ?? forSeconds ?? 0;

function changed(action: string, before: FreezeRecord | undefined, after: FreezeRecord): Mutation<FreezeRecord> {
  const { id } = after;
  return {
    result: after,
    events: [{ action, kind: 'freeze', id, before, after }],
    changes: [{ kind: 'freeze', id }],
  };
}

/** An id that was mistyped would freeze nothing, and nobody would notice. */
async function refuseUnknown(trx: Knex.Transaction, scope: Scope): Promise<void> {
  for (const [path, table] of [
    ['apiKeyId', 'api_keys'],
    ['userId', 'users'],
    ['businessId', 'businesses'],
  ] as const) {
    const id = scope[path];
    if (id === null || (await trx(table).where({ id }).first('id'))) continue;
    throw invalid(path, `names none that there is: ${id}; look for its id in the list`);
  }
}

/** @throws Failure INVALID_REQUEST, which rolls back what was written */
function refusePast(row: Row | undefined): FreezeRecord {
  const freeze = presentOne(row);
  if (freeze.status === 'ended') throw invalid('until', 'must be in the future');
  return freeze;
}

async function lockFreeze(trx: Knex.Transaction, id: string): Promise<FreezeRecord> {
  const { rows } = await trx.raw<{ rows: Row[] }>(`select ${COLUMNS} from freezes where id = ? for update`, [id]);
  return found(rows[0], id);
}

function found(row: Row | undefined, id: string): FreezeRecord {
  if (!row) throw new Failure('NOT_FOUND', `There is no freeze ${id}. Look for its id in the list.`);
  return present(row);
}

function presentOne(row: Row | undefined): FreezeRecord {
  if (!row) throw new Error('PostgreSQL returned no freeze');
  return present(row);
}
