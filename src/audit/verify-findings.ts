/** What a verification found: each fault with its place, the first of them first. */

/** docs/audit.md says of each what it means and what to do. */
export const FINDING_CODES = [
  'altered',
  'removed',
  'inserted',
  'reordered',
  'rewritten',
  'erased',
  'head',
  'checkpoint',
] as const;

export type FindingCode = (typeof FINDING_CODES)[number];

export interface Finding {
  readonly code: FindingCode;
  /** For people: where it is, and what is wrong. */
  readonly message: string;
  readonly boot?: string;
  readonly day?: string;
  /** The first record that is concerned. */
  readonly seq?: number;
  readonly id?: string;
  /** The number of the checkpoint that is concerned. */
  readonly checkpoint?: number;
}

export interface Findings {
  readonly add: (finding: Finding) => void;
  /** Whether a finding that was added can still be said more exactly; then `finding` stands in its place. */
  readonly replace: (finding: Finding, by: Finding) => void;
  readonly list: () => readonly Finding[];
  readonly total: () => number;
}

/** Keeps the first `most` findings, and counts all. */
export function createFindings(most: number): Findings {
  const kept: Finding[] = [];
  let total = 0;
  return {
    add: (finding) => {
      total += 1;
      if (kept.length < most) kept.push(finding);
    },
    replace: (finding, by) => {
      const index = kept.indexOf(finding);
      if (index >= 0) kept[index] = by;
    },
    list: () => kept,
    total: () => total,
  };
}
