/** What a verification found: each fault with its place, the first of them first. */

/** docs/audit.md says of each what it means and what to do. */
export const FINDING_CODES = [
  'altered',
  'removed',
  'inserted',
  'reordered',
  'rewritten',
  'erased',
  'pruned',
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
  /** A finding that was added can be said more exactly. */
  readonly replace: (finding: Finding, by: Finding) => void;
  /** By day, in the order in which they were found; those that are of no day last. */
  readonly list: () => readonly Finding[];
  readonly total: () => number;
}

/** Keeps the first `most` findings of each code, so that many of one hide none of another, and counts all. */
export function createFindings(most: number): Findings {
  const kept: Finding[] = [];
  const counts = new Map<FindingCode, number>();
  let total = 0;
  return {
    add: (finding) => {
      const count = (counts.get(finding.code) ?? 0) + 1;
      counts.set(finding.code, count);
      total += 1;
      if (count <= most) kept.push(finding);
    },
    replace: (finding, by) => {
      const index = kept.indexOf(finding);
      if (index >= 0) kept[index] = by;
    },
    list: () => kept.toSorted((a, b) => compare(a.day ?? NO_DAY, b.day ?? NO_DAY)),
    total: () => total,
  };
}

const NO_DAY = '~';
const compare = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1);
