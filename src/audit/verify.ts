/**
 * Whether the decision log is what was written: every record against its chain, every chain against its head, every head
 * against the signed checkpoints, and those against the file outside the database. It reads one snapshot of a log that
 * may be written to meanwhile, in memory that does not grow with it.
 */

import type { Readable } from 'node:stream';
import type { Knex } from 'knex';
import { FIRST_OPENING } from './chain.ts';
import { openCheckpointFiles } from './checkpoint-file.ts';
import { chainOf, type Head } from './heads.ts';
import { type ChainWalk, walkChain } from './verify-chain.ts';
import { type CheckpointState, printHead, verifyCheckpoints } from './verify-checkpoints.ts';
import { createFindings, type Finding, type Findings } from './verify-findings.ts';
import { compareHeads, openLinks, readHeads } from './verify-heads.ts';
import { COLUMNS, createRowReader, type Row, SESSION, type StoredRecord } from './verify-row.ts';

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
}

const MOST_FINDINGS = 100;
const BATCH = 2000;

/** @throws Refusal when a file of checkpoints cannot be read; what the database throws. */
export async function verifyLog(db: Knex, options: VerifyOptions): Promise<VerifyReport> {
  const files = options.files && (await openCheckpointFiles(options.files));
  try {
    return await db.transaction(
      async (trx) => {
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
        for (const head of heads.values()) if (inRange(head.day)) progress.ofRecords += head.records;
        const walked = await verifyRecords(trx, { options, heads, state, findings, inRange, progress });
        return {
          clean: findings.total() === 0,
          records: progress.records,
          ...walked,
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

interface Work {
  readonly options: VerifyOptions;
  readonly heads: ReadonlyMap<string, Head>;
  readonly state: CheckpointState;
  readonly findings: Findings;
  readonly inRange: (day: string) => boolean;
  readonly progress: { checkpoints: number; records: number; ofRecords: number };
}

async function verifyRecords(db: Knex, work: Work): Promise<{ chains: number; erased: number }> {
  const { options, heads, state, findings, inRange, progress } = work;
  const links = openLinks(heads, inRange);
  const erasureRecorded = await readErasures(db);
  const read = createRowReader();
  const days = [...new Set([...heads.values()].map((head) => head.day))].filter(inRange).sort();
  const visited = new Set<string>();
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

  for (const range of rangesOf(days, options)) {
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
      if (progress.records % BATCH === 0) options.onProgress?.(progress);
    }
    end();
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
  links.report(findings);
  return { chains, erased };
}

/** The head's own, and what to try where that fails, so that an altered head is not taken for an altered record. */
const openingsOf = (head: Head | undefined, attested: Head | undefined): Buffer[] =>
  head === undefined
    ? attested === undefined
      ? []
      : [Buffer.from(attested.opening, 'hex')]
    : [Buffer.from(head.opening, 'hex'), ...(attested ? [Buffer.from(attested.opening, 'hex')] : []), FIRST_OPENING];

interface Range {
  /** What `at` must fulfil. */
  readonly where: string;
  readonly values: readonly string[];
  /** Undefined between the days that have heads: there should be no records. */
  readonly day?: string;
}

/** Every day that has heads, and whatever lies before, between and after them, in the order of time. */
function rangesOf(days: readonly string[], { from, to }: VerifyOptions): Range[] {
  const ranges: Range[] = [];
  let since: string | undefined = from;
  const gap = (until: string | undefined): void => {
    if (since !== undefined && since === until) return;
    const bounds = [...(since === undefined ? [] : [['>=', since]]), ...(until === undefined ? [] : [['<', until]])];
    ranges.push({
      where: bounds.map(([operator]) => `at ${operator} ?::timestamptz`).join(' and ') || 'true',
      values: bounds.map(([, day]) => `${day} 00:00:00+00`),
    });
  };
  for (const day of days) {
    gap(day);
    since = dayAfter(day);
    ranges.push({
      day,
      where: 'at >= ?::timestamptz and at < ?::timestamptz',
      values: [`${day} 00:00:00+00`, `${since} 00:00:00+00`],
    });
  }
  gap(to === undefined ? undefined : dayAfter(to));
  return ranges;
}

const dayAfter = (day: string): string => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);

/** In the order of their chains, as PostgreSQL's texts, unparsed. */
const rowsOf = (db: Knex, { where, values, day }: Range): AsyncIterable<Row> =>
  db
    .raw(
      `select ${COLUMNS.join(', ')} from decisions where ${where}
       order by ${day === undefined ? `(at at time zone 'UTC')::date, ` : ''}boot, seq, id`,
      [...values],
    )
    .stream({
      batchSize: BATCH,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    } as object) as Readable;

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
