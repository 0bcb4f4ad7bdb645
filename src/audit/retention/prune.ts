/**
 * Retention: the records of whole days are dropped once they have been verified in full and are covered by a checkpoint
 * outside the database. Their heads stay, and a signed line in the file of checkpoints says that the records may be dropped.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import { type Actor, mutate } from '../../db/mutate.ts';
import { Failure, Refusal } from '../../errors.ts';
import { appendLine } from '../checkpoint/file.ts';
import { type Pruned, printPruned, prunedBytes } from '../format/checkpoint-line.ts';
import { HEAD_COLUMNS, type Head } from '../format/heads.ts';
import type { Signer } from '../format/signatures.ts';
import { sumOf } from '../verify/pruned.ts';
import { dayAfter } from '../verify/ranges.ts';
import { type VerifiedDay, type VerifyOptions, type VerifyReport, verifyLog } from '../verify/verify.ts';

/** Days that processes with a wrong clock may still write to, and make partitions of, are younger. */
export const LEAST_KEPT_DAYS = 7;

export interface PrunePlan {
  /** Days that may be dropped, in their order. */
  readonly ready: readonly VerifiedDay[];
  /** Days that are old enough and must stay, with the reason. */
  readonly refused: readonly { readonly day: string; readonly why: string }[];
}

type PlanOptions = Pick<VerifyOptions, 'publicKeys' | 'onProgress'> & {
  /** How many days are kept, the present one not counted; at least LEAST_KEPT_DAYS. */
  readonly keepDays: number;
  /** All files of checkpoints that there are. */
  readonly files: readonly string[];
  readonly signer: Signer;
};

const CANDIDATES = `
  select distinct day::text from chain_heads
  where day < least(now(), ?::timestamptz) at time zone 'UTC' - make_interval(days => ?)
    and day not in (select day from pruned_days)
  order by day`;

/**
 * Verifies all days that are older than the keep, and says which of them may be dropped.
 * @throws Refusal: a file cannot be read, or no verification would accept what `signer` signs; what the database throws.
 */
export async function planPrune(db: Knex, options: PlanOptions): Promise<PrunePlan> {
  const { keepDays, signer, ...verification } = options;
  if (keepDays < LEAST_KEPT_DAYS) throw new RangeError(`fewer than ${LEAST_KEPT_DAYS} days`);
  // INVARIANT: by the earlier of two clocks, and whole days: the last moment of a day is older than the keep.
  const bindings = [new Date(), keepDays + 1];
  const { rows } = await orFailure(db.raw<{ rows: { day: string }[] }>(CANDIDATES, bindings));
  const candidates = rows.map(({ day }) => day);
  const last = candidates.at(-1);
  if (last === undefined) return { ready: [], refused: [] };
  const report = await verifyLog(db, { ...verification, to: last });
  const accepted = options.publicKeys ?? new Set(report.checkpoints.publicKeys);
  if (!accepted.has(signer.publicKey)) {
    throw new Refusal(
      'AUDIT_SIGNING_KEY is not one of the keys that the checkpoints are verified with, so nobody would accept what it ' +
        'signs; use the key of a service that writes checkpoints, and name its public key in --public-key',
    );
  }
  const checked = report.days.filter(({ day }) => candidates.includes(day));
  const reasons = new Map(checked.map((day) => [day.day, reasonAgainst(day, report)]));
  return {
    ready: checked.filter(({ day }) => reasons.get(day) === undefined),
    refused: [...reasons].flatMap(([day, why]) => (why === undefined ? [] : [{ day, why }])),
  };
}

/** Why the records of a day must stay; undefined where nothing speaks for it. */
function reasonAgainst({ day, covered }: VerifiedDay, { findings, found }: VerifyReport): string | undefined {
  // What concerns no day concerns all: a checkpoint that was altered or is not there.
  const finding = findings.find((one) => one.day === undefined || one.day === day);
  if (finding !== undefined) return `it does not verify: ${finding.message}`;
  if (found > findings.length) return 'the log has so many findings that not all are known; see authz audit verify';
  if (!covered) return 'no checkpoint outside the database attests all of its heads as they are; give all files';
  return undefined;
}

interface PruneParts {
  readonly signer: Signer;
  /** The file that the line is appended to: one of those that the plan was made with. */
  readonly file: string;
}

/**
 * Drops the records of a day that `planPrune` found ready.
 *
 * INVARIANT: the line is flushed before anything is dropped, and row, event and drop are one transaction. So a crash at
 * any moment leaves either all records or none, and none only where the line is; the next run completes it.
 *
 * @throws Failure CONFLICT when the day has changed meanwhile; Refusal while others go on reading the log; what the
 * database or the file throws.
 */
