/** What is wrong with a policy folder, and where. Collected, never thrown one by one: whoever edits wants them all. */

export interface Finding {
  /** The file's name inside the policy folder. */
  readonly file: string;
  /** From 1; 1 where a finding is about the whole file. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** The stable name of the kind of finding, such as `unknown-fact`. */
  readonly rule: string;
  /** What is wrong and how to mend it. */
  readonly message: string;
}

export const byPlace = (a: Finding, b: Finding): number =>
  (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column;

export const printFinding = (finding: Finding): string =>
  `${finding.file}:${finding.line}:${finding.column}: ${finding.message} [${finding.rule}]`;
