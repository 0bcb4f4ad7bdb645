/** Looks for the findings of one kind, in its turn among all replicas, and keeps which stand and which are new. */

import type { Knex } from 'knex';
import { findingsOf, type HygieneFinding } from '../key-hygiene/findings.ts';
import type { Thresholds } from '../key-hygiene/kind.ts';
import type { HygieneName } from '../key-hygiene/rules.ts';
import type { Declaration } from '../policy/declared/declaration.ts';

/** Findings of one kind that are kept, the first by subject; and of those that stand no longer, as many of the last again. */
const MOST_KEPT = 1000;
/** How long a kind rests: so many times as long as it took, so that a big log costs PostgreSQL a twentieth of a core at most. */
const REST = 20;

/** Not by `now()`, which is that of the transaction's begin. In the future it can lie only where the clock was set back since. */
const RESTS = `tried_at <= clock_timestamp()
  and tried_at > clock_timestamp() - greatest(make_interval(secs => :interval), ${REST} * make_interval(secs => took_ms / 1000.0))`;

/** The transaction that a look is, so that it can be cancelled. */
export interface Transaction {
  readonly pid: number;
  /** When it began, in the database's text: with the pid, which a pooler gives to others, it names it. */
  readonly since: string;
}

const TAKE_TURN = 'select pg_backend_pid() as pid, now()::text as since from finding_turn for update skip locked';
const CANCEL =
  'select pg_cancel_backend(pid) from pg_stat_activity where pid = :pid and xact_start = :since::timestamptz';

/** Takes the turn of who changes what is found until the end of the transaction; undefined: another replica has it. */
export async function takeTurn(trx: Knex.Transaction): Promise<Transaction | undefined> {
  const { rows } = await trx.raw<{ rows: Transaction[] }>(TAKE_TURN);
  return rows[0];
}

/** Ends a look that is under way. @throws what the database throws */
export const cancel = async (db: Knex, { pid, since }: Transaction, limitMs: number): Promise<void> =>
  void (await db.raw(CANCEL, { pid, since }).on('start', (statement: Knex.Raw) => statement.timeout(limitMs)));

const NOTE_TRY = `
  insert into finding_kinds (kind, tried_at, took_ms, looked_at, found)
  values (:kind, clock_timestamp(), :took, case when :found::bigint is not null then now() end, :found)
  on conflict (kind) do update set tried_at = excluded.tried_at, took_ms = excluded.took_ms,
    looked_at = coalesce(excluded.looked_at, finding_kinds.looked_at), found = coalesce(excluded.found, finding_kinds.found)`;

const KEEP = `
  insert into findings (kind, subject, says, advice, commands)
  select :kind, subject, says, advice, commands
  from jsonb_to_recordset(:found::jsonb) as f (subject text, says text, advice text, commands jsonb)
  on conflict (kind, subject) do update set
    says = excluded.says, advice = excluded.advice, commands = excluded.commands, last_seen = excluded.last_seen`;

/** Of every kind, since one that an older version knew is looked for by nobody. */
const FORGET_OLD = `
  with gone as (delete from finding_kinds where tried_at < now() - interval '1 day')
  delete from findings where last_seen < now() - interval '1 day'`;
const FORGET_MANY = `
  delete from findings where kind = :kind and subject in (
    select subject from findings where kind = :kind and last_seen < now() order by last_seen desc, subject offset ${MOST_KEPT})`;

export interface Looking {
  readonly intervalSeconds: number;
  readonly thresholds: Thresholds;
  readonly declaration: Declaration;
  /** Told of the transaction when it has begun. */
  readonly began: (transaction: Transaction) => void;
  /** Once it is aborted, a failure is that of the replica, which another one need not wait for. */
  readonly ending: AbortSignal;
}

/**
 * Looks for the kind, unless it rests or another replica has the turn: `taken`. What it finds is kept in the same transaction, which is a
 * lock that ends with the connection of a replica that dies, behind a pooler too.
 * @throws what the database throws; then the kind rests as well
 */
export async function lookFor(db: Knex, kind: HygieneName, looking: Looking): Promise<'looked' | 'rests' | 'taken'> {
  const startedAt = performance.now();
  const took = (): number => Math.ceil(performance.now() - startedAt);
  try {
    return await db.transaction((trx) => look(trx, kind, looking, took));
  } catch (error) {
    // A rest, too, for what PostgreSQL ended at its statement_timeout. What keeps this from being noted is the same, and worth no line of its own.
    if (!looking.ending.aborted) await db.raw(NOTE_TRY, { kind, took: took(), found: null }).catch(() => undefined);
    throw error;
  }
}

async function look(
  trx: Knex.Transaction,
  kind: HygieneName,
  { intervalSeconds, thresholds, declaration, began }: Looking,
  took: () => number,
): Promise<'looked' | 'rests' | 'taken'> {
  const transaction = await takeTurn(trx);
  if (transaction === undefined) return 'taken';
  began(transaction);
  // In a statement of its own, that sees what the last turn has committed.
  const due = { kind, interval: intervalSeconds };
  const { rows } = await trx.raw<{ rows: object[] }>(`select from finding_kinds where kind = :kind and ${RESTS}`, due);
  if (rows.length > 0) return 'rests';
  // One core of PostgreSQL at most.
  await trx.raw('set local max_parallel_workers_per_gather = 0');
  const asked = { thresholds, declaration, after: '', limit: MOST_KEPT };
  const { findings, total } = await findingsOf(trx, kind, asked);
  await trx.raw(KEEP, { kind, found: JSON.stringify(findings.map(kept)) });
  await trx.raw(FORGET_OLD);
  await trx.raw(FORGET_MANY, { kind });
  await trx.raw(NOTE_TRY, { kind, took: took(), found: total });
  return 'looked';
}

const kept = ({ subject, says, advice, commands }: HygieneFinding) => ({ subject, says, advice, commands });

/** What is known of a kind. */
export interface KindState {
  /** Found when it was last looked for. */
  readonly found: number;
  /** Seconds since then; undefined: never. */
  readonly age: number | undefined;
  readonly rests: boolean;
}

export interface State {
  readonly kinds: ReadonlyMap<string, KindState>;
  /** Messages that wait to be delivered. */
  readonly waiting: number;
}

const READ = `
  select k.kind, coalesce(k.found, 0)::float8 as found, extract(epoch from clock_timestamp() - k.looked_at)::float8 as age,
    k.rests, (select count(*) from finding_messages)::float8 as waiting
  from (select 1) as always left join (select *, ${RESTS} as rests from finding_kinds) k on true`;

/** What all replicas know. @throws what the database throws */
export async function readState(db: Knex, intervalSeconds: number): Promise<State> {
  interface Row {
    readonly kind: string | null;
    readonly found: number;
    readonly age: number | null;
    readonly rests: boolean;
    readonly waiting: number;
  }
  const { rows } = await db.raw<{ rows: Row[] }>(READ, { interval: intervalSeconds });
  return {
    kinds: new Map(
      rows.flatMap(({ kind, found, age, rests }) =>
        kind === null ? [] : [[kind, { found, age: age ?? undefined, rests }]],
      ),
    ),
    waiting: rows[0]?.waiting ?? 0,
  };
}
