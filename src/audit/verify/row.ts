/** A row of the log as text, the way PostgreSQL prints it: nothing is rounded on the way, and little is parsed. */

import canonicalizer from 'canonicalize';
import { COLUMN_NAMES, COLUMNS, type ColumnType } from '../columns.ts';
import type { LogRecord, Personal } from '../format/record-hash.ts';

// It is CommonJS, and its types say that its function is `default` once more.
const canonicalize = canonicalizer as unknown as (value: unknown) => string | undefined;

/** A day is sorted by chains, which should need no disk. The others are what texts of heads and checkpoints rely on. */
export const READ_SETTINGS = `set local timezone = 'UTC'; set local datestyle = 'ISO, YMD'; set local bytea_output = 'hex'; set local work_mem = '64MB'`;

/** The values of COLUMN_NAMES, in their order. */
export type LogRow = readonly (string | null)[];

export type StoredRecord = LogRecord &
  Personal & {
    readonly hash: Buffer;
    /** What is wrong with the time, or with the facts as format 1 hashes them; null where nothing is. */
    readonly timeFault: string | null;
    readonly factsFault: string | null;
  };

type Texts = Record<'id' | 'at' | 'hash', string> & { facts: string | null };

export function createRowReader(): (row: LogRow) => StoredRecord {
  const asIs = (text: string): string => text;
  const readers: Readonly<Record<ColumnType, (text: string) => unknown>> = {
    uuid: asIs,
    text: asIs,
    'timestamptz(3)': readInstant,
    bigint: Number,
    integer: Number,
    smallint: Number,
    jsonb: factsReader(),
    bytea: (text) => text.slice(2),
  };
  const columns = COLUMN_NAMES.map((name) => ({
    name,
    read: readers[COLUMNS[name].type],
    // NULL in a NOT NULL column, whose constraint was dropped: '' can be read on as text, and no record was hashed with it.
    absent: COLUMNS[name].nullable ? null : '',
  }));
  const blank: Record<string, unknown> = Object.fromEntries(
    [...COLUMN_NAMES, 'day', 'timeFault', 'factsFault'].map((name) => [name, null]),
  );
  return (row) => {
    // A copy has all its properties from the start, which V8 writes to twice as fast as it adds them one by one.
    const record = { ...blank };
    for (let index = 0; index < columns.length; index += 1) {
      const { name, read, absent } = columns[index] as (typeof columns)[number];
      const text = row[index] ?? null;
      record[name] = text === null ? absent : read(text);
    }
    const { id, at, hash, facts } = record as Texts;
    record['day'] = at.slice(0, 10);
    record['hash'] = Buffer.from(hash, 'hex');
    record['facts'] = facts ?? '';
    record['timeFault'] = timeFault(id, at);
    record['factsFault'] = facts === null ? 'its facts hold a number that JSON readers round' : null;
    return record as StoredRecord;
  };
}

/**
 * PostgreSQL's `2026-01-02 03:04:05.67+00` as ISO 8601 with milliseconds. Other texts (infinity, years BC) are returned as they
 * are: the log never writes them, so no hash fits.
 */
function readInstant(text: string): string {
  if (!text.endsWith('+00') || text.length < 22 || text.length > 26 || text[10] !== ' ') return text;
  return `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20, -3).padEnd(3, '0')}Z`;
}

/** The id is a UUIDv7: its first 48 bits are the time. */
function timeFault(id: string, at: string): string | null {
  const milliseconds = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
  return id[14] === '7' && milliseconds === Date.parse(at) ? null : 'its time is not the one in its id';
}

const MOST_KEPT = 10_000;

/**
 * jsonb as RFC 8785; null where that would round. Memoised, since the same facts come again and again.
 */
function factsReader(): (jsonb: string) => string | null {
  const kept = new Map<string, string | null>();
  return (jsonb) => {
    const known = kept.get(jsonb);
    if (known !== undefined) return known;
    const canonical = hasRoundedNumber(jsonb) ? null : (canonicalize(JSON.parse(jsonb)) ?? null);
    if (kept.size === MOST_KEPT) kept.clear();
    kept.set(jsonb, canonical);
    return canonical;
  };
}

/** jsonb keeps any digits of a number, and JSON.parse the first 17: an edit behind them would go unseen. */
export function hasRoundedNumber(json: string): boolean {
  if (!/(?:^|[ [])-?\d/.test(json)) return false;
  const numbers = json.replace(/"(?:[^"\\]|\\.)*"/g, '').match(/-?\d[^\s,\]}]*/g) ?? [];
  return numbers.some((number) => String(Number(number)) !== number);
}
