/** The heads of the chains: against the checkpoints, and against each other. */

import type { Knex } from 'knex';
import { ALL_HEADS, chainOf, HEAD_COLUMNS, type Head } from '../format/heads.ts';
import { FIRST_OPENING, FORMAT, RECORD_HASHES, type RecordHash } from '../format/record-hash.ts';
import type { AttestedChain, CheckpointState } from './checkpoints.ts';
import { printChain, type VerifyFindingCode, type VerifyFindings } from './findings.ts';
import type { StoredRecord } from './row.ts';

const READ = `select ${HEAD_COLUMNS} from ${ALL_HEADS} order by heads.day, heads.boot`;

const ZEROS = FIRST_OPENING.toString('hex');

/** By chain, in the order of day and boot. */
export async function readHeads(db: Knex): Promise<ReadonlyMap<string, Head>> {
  const { rows } = await db.raw<{ rows: Head[] }>(READ);
  return new Map(rows.map((head) => [chainOf(head), head]));
}

/**
 * Every chain that a checkpoint attests must have a head, with no fewer records than any of them says, and with the format and
 * opening of the earliest and of the latest. `isWalked`: whether the records of a day are read, which compares the last hash.
 */
export function compareHeads(
  heads: ReadonlyMap<string, Head>,
  state: CheckpointState,
  isWalked: (day: string) => boolean,
  findings: VerifyFindings,
): void {
  for (const [chain, { first, latest, longest }] of state.chains) {
    const { boot, day } = first.head;
    const fault = (code: VerifyFindingCode, seq: number, message: string): void =>
      findings.add({ code, boot, day, seq, message: `${printChain({ boot, day })} ${message}` });
    const head = heads.get(chain);
    const says = `checkpoint ${longest.number} attests ${longest.head.records}`;
    if (head === undefined) {
      fault('removed', 1, `has no head any more; ${says} records`);
      continue;
    }
    if (head.records < longest.head.records) {
      fault('removed', head.records + 1, `ends with record ${head.records}; ${says}: the others were removed`);
    }
    if (!isWalked(day) && head.records === longest.head.records && head.hash !== longest.head.hash) {
      fault(
        'head',
        head.records,
        `ends with another hash than checkpoint ${longest.number} attests: its head was altered`,
      );
    }
    const opening = [first, latest].find((attested) => attested.head.opening !== head.opening);
    if (opening) fault('head', 1, `opens otherwise than checkpoint ${opening.number} attests: its head was altered`);
    const format = [first, latest].find((attested) => attested.head.format !== head.format);
    if (format) {
      const attests = `checkpoint ${format.number} attests ${format.head.format}`;
      fault('head', 1, `says that its format is ${head.format}; ${attests}: its head was altered`);
    }
  }
}

/**
 * A chain whose format this version does not know was written by a newer one, or its head was altered. Either way its
 * records cannot be checked, and a log with such a chain is not clean. `isRead`: whether the records of a day are.
 */
export function reportUnknownFormats(
  heads: ReadonlyMap<string, Head>,
  isRead: (day: string) => boolean,
  findings: VerifyFindings,
): void {
  for (const { boot, day, format } of heads.values()) {
    if (RECORD_HASHES.has(format) || !isRead(day)) continue;
    const message = `${printChain({ boot, day })} has records of format ${format}, which this version does not know: upgrade authz, unless its head was altered`;
    findings.add({ code: 'format', boot, day, seq: 1, message });
  }
}

/**
 * Candidates for what the first record was hashed with: the opening of the head, that of the earliest checkpoint, and the zeros
 * of a process's first chain. If another than the first fits, the head was altered and not the record.
 */
export const openingsOf = (head: Head | undefined, attested: AttestedChain | undefined): Buffer[] => [
  ...[head, attested?.first.head].flatMap((one) => (one === undefined ? [] : [Buffer.from(one.opening, 'hex')])),
  ...(head === undefined ? [] : [FIRST_OPENING]),
];

/**
 * The hash of the format that the earliest checkpoint attests, or else the head names, whichever of them is known: the other may
 * have been altered. Where neither is, the hash of a format under which the first record fits. Undefined where none does.
 */
export function hashOfChain(
  head: Head | undefined,
  attested: AttestedChain | undefined,
  openings: readonly Buffer[],
  record: StoredRecord,
): RecordHash | undefined {
  const said = [attested?.first.head, head].flatMap((one) => (one === undefined ? [] : [one.format]));
  const known = (said.length === 0 ? [FORMAT] : said).flatMap((format) => RECORD_HASHES.get(format) ?? []);
  const fits = (hashOf: RecordHash): boolean => openings.some((opening) => hashOf(opening, record).equals(record.hash));
  return known[0] ?? [...RECORD_HASHES.values()].find(fits);
}

/** Openings that are not the hash of another head of their boot: each must be found among the hashes of the boot's records. */
export interface OpenLinks {
  /** To be called with every record's hash. */
  readonly seen: (boot: string, hash: Buffer) => void;
  /** `isPruned`: whether the records of a day were dropped, so that theirs could not be seen. */
  readonly report: (findings: VerifyFindings, isPruned: (day: string) => boolean) => void;
}

/**
 * The opening of a chain is the hash of the record that its process had written last before, in whichever chain; zeros for the
 * first. That is nearly always the last record of its chain, which a head has the hash of. Where a clock stepped back over
 * midnight, the earlier chain was continued, and the record stands in its middle.
 */
export function openLinks(heads: ReadonlyMap<string, Head>, inRange: (day: string) => boolean): OpenLinks {
  const byBoot = new Map<string, Head[]>();
  for (const head of heads.values()) byBoot.set(head.boot, [...(byBoot.get(head.boot) ?? []), head]);
  const missing = new Map<string, Head>();
  const second: Head[] = [];
  for (const chains of byBoot.values()) {
    const ends = new Set(chains.map((head) => head.hash));
    second.push(...chains.filter((head) => head.opening === ZEROS).slice(1));
    for (const head of chains) {
      // Where not all of the boot's records are read, the one may be among the others.
      const all = chains.every(({ day }) => inRange(day));
      if (all && head.opening !== ZEROS && !ends.has(head.opening)) missing.set(`${head.boot} ${head.opening}`, head);
    }
  }
  return {
    seen: (boot, hash) => {
      if (missing.size > 0) missing.delete(`${boot} ${hash.toString('hex')}`);
    },
    report: (findings, isPruned) => {
      const unseen = [...missing.values()].filter(({ boot }) => !byBoot.get(boot)?.some(({ day }) => isPruned(day)));
      for (const head of [...second, ...unseen]) {
        const { boot, day } = head;
        const message =
          head.opening === ZEROS
            ? `${printChain(head)} opens as its process's first, which another chain is: its head was altered`
            : `${printChain(head)} opens with the hash of no other chain of its process: one was removed, or its head was altered`;
        findings.add({ code: 'head', boot, day, seq: 1, message });
      }
    },
  };
}
