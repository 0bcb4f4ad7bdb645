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
import { choiceIn, factorsReading, type Part, partsOf, type Region } from './regions.ts';
import { type ExtentIn, type RuleExtent, ruleExtents } from './rule-extent.ts';
import { type Cell, type Space, spacesOf } from './situations.ts';
import { type Box, EVERYTHING, intersection, pointIn } from './text-sets.ts';

interface Proof {
  readonly matcher: Matcher;
  readonly report: Report;
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
  /** Rows and invariants that were reported, and 'undecided': one example of each is enough. */
  readonly reported: Set<unknown>;
}

/** A row, or an invariant, with where it holds in the space at hand. */
interface WithExtent<T> {
  readonly of: T;
  readonly extentIn: ExtentIn;
}

/** One cell of one space, for the proof under way. */
interface Scene {
  readonly proof: Proof;
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
): Generator<void> {
  const last = rows.at(-1);
  if (!last) return;
  const budget = newBudget();
  const proof: Proof = {
    matcher,
    report,
    budget,
    confirming: { spent: 0 },
    extentOf: ruleExtents(matcher, budget),
    rows: new Set(rows),
    last,
    invariants,
    deciding: new Set(),
    hiders: new Map(),
    applied: new Set(),
    reported: new Set(),
  };
  try {
    yield* visitCells(proof, decideAll);
    if (proof.deciding.size < rows.length) yield* visitCells(proof, explainIdle);
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    report({ ...placeOf(last), rule: 'too-many-situations', message: OVER_BUDGET });
    return;
  }
  reportIdle(proof);
  for (const invariant of invariants) if (!proof.applied.has(invariant)) reportVacuous(proof, invariant);
}

const MAX_CONFIRMING = MAX_BUDGET / 10;

const OVER_BUDGET =
  'the rows and invariants tell more situations apart than can be gone through; name fewer ids and actions, or fewer facts in one rule';

const placeOf = ({ file, line }: Row): { file: string; line: number; column: number } => ({ file, line, column: 1 });

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
      yield* visit({ proof, space, cell }, rowsHere, invariantsHere);
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
  for (const { of: invariant, extentIn } of invariants) {
    if (proof.applied.has(invariant)) continue;
    const parts = partsIn(scene, region, extentIn);
    if (parts.some(({ value }) => constrains(invariant, value))) proof.applied.add(invariant);
  }
  yield* decideIn(scene, region, rows, 0, [], invariants);
}

const constrains = ({ whenItHolds }: Invariant, { boxes, always }: RuleExtent): boolean =>
  whenItHolds ? boxes.length > 0 : !always;

/** The parts of a region in each of which a row holds of the same texts. */
function partsIn({ proof, cell }: Scene, region: Region, { reads, at }: ExtentIn): readonly Part<RuleExtent>[] {
  spend(proof.budget, reads.length);
  return partsOf(region, reads, (choice) => at(cell, choice));
}

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
  if (isPauseDue(scene.proof.budget)) yield;
  for (let index = from; index < rows.length; index += 1) {
    const { of: row, extentIn } = rows[index] as WithExtent<Row>;
    const parts = partsIn(scene, region, extentIn);
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
  if (scene.proof.reported.has('undecided')) return;
  const facts = witness(scene, region, undefined, [EVERYTHING], before);
  if (facts) reportUndecided(scene.proof, facts);
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
  if (row.effect === 'allow' && !proof.reported.has(row)) {
    for (const part of forbiddenIn(scene, region)) {
      const facts = witness(scene, part, row, boxes, before);
      if (facts) reportForbidden(proof, row, facts);
      if (facts) break;
    }
  }
  for (const { of: invariant, extentIn } of invariants) {
    if (proof.reported.has(invariant) || !violates(invariant, row)) continue;
    for (const { region: part, value: extent } of partsIn(scene, region, extentIn)) {
      if (!constrains(invariant, extent)) continue;
      const facts = invariant.whenItHolds
        ? witness(scene, part, row, overlaps(boxes, extent.boxes), before)
        : witness(scene, part, row, boxes, [...before, ...extent.boxes]);
      if (facts) reportViolated(proof, invariant, row, facts);
      if (facts) break;
    }
  }
}

const REGISTERED: ReadonlySet<string> = new Set([REGISTERED_PATH]);

/** The parts of a region in which nothing may be allowed, whatever the rows say. */
function forbiddenIn({ proof, space, cell }: Scene, region: Region): readonly Region[] {
  const { schema } = proof.matcher;
  const reads = schema.declaration.actions.strict ? factorsReading(space.factors, REGISTERED) : [];
  return partsOf(region, reads, (choice) => mayBeAllowed(space.factsOf(cell, choice, new Map()), schema)).flatMap(
    ({ region: part, value }) => (value ? [] : [part]),
  );
}

