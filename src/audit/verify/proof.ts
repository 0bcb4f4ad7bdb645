/**
 * The days on which nothing is to be found, which nearly all are: proven from the rows as they are stored, at a small part of what it
 * takes to read them in full. It proves or it doubts, and says nothing of why: a day that it doubts is read in full, as people are shown it.
 */

import type { Knex } from 'knex';
import { copyOutBinary } from '../../db/copy-out.ts';
import { chainOf, type Head } from '../format/heads.ts';
import { FORMAT } from '../format/record-hash.ts';
import { type Fields, rowSplitter } from './binary-row.ts';
import type { Attested, CheckpointState } from './checkpoints.ts';
import { uuidText } from './columns-read.ts';
import { createProver, type ProvenChain } from './plain.ts';
import { type DayRange, orderOf } from './ranges.ts';
import { isShownAsStored } from './shown.ts';
import { situationsOfDays } from './situations.ts';
import { AT, STORED_COLUMNS } from './stored-columns.ts';
import type { JudgedTimes } from './times.ts';

interface ProofOptions {
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: Pick<CheckpointState, 'chains'>;
  readonly times: JudgedTimes;
  readonly erasureRecorded: (record: Erased) => boolean;
  /** Called with the hash of each record, where it returned true for the chain's boot. */
  readonly seen: (boot: string, hash: Buffer) => void;
  /** Called with how many records more are proven. */
  readonly onProgress: (records: number) => void;
}

/** Whose personal data were erased, of which record. */
export interface Erased {
  readonly api_key_id: string | null;
  readonly user_id: string | null;
  readonly at: string;
}

/** What a day has that was proven. */
export interface ProvenDay {
  readonly records: number;
  /** As of chainOf. */
  readonly chains: readonly string[];
  readonly erased: number;
}

/** Undefined where something is not as it was written, or cannot be proven so. */
export type ProveDay = (range: DayRange) => Promise<ProvenDay | undefined>;

const PROGRESS_EVERY = 2000;

/** A chain that is being proven. */
interface Walk extends ProvenChain {
  readonly head: Head;
  readonly attested: readonly Attested[];
  /** Index into `attested` of the next one to be reached, the number of records that it attests, and what is the earliest until then. */
  place: number;
  until: number;
  floor: number;
}

/** INVARIANT: nothing is proven of a view that shows something else than the tables have. */
export async function createProof(db: Knex, options: ProofOptions): Promise<ProveDay> {
  if (!(await isShownAsStored(db))) return async () => undefined;
  const situations = situationsOfDays(db);
  return async (range) => {
    const known = range.day === undefined ? undefined : await situations.ofDay(range.day);
    if (range.day === undefined || known === undefined) return undefined;
    const walk = walkDay(range.day, createProver(known), options);
    const split = rowSplitter(STORED_COLUMNS.length, walk.take);
    for await (const chunk of rowsOf(db, range)) if (!walk.doubted()) split(chunk);
    return walk.end();
  };
}

const rowsOf = (db: Knex, range: DayRange): AsyncIterable<Buffer> =>
  copyOutBinary(
    db,
    db.raw(`select ${STORED_COLUMNS.join(', ')} from decision_records where ${range.where} ${orderOf(range)}`, [
      ...range.values,
    ]),
  );

function walkDay(day: string, takeNext: ReturnType<typeof createProver>, options: ProofOptions) {
  const { erasureRecorded, seen, onProgress } = options;
  const boot = Buffer.alloc(16);
  const chains: string[] = [];
  let walk: Walk | undefined;
  let doubted = false;
  let [records, erased] = [0, 0];
  const isProven = (fields: Fields): boolean => {
    const { bytes, start } = fields;
    const bootAt = start[AT.boot] as number;
    if (walk === undefined || !isAt(boot, bytes, bootAt)) {
      if (walk !== undefined && !isEnd(walk)) return false;
      walk = startWalk(uuidText(bytes, bootAt), day, options);
      bytes.copy(boot, 0, bootAt, bootAt + 16);
      if (walk === undefined) return false;
      chains.push(chainOf(walk));
    }
    if (!takeNext(walk, fields) || walk.ms < walk.floor) return false;
    if (walk.seq >= walk.until && !passPlaces(walk, options.times)) return false;
    if (walk.erased) {
      if (!erasureRecorded(subjectOf(fields, walk.ms))) return false;
      erased += 1;
    }
    seen(walk.boot, walk.hash);
    return true;
  };
  return {
    doubted: () => doubted,
    take: (fields: Fields): void => {
      if (doubted) return;
      doubted = !isProven(fields);
      records += 1;
      if (records % PROGRESS_EVERY === 0) onProgress(records);
    },
    end: (): ProvenDay | undefined =>
      doubted || (walk !== undefined && !isEnd(walk)) ? undefined : { records, chains, erased },
  };
}

/** Undefined where it has no head, or one that says another format. What else differs from the checkpoints in heads, others find. */
function startWalk(boot: string, day: string, { heads, state, times }: ProofOptions): Walk | undefined {
  const head = heads.get(chainOf({ boot, day }));
  if (head === undefined || head.format !== FORMAT) return undefined;
  const attested = state.chains.get(chainOf({ boot, day }))?.places ?? [];
  const hash = Buffer.from(head.opening, 'hex');
  const walk = { boot, day, seq: 0, ms: 0, erased: false, hash, head, attested, place: 0, until: 0, floor: 0 };
  aimAt(walk, times);
  return walk;
}

/** The next record has its place in the next checkpoint, and that says how old it may be. */
function aimAt(walk: Walk, times: JudgedTimes): void {
  const place = walk.attested[walk.place];
  walk.until = place?.records ?? Number.POSITIVE_INFINITY;
  const floor = times.floorOf(place?.since);
  walk.floor = floor === null ? Number.NEGATIVE_INFINITY : Date.parse(floor);
}

/** Whether the record is what all checkpoints attest that have as many. */
function passPlaces(walk: Walk, times: JudgedTimes): boolean {
  const hash = walk.hash.toString('hex');
  for (let at = walk.attested[walk.place]; at !== undefined && at.records <= walk.seq; at = walk.attested[walk.place]) {
    if (at.records === walk.seq && at.hash !== hash) return false;
    walk.place += 1;
  }
  aimAt(walk, times);
  return true;
}

/** By a loop, which for so few bytes is faster than a call out of JavaScript. */
function isAt(part: Buffer, bytes: Buffer, from: number): boolean {
  for (let index = 0; index < part.length; index += 1) if (part[index] !== bytes[from + index]) return false;
  return true;
}

const isEnd = ({ head, seq, hash }: Walk): boolean => seq === head.records && hash.toString('hex') === head.hash;

function subjectOf({ bytes, start, length }: Fields, ms: number): Erased {
  const text = (column: number): string | null => {
    const [from, size] = [start[column] as number, length[column] as number];
    return size < 0 ? null : bytes.toString('utf8', from, from + size);
  };
  return { api_key_id: text(AT.api_key_id), user_id: text(AT.user_id), at: new Date(ms).toISOString() };
}
