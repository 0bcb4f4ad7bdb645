/** One chain, record by record: each must follow the one before, and the last must be the head. */

import type { Head } from '../format/heads.ts';
import { personalDigest, recordHash } from '../format/record-hash.ts';
import { type Attested, printHead } from './checkpoints.ts';
import type { Finding, FindingCode, Findings } from './findings.ts';
import type { StoredRecord } from './row.ts';

interface Options {
  readonly boot: string;
  readonly day: string;
  /** Undefined when the database knows no such chain. */
  readonly head: Head | undefined;
  /** What the chain may open with: what its head says, and what else there is reason to try. */
  readonly openings: readonly Buffer[];
  readonly attested: readonly Attested[];
  readonly findings: Findings;
  /** Whether the erasure of this record's personal data stands in `admin_events`. */
  readonly erasureRecorded: (record: StoredRecord) => boolean;
}

export interface ChainWalk {
  readonly boot: string;
  readonly day: string;
  readonly step: (record: StoredRecord) => void;
  readonly end: () => void;
  readonly erased: () => number;
}

interface Misfit {
  readonly finding: Finding;
  readonly seq: number;
  readonly links: readonly Buffer[];
}

/**
 * `links` are the hashes that the next record may follow. They are more than one where the last was found at fault: then
 * what is stored and what it should be, so that one edit is one finding and its successor is not suspected. None: what
 * came before is gone, and nothing can be said of the next record.
 */
export function walkChain({ boot, day, head, openings, attested, findings, erasureRecorded }: Options): ChainWalk {
  const chain = printHead({ boot, day });
  let links: readonly Buffer[] = openings;
  let before: readonly Buffer[] = openings;
  let seq = 0;
  let lastHash: Buffer = Buffer.alloc(0);
  let nextAttested = 0;
  let rewritten = false;
  let faultAt = 0;
  let misfit: Misfit | undefined;
  let erased = 0;

  const fault = (code: FindingCode, at: number, message: string, id?: string): Finding => {
    faultAt = at;
    const finding = { code, boot, day, seq: at, ...(id !== undefined && { id }), message: `${chain}: ${message}` };
    findings.add(finding);
    return finding;
  };

  const checkLink = (record: StoredRecord, allowed: readonly Buffer[]): void => {
    const expected = allowed.map((link) => recordHash(link, record));
    const found = expected.findIndex((hash) => hash.equals(record.hash));
    links = found >= 0 || expected[0] === undefined ? [record.hash] : [record.hash, expected[0]];
    if (found > 0 && seq === 1) {
      fault('head', 1, 'its head was altered: record 1 was not hashed with that opening');
    } else if (found < 0 && allowed.length > 0) {
      if (misfit && moved(record, misfit)) return;
      const message = `record ${record.seq} (${record.id}) is not what was recorded: it was altered, or stood elsewhere`;
      const finding = fault('altered', record.seq, message, record.id);
      misfit ??= { finding, seq: record.seq, links: allowed };
    } else if (record.fault !== null) {
      fault('altered', record.seq, `record ${record.seq} (${record.id}) was altered: ${record.fault}`, record.id);
    }
  };

  /** Whether the record fits where the first that did not fit stands. */
  const moved = (record: StoredRecord, first: Misfit): boolean => {
    const there = { ...record, seq: first.seq };
    if (!first.links.some((link) => recordHash(link, there).equals(record.hash))) return false;
    const message = `${chain}: record ${first.seq} stands elsewhere: ${record.id}, now record ${record.seq}, was written there`;
    findings.replace(first.finding, { ...first.finding, code: 'reordered', message });
    misfit = undefined;
    return true;
  };

  const checkPersonal = (record: StoredRecord): void => {
    const { personal_salt: salt, ip, user_agent, personal_digest, id } = record;
    if (salt === null && ip === null && user_agent === null) {
      erased += 1;
      if (erasureRecorded(record)) return;
      fault(
        'erased',
        record.seq,
        `record ${record.seq} (${id}) lost its personal data, and no audit.erase says so`,
        id,
      );
    } else if (
      salt === null ||
      personalDigest(Buffer.from(salt, 'hex'), ip, user_agent).toString('hex') !== personal_digest
    ) {
      const message = `record ${record.seq} (${id}) has another ip, user agent or salt than was recorded`;
      fault('altered', record.seq, message, id);
    }
  };

  const checkAttested = (record: StoredRecord): void => {
    for (; ; nextAttested += 1) {
      const place = attested[nextAttested];
      if (place === undefined || place.records > record.seq) return;
      if (place.records < record.seq || rewritten || place.hash === record.hash.toString('hex')) continue;
      rewritten = true;
      if (faultAt === record.seq) continue;
      const good = attested[nextAttested - 1];
      const from = (good?.records ?? 0) + 1;
      const until =
        good === undefined ? '' : `; up to record ${good.records} it is as checkpoint ${good.number} attests`;
      const message = `records ${from} to ${place.records} are not those that checkpoint ${place.number} attests, though their hashes agree${until}`;
      fault('rewritten', from, message);
    }
  };

  return {
    boot,
    day,
    step: (record) => {
      if (record.seq === seq || !Number.isSafeInteger(record.seq) || record.seq < 1) {
        fault('inserted', record.seq, `there is a second record ${record.seq} (${record.id})`, record.id);
        const others = links;
        checkLink(record, before);
        links = [...others, ...links];
      } else {
        if (record.seq > seq + 1) {
          const missing =
            record.seq === seq + 2 ? `record ${seq + 1} was` : `records ${seq + 1} to ${record.seq - 1} were`;
          fault('removed', seq + 1, `${missing} removed`);
          links = [];
        }
        seq = record.seq;
        before = links;
        checkLink(record, before);
        checkAttested(record);
      }
      lastHash = record.hash;
      checkPersonal(record);
    },
    end: () => {
      if (head === undefined) return;
      if (seq < head.records) {
        const message =
          seq === 0
            ? `all ${head.records} records were removed`
            : `it ends with record ${seq}, its head says ${head.records}: the others were removed`;
        fault('removed', seq + 1, message);
      } else if (seq > head.records) {
        fault(
          'inserted',
          head.records + 1,
          `its head says ${head.records} records, and there are records up to ${seq}`,
        );
      } else if (faultAt !== seq && lastHash.toString('hex') !== head.hash) {
        fault('head', seq, `its head was altered: it is not the hash of record ${seq}`);
      }
    },
    erased: () => erased,
  };
}
