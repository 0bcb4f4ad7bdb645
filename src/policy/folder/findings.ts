/** What is wrong with a policy folder, and where. Collected, never thrown one by one: whoever edits wants them all. */

import type { FindingRule } from './finding-rules.ts';

export interface Finding {
  /** The file's name inside the policy folder. */
  readonly file: string;
  /** From 1; 1 where a finding is about the whole file. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** The stable name of the kind of finding, such as `unknown-fact`. */
  readonly rule: FindingRule;
  /** What is wrong and how to mend it. */
  readonly message: string;
}

export type Report = (finding: Finding) => void;

export const byPlace = (a: Finding, b: Finding): number =>
  (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column;

/** One line. Names of files, cases and invariants come from the folder: nothing in them reaches a terminal as it is. */
export const printFinding = ({ file, line, column, rule, message }: Finding): string =>
  `${file}:${line}:${column}: ${message} [${rule}]`.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (unseen) => `\\u{${unseen.codePointAt(0)?.toString(16)}}`,
  );

/** More of one file than anybody reads; a file of nothing but faults must not fill the memory. */
const MOST_OF_A_FILE = 1000;

/** Takes findings as they come; `all` are those so far, sorted by place, at most a thousand of a file. */
export function collector(): { readonly report: Report; readonly all: () => Finding[] } {
  const byFile = new Map<string, Finding[]>();
  const report: Report = (finding) => {
    const { file } = finding;
    const known = byFile.get(file);
    if (known === undefined) byFile.set(file, [finding]);
    else if (known.length < MOST_OF_A_FILE) known.push(finding);
    else if (known.length === MOST_OF_A_FILE) {
      known.push({
        ...finding,
        rule: 'too-many-findings',
        message: `only the first ${MOST_OF_A_FILE} findings of a file are listed; mend those, then check again`,
      });
    }
  };
  return { report, all: () => [...byFile.values()].flat().sort(byPlace) };
}
