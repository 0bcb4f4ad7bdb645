/**
 * The rows of a policy folder, read strictly. Casbin silently accepts an unknown line type, a misspelt effect or a missing
 * column; here each of them is a finding with its place, and only a folder without findings becomes a policy.
 */

import { parse as parseCsv } from 'csv-parse/sync';
import { ACTION_PATTERN } from '../action-patterns.ts';
import { parseRule, RuleError } from '../casbin/rule.ts';
import type { Code, Effect, Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { decisiveFiles, isRow, LINE_END, type PolicyTexts, ROW_FILE } from './files.ts';
import type { ErrorRule, ReportError } from './findings.ts';

const COLUMNS = ['p', 'id', 'action', 'when', 'effect', 'code'] as const;
/** What spreadsheets write in place of commas, in countries where those stand in numbers. */
const OTHER_SEPARATOR = /^\s*"?p"?\s*([;\t])/;
const ROW_ID = /^[a-z][a-z0-9-]{0,63}$/;

/**
 * The rows of all CSV files, in the order in which they are tried: by file name, then by line. Yields after each line, so that
 * the caller can work in slices.
 */
export function* parseRows(
  texts: PolicyTexts,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: ReportError,
): Generator<void, Row[]> {
  const rows: Row[] = [];
  for (const file of decisiveFiles(texts)) {
    if (ROW_FILE.test(file)) yield* parseRowFile(file, texts.get(file) ?? '', schema, codes, report, rows);
  }
  const first = new Map<string, Row>();
  for (const row of rows) {
    const other = first.get(row.id);
    if (other) {
      report({
        file: row.file,
        line: row.line,
        column: 1,
        rule: 'duplicate-id',
        message: `the id ${row.id} is that of ${other.file}:${other.line} too; a decision could not tell them apart`,
      });
    } else first.set(row.id, row);
  }
  return rows;
}

function* parseRowFile(
  file: string,
  text: string,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: ReportError,
  rows: Row[],
): Generator<void> {
  for (const [index, line] of text.split(LINE_END).entries()) {
    if (!isRow(line)) continue;
    const row = parseRow(line, schema, codes, (column, rule, message) =>
      report({ file, line: index + 1, column, rule, message }),
    );
    if (row) rows.push(Object.freeze({ ...row, file, line: index + 1 }));
    yield;
  }
}

const ID_AND_CODE = /^\s*"?p"?\s*,\s*"?([a-z0-9-]+)"?\s*,.*,\s*"?([A-Z0-9_]+)"?\s*$/;

/** The id and the code of each row of a CSV file. What else stands there is not read: of old policies this version may not know how. */
export const namesOfRows = (text: string): { readonly rule: string; readonly code: string }[] =>
  text.split(LINE_END).flatMap((line) => {
    const [, rule, code] = ID_AND_CODE.exec(line) ?? [];
    return rule !== undefined && code !== undefined ? [{ rule, code }] : [];
  });

type ReportInLine = (column: number, rule: ErrorRule, message: string) => void;

function parseRow(
  line: string,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: ReportInLine,
): Omit<Row, 'file' | 'line'> | undefined {
  const fields = parseFields(line, report);
  if (!fields) return undefined;
  const [type, id, action, when, effect, code] = fields.map((field) => field.text) as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const at = (column: (typeof COLUMNS)[number]): number => fields[COLUMNS.indexOf(column)]?.column ?? 1;
  let valid = true;
  const fault = (column: (typeof COLUMNS)[number], rule: ErrorRule, message: string): void => {
    valid = false;
    report(at(column), rule, message);
  };
  if (type !== 'p') fault('p', 'row-shape', `a row begins with p, not with ${quoted(type)}`);
  if (!ROW_ID.test(id)) {
    fault('id', 'row-shape', 'an id is lower-case letters, digits and -, beginning with a letter, at most 64');
  }
  if (!ACTION_PATTERN.test(action)) {
    fault('action', 'row-action', `${quoted(action)} is no action pattern: *, noun:verb or noun:*`);
  }
  if (effect !== 'allow' && effect !== 'deny') {
    fault('effect', 'row-effect', `the effect is allow or deny, not ${quoted(effect)}`);
  }
  if (codes.has(code)) {
    const means = `effect allow goes with code OK and nothing else does; this row has ${effect} and ${code}`;
    if ((effect === 'allow') !== (code === 'OK')) fault('code', 'row-effect', means);
  } else if (codes.size > 0) {
    fault('code', 'unknown-code', code === '' ? 'the code is missing' : `codes.yaml has no code ${quoted(code)}`);
  } else {
    // Not reported for each row: codes.yaml could not be read, and that is reported once.
    valid = false;
  }
  try {
    const rule = parseRule(when, schema);
    return valid ? { id, action, when: rule, effect: effect as Effect, code } : undefined;
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    report(at('when') + error.offset, error.fault, error.message);
    return undefined;
  }
}

const quoted = (text: string): string => (text === '' ? 'an empty field' : JSON.stringify(text));

/** One line's fields with the columns that they begin at; undefined, and a finding, where there are not exactly six. */
function parseFields(line: string, report: ReportInLine): { text: string; column: number }[] | undefined {
  const separator = OTHER_SEPARATOR.exec(line)?.[1];
  if (separator !== undefined) {
    const named = separator === ';' ? 'semicolons' : 'tabs';
    report(1, 'row-shape', `the fields of this row are separated by ${named}; separate them by commas`);
    return undefined;
  }
  let texts: string[];
  try {
    texts = (parseCsv(line, { trim: true, relax_column_count: true }) as string[][])[0] ?? [];
  } catch (error) {
    report(
      1,
      'row-syntax',
      `this is no CSV line (a row is one line; double a quote inside quotes): ${(error as Error).message}`,
    );
    return undefined;
  }
  if (texts.length !== COLUMNS.length) {
    report(
      1,
      'row-shape',
      `a row has ${COLUMNS.length} fields (${COLUMNS.join(', ')}), this one has ${texts.length}; quote a rule that has commas`,
    );
    return undefined;
  }
  const columns = fieldColumns(line);
  return texts.map((text, index) => ({ text, column: columns[index] ?? 1 }));
}

/** Where the fields of a CSV line begin: the column after each comma outside quotes, after spaces and an opening quote. */
function fieldColumns(line: string): number[] {
  const starts = [0];
  let quoted = false;
  for (let index = 0; index < line.length; index += 1) {
    if (line[index] === '"') quoted = !quoted;
    if (line[index] === ',' && !quoted) starts.push(index + 1);
  }
  return starts.map((start) => start + (/^\s*"?/.exec(line.slice(start))?.[0].length ?? 0) + 1);
}
