/**
 * Proves what must hold of a policy in every situation: each is decided, by a row that may decide it so, and each row decides
 * somewhere. Cell by cell (situations.ts), from where each rule holds (rule-extent.ts); the texts within a cell are looked at
 * only as far as a question needs it (text-sets.ts).
 */

import type { Matcher } from '../casbin/matcher.ts';
import { mayBeAllowed } from '../decide.ts';
import type { Facts } from '../facts.ts';
import type { Report } from '../folder/findings.ts';
import { type Invariant, violates } from '../folder/invariants.ts';
import type { Row } from '../row.ts';
import { type Budget, BudgetExceeded, isPauseDue, MAX_BUDGET, newBudget, spend } from './budget.ts';
import { REGISTERED_PATH } from './factors.ts';
import { createFaults, type Faults, overBudget, placeOf, reportIdle, reportVacuous, UNDECIDED } from './faults.ts';
import { noteHidden } from './hidden-rows.ts';
import { couldBeAllowed, gainsByIgnorance } from './ignorance.ts';
import { choiceIn, factorsReading, partsOf, type Region } from './regions.ts';
import { type ExtentIn, type RuleExtent, ruleExtents, type WithExtent } from './rule-extent.ts';
import { type Cell, type Space, spacesOf } from './situations.ts';
import { type Box, EVERYTHING, overlaps, pointIn } from './text-sets.ts';

interface Proof {
  readonly matcher: Matcher;
  readonly budget: Budget;
  /** The part of the budget that was spent on `confirm`. */
  readonly confirming: { spent: number };
  readonly extentOf: (row: Row, space: Space<Row>) => ExtentIn;
  readonly rows: ReadonlySet<Row>;
  readonly last: Row;
  readonly invariants: readonly Invariant[];
  /** Rows that are known to decide some situation. */
  readonly deciding: Set<Row>;
  /** For rows that decide no situation: the rows that decide where they would match. */
  readonly hiders: Map<Row, Set<Row>>;
  /** Invariants that constrain some situation. */
  readonly applied: Set<Invariant>;
  readonly faults: Faults;
}

/** One cell of one space, for the proof under way. */
interface Scene {
  readonly proof: Proof;
  readonly budget: Budget;
  readonly space: Space<Row>;
  readonly cell: Cell;
}

/**
 * Reports situations that no row decides, allows that no policy may give, invariants that are violated or vacuous, and rows
 * that decide nothing. Yields every few milliseconds.
 * @throws what a rule throws; Error when Casbin's decision contradicts its evaluation of the rows one by one, a defect of ours
 */
export function* prove(
  matcher: Matcher,
  rows: readonly Row[],
  invariants: readonly Invariant[],
  report: Report,
  budget = newBudget(),
): Generator<void> {
  const last = rows.at(-1);
  if (!last) return;
  const proof: Proof = {
    matcher,
    budget,
    confirming: { spent: 0 },
    extentOf: ruleExtents(matcher, budget),
    rows: new Set(rows),
    last,
    invariants,
    deciding: new Set(),
    hiders: new Map(),
    applied: new Set(),
    faults: createFaults(),
  };
  try {
    yield* visitCells(proof, decideAll);
    if (proof.deciding.size < rows.length) {
      yield* visitCells(proof, ({ space, cell }, here) => noteHidden({ ...proof, cell }, space.regionOf(cell), here));
    }
    for (const gain of gainsByIgnorance(matcher, rows, budget)) {
      if (gain) proof.faults.gained(gain);
      else yield;
    }
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    const { row = last } = error;
    report({ ...placeOf(row), rule: 'too-many-situations', message: overBudget(row) });
    return;
  } finally {
    proof.faults.report(report, last);
  }
  reportIdle(proof, report);
  for (const invariant of invariants) if (!proof.applied.has(invariant)) reportVacuous(invariant, report);
}

const MAX_CONFIRMING = MAX_BUDGET / 10;

type Visit = (
  scene: Scene,
  rows: readonly WithExtent<Row>[],
  invariants: readonly WithExtent<Invariant>[],
) => Generator<void>;

function* visitCells(proof: Proof, visit: Visit): Generator<void> {
  const { budget, extentOf, rows, invariants } = proof;
  for (const space of spacesOf([...rows, ...invariants.map(({ condition }) => condition)], [proof.matcher.schema])) {
    const items = new Set(space.items);
    spend(budget, 2000 + 20 * items.size * space.paths.length);
    const rowsHere = space.items
      .filter((row) => rows.has(row))
      .map((row) => ({ of: row, extentIn: extentOf(row, space) }));
    const invariantsHere = invariants
      .filter(({ condition }) => items.has(condition))
      .map((invariant) => ({ of: invariant, extentIn: extentOf(invariant.condition, space) }));
    for (const cell of space.cells) {
      if (isPauseDue(budget)) yield;
      yield* visit({ proof, budget, space, cell }, rowsHere, invariantsHere);
    }
  }
}

