/** The files of a policy folder: the table of their names, the checks of sizes, names and characters, the check of model.conf. */

import { secretAt } from '../../mask.ts';
import { ACCEPTED_MODELS } from '../casbin/model.ts';
import { NO_UTF8, UNSEEN, unseenMessage } from './characters.ts';
import type { ErrorRule, ReportError } from './findings.ts';

/**
 * File name within the folder (`10-api-key.csv`, `cases/order.yaml`) -> its text. U+FFFD stands for bytes that are no UTF-8. What
 * was not read has an empty text: `archive/` (a folder, or no regular file), `../NOTES.md` (a link that leads outside).
 */
export type PolicyTexts = ReadonlyMap<string, string>;

const OUTSIDE = '../';
export const unreadFolder = (name: string): string => `${name}/`;
export const isUnreadFolder = (listed: string): boolean => listed.endsWith('/');
export const unreadLink = (name: string): string => OUTSIDE + name;
/** The name in the folder of what is listed. */
export const nameInFolder = (listed: string): string =>
  listed.startsWith(OUTSIDE) ? listed.slice(OUTSIDE.length) : listed;

export const MODEL_FILE = 'model.conf';
export const CODES_FILE = 'codes.yaml';
export const FACTS_FILE = 'facts.yaml';
export const NAMES_FILE = 'names.yaml';
export const GATEWAY_FILE = 'gateway.yaml';
export const INVARIANTS_FILE = 'invariants.yaml';
export const ROW_FILE = /^\d\d-[a-z0-9-]+\.csv$/;
/** The prefixes of a network; facts.yaml says of which. */
export const NETWORK_FILE = /^[a-z0-9-]+\.txt$/;
export const CASE_FILE = /^cases\/[a-z0-9-]+\.yaml$/;

/** Every kind of file that a policy folder may hold. */
const KINDS: readonly {
  readonly example: string;
  readonly is: (name: string) => boolean;
  /** Whether a decision depends on it, so that the digest of the policy covers it. */
  readonly decides: boolean;
  /** Whether it is for people only: the policy does not read it, and it is not stored. */
  readonly note?: true;
}[] = [
  { example: 'NN-name.csv', is: (name) => ROW_FILE.test(name), decides: true },
  { example: CODES_FILE, is: (name) => name === CODES_FILE, decides: true },
  { example: FACTS_FILE, is: (name) => name === FACTS_FILE, decides: true },
  { example: GATEWAY_FILE, is: (name) => name === GATEWAY_FILE, decides: true },
  { example: INVARIANTS_FILE, is: (name) => name === INVARIANTS_FILE, decides: false },
  { example: MODEL_FILE, is: (name) => name === MODEL_FILE, decides: true },
  { example: NAMES_FILE, is: (name) => name === NAMES_FILE, decides: true },
  { example: 'name.txt', is: (name) => NETWORK_FILE.test(name), decides: true },
  { example: 'cases/name.yaml', is: (name) => CASE_FILE.test(name), decides: false },
  { example: 'NAME.md', is: (name) => /^[A-Za-z0-9-]+\.md$/.test(name), decides: false, note: true },
];
const EXAMPLES = KINDS.map(({ example }) => example)
  .join(', ')
  .replace(/, ([^,]*)$/, ' or $1');

export const LINE_END = /\r?\n/;

/** The lines of a text, one after the other: all at once, those of a network file would hold up the event loop. */
export function* linesOf(text: string): Generator<string> {
  let from = 0;
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', from)) {
    yield text.slice(from, end > from && text[end - 1] === '\r' ? end - 1 : end);
    from = end + 1;
  }
  yield text.slice(from);
}

/** After so many lines a check yields to the event loop. */
const PIECE = 256;

/** Size bounds, in UTF-16 units, checked before anything is parsed, so that every check ends. */
export const LIMITS = {
  file: 1_048_576,
  yaml: 262_144,
  /** A network file. */
  network: 16_777_216,
  /** All files but those of networks. */
  folder: 4_194_304,
  /** All files of networks. */
  networks: 67_108_864,
  /** Prefixes of all networks. */
  prefixes: 2_000_000,
  files: 500,
  line: 4000,
  /** Lines of rows in all files. */
  rows: 10_000,
} as const;

/** The names of the files that a decision depends on, in the order in which they are read. */
export const decisiveFiles = (texts: PolicyTexts): readonly string[] =>
  [...texts.keys()].filter((name) => KINDS.some(({ is, decides }) => decides && is(name))).sort();

/** Whether a file of this name is for people only. */
export const isNote = (name: string): boolean => KINDS.some(({ is, note }) => note && is(name));

