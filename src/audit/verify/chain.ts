/** One chain, record by record, of decisions or of events of administration: each must follow the one before, and the last must be the head. */

import type { Head } from '../format/heads.ts';
import { personalDigest } from '../format/record-hash.ts';
import type { Attested } from './checkpoints.ts';
import { printChain, type VerifyFinding, type VerifyFindingCode, type VerifyFindings } from './findings.ts';
import type { StoredRecord } from './row.ts';
import type { JudgedTimes } from './times.ts';

/** What a walk reads of a record, besides what its hash covers. */
export interface ChainRecord {
  readonly seq: number;
  readonly id: string;
  /** What is held against the times of checkpoints, in ISO 8601. */
  readonly at: string;
  readonly hash: Buffer;
  /** What is wrong with its time, or with what it says, though its hash fits; null where nothing is. */
  readonly timeFault: string | null;
  readonly factsFault: string | null;
}

interface ChainOptions<R extends ChainRecord> {
  readonly boot: string;
  readonly day: string;
  /** Undefined when the database knows no such chain. */
  readonly head: Head | undefined;
  /**
   * That of the chain's format. Undefined where no format is known: then records are checked for gaps, duplicates, the end, the
   * hashes that checkpoints attest, and for their time; not for what they hold.
   */
  readonly hashOf: ((previous: Buffer, record: R) => Buffer) | undefined;
  /** What the chain may open with: what its head says, and what else there is reason to try. */
  readonly openings: readonly Buffer[];
  /** By number of records, ascending. */
  readonly attested: readonly Attested[];
  readonly times: JudgedTimes;
  readonly findings: VerifyFindings;
}

/** A chain that is being walked, and how far the walk has come. */
export interface ChainWalk<R extends ChainRecord> extends ChainOptions<R> {
  /** The number of the last record; 0 before the first. */
  seq: number;
  lastHash: Buffer;
  /**
   * Candidates for the previous hash of the next record. Two where the last record did not fit: the hash that it has, and the
   * one that was recomputed, so that one edited record is one finding and the next one is not reported too. None behind a
   * gap, where the hash of the removed record is not known: any record may follow.
   */
  links: readonly Buffer[];
  /** Those that the record of the last number was checked with: a second record of that number is checked with them too. */
  linksBefore: readonly Buffer[];
  /** The first record that did not fit: if a later one fits in its place, records were swapped. */
  misfit: Misfit | undefined;
  /** The number of the last record with a finding. */
  faultAt: number;
  /** Index into `attested` of the next one to be reached. */
  nextAttested: number;
  /** Whether a record was not what a checkpoint attests: then all later ones are not either. */
  rewritten: boolean;
}

/** Of whichever log, for what does not hash. */
type AnyWalk = Omit<ChainWalk<ChainRecord>, 'hashOf'> & { readonly hashOf: unknown };

interface Misfit {
  readonly finding: VerifyFinding;
  readonly seq: number;
  readonly links: readonly Buffer[];
}

export const startChain = <R extends ChainRecord>(options: ChainOptions<R>): ChainWalk<R> => ({
  ...options,
  seq: 0,
  lastHash: Buffer.alloc(0),
  links: options.openings,
  linksBefore: options.openings,
  misfit: undefined,
  faultAt: 0,
  nextAttested: 0,
  rewritten: false,
});

/** Checks the next record, in the order of `seq`. */
export function stepChain<R extends ChainRecord>(walk: ChainWalk<R>, record: R): void {
  if (record.seq === walk.seq || !Number.isSafeInteger(record.seq) || record.seq < 1) takeSecond(walk, record);
  else takeNext(walk, record);
  walk.lastHash = record.hash;
}

/** Checks that the head is where the chain ended. */
export function endChain<R extends ChainRecord>(walk: ChainWalk<R>): void {
  const { head, seq } = walk;
  if (head === undefined) return;
  if (seq < head.records) {
    const message =
      seq === 0
        ? `all ${head.records} records were removed`
        : `it ends with record ${seq}, its head says ${head.records}: the others were removed`;
    fault(walk, 'removed', seq + 1, message);
  } else if (seq > head.records) {
    const message = `its head says ${head.records} records, and there are records up to ${seq}`;
    fault(walk, 'inserted', head.records + 1, message);
  } else if (walk.faultAt !== seq && walk.lastHash.toString('hex') !== head.hash) {
    fault(walk, 'head', seq, `its head was altered: it is not the hash of record ${seq}`);
  }
}

function takeNext<R extends ChainRecord>(walk: ChainWalk<R>, record: R): void {
  const { seq } = walk;
  if (record.seq > seq + 1) {
    const missing = record.seq === seq + 2 ? `record ${seq + 1} was` : `records ${seq + 1} to ${record.seq - 1} were`;
    fault(walk, 'removed', seq + 1, `${missing} removed`);
    walk.links = [];
  }
  walk.seq = record.seq;
  walk.linksBefore = walk.links;
  const place = firstAttesting(walk, record.seq);
  checkLink(walk, record, walk.linksBefore);
  checkAttested(walk, record);
  if (walk.faultAt !== record.seq) checkTime(walk, record, place);
}

/** A second record of a number, or one whose number is no positive integer. The next one may have been hashed after either. */
function takeSecond<R extends ChainRecord>(walk: ChainWalk<R>, record: R): void {
  fault(walk, 'inserted', record.seq, `there is a second record ${record.seq} (${record.id})`, record.id);
  const others = walk.links;
  checkLink(walk, record, walk.linksBefore);
  walk.links = [...others, ...walk.links];
}

