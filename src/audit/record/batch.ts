/** Numbers decisions at the end of a process's chains, and writes them together with the heads in one transaction and one round trip. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import { type CopyIn, copyIn } from '../../db/copy-in.ts';
import { NEWEST_MIGRATION } from '../../db/schema.ts';
import { FIRST_OPENING, FORMAT } from '../format/record-hash.ts';
import { type Entry, millisecondsOf } from './entry.ts';
import { type ChainName, chainName, endRows, putRow, ROW_COLUMNS, startRows, type Time, timeAt } from './row.ts';
import { createSharing, type Sharing } from './sharing.ts';
import type { Situation } from './situation.ts';

/** Where the chain of one day ends, in bytes: what its head in the database will be. */
interface ChainEnd {
  /** The hash of the record that this process wrote last before this chain, in whichever chain. */
  readonly opening: Buffer;
  readonly records: number;
  readonly hash: Buffer;
}

/** Where all chains of a process end, by day: more than one, because a clock can step back over midnight. */
export interface Chain {
  readonly boot: string;
  /** 32 bytes without which nobody adds to these chains (`authz_record_batch`). INVARIANT: it is sent with each batch and goes nowhere else. */
  readonly secret: Buffer;
  /** The hash of the latest record of any day. */
  readonly last: Buffer;
  readonly heads: ReadonlyMap<string, ChainEnd>;
}

/** Numbered and hashed records, ready to be sent, and to be sent again unchanged. */
export interface Batch {
  readonly records: number;
  readonly days: readonly string[];
  /** Where the chain ends once this is committed. */
  readonly chain: Chain;
  /** In the binary format of COPY. */
  readonly rows: Buffer;
  /** JSON, of what becomes of the heads. */
  readonly heads: string;
  /** The situations that its records name and that may not be stored yet. */
  readonly added: readonly Situation[];
}

export const newChain = (): Chain => ({
  boot: randomUUID(),
  secret: randomBytes(32),
  last: FIRST_OPENING,
  heads: new Map(),
});

/** The entries behind the end of `chain`, in their order. */
export function numberBatch(chain: Chain, entries: readonly Entry[], sharing: Sharing = createSharing()): Batch {
  const { boot, secret } = chain;
  const moved = new Map<string, ChainEnd>();
  let last = chain.last.toString('latin1');
  let day = '';
  let name: ChainName = { fields: '', row: '' };
  let at: Time = { ms: Number.NaN, day, field: '', row: '' };
  let end = { opening: last, records: 0, hash: last };
  const rows = startRows(entries.length);
  const shared = sharing.begin();
  const keep = (): void => {
    if (day !== '') moved.set(day, endOf(end));
  };
  for (const entry of entries) {
    const ms = millisecondsOf(entry.id);
    // Most are of the same millisecond as the one before.
    if (ms !== at.ms) {
      at = timeAt(ms);
      if (at.day !== day) {
        keep();
        day = at.day;
        name = chainName(boot, day);
        const known = moved.get(day) ?? chain.heads.get(day);
        end = known
          ? { opening: known.opening.toString('latin1'), records: known.records, hash: known.hash.toString('latin1') }
          : { opening: last, records: 0, hash: last };
      }
    }
    end.records += 1;
    last = putRow(rows, entry, at, { chain: name, seq: end.records, previous: end.hash }, shared.of(entry));
    end.hash = last;
  }
  keep();
  const heads = [...moved].map(([day, { opening, records, hash }]) => ({
    day,
    format: FORMAT,
    opening: `\\x${opening.toString('hex')}`,
    before: chain.heads.get(day)?.records ?? 0,
    records,
    hash: `\\x${hash.toString('hex')}`,
  }));
  return {
    records: entries.length,
    days: [...moved.keys()],
    chain: { boot, secret, last: Buffer.from(last, 'latin1'), heads: new Map([...chain.heads, ...moved]) },
    rows: endRows(rows),
    heads: JSON.stringify(heads),
    added: shared.added(),
  };
}

const endOf = ({ opening, records, hash }: { opening: string; records: number; hash: string }): ChainEnd => ({
  opening: Buffer.from(opening, 'latin1'),
  records,
  hash: Buffer.from(hash, 'latin1'),
});

/**
 * Names the batch for the trigger `authz_record_batch`. It makes its own commit durable: that must not rest on anything that was set on the
 * connection before. Of both values only the number of nulls comes back.
 */
const NAME_BATCH = `
  select num_nulls(set_config('synchronous_commit', 'on', true), set_config('authz.batch', $1, true))`;
const COPY = `copy decision_records (${ROW_COLUMNS}) from stdin (format binary)`;
const REQUIRE_RECORDED = 'select authz_require_recorded()';

function copyOf({ chain: { boot, secret }, rows, heads, added }: Batch): CopyIn {
  const situations = JSON.stringify(added.map(({ content }) => content));
  const batch = `{"chain":"${boot}","secret":"${secret.toString('hex')}","newestMigration":"${NEWEST_MIGRATION}","heads":${heads},"situations":${situations}}`;
  return {
    name: 'record',
    before: { text: NAME_BATCH, values: [batch] },
    copy: COPY,
    rows,
    after: { text: REQUIRE_RECORDED, values: [] },
  };
}

/** The SQLSTATE of `authz_advance_heads` where the chain does not end as this process knows it: restored, or altered. */
const ELSEWHERE = 'AU001';
export const endsElsewhere = (error: unknown): boolean => (error as { code?: string } | null)?.code === ELSEWHERE;

/** The SQLSTATE of `authz_add_situations` where one is not stored that this process has stored: restored, or altered. */
const NO_SITUATION = 'AU002';
export const lacksSituation = (error: unknown): boolean => (error as { code?: string } | null)?.code === NO_SITUATION;

/**
 * Resolves once the batch is durable, now or before: it may be sent again. INVARIANT: rows and heads are committed together or not at all, so
 * where a record was there already and the heads stand where the batch puts them, all of it was committed.
 * `whenSending` may still throw. @throws what the database throws.
 */
export async function sendBatch(db: Knex, batch: Batch, whenSending: () => void): Promise<void> {
  try {
    await copyIn(db, copyOf(batch), whenSending);
  } catch (error) {
    if (!isTaken(error) || !(await isWritten(db, batch))) throw error;
  }
}

/** unique_violation: it waits for the transaction of the other record, so that one has been committed. */
const isTaken = (error: unknown): boolean => (error as { code?: string } | null)?.code === '23505';

async function isWritten(db: Knex, { chain: { boot }, heads }: Batch): Promise<boolean> {
  const { rows } = await db.raw<{ rows: { written: boolean }[] }>(
    `select count(*) = count(c.boot) as written
     from jsonb_to_recordset(?::jsonb) as h (day date, format smallint, opening bytea, records bigint, hash bytea)
     left join chain_heads c on c.boot = ?::uuid and (c.day, c.format, c.opening, c.records, c.hash) =
       (h.day, h.format, h.opening, h.records, h.hash)`,
    [heads, boot],
  );
  return rows[0]?.written === true;
}
