/**
 * The one way to change anything: the change, what auditors read of it, its number in the change feed, and the wake-up of
 * the other processes are one transaction.
 */

import type { Knex } from 'knex';
import { Failure } from '../errors.ts';
import { uuidv7 } from '../uuid.ts';
import { databaseFailure } from './connect.ts';

/** Who changes something. */
export interface Actor {
  /** A caller's id, or `cli:` and the account that ran the command. */
  readonly id: string;
  readonly requestId?: string | undefined;
}

/** What auditors read of a change. `before` and `after` are resources as the API shows them, so they hold no secret. */
export interface AdminEvent {
  /** Such as `key.rotate`. */
  readonly action: string;
  readonly kind: 'user' | 'business' | 'member' | 'key' | 'caller' | 'directory' | 'decision' | 'log';
  readonly id: string;
  readonly before?: object | undefined;
  readonly after?: object | undefined;
}

/** What other processes must forget: everything known of this key, user, business or caller, or (`*`) at all. */
export interface Change {
  readonly kind: 'key' | 'user' | 'business' | 'caller' | '*';
  readonly id: string;
  /** Of a key or a caller: what its facts are found by. */
  readonly digest?: Buffer | undefined;
}

export interface Mutation<T> {
  readonly result: T;
  /** None when everything was already as wanted; then nothing is numbered or announced either. */
  readonly events: readonly AdminEvent[];
  readonly changes: readonly Change[];
}

/** The changes that a transaction has committed, under the number that it took. */
export interface Commit {
  readonly seq: number;
  readonly changes: readonly Change[];
}

export const CHANGES_CHANNEL = 'authz_changes';

const COMMIT = Symbol('commit');

/**
 * Tells `listener` of each commit through `db` before `mutate` returns, so that no answer to it can leave earlier; and
 * tells it undefined where the connection was lost while committing, so that anything may have changed, or nothing.
 */
export const onCommit = (db: Knex, listener: (commit: Commit | undefined) => void): void =>
  void db.on(COMMIT, listener);

const RECORD_EVENTS = `
  insert into admin_events (id, at, actor, action, subject_kind, subject_id, before, after, request_id)
  select id, at, actor, action, subject_kind, subject_id, before, after, request_id
  from jsonb_populate_recordset(null::admin_events, ?::jsonb)`;

const NUMBER_CHANGES = `
  with number as (update change_counter set last = last + 1 returning last),
  numbered as (
    insert into changes (seq, kind, id, digest)
    select last, kind, id, digest from number, jsonb_to_recordset(?::jsonb) as change (kind text, id text, digest bytea)
    returning seq
  )
  select max(seq) as seq, pg_notify('${CHANGES_CHANNEL}', max(seq)::text) from numbered`;

const DEADLOCK = '40P01';
const ATTEMPTS = 5;

/**
 * Runs `work` in a transaction, and commits what it did together with its events and changes. Where PostgreSQL ended the
 * transaction to free others that waited in a circle with it, nothing is left of it, and `work` runs again.
 *
 * INVARIANT: the number is taken by the last statement. Whoever takes the next one waits for this commit, so numbers
 * become visible in their order, and a reader that has seen n has seen everything below it.
 *
 * @throws what `work` throws (nothing is changed then); Failure UNAVAILABLE or DEADLINE_EXCEEDED.
 */
export async function mutate<T>(
  db: Knex,
  actor: Actor,
  work: (trx: Knex.Transaction) => Promise<Mutation<T>>,
): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    let commit: Commit | undefined;
    try {
      const result = await db.transaction(async (trx) => {
        const { result, events, changes } = await work(trx);
        if (events.length > 0)
          await trx.raw(RECORD_EVENTS, [JSON.stringify(events.map((event) => eventRow(actor, event)))]);
        if (changes.length > 0) commit = { seq: await numberOf(trx, changes), changes };
        return result;
      });
      if (commit) db.emit(COMMIT, commit);
      return result;
    } catch (error) {
      if (commit) db.emit(COMMIT, undefined);
      if (attempt === ATTEMPTS || sqlStateOf(error) !== DEADLOCK) throw databaseFailure(error);
    }
  }
}

async function numberOf(trx: Knex.Transaction, changes: readonly Change[]): Promise<number> {
  const rows = JSON.stringify(changes.map(changeRow));
  const numbered = await trx.raw<{ rows: [{ seq: string }] }>(NUMBER_CHANGES, [rows]);
  return Number(numbered.rows[0].seq);
}

/** Also of what a read inside the transaction has made of it. */
const sqlStateOf = (error: unknown): string | undefined =>
  ((error instanceof Failure ? error.cause : error) as { code?: string } | undefined)?.code;

const eventRow = (actor: Actor, { action, kind, id, before, after }: AdminEvent) => ({
  id: uuidv7(),
  at: new Date().toISOString(),
  actor: actor.id,
  action,
  subject_kind: kind,
  subject_id: id,
  before: before ?? null,
  after: after ?? null,
  request_id: actor.requestId ?? null,
});

const changeRow = ({ kind, id, digest }: Change) => ({
  kind,
  id,
  digest: digest ? `\\x${digest.toString('hex')}` : null,
});
