/**
 * The log as a file: JSON lines, or CSV for spreadsheets. PostgreSQL gives the rows by COPY and this writes them in
 * their form, at the same time and as fast; PostgreSQL takes more than twice as long when it writes the JSON itself.
 */

import type { Knex } from 'knex';
import { copyOut, type TextRow } from '../../db/copy-out.ts';
import { FIELDS } from './decisions.ts';
import { conditionOf, type DecisionFilter, type Range, raw } from './filters.ts';

export const FORMATS = ['jsonl', 'csv'] as const;
export type ExportFormat = (typeof FORMATS)[number];

/** Some hundreds of records. */
export interface Part {
  readonly text: string;
  readonly records: number;
  /** Of the last one, as ISO text in UTC. */
  readonly at: string;
}

const NAMES = Object.keys(FIELDS);
const AT = NAMES.indexOf('at');
/** The time as PostgreSQL keeps it: `isoOf` writes it out, since PostgreSQL is what an export waits for. */
const SELECTED = Object.values({ ...FIELDS, at: `at at time zone 'UTC'` }).join(', ');

/** What stands above the records of a file. */
export const headingOf = (format: ExportFormat): string => (format === 'csv' ? `${NAMES.join(',')}${CRLF}` : '');

/**
 * The decisions of a filter, oldest first. A line of JSON is what `getDecision` gives; a line of CSV has the same fields.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* exportDecisions(
  db: Knex,
  filter: DecisionFilter,
  range: Range,
  format: ExportFormat,
): AsyncGenerator<Part> {
  const { sql, bindings } = conditionOf(filter, range);
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

/** Those that are JSON as PostgreSQL writes them; and those whose type leaves no character to be escaped, in either form. */
const AS_IS = new Set(['facts', 'durationUs', 'seq']);
const PLAIN = new Set(['id', 'at', 'durationUs', 'boot', 'seq', 'hash']);
const COLUMNS = NAMES.map((name, index) => ({
  head: `${index === 0 ? '{' : ','}"${name}":`,
  asIs: AS_IS.has(name),
  plain: PLAIN.has(name),
}));

function jsonLine(row: TextRow, at: string): string {
  let line = '';
  for (const [index, { head, asIs, plain }] of COLUMNS.entries()) {
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
  for (const [index, { plain }] of COLUMNS.entries()) {
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
 * choice of whoever sent the request (https://owasp.org/www-community/attacks/CSV_Injection).
 */
function csvField(text: string): string {
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return NEEDS_QUOTES.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}