function checkLink<R extends ChainRecord>(walk: ChainWalk<R>, record: R, allowed: readonly Buffer[]): void {
  const { seq, id } = record;
  const { hashOf } = walk;
  if (hashOf === undefined) {
    walk.links = [record.hash];
    if (record.timeFault !== null) reportAltered(walk, record, record.timeFault);
    return;
  }
  const expected = allowed.map((link) => hashOf(link, record));
  const found = expected.findIndex((hash) => hash.equals(record.hash));
  walk.links = found >= 0 || expected[0] === undefined ? [record.hash] : [record.hash, expected[0]];
  if (found > 0 && walk.seq === 1) {
    fault(walk, 'head', 1, 'its head was altered: record 1 was not hashed with that opening');
  } else if (found < 0 && allowed.length > 0) {
    if (walk.misfit && wasMoved(walk, record, walk.misfit, hashOf)) return;
    const message = `record ${seq} (${id}) is not what was recorded: it was altered, or stood elsewhere`;
    const finding = fault(walk, 'altered', seq, message, id);
    walk.misfit ??= { finding, seq, links: allowed };
  } else {
    const wrong = record.factsFault ?? record.timeFault;
    if (wrong !== null) reportAltered(walk, record, wrong);
  }
}

function reportAltered(walk: AnyWalk, { seq, id }: ChainRecord, wrong: string): void {
  fault(walk, 'altered', seq, `record ${seq} (${id}) was altered: ${wrong}`, id);
}

/** Whether the record's hash fits under the number of the first record that did not fit: they were swapped. */
function wasMoved<R extends ChainRecord>(
  walk: ChainWalk<R>,
  record: R,
  first: Misfit,
  hashOf: (previous: Buffer, record: R) => Buffer,
): boolean {
  const there = { ...record, seq: first.seq };
  if (!first.links.some((link) => hashOf(link, there).equals(record.hash))) return false;
  const message = `${printChain(walk)}: record ${first.seq} stands elsewhere: ${record.id}, now record ${record.seq}, was written there`;
  walk.findings.replace(first.finding, { ...first.finding, code: 'reordered', message });
  walk.misfit = undefined;
  return true;
}

/**
 * Holds the personal data of a record against their digest. `erasureRecorded`: whether an `audit.erase` of `admin_events` covers the
 * record. @returns whether they were erased
 */
export function checkPersonal(
  walk: ChainWalk<StoredRecord>,
  record: StoredRecord,
  erasureRecorded: (record: StoredRecord) => boolean,
): boolean {
  if (walk.hashOf === undefined) return false;
  const { personal_salt: salt, ip, user_agent, personal_digest, id, seq } = record;
  if (salt === null && ip === null && user_agent === null) {
    if (!erasureRecorded(record))
      fault(walk, 'erased', seq, `record ${seq} (${id}) lost its personal data, and no audit.erase says so`, id);
    return true;
  }
  if (salt === null || personalDigest(Buffer.from(salt, 'hex'), ip, user_agent).toString('hex') !== personal_digest)
    fault(walk, 'altered', seq, `record ${seq} (${id}) has another ip, user agent or salt than was recorded`, id);
  return false;
}

/** The first checkpoint that attests so many records, or more. */
function firstAttesting({ attested, nextAttested }: AnyWalk, seq: number): Attested | undefined {
  let index = nextAttested;
  while ((attested[index]?.records ?? seq) < seq) index += 1;
  return attested[index];
}

/** `place`: the checkpoint in which the record first appears. */
function checkTime(walk: AnyWalk, { seq, id, at }: ChainRecord, place: Attested | undefined): void {
  const floor = walk.times.floorOf(place?.since);
  if (floor === null || at >= floor) return;
  const { boot, day } = walk;
  const first = place === undefined ? 'none has it yet' : `checkpoint ${place.since} is the first that has it`;
  const message = `${printChain(walk)}: record ${seq} (${id}) is dated ${at}, and checkpoints that were made later lack it: ${first}`;
  walk.findings.add({ code: 'backdated', boot, day, seq, id, message });
}

/** Compares the record with every checkpoint that attests this many records. */
function checkAttested(walk: AnyWalk, { seq, hash }: ChainRecord): void {
  const { attested } = walk;
  for (; ; walk.nextAttested += 1) {
    const place = attested[walk.nextAttested];
    if (place === undefined || place.records > seq) return;
    if (place.records < seq || walk.rewritten || place.hash === hash.toString('hex')) continue;
    walk.rewritten = true;
    if (walk.faultAt !== seq) reportRewritten(walk, place, attested[walk.nextAttested - 1]);
  }
}

/** `good`: the last checkpoint that agrees. */
function reportRewritten(walk: AnyWalk, bad: Attested, good: Attested | undefined): void {
  const from = (good?.records ?? 0) + 1;
  const until = good === undefined ? '' : `; up to record ${good.records} it is as checkpoint ${good.number} attests`;
  const agree = walk.hashOf === undefined ? '' : ', though their hashes agree';
  const message = `records ${from} to ${bad.records} are not those that checkpoint ${bad.number} attests${agree}${until}`;
  fault(walk, 'rewritten', from, message);
}

function fault(walk: AnyWalk, code: VerifyFindingCode, at: number, message: string, id?: string): VerifyFinding {
  const { boot, day } = walk;
  walk.faultAt = at;
  const finding = {
    code,
    boot,
    day,
    seq: at,
    ...(id !== undefined && { id }),
    message: `${printChain(walk)}: ${message}`,
  };
  walk.findings.add(finding);
  return finding;
}
