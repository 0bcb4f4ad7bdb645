/** Numbers decisions at the end of a process's chains, and writes them together with the heads in one statement. */

import { randomBytes, randomUUID } from 'node:crypto';
import type { Knex } from 'knex';
import { FIRST_OPENING, FORMAT, recordHash } from '../format/record-hash.ts';
import { type Entry, recordOf, timeOf } from './entry.ts';

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
  /** 32 bytes without which nobody adds to these chains (`authz_record`). INVARIANT: it is sent with each batch and goes nowhere else. */
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
  /** JSON, for the statement: of the records all but their facts, and of the heads. */
  readonly rows: string;
  readonly heads: string;
  /** The facts of the records, a line each: JSON without spaces has no line break. */
  readonly facts: Buffer;
}

export const newChain = (): Chain => ({
  boot: randomUUID(),
  secret: randomBytes(32),
  last: FIRST_OPENING,
  heads: new Map(),
});

/** The entries behind the end of `chain`, in their order. */
export function numberBatch(chain: Chain, entries: readonly Entry[]): Batch {
  const { boot, secret } = chain;
  const moved = new Map<string, ChainEnd>();
  let { last } = chain;
  const facts: string[] = [];
  const rows = entries.map((entry) => {
    const at = timeOf(entry.id);
    const day = at.slice(0, 10);
    const head = moved.get(day) ?? chain.heads.get(day) ?? { opening: last, records: 0, hash: last };
    const record = recordOf(entry, at, boot, head.records + 1);
    last = recordHash(head.hash, record);
    moved.set(day, { opening: head.opening, records: record.seq, hash: last });
    facts.push(record.facts);
    return { ...record, facts: undefined, hash: last.toString('hex') };
  });
  const heads = [...moved].map(([day, { opening, records, hash }]) => ({
    day,
    format: FORMAT,
    opening: `\\x${opening.toString('hex')}`,
    before: chain.heads.get(day)?.records ?? 0,
    records,
    hash: `\\x${hash.toString('hex')}`,
  }));
  return {
    records: rows.length,
    days: [...moved.keys()],
    chain: { boot, secret, last, heads: new Map([...chain.heads, ...moved]) },
    rows: JSON.stringify(rows),
    heads: JSON.stringify(heads),
    facts: Buffer.from(facts.join('\n')),
  };
}

/**
 * Idempotent: rows and heads in one statement. INVARIANT: the heads move exactly when every row is new, or stay where the
 * same batch had put them before. Anything else raises in `authz_record`, which rolls back the statement. It makes its
 * own commit durable: that must not rest on anything that was set on the connection before.
 */
const WRITE = `
  select set_config('synchronous_commit', 'on', true), authz_record(?::uuid, ?::bytea, ?::json, ?::text, ?::jsonb)`;

/** The SQLSTATE of `authz_record` where the chain does not end as this process knows it: restored, or altered. */
const ELSEWHERE = 'AU001';
export const endsElsewhere = (error: unknown): boolean => (error as { code?: string } | null)?.code === ELSEWHERE;

/** Resolves once the batch is durable, now or before. `whenSending` may still throw. @throws what the database throws. */
export async function sendBatch(
  db: Knex,
  { chain, rows, facts, heads }: Batch,
  whenSending: () => void,
): Promise<void> {
  // Named, so that PostgreSQL plans it once for each connection.
  const values = [chain.boot, chain.secret, rows, facts, heads];
  await db.raw(WRITE, values).options({ name: 'authz-write-decisions' }).on('start', whenSending);
}