/** First pass: which rows decide in a cell, and whether they may. */
function* decideAll(
  scene: Scene,
  rows: readonly WithExtent<Row>[],
  invariants: readonly WithExtent<Invariant>[],
): Generator<void> {
  const { proof, space, cell } = scene;
  const region = space.regionOf(cell);
  const here = invariants.filter(({ of: invariant, extentIn }) =>
    extentIn.partsOf(cell, region).some(({ value }) => constrains(invariant, value)),
  );
  for (const { of: invariant } of here) proof.applied.add(invariant);
  yield* decideIn(scene, region, rows, 0, [], here);
}

const constrains = ({ whenItHolds }: Invariant, { boxes, always }: RuleExtent): boolean =>
  whenItHolds ? boxes.length > 0 : !always;

/**
 * Which rows, from one on, decide in a region, and whether they may. `before`: the texts that the rows above have decided. Where
 * a row holds of other texts in one part of the region than in another, it goes on in each of them.
 */
function* decideIn(
  scene: Scene,
  region: Region,
  rows: readonly WithExtent<Row>[],
  from: number,
  given: readonly Box[],
  invariants: readonly WithExtent<Invariant>[],
): Generator<void> {
  const before = [...given];
  if (isPauseDue(scene.budget)) yield;
  for (let index = from; index < rows.length; index += 1) {
    const { of: row, extentIn } = rows[index] as WithExtent<Row>;
    const parts = extentIn.partsOf(scene.cell, region);
    if (parts.length > 1) {
      for (const part of parts) yield* decideIn(scene, part.region, rows, index, before, invariants);
      return;
    }
    const extent = parts[0]?.value;
    if (!extent || extent.boxes.length === 0) continue;
    judge(scene, region, row, extent, before, invariants);
    if (extent.always) return;
    before.push(...extent.boxes);
  }
  const { faults } = scene.proof;
  const facts = faults.counts(UNDECIDED) ? witness(scene, region, undefined, [EVERYTHING], before) : undefined;
  if (facts) faults.undecided(facts);
}

/**
 * Checks one row in one region: does it decide, may it allow, does it violate an invariant? Each answer is a situation that shows it
 * (a witness), or the proof that there is none.
 */
function judge(
  scene: Scene,
  region: Region,
  row: Row,
  { boxes }: RuleExtent,
  before: readonly Box[],
  invariants: readonly WithExtent<Invariant>[],
): void {
  const { proof } = scene;
  if (!proof.deciding.has(row) && witness(scene, region, row, boxes, before)) proof.deciding.add(row);
  for (const part of row.effect === 'allow' && proof.faults.counts(row) ? forbiddenIn(scene, region) : []) {
    const facts = witness(scene, part, row, boxes, before);
    if (facts) proof.faults.forbidden(row, facts);
  }
  for (const { of: invariant, extentIn } of invariants) {
    if (!violates(invariant, row) || !proof.faults.counts(invariant)) continue;
    for (const { region: part, value: extent } of extentIn.partsOf(scene.cell, region)) {
      if (!constrains(invariant, extent)) continue;
      const facts = invariant.whenItHolds
        ? witness(scene, part, row, overlaps(boxes, extent.boxes), before)
        : witness(scene, part, row, boxes, [...before, ...extent.boxes]);
      if (facts) proof.faults.violated(invariant, row, facts);
    }
  }
}

const REGISTERED: ReadonlySet<string> = new Set([REGISTERED_PATH]);

/** The parts of a region in which nothing may be allowed, whatever the rows say. */
function forbiddenIn({ proof, space, cell }: Scene, region: Region): readonly Region[] {
  const { schema } = proof.matcher;
  if (!couldBeAllowed(cell, schema)) return [region];
  if (!schema.declaration.actions.strict) return [];
  return partsOf(region, factorsReading(space.factors, REGISTERED), (choice) =>
    mayBeAllowed(space.factsOf(cell, choice, new Map()), schema),
  ).flatMap(({ region: part, value }) => (value ? [] : [part]));
}

/**
 * Searches a region of the cell for a situation (a witness) whose texts lie in a box of `wanted` and in no box of `avoid`. The
 * caller chooses the boxes so that `row` decides such a situation, or no row where `row` is undefined; Casbin is asked to confirm
 * that. Returns its facts; undefined: the search was exhaustive, so it is proved that there is none.
 */
function witness(
  { proof, space, cell }: Scene,
  region: Region,
  row: Row | undefined,
  wanted: readonly Box[],
  avoid: readonly Box[],
): Facts | undefined {
  for (const want of wanted) {
    const point = pointIn(want, avoid, cell.open, proof.budget);
    if (!point) continue;
    const facts = space.factsOf(cell, choiceIn(region), point);
    confirm(proof, row, facts);
    return facts;
  }
  return undefined;
}

/** Cross-checks a witness: the policy as a whole must decide as its rows do one by one. Within a tenth of the budget. */
function confirm({ matcher, budget, confirming }: Proof, row: Row | undefined, facts: Facts): void {
  const cost = matcher.costOf(facts);
  if (confirming.spent + cost > MAX_CONFIRMING) return;
  confirming.spent += cost;
  spend(budget, cost);
  const match = matcher.match(facts);
  if (match.row === row && match.allowed === (row?.effect === 'allow')) return;
  throw new Error(`Casbin contradicts itself about the row ${row?.id} for ${JSON.stringify(facts)}`);
}
