/**
 * Whether the decision log is what was written: every record against its chain, every chain against its head, every head
 * against the signed checkpoints, and those against the file outside the database. It reads one snapshot of a log that
 * may be written to meanwhile, in memory that does not grow with it.
 */

import type { Knex } from 'knex';
import { readClock } from '../../db/clock.ts';
import { type CheckpointFiles, openCheckpointFiles } from '../checkpoint/file.ts';
import type { Pruned } from '../format/checkpoint-line.ts';
import { ADMINISTRATION, chainOf, type Head } from '../format/heads.ts';
import { RECORD_HASHES } from '../format/record-hash.ts';
import { type Administration, verifyAdministration } from './administration.ts';
import type { Fields } from './binary-row.ts';
import { rowSplitter } from './binary-row.ts';
import { type ChainWalk, checkPersonal, endChain, startChain, stepChain } from './chain.ts';
import { type CheckpointState, verifyCheckpoints } from './checkpoints.ts';
import { READ_COLUMNS, textsOf } from './columns-read.ts';
import { createFindings, printChain, type VerifyFinding, type VerifyFindings } from './findings.ts';
import {
  compareHeads,
  hashOfChain,
  type OpenLinks,
  openingsOf,
  openLinks,
  readHeads,
  reportUnknownFormats,
} from './heads.ts';
import { createProof, type Erased, type ProveDay } from './proof.ts';
import { type DaySum, type PrunedDays, sumOf, verifyPruned } from './pruned.ts';
import { type DayRange, dayRanges, rowsOf } from './ranges.ts';
import { createRowReader, type LogRow, READ_SETTINGS, type StoredRecord } from './row.ts';
import type { ClockStep, JudgedTimes } from './times.ts';

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
  /** How many of the days in range were pruned, as signed statements say. */
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
  /** Where the database's clock was set back: that is no fault, and between the two no record is held against the time of a checkpoint. */
  readonly clockSteps: readonly ClockStep[];
  /** Records that no checkpoint outside the database covers: a superuser can rewrite these undetected. */
  readonly uncovered: number;
  readonly administration: Administration;
  /** The first hundred of each kind: by day, and what concerns no record last. */
  readonly findings: readonly VerifyFinding[];
  readonly found: number;
  /** Those of the days that were asked for which have chains, in their order. */
  readonly days: readonly VerifiedDay[];
}

export interface VerifiedDay extends DaySum {
  readonly day: string;
  /** Whether checkpoints outside the database attest every head of the day as it is now. */
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
        // INVARIANT: before the snapshot. DDL is not in it: a partition dropped later would vanish, its pruned_days row unseen.
        await trx.raw('lock table only decision_records in access share mode');
        await trx.raw(READ_SETTINGS);
        return verifySnapshot(trx, options, files);
      },
      { isolationLevel: 'repeatable read', readOnly: true },
    );
  } finally {
    await files?.close();
  }
}

