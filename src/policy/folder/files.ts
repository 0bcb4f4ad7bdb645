/** The files of a policy folder: the table of their names, the checks of sizes and characters, the check of model.conf. */

import { ACCEPTED_MODELS } from '../casbin/model.ts';
import type { ReportError } from './findings.ts';

/** File name within the folder (`10-api-key.csv`, `cases/order.yaml`) -> its text. */
export type PolicyTexts = ReadonlyMap<string, string>;

export const MODEL_FILE = 'model.conf';
export const CODES_FILE = 'codes.yaml';
export const INVARIANTS_FILE = 'invariants.yaml';
export const ROW_FILE = /^\d\d-[a-z0-9-]+\.csv$/;
export const CASE_FILE = /^cases\/[a-z0-9-]+\.yaml$/;

/** Every kind of file that a policy folder may hold. */
const KINDS: readonly {
  readonly example: string;
  readonly is: (name: string) => boolean;
  /** Whether a decision depends on it, so that the digest of the policy covers it. */
  readonly decides: boolean;
}[] = [
  { example: 'NN-name.csv', is: (name) => ROW_FILE.test(name), decides: true },
  { example: CODES_FILE, is: (name) => name === CODES_FILE, decides: true },
  { example: INVARIANTS_FILE, is: (name) => name === INVARIANTS_FILE, decides: false },
  { example: MODEL_FILE, is: (name) => name === MODEL_FILE, decides: true },
  { example: 'cases/name.yaml', is: (name) => CASE_FILE.test(name), decides: false },
  { example: 'NAME.md', is: (name) => /^[A-Za-z0-9-]+\.md$/.test(name), decides: false },
];
const EXAMPLES = KINDS.map(({ example }) => example)
  .join(', ')
  .replace(/, ([^,]*)$/, ' or $1');

/** Control and format characters, line separators: an editor shows something else than what is evaluated. */
export const INVISIBLE = /(?!\t)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u;

export const LINE_END = /\r?\n/;

/** Size bounds, in UTF-16 units, checked before anything is parsed, so that every check ends. */
export const LIMITS = {
  file: 1_048_576,
  yaml: 262_144,
  folder: 4_194_304,
  files: 500,
  line: 4000,
  /** Lines of rows in all files. */
  rows: 10_000,
} as const;

/** The names of the files that a decision depends on, in the order in which they are read. */
export const decisiveFiles = (texts: PolicyTexts): readonly string[] =>
  [...texts.keys()].filter((name) => KINDS.some(({ is, decides }) => decides && is(name))).sort();

/** Reports what is too large. False: nothing more should be read of this folder. */
export function checkSizes(texts: PolicyTexts, report: ReportError): boolean {
  let valid = true;
  const tooLarge = (file: string, line: number, message: string): void => {
    valid = false;
    report({ file, line, column: 1, rule: 'too-large', message });
  };
  const sizes = [...texts.values()].map((text) => text.length);
  const folder = sizes.reduce((sum, size) => sum + size, 0);
  if (texts.size > LIMITS.files)
    tooLarge('.', 1, `a policy has at most ${LIMITS.files} files, this one has ${texts.size}`);
  if (folder > LIMITS.folder)
    tooLarge('.', 1, `a policy has at most ${LIMITS.folder} characters, this one has ${folder}`);
  if (!valid) return false;
  let rows = 0;
  for (const [file, text] of texts) {
    const most = file.endsWith('.yaml') ? LIMITS.yaml : LIMITS.file;
    if (text.length > most) {
      tooLarge(file, 1, `this file has at most ${most} characters, and ${text.length} now; split it`);
      continue;
    }
    for (const [index, line] of text.split(LINE_END).entries()) {
      if (line.length > LIMITS.line)
        tooLarge(
          file,
          index + 1,
          `a line has at most ${LIMITS.line} characters, this one has ${line.length}; split it`,
        );
      if (ROW_FILE.test(file) && isRow(line)) rows += 1;
    }
  }
  if (rows > LIMITS.rows) tooLarge('.', 1, `a policy has at most ${LIMITS.rows} rows, this one has ${rows}`);
  return valid;
}

/** Whether a line of a row file is neither empty nor a comment. */
export const isRow = (line: string): boolean => line.trim() !== '' && !line.startsWith('#');

/** Reports files that nothing reads, invisible characters, and a model that is not ours. */
export function checkFiles(texts: PolicyTexts, report: ReportError): void {
  for (const [file, text] of texts) {
    if (!KINDS.some(({ is }) => is(file))) {
      const message = `nothing reads a file of this name; remove it, or name it ${EXAMPLES}`;
      report({ file, line: 1, column: 1, rule: 'unknown-file', message });
    }
    for (const [index, line] of text.split(LINE_END).entries()) {
      const found = INVISIBLE.exec(line);
      if (!found) continue;
      const point = found[0].codePointAt(0)?.toString(16).padStart(4, '0');
      const message = `U+${point} cannot be seen; remove it`;
      report({ file, line: index + 1, column: found.index + 1, rule: 'unseen-character', message });
    }
  }
  checkModel(texts.get(MODEL_FILE), report);
}

/**
 * The model must be ours to the letter, comments and spacing aside: with any other effect an empty policy, or a request
 * that no row matches, would be allowed.
 */
function checkModel(text: string | undefined, report: ReportError): void {
  const lines = (text ?? '')
    .split('\n')
    .map((line, index) => ({ text: line.trim().replace(/\s+/g, ' '), number: index + 1 }));
  const found = lines.filter((line) => line.text !== '' && !line.text.startsWith('#'));
  const faults = ACCEPTED_MODELS.map((model) => modelFault(model, found, lines.length));
  const [fault] = faults;
  if (!fault || faults.includes(undefined)) return;
  const { line, message } = fault;
  report({ file: MODEL_FILE, line, column: 1, rule: 'model', message: `the model is fixed: ${message}` });
}

function modelFault(
  model: string,
  found: readonly { readonly text: string; readonly number: number }[],
  lines: number,
): { readonly line: number; readonly message: string } | undefined {
  const expected = model.split('\n').filter((line) => line !== '');
  for (const [index, line] of expected.entries()) {
    if (found[index]?.text === line) continue;
    return { line: found[index]?.number ?? lines, message: `this line must read \`${line}\`` };
  }
  const extra = found[expected.length];
  return extra && { line: extra.number, message: 'remove this line' };
}