export async function pruneDay(
  db: Knex,
  actor: Actor,
  day: VerifiedDay,
  { signer, file }: PruneParts,
): Promise<Pruned> {
  await db.transaction((trx) => requireUnchanged(trx, day));
  const statement = day.statement ?? signed(day, signer);
  if (day.statement === null) await appendLine(file, printPruned(statement));
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mutate(db, actor, (trx) => dropRecords(trx, day, statement));
      await orFailure(db.raw(DROP_SITUATIONS));
      return statement;
    } catch (error) {
      if (((error as Failure).cause as { code?: string } | undefined)?.code !== LOCK_NOT_AVAILABLE) throw error;
      if (attempt === ATTEMPTS) throw new Refusal(BUSY(day.day), error);
      await sleep(PAUSE_MS);
    }
  }
}

/**
 * The lock_timeout of ACCESS EXCLUSIVE. Locks are queued: while this one waits for a reader of the log, all inserts wait behind
 * it. So it gives up before the deadline of a decision passes, and pauses for the inserts to go on before it tries again.
 */
const LOCK_MS = 100;
const PAUSE_MS = 1000;
const ATTEMPTS = 30;
const LOCK_NOT_AVAILABLE = '55P03';
const BUSY = (day: string): string =>
  `the decision log is being read (an export, a verification, a backup), and nothing of ${day} was dropped; run this again later`;

function signed({ day, records, root }: VerifiedDay, { publicKey, sign }: Signer): Pruned {
  const unsigned = { day, at: new Date().toISOString(), records, root };
  return { type: 'pruned', ...unsigned, publicKey, signature: sign(prunedBytes(unsigned)) };
}

const partitionOf = (day: string): string => `decisions_${day.replaceAll('-', '')}`;

async function dropRecords(trx: Knex.Transaction, verified: VerifiedDay, statement: Pruned) {
  const { day, at, records, root, publicKey, signature } = statement;
  await trx.raw(`set local lock_timeout = ${LOCK_MS}; lock table only decision_records in access exclusive mode`);
  await requireUnchanged(trx, verified);
  await trx.raw(
    `insert into pruned_days (day, at, records, root, public_key, signature)
     values (?, ?, ?, decode(?, 'hex'), decode(?, 'base64'), decode(?, 'base64'))`,
    [day, at, records, root, publicKey, signature],
  );
  const partition = partitionOf(day);
  await trx.raw(`alter table decision_records detach partition ${partition}; drop table ${partition}`);
  const after = { day, at, records, root };
  return {
    result: undefined,
    events: [{ action: 'audit.prune', kind: 'log' as const, id: 'decisions', after }],
    changes: [],
  };
}

/**
 * Those that no day names that is still there: after the drop and not within it, which holds up decisions; where it fails, the next one drops them.
 * INVARIANT: a batch that names one of them meanwhile has moved its last day, or finds it gone and brings it anew.
 */
const DROP_SITUATIONS = `
  delete from situations where last_day < coalesce(
    (select min(day) from chain_heads where day not in (select day from pruned_days)), (now() at time zone 'UTC')::date)`;

const BOUNDS = `
  select pg_get_expr(relpartbound, pg_class.oid) as bounds from pg_class join pg_inherits on inhrelid = pg_class.oid
  where inhparent = 'decision_records'::regclass and pg_class.oid = to_regclass(?)`;

const HEADS = `select ${HEAD_COLUMNS} from chain_heads where day = ?`;

/** INVARIANT: what is dropped is the partition of this day and no other, and its chains end where the verification saw it. */
async function requireUnchanged(trx: Knex.Transaction, { day, records, root }: VerifiedDay): Promise<void> {
  await trx.raw(`set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'`);
  const partition = await trx.raw<{ rows: { bounds: string }[] }>(BOUNDS, [partitionOf(day)]);
  const [from, to] = [day, dayAfter(day)].map((bound) => `('${bound} 00:00:00+00')`);
  if (partition.rows[0]?.bounds !== `FOR VALUES FROM ${from} TO ${to}`)
    throw new Failure(
      'CONFLICT',
      `There is no partition ${partitionOf(day)} of the log for ${day}. Nothing was dropped.`,
    );
  const heads = await trx.raw<{ rows: Head[] }>(HEADS, [day]);
  const now = sumOf(heads.rows);
  if (now.records !== records || now.root !== root)
    throw new Failure('CONFLICT', `Something was written to ${day} since it was verified. Nothing of it was dropped.`);
}
