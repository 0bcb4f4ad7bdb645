/**
 * The texts of a policy folder, read strictly. Casbin takes an unknown line type, a misspelt effect or a missing column
 * without a word; here each of them is a finding with its place, and only a folder without findings becomes a policy.
 */

import { parse as parseCsv } from 'csv-parse/sync';
import { type Code, UNSEEN } from './codes.ts';
import type { Finding } from './finding.ts';
import { MODEL } from './model.ts';
import { ACTION_PATTERN, parseRule, type Rule, RuleError } from './rule.ts';

/** File name within the folder (`10-api-key.csv`, `cases/order.yaml`) -> its text. */
export type PolicyTexts = ReadonlyMap<string, string>;

export type Effect = 'allow' | 'deny';

export interface Row {
  readonly id: string;
  readonly action: string;
  readonly when: Rule;
  readonly effect: Effect;
  readonly code: string;
  readonly file: string;
  readonly line: number;
}

type Report = (finding: Finding) => void;

const ROW_FILE = /^\d\d-[a-z0-9-]+\.csv$/;
const KNOWN_FILE = /^(?:model\.conf|codes\.yaml|\d\d-[a-z0-9-]+\.csv|cases\/[a-z0-9-]+\.yaml|[A-Za-z0-9-]+\.md)$/;
const COLUMNS = ['p', 'id', 'action', 'when', 'effect', 'code'] as const;
const ROW_ID = /^[a-z][a-z0-9-]{0,63}$/;
const LINE_END = /\r?\n/;

/** The names of the files that a decision depends on, in the order in which they are read. */
export const decisiveFiles = (texts: PolicyTexts): readonly string[] =>
  [...texts.keys()].filter((name) => name === 'model.conf' || name === 'codes.yaml' || ROW_FILE.test(name)).sort();

/** Findings about the folder as such: files that nobody reads, unseen characters, a model that is not ours. */
export function checkFiles(texts: PolicyTexts, report: Report): void {
  for (const [file, text] of texts) {
    if (!KNOWN_FILE.test(file)) {
      report({
        file,
        line: 1,
        column: 1,
        rule: 'unknown-file',
        message:
          'nothing reads a file of this name; remove it, or name it NN-name.csv, codes.yaml, model.conf, cases/name.yaml or NAME.md',
      });
    }
    for (const [index, line] of text.split(LINE_END).entries()) {
      const unseen = UNSEEN.exec(line);
      if (unseen) {
        const point = unseen[0].codePointAt(0)?.toString(16).padStart(4, '0');
        report({
          file,
          line: index + 1,
          column: unseen.index + 1,
          rule: 'unseen-character',
          message: `U+${point} cannot be seen; remove it`,
        });
      }
    }
  }
  checkModel(texts.get('model.conf'), report);
}

/**
 * The model must be ours to the letter, comments and spacing aside: with any other effect an empty policy, or a request
 * that no row matches, would be allowed.
 */
function checkModel(text: string | undefined, report: Report): void {
  const file = 'model.conf';
  const meant = MODEL.split('\n').filter((line) => line !== '');
  const lines = (text ?? '')
    .split('\n')
    .map((line, index) => ({ text: line.trim().replace(/\s+/g, ' '), number: index + 1 }));
  const found = lines.filter((line) => line.text !== '' && !line.text.startsWith('#'));
  for (const [index, line] of meant.entries()) {
    if (found[index]?.text === line) continue;
    const number = found[index]?.number ?? lines.length;
    report({
      file,
      line: number,
      column: 1,
      rule: 'model',
      message: `the model is fixed: this line must read \`${line}\``,
    });
    return;
  }
  const extra = found[meant.length];
  if (extra)
    report({ file, line: extra.number, column: 1, rule: 'model', message: 'the model is fixed: remove this line' });
}

/** The rows of all CSV files, in the order of the files' names and of their lines: the order in which they are tried. */
export function parseRows(texts: PolicyTexts, codes: ReadonlyMap<string, Code>, report: Report): Row[] {
  const rows = decisiveFiles(texts)
    .filter((name) => ROW_FILE.test(name))
    .flatMap((file) => parseRowFile(file, texts.get(file) ?? '', codes, report));
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

function parseRowFile(file: string, text: string, codes: ReadonlyMap<string, Code>, report: Report): Row[] {
  const rows: Row[] = [];
  for (const [index, line] of text.split(LINE_END).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const row = parseRow(line, codes, (column, rule, message) =>
      report({ file, line: index + 1, column, rule, message }),
    );
    if (row) rows.push(Object.freeze({ ...row, file, line: index + 1 }));
  }
  return rows;
}

type ReportInLine = (column: number, rule: string, message: string) => void;

function parseRow(
  line: string,
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
  let sound = true;
  const fault = (column: (typeof COLUMNS)[number], rule: string, message: string): void => {
    sound = false;
    report(at(column), rule, message);
  };
  if (type !== 'p') fault('p', 'row-shape', `a row begins with p, not with ${JSON.stringify(type)}`);
  if (!ROW_ID.test(id)) {
    fault('id', 'row-shape', 'an id is lower-case letters, digits and -, beginning with a letter, at most 64');
  }
  if (!ACTION_PATTERN.test(action)) {
    fault('action', 'row-action', `${JSON.stringify(action)} is no action pattern: *, noun:verb or noun:*`);
  }
  if (effect !== 'allow' && effect !== 'deny') {
    fault('effect', 'row-effect', `the effect is allow or deny, not ${JSON.stringify(effect)}`);
  }
  if (codes.has(code)) {
    const means = `effect allow goes with code OK and nothing else does; this row has ${effect} and ${code}`;
    if ((effect === 'allow') !== (code === 'OK')) fault('code', 'row-effect', means);
  } else if (codes.size > 0) {
    fault('code', 'unknown-code', `codes.yaml has no code ${JSON.stringify(code)}`);
  } else {
    // codes.yaml has a finding of its own that explains it all.
    sound = false;
  }
  try {
    const rule = parseRule(when);
    return sound ? { id, action, when: rule, effect: effect as Effect, code } : undefined;
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    report(at('when') + error.offset, error.rule, error.message);
    return undefined;
  }
}

/** One line's fields with the columns that they begin at; undefined, and a finding, where there are not exactly six. */
function parseFields(line: string, report: ReportInLine): { text: string; column: number }[] | undefined {
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