async function verifySnapshot(
  trx: Knex,
  options: VerifyOptions,
  files: CheckpointFiles | undefined,
): Promise<VerifyReport> {
  const { from = '0000', to = '9999', publicKeys, onProgress } = options;
  // The chain of administration is of no day, and always walked.
  const inRange = (day: string): boolean => day === ADMINISTRATION.day || (from <= day && day <= to);
  const findings = createFindings(MOST_FINDINGS);
  const progress = { checkpoints: 0, records: 0, ofRecords: 0 };
  const onCheckpoint = (count: number): void => {
    progress.checkpoints = count;
    onProgress?.(progress);
  };
  // INVARIANT: this, the first query, takes the snapshot after the files were read; they are read on after it. A checkpoint is
  // committed before its line is appended: so each line of the first read has a row in the snapshot, and each row of the
  // snapshot its line by the second, but for the last of a writer.
  const all = await readHeads(trx);
  const state = await verifyCheckpoints(trx, { files, publicKeys, inRange, findings, onCheckpoint });
  const times = state.times.judge(new Date(await readClock(trx)).toISOString());
  compareHeads(all, state, inRange, findings);
  const administration = await verifyAdministration(trx, { heads: all, state, times, findings });
  const heads = new Map([...all].filter(([, { boot }]) => boot !== ADMINISTRATION.boot));
  const accepted = publicKeys ?? files?.publicKeys ?? state.publicKeys;
  const pruned = await verifyPruned(trx, { files, accepted, heads, state, findings });
  const isRead = (day: string): boolean => inRange(day) && !pruned.recorded(day);
  reportUnknownFormats(heads, isRead, findings);
  for (const { day, records } of heads.values()) if (isRead(day)) progress.ofRecords += records;
  const read = await verifyRecords(trx, { options, heads, state, pruned, times, findings, inRange, progress });
  return {
    clean: findings.total() === 0,
    records: progress.records,
    chains: read.chains,
    erased: read.erased,
    pruned: read.prunedDays.size,
    checkpoints: {
      count: state.count,
      external: state.external,
      publicKeys: [...state.publicKeys],
      keysFrom: publicKeys ? 'given' : files ? 'file' : 'database',
      torn: files?.torn ?? [],
    },
    clockSteps: times.steps,
    uncovered: uncovered(heads, state),
    administration,
    findings: findings.list(),
    found: findings.total(),
    days: read.days.map((day) => ({
      ...summary(day, heads, state),
      statement: pruned.statementOf(day) ?? null,
      pruned: read.prunedDays.has(day),
    })),
  };
}

/** How many records no checkpoint outside the database covers. */
function uncovered(heads: ReadonlyMap<string, Head>, { chains }: CheckpointState): number {
  let records = 0;
  for (const [chain, head] of heads) {
    // A chain of an unknown format says nothing about its records, whoever attests its head.
    const covered = RECORD_HASHES.has(head.format) ? (chains.get(chain)?.outside ?? 0) : 0;
    records += Math.max(0, head.records - covered);
  }
  return records;
}

function summary(day: string, heads: ReadonlyMap<string, Head>, { chains }: CheckpointState) {
  const ofDay = [...heads.values()].filter((head) => head.day === day);
  const covered = ofDay.every((head) => {
    const last = chains.get(chainOf(head))?.places.at(-1);
    if (!RECORD_HASHES.has(head.format)) return false;
    return last?.outside === true && last.records === head.records && last.hash === head.hash;
  });
  return { day, ...sumOf(ofDay), covered };
}

interface RecordsOptions {
  readonly options: VerifyOptions;
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: CheckpointState;
  readonly pruned: PrunedDays;
  readonly times: JudgedTimes;
  readonly findings: VerifyFindings;
  readonly inRange: (day: string) => boolean;
  readonly progress: { checkpoints: number; records: number; ofRecords: number };
}

/** The second half of a verification, the reading of all records, and how far it has come. */
interface RecordsRead extends RecordsOptions {
  readonly parse: (row: LogRow) => StoredRecord;
  readonly prove: ProveDay;
  readonly links: OpenLinks;
  readonly erasureRecorded: (record: Erased) => boolean;
  /** That have heads. */
  readonly days: readonly string[];
  /** The chains of which a record was read. */
  readonly visited: Set<string>;
  /** The days without any record that a statement allows to be so. */
  readonly prunedDays: Set<string>;
  chains: number;
  erased: number;
}

async function verifyRecords(db: Knex, parts: RecordsOptions): Promise<RecordsRead> {
  const { heads, findings, inRange, options, progress, pruned } = parts;
  const links = openLinks(heads, inRange);
  const erasureRecorded = await readErasures(db);
  const before = { records: 0 };
  const onProgress = (records: number): void =>
    options.onProgress?.({ ...progress, records: before.records + records });
  const read: RecordsRead = {
    ...parts,
    parse: createRowReader(),
    prove: await createProof(db, { ...parts, erasureRecorded, seen: links.seen, onProgress }),
    links,
    erasureRecorded,
    days: [...new Set([...heads.values()].map((head) => head.day))].filter(inRange).sort(),
    visited: new Set(),
    prunedDays: new Set(),
    chains: 0,
    erased: 0,
  };
  for (const range of dayRanges(read.days, options.from, options.to)) {
    before.records = progress.records;
    const records = (await proveDay(read, range)) ?? (await verifyRange(db, read, range));
    if (range.day === undefined) continue;
    if (records === 0 && pruned.accept(range.day)) read.prunedDays.add(range.day);
    else reportRemovedChains(read, range.day);
  }
  options.onProgress?.(progress);
  read.links.report(findings, (day) => read.prunedDays.has(day));
  return read;
}