const overlaps = (a: readonly Box[], b: readonly Box[]): Box[] =>
  a.flatMap((one) => b.flatMap((other) => intersection(one, other) ?? []));

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

interface Above {
  readonly row: Row;
  readonly extent: RuleExtent;
  /** How many boxes come before it. */
  readonly before: number;
}

/** Second pass: for each row that decides nothing, which rows decide where it would match. */
function* explainIdle(scene: Scene, rows: readonly WithExtent<Row>[]): Generator<void> {
  const { deciding, hiders } = scene.proof;
  for (const { of: row } of rows) if (!deciding.has(row) && !hiders.has(row)) hiders.set(row, new Set());
  yield* hiddenIn(scene, scene.space.regionOf(scene.cell), rows, 0, [], []);
}

function* hiddenIn(
  scene: Scene,
  region: Region,
  rows: readonly WithExtent<Row>[],
  from: number,
  aboveThem: readonly Above[],
  given: readonly Box[],
): Generator<void> {
  const { deciding, budget } = scene.proof;
  if (isPauseDue(budget)) yield;
  const [above, before] = [[...aboveThem], [...given]];
  for (let index = from; index < rows.length; index += 1) {
    const { of: row, extentIn } = rows[index] as WithExtent<Row>;
    if (above.at(-1)?.extent.always && deciding.has(row)) continue;
    const parts = partsIn(scene, region, extentIn);
    if (parts.length > 1) {
      for (const part of parts) yield* hiddenIn(scene, part.region, rows, index, above, before);
      return;
    }
    const extent = parts[0]?.value;
    if (!extent || extent.boxes.length === 0) continue;
    if (deciding.has(row)) {
      above.push({ row, extent, before: before.length });
      before.push(...extent.boxes);
    } else noteHiders(scene, row, extent, above, before);
  }
}

function noteHiders(
  { proof: { hiders, budget }, cell }: Scene,
  row: Row,
  { boxes }: RuleExtent,
  above: readonly Above[],
  before: readonly Box[],
): void {
  const known = hiders.get(row) ?? new Set<Row>();
  for (const hider of above) {
    spend(budget, 1);
    if (known.has(hider.row)) continue;
    const wanted = overlaps(boxes, hider.extent.boxes);
    const earlier = before.slice(0, hider.before);
    if (wanted.some((want) => pointIn(want, earlier, cell.open, budget))) known.add(hider.row);
  }
  hiders.set(row, known);
}

const example = (facts: Facts): string => `for example ${JSON.stringify(facts)}`;

function reportUndecided({ report, reported, last }: Proof, facts: Facts): void {
  reported.add('undecided');
  const message = `no row decides some situations, ${example(facts)}; add a row after this one`;
  report({ ...placeOf(last), rule: 'undecided', message });
}

function reportForbidden({ report, reported }: Proof, row: Row, facts: Facts): void {
  reported.add(row);
  const message = `this row allows a key or a user that is not active, or what is frozen, ${example(facts)}; deny those in a row above it`;
  report({ ...placeOf(row), rule: 'forbidden-allow', message });
}

function reportViolated({ report, reported }: Proof, invariant: Invariant, row: Row, facts: Facts): void {
  reported.add(invariant);
  const { effect, code, id, file, line } = row;
  const message = `${invariant.name}: violated by ${effect} ${code} of the row ${id} (${file}:${line}), ${example(facts)}`;
  report({ ...invariant.place, rule: 'invariant-violated', message });
}

function reportVacuous({ report }: Proof, { name, place }: Invariant): void {
  const message = `${name}: it constrains no situation that can occur; mend its condition, or remove it`;
  report({ ...place, rule: 'invariant-vacuous', message });
}

const MAX_NAMED = 10;

function reportIdle({ report, rows, deciding, hiders }: Proof): void {
  for (const row of rows) {
    if (deciding.has(row)) continue;
    const by = [...(hiders.get(row) ?? [])];
    if (by.length === 0) {
      const message = 'no situation makes this row match; mend its rule or its action, or remove it';
      report({ ...placeOf(row), rule: 'row-never-matches', message });
      continue;
    }
    const named = by.slice(0, MAX_NAMED).map(({ id, file, line }) => `${id} (${file}:${line})`);
    const more = by.length > MAX_NAMED ? ` and ${by.length - MAX_NAMED} more` : '';
    const message = `wherever this row matches, rows above it have decided: ${named.join(', ')}${more}; move it up, or remove it`;
    report({ ...placeOf(row), rule: 'row-hidden', message });
  }
}
