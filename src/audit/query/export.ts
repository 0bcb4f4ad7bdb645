/**
 * The log as a file: JSON lines, or CSV for spreadsheets. PostgreSQL gives the rows by COPY and this writes them in
 * their form, at the same time and as fast; PostgreSQL takes more than twice as long when it writes the JSON itself.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { copyOut, type TextRow } from '../../db/copy-out.ts';
import { type ColumnType, SHOWN_COLUMNS } from '../columns.ts';
import { timeOf } from '../record/entry.ts';
import { type BoundSql, raw, whereOf } from './conditions.ts';
import { UUID_V7 } from './decisions.ts';
import { type DecisionFilter, decisionFilter, isInOrder, notInOrder, type TimeRange } from './filters.ts';

export const FORMATS = ['jsonl', 'csv'] as const;
export type ExportFormat = (typeof FORMATS)[number];

/** Over HTTP; `cursor` is the id of the last decision that the reader has: ids are in the order of an export. */
export const exportQuery = z
  .strictObject({
    ...decisionFilter,
    format: z.enum(FORMATS, 'must be jsonl or csv').default('jsonl'),
    cursor: z.string().regex(UUID_V7, 'must be the id of the last decision that you have').optional(),
  })
  .refine(isInOrder, notInOrder);

/** Some hundreds of records. */
export interface Part {
  readonly text: string;
  readonly records: number;
  /** Of the last one, as ISO text in UTC. */
  readonly at: string;
}

const AT = SHOWN_COLUMNS.findIndex(({ column }) => column === 'at');
const ID = SHOWN_COLUMNS.findIndex(({ column }) => column === 'id');
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
 * The decisions of a filter, oldest first, by one statement: for whoever reads as fast as they come. A line of JSON is what `getDecision` gives; a
 * line of CSV has the same fields.
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
  for await (const rows of copyOut(db, query)) yield partOf(rows, format);
}

const PAGE = 1000;
const HOUR_MS = 3_600_000;
const SHORT_MS = 500;

/**
 * As exportDecisions, in pages: for whoever may be slow, or come back for the rest. Between two pages no transaction is open and no connection is
 * held. A page reads a window of time, which is made longer while windows take less than half a second, so that no statement takes long where hardly any
 * decision is of the filter. `after` is the id of the last decision that the reader has; undefined: none.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* exportInPages(
  db: Knex,
  filter: DecisionFilter,
  { from, to }: { readonly from: string; readonly to: string },
  format: ExportFormat,
  after: string | undefined,
): AsyncGenerator<Part> {
  let place = after;
  let begin = Math.max(Date.parse(from), place === undefined ? 0 : Date.parse(timeOf(place)));
  for (let window = HOUR_MS; begin < Date.parse(to); ) {
    const end = Math.min(begin + window, Date.parse(to));
    const range = { from: new Date(begin).toISOString(), to: new Date(end).toISOString() };
    const since = performance.now();
    const rows: TextRow[] = [];
    for await (const some of copyOut(db, raw(db, pageOf(filter, range, place)))) rows.push(...some);
    if (rows.length > 0) yield partOf(rows, format);
    place = rows.at(-1)?.[ID] ?? place;
    const isFull = rows.length === PAGE && place !== undefined;
    begin = isFull ? Date.parse(timeOf(place ?? '')) : end;
    if (!isFull) window = performance.now() - since < SHORT_MS ? 2 * window : Math.max(window / 2, HOUR_MS / 60);
  }
}

function pageOf(filter: DecisionFilter, range: TimeRange, after: string | undefined): BoundSql {
  const { sql, bindings } = whereOf(filter, range);
  const behind: BoundSql =
    after === undefined
      ? { sql: 'true', bindings: [] }
      : { sql: '(at, id) > (?::timestamptz, ?::uuid)', bindings: [timeOf(after), after] };
  return {
    sql: `select ${SELECTED} from decisions where (${sql}) and ${behind.sql} order by at, id limit ${PAGE}`,
    bindings: [...bindings, ...behind.bindings],
  };
}

function partOf(rows: readonly TextRow[], format: ExportFormat): Part {
  const lineOf = format === 'csv' ? csvLine : jsonLine;
  let text = '';
  let at = '';
  for (const row of rows) {
    at = isoOf(row[AT] ?? '');
    text += lineOf(row, at);
  }
  return { text, records: rows.length, at };
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
