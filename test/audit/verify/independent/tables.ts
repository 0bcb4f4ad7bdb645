/**
 * The tables of the log as they are stored, in one snapshot, and the decisions put together from them here: the view `decisions` is not
 * asked, since whoever can edit a record can put another view in its place.
 */

import type { Knex } from 'knex';
import { canonicalJson, type Head, hashOfRecord, must, nameOf, parseExactly, type Value } from './encoding.ts';

/** A decision with the columns of `decisions`, as the driver reads them. */
export interface Row {
  readonly id: string;
  readonly at: Date;
  readonly boot: string;
  readonly seq: string;
  readonly facts: unknown;
  readonly hash: Buffer;
  readonly personal_salt: Buffer | null;
  readonly personal_digest: Buffer;
  readonly [column: string]: unknown;
}

/** An event of administration in texts: times as they are hashed, hashes in hex. */
export type Event = Readonly<Record<string, Value>>;

export interface Tables {
  /** Of each chain, in the order of `seq`. */
  readonly chains: ReadonlyMap<string, readonly Row[]>;
  readonly heads: ReadonlyMap<string, Head>;
  /** In the order of `seq`; those without one last. */
  readonly events: readonly Event[];
  /** Of the chain of administration. */
  readonly ending: { readonly events: number; readonly hash: string };
  /** As lines of the file, but for what these have more; numbers as texts. */
  readonly checkpoints: readonly Readonly<Record<string, unknown>>[];
  readonly prunedDays: readonly Readonly<Record<string, unknown>>[];
  /** The clock of the database. */
  readonly now: Date;
}

interface Situation {
  readonly digest: Buffer;
  readonly policy: string;
  readonly facts_version: number;
  readonly facts: string;
}

type Stored = Row & { readonly situation: Buffer | null; readonly facts_text: string | null };

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The facts of a record that names a situation: its groups `key`, `user` and `target`, where there are such, have the ids of the record. */
function factsOf(situation: Situation, record: Stored): unknown {
  const facts = parseExactly(situation.facts);
  must(isObject(facts), `the facts of the situation of ${record.id} are no object`);
  const ids = { key: record['api_key_id'], user: record['user_id'], target: record['business_id'] };
  for (const [group, id] of Object.entries(ids)) {
    const members = facts[group];
    if (isObject(members)) facts[group] = { ...members, id: id ?? '' };
  }
  return facts;
}

/** As the view `decisions` shows it, where nobody has changed that. */
function decisionOf(stored: Stored, situations: ReadonlyMap<string, Situation>): Row {
  const { situation: digest, facts_text: own } = stored;
  if (digest === null) return { ...stored, facts: own === null ? null : parseExactly(own) };
  const situation = situations.get(digest.toString('hex'));
  must(situation !== undefined, `the situation of ${stored.id} is gone`);
  const { policy, facts_version } = situation;
  return { ...stored, policy, facts_version, facts: factsOf(situation, stored) };
}

/** The UTC day of `at`, as it is hashed: `2026-01-02`. */
export const dayOf = ({ at }: Pick<Row, 'at'>): string => at.toISOString().slice(0, 10);

async function readChains(db: Knex): Promise<Map<string, Row[]>> {
  const { rows } = await db.raw<{ rows: Situation[] }>(
    'select digest, policy, facts_version, facts::text as facts from situations',
  );
  const situations = new Map(rows.map((situation) => [situation.digest.toString('hex'), situation]));
  const stored = await db.raw<{ rows: Stored[] }>(
    `select *, facts::text as facts_text from decision_records order by boot, (at at time zone 'UTC')::date, seq, id`,
  );
  const chains = new Map<string, Row[]>();
  for (const record of stored.rows) {
    const name = nameOf({ boot: record.boot, day: dayOf(record) });
    const chain = chains.get(name) ?? [];
    chain.push(decisionOf(record, situations));
    chains.set(name, chain);
  }
  return chains;
}

const textOf = (value: unknown): Value => {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return value.toISOString();
  return Buffer.isBuffer(value) ? value.toString('hex') : String(value);
};

/** The hash that a record must have behind the one before. */
export function hashOfRow(previous: string, row: Row): string {
  const texts = Object.fromEntries(Object.entries(row).map(([name, value]) => [name, textOf(value)]));
  const facts = row.facts === null ? null : canonicalJson(row.facts);
  return hashOfRecord(Buffer.from(previous, 'hex'), { ...texts, day: dayOf(row), facts }).toString('hex');
}

const HEADS = `select boot::text, day::text, format, encode(opening, 'hex') as opening, records::float8 as records,
  encode(hash, 'hex') as hash from chain_heads`;

const EVENTS = `select *, before::text as before, after::text as after from admin_events order by seq nulls last, id`;

const CHECKPOINTS = `select number::text, at, writer::text, size, encode(root, 'hex') as root, heads::text as heads,
  encode(public_key, 'base64') as "publicKey", encode(signature, 'base64') as signature from checkpoints order by number`;

const PRUNED_DAYS = `select day::text, at, records::text, encode(root, 'hex') as root,
  encode(public_key, 'base64') as "publicKey", encode(signature, 'base64') as signature from pruned_days`;

type Raw = Record<string, unknown>;

/** PostgreSQL breaks base64 into lines. */
const asLine = (row: Raw): Raw => ({
  ...row,
  at: textOf(row['at']),
  publicKey: String(row['publicKey']).replaceAll('\n', ''),
  signature: String(row['signature']).replaceAll('\n', ''),
});

const snapshotOf = async (db: Knex): Promise<Tables> => {
  const rowsOf = async (sql: string): Promise<Raw[]> => (await db.raw<{ rows: Raw[] }>(sql)).rows;
  const heads = (await rowsOf(HEADS)) as unknown as Head[];
  const events = await rowsOf(EVENTS);
  const [ending] = await rowsOf(`select events::float8, encode(events_hash, 'hex') as hash from change_counter`);
  must(ending !== undefined, 'the chain of administration has no head');
  const checkpoints = await rowsOf(CHECKPOINTS);
  const [clock] = await rowsOf('select clock_timestamp() as now');
  return {
    chains: await readChains(db),
    heads: new Map(heads.map((head) => [nameOf(head), head])),
    events: events.map((event) => Object.fromEntries(Object.entries(event).map(([k, v]) => [k, textOf(v)]))),
    ending: { events: Number(ending['events']), hash: String(ending['hash']) },
    checkpoints: checkpoints.map((row) => ({ ...asLine(row), heads: parseExactly(String(row['heads'])) })),
    prunedDays: (await rowsOf(PRUNED_DAYS)).map(asLine),
    now: clock?.['now'] as Date,
  };
};

/** Throws `Found` where what is stored can be of no log. */
export const readTables = (db: Knex): Promise<Tables> =>
  db.transaction(snapshotOf, { isolationLevel: 'repeatable read', readOnly: true });
