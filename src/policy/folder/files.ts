/** A policy folder as such: which files there may be, how large, of which characters; and that the model is ours. */

import { MODEL } from '../casbin/model.ts';
import { UNSEEN } from './codes.ts';
import type { Report } from './findings.ts';
import { INVARIANTS_FILE } from './invariants.ts';

/** File name within the folder (`10-api-key.csv`, `cases/order.yaml`) -> its text. */
export type PolicyTexts = ReadonlyMap<string, string>;

export const ROW_FILE = /^\d\d-[a-z0-9-]+\.csv$/;
const KNOWN_FILE =
  /^(?:model\.conf|codes\.yaml|invariants\.yaml|\d\d-[a-z0-9-]+\.csv|cases\/[a-z0-9-]+\.yaml|[A-Za-z0-9-]+\.md)$/;
export const LINE_END = /\r?\n/;

/** Whatever lies beyond is refused unread, so that a check ends however hard somebody tries. Sizes in UTF-16 units. */
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
  [...texts.keys()].filter((name) => name === 'model.conf' || name === 'codes.yaml' || ROW_FILE.test(name)).sort();

/** Reports whatever is too large. False: nothing more should be read of this folder. */
export function checkSizes(texts: PolicyTexts, report: Report): boolean {
  let sound = true;
  const tooLarge = (file: string, line: number, message: string): void => {
    sound = false;
    report({ file, line, column: 1, rule: 'too-large', message });
  };
  const sizes = [...texts.values()].map((text) => text.length);
  const folder = sizes.reduce((sum, size) => sum + size, 0);
  if (texts.size > LIMITS.files)
    tooLarge('.', 1, `a policy has at most ${LIMITS.files} files, this one has ${texts.size}`);
  if (folder > LIMITS.folder)
    tooLarge('.', 1, `a policy has at most ${LIMITS.folder} characters, this one has ${folder}`);
  if (!sound) return false;
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
  return sound;
}

/** Whether a line of a row file is neither empty nor a comment. */
export const isRow = (line: string): boolean => line.trim() !== '' && !line.startsWith('#');

/** Findings about the folder as such: files that nobody reads, unseen characters, a model that is not ours. */
export function checkFiles(texts: PolicyTexts, report: Report): void {
  for (const [file, text] of texts) {
    if (!KNOWN_FILE.test(file)) {
      const names = `NN-name.csv, codes.yaml, ${INVARIANTS_FILE}, model.conf, cases/name.yaml or NAME.md`;
      const message = `nothing reads a file of this name; remove it, or name it ${names}`;
      report({ file, line: 1, column: 1, rule: 'unknown-file', message });
    }
    for (const [index, line] of text.split(LINE_END).entries()) {
      const unseen = UNSEEN.exec(line);
      if (!unseen) continue;
      const point = unseen[0].codePointAt(0)?.toString(16).padStart(4, '0');
      const message = `U+${point} cannot be seen; remove it`;
      report({ file, line: index + 1, column: unseen.index + 1, rule: 'unseen-character', message });
    }
  }
  checkModel(texts.get('model.conf'), report);
}

/**
 * The model must be ours to the letter, comments and spacing aside: with any other effect an empty policy, or a request
 * that no row matches, would be allowed.
 */
function checkModel(text: string | undefined, report: Report): void {
  const find = (line: number, message: string): void =>
    report({ file: 'model.conf', line, column: 1, rule: 'model', message: `the model is fixed: ${message}` });
  const meant = MODEL.split('\n').filter((line) => line !== '');
  const lines = (text ?? '')
    .split('\n')
    .map((line, index) => ({ text: line.trim().replace(/\s+/g, ' '), number: index + 1 }));
  const found = lines.filter((line) => line.text !== '' && !line.text.startsWith('#'));
  for (const [index, line] of meant.entries()) {
    if (found[index]?.text === line) continue;
    find(found[index]?.number ?? lines.length, `this line must read \`${line}\``);
    return;
  }
  const extra = found[meant.length];
  if (extra) find(extra.number, 'remove this line');
}
