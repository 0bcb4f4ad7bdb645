/**
 * The log as a file: JSON lines, or CSV for spreadsheets. PostgreSQL gives the rows by COPY and this writes them in
 * their form, at the same time and as fast; PostgreSQL takes more than twice as long when it writes the JSON itself.
 */

import type { Knex } from 'knex';
import { copyOut, type TextRow } from '../../db/copy-out.ts';
import { type ColumnType, SHOWN_COLUMNS } from '../columns.ts';
import { raw, whereOf } from './conditions.ts';
import type { DecisionFilter, TimeRange } from './filters.ts';

export const FORMATS = ['jsonl', 'csv'] as const;
export type ExportFormat = (typeof FORMATS)[number];

/** Some hundreds of records. */
export interface Part {
  readonly text: string;
  readonly records: number;
  /** Of the last one, as ISO text in UTC. */
  readonly at: string;
}

const AT = SHOWN_COLUMNS.findIndex(({ column }) => column === 'at');
/** As COPY writes them. `isoOf` makes ISO 8601 of a time: PostgreSQL is the bottleneck of an export, and to_char is slow. */
const SELECT_AS: Partial<Record<ColumnType, (column: string) => string>> = {
  'timestamptz(3)': (column) => `${column} at time zone 'UTC'`,
  bytea: (column) => `encode(${column}, 'hex')`,
};
const SELECTED = SHOWN_COLUMNS.map(({ column, type }) => SELECT_AS[type]?.(column) ?? column).join(', ');

/** The header line of a file: the field names in CSV, nothing in JSON lines. */
export const headingOf = (format: ExportFormat): string =>
  format === 'csv' ? `${SHOWN_COLUMNS.map(({ api }) => api).join(',')}${CRLF}` : '';

/**
 * The decisions of a filter, oldest first. A line of JSON is what `getDecision` gives; a line of CSV has the same fields.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* exportDecisions(
  db: Knex,
  filter: DecisionFilter,
  range: TimeRange,
  format: ExportFormat,
): AsyncGenerator<Part> {
  const { sql, bindings } = whereOf(filter, range);
  const query = raw(db, { sql: `select ${SELECTED} from decisions where ${sql} order by at, id`, bindings });
  const lineOf = format === 'csv' ? csvLine : jsonLine;
  for await (const rows of copyOut(db, query)) {
    let text = '';
    let at = '';
    for (const row of rows) {
      at = isoOf(row[AT] ?? '');
      text += lineOf(row, at);
    }
    yield { text, records: rows.length, at };
  }
}

/** From `2026-01-02 03:04:05.6`: PostgreSQL leaves the zeros at the end out. */
const isoOf = (text: string): string => `${text.slice(0, 10)}T${text.slice(11, 19)}.${text.slice(20).padEnd(3, '0')}Z`;

/** Types whose text is JSON as PostgreSQL writes it, and those whose text has no character to be escaped, in either form. */
const AS_IS: ReadonlySet<ColumnType> = new Set(['jsonb', 'bigint', 'integer', 'smallint']);
const PLAIN: ReadonlySet<ColumnType> = new Set(['uuid', 'timestamptz(3)', 'bigint', 'integer', 'smallint', 'bytea']);
const FIELDS = SHOWN_COLUMNS.map(({ api, type }, index) => ({
  head: `${index === 0 ? '{' : ','}"${api}":`,
  asIs: AS_IS.has(type),
  plain: PLAIN.has(type),
}));

function jsonLine(row: TextRow, at: string): string {
  let line = '';
  for (const [index, { head, asIs, plain }] of FIELDS.entries()) {
    const value = index === AT ? at : row[index];
    line += head;
    if (value == null) line += 'null';
    else if (asIs) line += value;
    else line += plain ? `"${value}"` : JSON.stringify(value);
  }
  return `${line}}\n`;
}

/** RFC 4180. */
const CRLF = '\r\n';

function csvLine(row: TextRow, at: string): string {
  let line = '';
  for (const [index, { plain }] of FIELDS.entries()) {
    const value = index === AT ? at : (row[index] ?? '');
    if (index > 0) line += ',';
    line += plain ? value : csvField(value);
  }
  return line + CRLF;
}

const FORMULA = /^[=+\-@\t\r\n]/;
const NEEDS_QUOTES = /[",\r\n]/;

/**
 * What begins like a formula gets an apostrophe before it: a spreadsheet would run it, and most of these texts are the
 * client's choice (https://owasp.org/www-community/attacks/CSV_Injection).
 */
function csvField(text: string): string {
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