/** @returns how many records the day has; undefined where it is to be read in full */
async function proveDay(read: RecordsRead, range: DayRange): Promise<number | undefined> {
  const proven = await read.prove(range);
  if (proven === undefined) return undefined;
  read.progress.records += proven.records;
  read.chains += proven.chains.length;
  read.erased += proven.erased;
  for (const chain of proven.chains) read.visited.add(chain);
  return proven.records;
}

/** Walks every chain of the range. @returns how many records there are */
async function verifyRange(db: Knex, read: RecordsRead, range: DayRange): Promise<number> {
  const { progress, links, options, erasureRecorded } = read;
  const before = progress.records;
  let walk: ChainWalk<StoredRecord> | undefined;
  const end = (): void => {
    if (walk !== undefined) endChain(walk);
  };
  const take = (fields: Fields): void => {
    progress.records += 1;
    if (progress.records % PROGRESS_EVERY === 0) options.onProgress?.(progress);
    const record = read.parse(textsOf(fields));
    if (walk?.boot !== record.boot || walk.day !== record.day) {
      end();
      walk = beginChain(read, record);
    }
    stepChain(walk, record);
    if (checkPersonal(walk, record, erasureRecorded)) read.erased += 1;
    links.seen(record.boot, record.hash);
  };
  const split = rowSplitter(READ_COLUMNS.length, take);
  for await (const chunk of rowsOf(db, range)) split(chunk);
  end();
  return progress.records - before;
}

function beginChain(read: RecordsRead, first: StoredRecord): ChainWalk<StoredRecord> {
  const { boot, day } = first;
  const { state, times, findings, visited } = read;
  const chain = chainOf({ boot, day });
  const head = read.heads.get(chain);
  const attested = state.chains.get(chain);
  if (head === undefined || visited.has(chain)) {
    const message = `${printChain({ boot, day })} is not known: its records were inserted, or its head was removed`;
    findings.add({ code: 'inserted', boot, day, seq: 1, message });
  }
  visited.add(chain);
  read.chains += 1;
  const openings = openingsOf(head, attested);
  const hashOf = hashOfChain(head, attested, openings, first);
  const places = attested?.places ?? [];
  return startChain<StoredRecord>({ boot, day, head, hashOf, openings, attested: places, times, findings });
}

/** The chains that have a head of that day and no record. */
function reportRemovedChains({ heads, visited, findings }: RecordsRead, ofDay: string): void {
  for (const [chain, { boot, day, records }] of heads) {
    if (day !== ofDay || visited.has(chain)) continue;
    const message = `${printChain({ boot, day })}: all ${records} records were removed`;
    findings.add({ code: 'removed', boot, day, seq: 1, message });
  }
}

/** Whose personal data were erased, and until when. */
async function readErasures(db: Knex): Promise<(record: Erased) => boolean> {
  const { rows } = await db.raw<{ rows: { kind: string; id: string; at: Date }[] }>(
    `select subject_kind as kind, subject_id as id, max(at) as at from admin_events
     where action = 'audit.erase' and subject_kind in ('user', 'key') group by 1, 2`,
  );
  const until = new Map(rows.map(({ kind, id, at }) => [`${kind} ${id}`, at.toISOString()]));
  const covers = (subject: string, at: string): boolean => (until.get(subject) ?? '') >= at;
  return ({ user_id, api_key_id, at }) =>
    (user_id !== null && covers(`user ${user_id}`, at)) || (api_key_id !== null && covers(`key ${api_key_id}`, at));
}