/** What of a folder is stored: what the policy reads. */
export const policyFiles = (texts: PolicyTexts): PolicyTexts =>
  new Map([...texts].filter(([name]) => KINDS.some(({ is, note }) => !note && is(name))));

/** How large a file may be. */
const mostOf = (file: string): number =>
  NETWORK_FILE.test(file) ? LIMITS.network : file.endsWith('.yaml') ? LIMITS.yaml : LIMITS.file;

/** How many characters of network files there are, and of all others. */
export function sizesOf(texts: PolicyTexts): { readonly networks: number; readonly folder: number } {
  const sizes = { networks: 0, folder: 0 };
  for (const [file, text] of texts) sizes[NETWORK_FILE.test(file) ? 'networks' : 'folder'] += text.length;
  return sizes;
}

/** Reports what is too large. False: nothing more should be read of this folder. Yields often, as do all that read lines. */
export function* checkSizes(texts: PolicyTexts, report: ReportError): Generator<void, boolean> {
  let valid = true;
  const tooLarge = (file: string, line: number, message: string): void => {
    valid = false;
    report({ file, line, column: 1, rule: 'too-large', message });
  };
  const { folder, networks } = sizesOf(texts);
  if (texts.size > LIMITS.files)
    tooLarge('.', 1, `a policy has at most ${LIMITS.files} files, this one has ${texts.size}`);
  if (folder > LIMITS.folder)
    tooLarge('.', 1, `a policy has at most ${LIMITS.folder} characters, this one has ${folder}`);
  if (networks > LIMITS.networks)
    tooLarge('.', 1, `the network files have at most ${LIMITS.networks} characters together, and ${networks} now`);
  if (!valid) return false;
  let rows = 0;
  for (const [file, text] of texts) {
    const most = mostOf(file);
    if (text.length > most) {
      tooLarge(file, 1, `this file has at most ${most} characters, and ${text.length} now; split it`);
      continue;
    }
    let number = 0;
    for (const line of linesOf(text)) {
      number += 1;
      if (number % PIECE === 0) yield;
      if (line.length > LIMITS.line)
        tooLarge(file, number, `a line has at most ${LIMITS.line} characters, this one has ${line.length}; split it`);
      if (ROW_FILE.test(file) && isRow(line)) rows += 1;
    }
  }
  if (rows > LIMITS.rows) tooLarge('.', 1, `a policy has at most ${LIMITS.rows} rows, this one has ${rows}`);
  return valid;
}

/** Whether a line of a row file is neither empty nor a comment. */
export const isRow = (line: string): boolean => line.trim() !== '' && !line.startsWith('#');

/** Reports files that nothing reads, secrets, characters that are not what they look like, and a model that is not ours. */
export function* checkFiles(texts: PolicyTexts, report: ReportError): Generator<void> {
  for (const [file, text] of texts) {
    checkName(file, report);
    let number = 0;
    for (const line of linesOf(text)) {
      number += 1;
      if (number % PIECE === 0) yield;
      checkLine(line, (at, rule, message) => report({ file, line: number, column: at + 1, rule, message }));
    }
  }
  checkModel(texts.get(MODEL_FILE), report);
}

const PLAIN = /^[\x20-\x7e]*$/;

function checkLine(line: string, fault: (at: number, rule: ErrorRule, message: string) => void): void {
  const secret = secretAt(line);
  if (secret !== undefined) fault(secret, 'secret', SECRET);
  if (PLAIN.test(line)) return;
  const unseen = UNSEEN.exec(line);
  if (unseen) fault(unseen.index, 'unseen-character', unseenMessage(unseen[0]));
  const noUtf8 = line.indexOf(NO_UTF8);
  if (noUtf8 !== -1) fault(noUtf8, 'not-utf-8', 'what stands here is no UTF-8; save the file in that encoding');
}

const SECRET =
  'this has the form of an API key or a caller token; remove it, and revoke it if it is live: others have read it';

function checkName(listed: string, report: ReportError): void {
  const file = nameInFolder(listed);
  const fault = (rule: ErrorRule, message: string): void => report({ file, line: 1, column: 1, rule, message });
  if (secretAt(file) !== undefined) fault('secret', `in the name of the file, ${SECRET}`);
  if (file.includes(NO_UTF8)) {
    fault('not-utf-8', 'the name of this file is no UTF-8; rename it');
  } else if (file !== listed) {
    fault('link-outside', 'this link leads out of the policy folder, or nowhere; put the file itself here');
  } else if (isUnreadFolder(file)) {
    fault('unknown-file', 'this is a folder, or no regular file, and only the folder cases/ is read; remove it');
  } else if (!KINDS.some(({ is }) => is(file))) {
    fault('unknown-file', `nothing reads a file of this name; remove it, or name it ${EXAMPLES}`);
  }
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
