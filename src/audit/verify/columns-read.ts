/** The columns that a verification reads, in the order in which most of them are hashed, and their values as text. */

import { COLUMN_NAMES, COLUMNS, type ColumnName, type ColumnType } from '../columns.ts';
import type { Fields } from './binary-row.ts';
import type { LogRow } from './row.ts';

export const READ_COLUMNS = [
  ...(['boot', 'seq', 'id', 'at', 'hash', 'duration_us', 'facts_version', 'facts', 'personal_digest'] as const),
  // Those of each line stand in the hash as they stand in a row, one behind the other.
  ...(['caller_id', 'api_key_id', 'user_id', 'business_id', 'action', 'effect', 'code', 'rule', 'policy'] as const),
  ...(['request_id', 'caller_request_id', 'trace_id'] as const),
  ...(['fingerprint', 'shadow_policy', 'shadow_code', 'shadow_rule'] as const),
  ...(['personal_salt', 'ip', 'user_agent'] as const),
] satisfies readonly ColumnName[];

/** Where each column stands in READ_COLUMNS. */
export const AT = Object.fromEntries(READ_COLUMNS.map((name, index) => [name, index])) as Readonly<
  Record<ColumnName, number>
>;

const TEXTS: Readonly<Record<ColumnType, (bytes: Buffer, start: number, end: number) => string>> = {
  uuid: uuidText,
  text: (bytes, start, end) => bytes.toString('utf8', start, end),
  'timestamptz(3)': (bytes, start) => instantText(bytes.readBigInt64BE(start)),
  bigint: (bytes, start) => String(bytes.readBigInt64BE(start)),
  integer: (bytes, start) => String(bytes.readInt32BE(start)),
  smallint: (bytes, start) => String(bytes.readInt16BE(start)),
  // Behind the number of its format.
  jsonb: (bytes, start, end) => bytes.toString('utf8', start + 1, end),
  bytea: (bytes, start, end) => `\\x${bytes.toString('hex', start, end)}`,
};

const COLUMN_TEXTS = COLUMN_NAMES.map((name) => ({ index: AT[name], text: TEXTS[COLUMNS[name].type] }));

/** The values of COLUMN_NAMES, as PostgreSQL prints them. */
export const textsOf = ({ bytes, start, length }: Fields): LogRow =>
  COLUMN_TEXTS.map(({ index, text }) => {
    const [from = 0, bytesLong = -1] = [start[index], length[index]];
    return bytesLong < 0 ? null : text(bytes, from, from + bytesLong);
  });

export function uuidText(bytes: Buffer, start: number): string {
  const hex = bytes.toString('hex', start, start + 16);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

/** Microseconds from 1970 to 2000, where PostgreSQL begins to count. */
export const EPOCH_US = BigInt(Date.UTC(2000)) * 1000n;
const MOST_US = BigInt(Date.UTC(9999, 11, 31)) * 1000n;

/** Of a time that no ISO text says, as infinity, another text: the log never writes one, so no hash fits. */
function instantText(sinceEpoch: bigint): string {
  const micros = sinceEpoch + EPOCH_US;
  if (micros < 0n || micros > MOST_US) return `${micros} us`;
  const iso = new Date(Number(micros / 1000n)).toISOString();
  const fraction = micros % 1000n === 0n ? iso.slice(20, 23) : String(micros % 1_000_000n).padStart(6, '0');
  return `${iso.slice(0, 10)} ${iso.slice(11, 19)}.${fraction}+00`;
}
