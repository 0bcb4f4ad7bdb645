/** The heads of the chains: against the checkpoints, and against each other. */

import type { Knex } from 'knex';
import { chainOf, HEAD_COLUMNS, type Head } from '../format/heads.ts';
import { FIRST_OPENING, RECORD_HASHES } from '../format/record-hash.ts';
import type { CheckpointState } from './checkpoints.ts';
import { printChain, type VerifyFindings } from './findings.ts';

const READ = `select ${HEAD_COLUMNS} from chain_heads order by chain_heads.day, chain_heads.boot`;

const ZEROS = FIRST_OPENING.toString('hex');

/** By chain, in the order of day and boot. */
export async function readHeads(db: Knex): Promise<ReadonlyMap<string, Head>> {
  const { rows } = await db.raw<{ rows: Head[] }>(READ);
  return new Map(rows.map((head) => [chainOf(head), head]));
}

/** Every head that a checkpoint attests must be there, no shorter, and of the same opening and format. */
export function compareHeads(heads: ReadonlyMap<string, Head>, state: CheckpointState, findings: VerifyFindings): void {
  const numberOf = (chain: string): string => {
    const last = state.attested.get(chain)?.at(-1);
    return last === undefined ? 'a checkpoint' : `checkpoint ${last.number}`;
  };
  for (const attested of state.heads.all()) {
    const { boot, day, records, opening, format } = attested;
    const chain = chainOf(attested);
    const head = heads.get(chain);
    const place = { boot, day };
    if (head === undefined) {
      const message = `${printChain(attested)} has no head any more; ${numberOf(chain)} attests ${records} records`;
      findings.add({ code: 'removed', ...place, seq: 1, message });
    } else if (head.records < records) {
      const message = `${printChain(attested)} ends with record ${head.records}; ${numberOf(chain)} attests ${records}: the others were removed`;
      findings.add({ code: 'removed', ...place, seq: head.records + 1, message });
    } else if (head.opening !== opening) {
      const message = `${printChain(attested)} opens otherwise than ${numberOf(chain)} attests`;
      findings.add({ code: 'head', ...place, seq: 1, message });
    }
    if (head !== undefined && head.format !== format) {
      const message = `${printChain(attested)} says that its format is ${head.format}; ${numberOf(chain)} attests ${format}: its head was altered`;
      findings.add({ code: 'head', ...place, seq: 1, message });
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

/** Openings that are the head of no other chain of their boot: the record whose hash they are is looked for while records are read. */
export interface OpenLinks {
  /** Told of every record's hash. */
  readonly seen: (boot: string, hash: Buffer) => void;
  /** `isPruned`: whether the records of a day were dropped, so that theirs could not be seen. */
  readonly report: (findings: VerifyFindings, isPruned: (day: string) => boolean) => void;
}

/**
 * A chain opens with the head that its boot's last one had then, and the first with zeros. That head is nearly always the
 * last of the earlier chain. Where a clock stepped back over midnight, the earlier chain went on after it.
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
