/** What a verification found: each fault of the log with its place, the first of them first. */

import { ADMINISTRATION } from '../format/heads.ts';

/** docs/audit.md says of each what it means and what to do. */
export const VERIFY_FINDING_CODES = [
  'altered',
  'removed',
  'inserted',
  'reordered',
  'rewritten',
  'backdated',
  'erased',
  'pruned',
  'head',
  'checkpoint',
  'format',
] as const;

/** How messages name a chain. */
export const printChain = ({ boot, day }: { readonly boot: string; readonly day: string }): string =>
  boot === ADMINISTRATION.boot ? 'the chain of administration' : `the chain ${boot} of ${day}`;

export type VerifyFindingCode = (typeof VERIFY_FINDING_CODES)[number];

export interface VerifyFinding {
  readonly code: VerifyFindingCode;
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

export interface VerifyFindings {
  readonly add: (finding: VerifyFinding) => void;
  /** Puts a more exact finding in the place of one that was added. */
  readonly replace: (finding: VerifyFinding, by: VerifyFinding) => void;
  /** By day, in the order in which they were found; those that are of no day last. */
  readonly list: () => readonly VerifyFinding[];
  readonly total: () => number;
}

/** Keeps the first `most` findings of each code, so that many of one code hide none of another, and counts all. */
export function createFindings(most: number): VerifyFindings {
  const kept: VerifyFinding[] = [];
  const counts = new Map<VerifyFindingCode, number>();
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
