/**
 * The only way to change keys and directory: the change itself, its admin events (for auditors), its entries in the change
 * feed (which invalidate caches) and the NOTIFY that wakes the other processes commit as one transaction.
 */

import type { Knex } from 'knex';
import { maskSecrets } from '../mask.ts';
import { databaseFailure } from './failure.ts';
import { NEWEST_MIGRATION } from './schema.ts';
import { despiteRaces } from './write-outcome.ts';

/** Who changes something. */
export interface Actor {
  /** A caller's id; or who ran the command, `as:` and the name that was stated, or `cli:` and account and machine. */
  readonly id: string;
  readonly requestId?: string | undefined;
}

/**
 * One entry of the administrative log. `before` and `after` are resources as the API shows them, so they hold no secret;
 * what has the form of one, such as in the name of an imported file, is masked.
 */
export interface AdminEvent {
  /** Such as `key.rotate`. */
  readonly action: string;
  readonly kind:
    | 'user'
    | 'business'
    | 'member'
    | 'key'
    | 'caller'
    | 'freeze'
    | 'directory'
    | 'decision'
    | 'log'
    | 'policy'
    | 'address';
  readonly id: string;
  readonly before?: object | undefined;
  readonly after?: object | undefined;
}

/** What caches must drop: every entry made from this key, user, business, caller or freeze, or (`*`) every entry. */
export interface Change {
  readonly kind: 'key' | 'user' | 'business' | 'caller' | 'freeze' | '*';
  readonly id: string;
  /** Of a key or a caller: its digest, so that a negative entry for it is dropped too. */
  readonly digest?: Buffer | undefined;
}

export interface Mutation<T> {
  readonly result: T;
  /** None when nothing had to be changed; `changes` is empty then, too. */
  readonly events: readonly AdminEvent[];
  readonly changes: readonly Change[];
}

/** The changes of one committed transaction, under the one feed number that it took. */
export interface Commit {
  readonly seq: number;
  readonly changes: readonly Change[];
}

export const CHANGES_CHANNEL = 'authz_changes';

const COMMIT = Symbol('commit');

/**
 * Calls `listener` with each commit through `db` before `mutate` returns, so that this process's cache is invalidated before
 * the change is confirmed to anybody (read your writes). Undefined: the commit's outcome is unknown (the connection was
 * lost during it), so anything may have changed.
 */
export const onCommit = (db: Knex, listener: (commit: Commit | undefined) => void): void =>
  void db.on(COMMIT, listener);

// Its lock is the only order that there is between changes: migrations/001_initial/admin-chain.ts.
const RECORD_CHANGE = 'select authz_record_change(?::jsonb, ?::jsonb, ?::text)::text as seq';

/**
 * Runs `work` in a transaction, and commits what it did together with its events and changes. When PostgreSQL rolls this
 * transaction back for the sake of another (deadlock, serialization), `work` runs again.
 *
 * INVARIANT: the feed number and the places of the events in their chain are taken by the last statement before the commit, under
 * the counter's row lock. The next transaction waits for that lock, so numbers become visible in order: a reader that sees n sees
 * everything below n.
 *
 * @throws a Failure that `work` throws (rolled back), or what `databaseFailure` makes of any other error. After that the
 *   outcome is unknown: an error that met the commit left it made or rolled back.
 */
export async function mutate<T>(
  db: Knex,
  actor: Actor,
  work: (trx: Knex.Transaction) => Promise<Mutation<T>>,
): Promise<T> {
  const run = async (): Promise<T> => {
    let commit: Commit | undefined;
    try {
      const result = await db.transaction(async (trx) => {
        const { result, events, changes } = await work(trx);
        if (events.length + changes.length === 0) return result;
        const seq = await record(trx, actor, { events, changes });
        if (changes.length > 0) commit = { seq, changes };
        return result;
      });
      if (commit) db.emit(COMMIT, commit);
      return result;
    } catch (error) {
      if (commit) db.emit(COMMIT, undefined);
      throw databaseFailure(error);
    }
  };
  return despiteRaces(run);
}

/** @returns the number of the changes in the feed */
async function record(
  trx: Knex.Transaction,
  actor: Actor,
  { events, changes }: Pick<Mutation<unknown>, 'events' | 'changes'>,
): Promise<number> {
  const eventRows = maskSecrets(JSON.stringify(events.map((event) => eventRow(actor, event))));
  const changeRows = JSON.stringify(changes.map(changeRow));
  const { rows } = await trx.raw<{ rows: [{ seq: string }] }>(RECORD_CHANGE, [eventRows, changeRows, NEWEST_MIGRATION]);
  return Number(rows[0].seq);
}

/** The database adds what it knows better: id, time, login, and the place in the chain. */
const eventRow = (actor: Actor, { action, kind, id, before, after }: AdminEvent) => ({
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
