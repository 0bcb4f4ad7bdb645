/**
 * Runs the cases, and measures their branch coverage of the rows: for each row whether some case is decided by it, and whether
 * in some case it is evaluated and does not match. A row without both can be widened or narrowed without a case noticing.
 */

import { matchesPattern } from '../action-patterns.ts';
import { type Decision, isSameDecision, type Policy } from '../decide.ts';
import { type Facts, valueAt } from '../facts.ts';
import { type Case, parseAllCases } from '../folder/cases.ts';
import type { PolicyTexts } from '../folder/files.ts';
import { byPlace, type Finding } from '../folder/findings.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { OverBound, partitionOf } from './classes.ts';
import { attempt } from './run-cases.ts';

/** A fact of a case that differs from its file's base; `base` is null where that does not state it. */
export interface Differing {
  readonly fact: string;
  readonly base: unknown;
  readonly given: string | boolean;
}

export interface Outcome {
  readonly name: string;
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly holds: boolean;
  readonly want: Decision;
  /** The decision, or why there is none. */
  readonly got: Decision | string;
  readonly facts: readonly Differing[];
}

export interface RowCoverage {
  readonly rule: string;
  readonly file: string;
  readonly line: number;
  /** How many cases it decides; null: proved that it can decide none. */
  readonly matched: number | null;
  /** In how many cases its action matches and its rule is evaluated and false; null: proved that there can be none. */
  readonly passed: number | null;
}

export interface CaseReport {
  readonly policy: string;
  /** Cases that cannot be read, and a folder that has none. */
  readonly findings: readonly Finding[];
  readonly cases: readonly Outcome[];
  readonly rows: readonly RowCoverage[];
  /** False where there are too many situations to prove which sides are unreachable; then all of them count. */
  readonly proved: boolean;
  /** Two sides (branches) a row, without the unreachable ones. */
  readonly sides: { readonly covered: number; readonly all: number };
  /** Of the sides, how many are covered; from 0 to 100. */
  readonly percent: number;
}

/** Runs the cases of `texts` against `policy`, which was compiled from them. */
export function runCases(policy: Policy, texts: PolicyTexts): CaseReport {
  const findings: Finding[] = [];
  const cases = parseAllCases(texts, policy.schema, (finding) => findings.push(finding));
  const outcomes = cases.map((one) => ({ one, got: attempt(policy, one.facts) }));
  const stated = sidesOf(
    policy.rows,
    outcomes.map(({ one, got }) => ({ facts: one.facts, got })),
  );
  const possible = possibleSides(policy);
  const rows = policy.rows.map((row, index): RowCoverage => {
    const side = (of: keyof Sides): number | null =>
      possible?.[index]?.[of] === 0 ? null : (stated[index]?.[of] ?? 0);
    return { rule: row.id, file: row.file, line: row.line, matched: side('matched'), passed: side('passed') };
  });
  const sides = rows.flatMap(({ matched, passed }) => [matched, passed]).filter((side) => side !== null);
  const covered = sides.filter((side) => side > 0).length;
  return {
    policy: policy.digest,
    findings: findings.sort(byPlace),
    cases: outcomes.map(({ one, got }) => outcomeOf(policy.schema, one, got)),
    rows,
    proved: possible !== undefined,
    sides: { covered, all: sides.length },
    percent: sides.length === 0 ? 0 : (100 * covered) / sides.length,
  };
}

interface Sides {
  matched: number;
  passed: number;
}

/** For each row how many classes of situations reach each side; undefined: there are too many to enumerate. */
function possibleSides(policy: Policy): readonly Sides[] | undefined {
  try {
    const { classes } = partitionOf([policy]);
    return sidesOf(
      policy.rows,
      classes.flatMap(({ facts: [facts] }) => (facts ? [{ facts, got: attempt(policy, facts) }] : [])),
    );
  } catch (error) {
    if (error instanceof OverBound) return undefined;
    throw error;
  }
}

/** For each row how many of `decided` it decides, and in how many it is evaluated and does not match. */
function sidesOf(
  rows: readonly Row[],
  decided: readonly { readonly facts: Facts; readonly got: Decision | string }[],
): readonly Sides[] {
  const sides = rows.map((): Sides => ({ matched: 0, passed: 0 }));
  const places = new Map(rows.map((row, index) => [row.id, index]));
  for (const { facts, got } of decided) {
    const decider = typeof got === 'string' ? undefined : places.get(got.rule);
    if (decider === undefined) continue;
    for (const [index, row] of rows.slice(0, decider + 1).entries()) {
      const side = sides[index];
      if (side && index === decider) side.matched += 1;
      else if (side && matchesPattern(row.action, facts.request.action)) side.passed += 1;
    }
  }
  return sides;
}

function outcomeOf(
  { paths }: Schema,
  { name, file, line, column, facts, base, want }: Case,
  got: Decision | string,
): Outcome {
  const holds = typeof got === 'object' && isSameDecision(got, want);
  const differing = [...paths.keys()].flatMap((path): Differing[] => {
    const before = valueAt(base as unknown as Facts, path) ?? null;
    const given = valueAt(facts, path);
    return before === given ? [] : [{ fact: path, base: before, given }];
  });
  return { name, file, line, column, holds, want, got, facts: differing };
}
