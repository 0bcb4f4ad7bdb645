/**
 * Whether the decision log is what was written: every record against its chain, every chain against its head, every head
 * against the signed checkpoints, and those against the file outside the database. It reads one snapshot of a log that
 * may be written to meanwhile, in memory that does not grow with it.
 */

import type { Knex } from 'knex';
import { openCheckpointFiles } from '../checkpoint/file.ts';
import type { Pruned } from '../format/checkpoint-line.ts';
import { chainOf, type Head } from '../format/heads.ts';
import { FIRST_OPENING } from '../format/record-hash.ts';
import { type ChainWalk, walkChain } from './chain.ts';
import { type CheckpointState, printHead, verifyCheckpoints } from './checkpoints.ts';
import { createFindings, type Finding, type Findings } from './findings.ts';
import { compareHeads, openLinks, readHeads } from './heads.ts';
import { type DaySum, type PrunedDays, sumOf, verifyPruned } from './pruned.ts';
import { rangesOf, rowsOf } from './ranges.ts';
import { createRowReader, SESSION, type StoredRecord } from './row.ts';

export interface VerifyOptions {
  /** YYYY-MM-DD, UTC, both inclusive: the days whose records are read. Heads and checkpoints are always read in full. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  /** All files of checkpoints that there are; undefined: there are none outside the database. */
  readonly files?: readonly string[] | undefined;
  /** Keys that may have signed (SPKI, base64); undefined: those that the checkpoints themselves name. */
  readonly publicKeys?: ReadonlySet<string> | undefined;
  readonly onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export interface VerifyProgress {
  readonly checkpoints: number;
  readonly records: number;
  readonly ofRecords: number;
}

export interface VerifyReport {
  readonly clean: boolean;
  readonly records: number;
  readonly chains: number;
  /** How many records have had their personal data erased. */
  readonly erased: number;
  /** How many of the days that were asked for have no records any more, as somebody with the signing key has stated. */
  readonly pruned: number;
  readonly checkpoints: {
    readonly count: number;
    /** The newest one outside the database; null: none was read. */
    readonly external: { readonly number: number; readonly at: string } | null;
    /** SPKI, base64: those that signed. */
    readonly publicKeys: readonly string[];
    /** Who vouches for the keys: the person that gave them, the files, or only the database. */
    readonly keysFrom: 'given' | 'file' | 'database';
    /** `FILE:LINE` of lines that a crash or a full disk left unfinished. */
    readonly torn: readonly string[];
  };
  /** Records that no checkpoint outside the database covers: a superuser can rewrite these, and nobody would find it. */
  readonly uncovered: number;
  /** The first hundred of each kind: by day, and what concerns no record last. */
  readonly findings: readonly Finding[];
  readonly found: number;
  /** Those of the days that were asked for which have chains, in their order. */
  readonly days: readonly VerifiedDay[];
}

export interface VerifiedDay extends DaySum {
  readonly day: string;
  /** Whether a checkpoint outside the database attests every head of the day just as it stands. */
  readonly covered: boolean;
  /** Whether its records were dropped, or may be: what was signed of it. */
  readonly statement: Pruned | null;
  readonly pruned: boolean;
}

const MOST_FINDINGS = 100;
const PROGRESS_EVERY = 2000;

/** @throws Refusal when a file of checkpoints cannot be read; what the database throws. */
export async function verifyLog(db: Knex, options: VerifyOptions): Promise<VerifyReport> {
  const files = options.files && (await openCheckpointFiles(options.files));
  try {
    return await db.transaction(
      async (trx) => {
        // INVARIANT: before the snapshot. A day that is dropped meanwhile would be gone at once, and its row unseen.
        await trx.raw('lock table only decisions in access share mode');
        await trx.raw(SESSION);
        const { from = '0000', to = '9999' } = options;
        const inRange = (day: string): boolean => from <= day && day <= to;
        const findings = createFindings(MOST_FINDINGS);
        const progress = { checkpoints: 0, records: 0, ofRecords: 0 };
        // INVARIANT: files, snapshot (which this takes), files: what they held before is in it, and what is in it they hold now.
        const heads = await readHeads(trx);
        const state = await verifyCheckpoints(trx, {
          files,
          publicKeys: options.publicKeys,
          inRange,
          findings,
          onCheckpoint: (count) => {
            progress.checkpoints = count;
            options.onProgress?.(progress);
          },
        });
        compareHeads(heads, state, findings);
        const accepted = options.publicKeys ?? files?.publicKeys ?? state.publicKeys;
        const pruned = await verifyPruned(trx, { files, accepted, heads, state, findings });
        for (const { day, records } of heads.values())
          if (inRange(day) && !pruned.recorded(day)) progress.ofRecords += records;
        const walked = await verifyRecords(trx, { options, heads, state, pruned, findings, inRange, progress });
        return {
          clean: findings.total() === 0,
          records: progress.records,
          chains: walked.chains,
          erased: walked.erased,
          pruned: walked.pruned.size,
          checkpoints: {
            count: state.count,
            external: state.external,
            publicKeys: [...state.publicKeys],
            keysFrom: options.publicKeys ? 'given' : files ? 'file' : 'database',
            torn: files?.torn ?? [],
          },
          uncovered: uncovered(heads, state),
          findings: findings.list(),
          found: findings.total(),
          days: walked.days.map((day) => ({
            ...summary(day, heads, state),
            statement: pruned.statementOf(day) ?? null,
            pruned: walked.pruned.has(day),
          })),
        };
      },
      { isolationLevel: 'repeatable read', readOnly: true },
    );
  } finally {
    await files?.close();
  }
}

function uncovered(heads: ReadonlyMap<string, Head>, state: CheckpointState): number {
  let records = 0;
  for (const [chain, head] of heads) {
    const covered = state.external === null ? 0 : (state.heads.get(chain)?.records ?? 0);
    records += Math.max(0, head.records - covered);
  }
  return records;
}

function summary(day: string, heads: ReadonlyMap<string, Head>, { attested }: CheckpointState) {
  const ofDay = [...heads.values()].filter((head) => head.day === day);
  const covered = ofDay.every((head) => {
    const last = attested.get(chainOf(head))?.at(-1);
    return last?.outside === true && last.records === head.records && last.hash === head.hash;
  });
  return { day, ...sumOf(ofDay), covered };
}

interface Work {
  readonly options: VerifyOptions;
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: CheckpointState;
  readonly pruned: PrunedDays;
  readonly findings: Findings;
  readonly inRange: (day: string) => boolean;
  readonly progress: { checkpoints: number; records: number; ofRecords: number };
}

interface Walked {
  readonly chains: number;
  readonly erased: number;
  /** That have heads. */
  readonly days: readonly string[];
  readonly pruned: ReadonlySet<string>;
}

async function verifyRecords(db: Knex, work: Work): Promise<Walked> {
  const { options, heads, state, pruned, findings, inRange, progress } = work;
  const links = openLinks(heads, inRange);
  const erasureRecorded = await readErasures(db);
  const read = createRowReader();
  const days = [...new Set([...heads.values()].map((head) => head.day))].filter(inRange).sort();
  const visited = new Set<string>();
  const prunedDays = new Set<string>();
  let chains = 0;
  let erased = 0;

  const begin = ({ boot, day }: StoredRecord): ChainWalk => {
    const chain = chainOf({ boot, day });
    const head = heads.get(chain);
    if (head === undefined || visited.has(chain)) {
      findings.add({
        code: 'inserted',
        boot,
        day,
        seq: 1,
        message: `${printHead({ boot, day })} is not known: its records were inserted, or its head was removed`,
      });
    }
    visited.add(chain);
    chains += 1;
    return walkChain({
      boot,
      day,
      head,
      openings: openingsOf(head, state.heads.get(chain)),
      attested: state.attested.get(chain) ?? [],
      findings,
      erasureRecorded,
    });
  };

  for (const range of rangesOf(days, options.from, options.to)) {
    let walk: ChainWalk | undefined;
    const end = (): void => {
      walk?.end();
      erased += walk?.erased() ?? 0;
    };
    for await (const row of rowsOf(db, range)) {
      const record = read(row);
      if (walk?.boot !== record.boot || walk.day !== record.day) {
        end();
        walk = begin(record);
      }
      walk.step(record);
      links.seen(record.boot, record.hash);
      progress.records += 1;
      if (progress.records % PROGRESS_EVERY === 0) options.onProgress?.(progress);
    }
    end();
    if (walk === undefined && range.day !== undefined && pruned.accept(range.day)) {
      prunedDays.add(range.day);
      continue;
    }
    for (const [chain, head] of heads) {
      if (head.day === range.day && !visited.has(chain)) {
        const { boot, day } = head;
        findings.add({
          code: 'removed',
          boot,
          day,
          seq: 1,
          message: `${printHead(head)}: all ${head.records} records were removed`,
        });
      }
    }
  }
  options.onProgress?.(progress);
  links.report(findings, (day) => prunedDays.has(day));
  return { chains, erased, days, pruned: prunedDays };
}

/** The head's own, and what to try where that fails, so that an altered head is not taken for an altered record. */
const openingsOf = (head: Head | undefined, attested: Head | undefined): Buffer[] =>
  head === undefined
    ? attested === undefined
      ? []
      : [Buffer.from(attested.opening, 'hex')]
    : [Buffer.from(head.opening, 'hex'), ...(attested ? [Buffer.from(attested.opening, 'hex')] : []), FIRST_OPENING];

/** Whose personal data were erased, and until when. */
async function readErasures(db: Knex): Promise<(record: StoredRecord) => boolean> {
  const { rows } = await db.raw<{ rows: { kind: string; id: string; at: Date }[] }>(
    `select subject_kind as kind, subject_id as id, max(at) as at from admin_events
     where action = 'audit.erase' and subject_kind in ('user', 'key') group by 1, 2`,
  );
  const until = new Map(rows.map(({ kind, id, at }) => [`${kind} ${id}`, at.toISOString()]));
  const covers = (subject: string, at: string): boolean => (until.get(subject) ?? '') >= at;
  return ({ user_id, api_key_id, at }) =>
    (user_id !== null && covers(`user ${user_id}`, at)) || (api_key_id !== null && covers(`key ${api_key_id}`, at));
}
