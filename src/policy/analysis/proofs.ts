/**
 * What must hold of a policy in every situation, proved: each is decided, by a row that may decide it so, and each row
 * decides somewhere. Cell by cell (see situations.ts), from where each rule holds (rule-extent.ts); by the texts within a cell
 * only as far as a question needs it (text-sets.ts).
 */

import type { Matcher } from '../casbin/matcher.ts';
import { mayBeAllowed } from '../decide.ts';
import type { Facts } from '../facts.ts';
import type { Report } from '../folder/findings.ts';
import { type Invariant, violates } from '../folder/invariants.ts';
import type { Row } from '../folder/rows.ts';
import { due, type Effort, Exhausted, MAX_EFFORT, newEffort, spend } from './budget.ts';
import { type Shape, type ShapeIn, shapes } from './rule-extent.ts';
import { type Cell, type Space, spacesOf } from './situations.ts';
import { type Box, EVERYTHING, intersection, pointIn } from './text-sets.ts';

interface Proof {
  readonly matcher: Matcher;
  readonly report: Report;
  readonly effort: Effort;
  /** What was spent on confirming, out of the effort. */
  readonly confirming: { spent: number };
  readonly shapeOf: (row: Row, space: Space<Row>) => ShapeIn;
  readonly rows: ReadonlySet<Row>;
  readonly last: Row;
  readonly invariants: readonly Invariant[];
  /** Rows that decide some situation. */
  readonly deciding: Set<Row>;
  /** For rows that decide none: those that do where they would match. */
  readonly hiders: Map<Row, Set<Row>>;
  /** Invariants of which some situation is one that they speak of. */
  readonly applied: Set<Invariant>;
  /** What was reported once already: one example is enough. */
  readonly reported: Set<unknown>;
}

/** A row, or an invariant's condition, with its shapes in the space at hand. */
interface Shaped<T> {
  readonly of: T;
  readonly shapeIn: ShapeIn;
}

/** One cell, with what is asked of each in turn: the rows that may decide there, in their order. */
interface Scene {
  readonly proof: Proof;
  readonly space: Space<Row>;
  readonly cell: Cell;
}

/**
 * Reports situations that no row decides, allows that no policy may give, invariants that are violated or speak of
 * nothing, and rows that decide nothing. In steps of some milliseconds, between which others may work.
 * Throws when a rule does, or when Casbin contradicts what it said of the rows one by one: a defect of ours.
 */
export function* prove(
  matcher: Matcher,
  rows: readonly Row[],
  invariants: readonly Invariant[],
  report: Report,
): Generator<void> {
  const last = rows.at(-1);
  if (!last) return;
  const effort = newEffort();
  const proof: Proof = {
    matcher,
    report,
    effort,
    confirming: { spent: 0 },
    shapeOf: shapes(matcher, effort),
    rows: new Set(rows),
    last,
    invariants,
    deciding: new Set(),
    hiders: new Map(),
    applied: new Set(),
    reported: new Set(),
  };
  try {
    yield* goThrough(proof, decideAll);
    if (proof.deciding.size < rows.length) yield* goThrough(proof, explainIdle);
  } catch (error) {
    if (!(error instanceof Exhausted)) throw error;
    report({ ...placeOf(last), rule: 'too-many-situations', message: TOO_MANY });
    return;
  }
  reportIdle(proof);
  for (const invariant of invariants) if (!proof.applied.has(invariant)) reportVacuous(proof, invariant);
}

const MOST_CONFIRMING = MAX_EFFORT / 10;

const TOO_MANY =
  'the rows and invariants tell more situations apart than can be gone through; name fewer ids and actions, or fewer facts in one rule';

const placeOf = ({ file, line }: Row): { file: string; line: number; column: number } => ({ file, line, column: 1 });

type Look = (scene: Scene, rows: readonly Shaped<Row>[], invariants: readonly Shaped<Invariant>[]) => void;

function* goThrough(proof: Proof, look: Look): Generator<void> {
  const { effort, shapeOf, rows, invariants } = proof;
  for (const space of spacesOf([...rows, ...invariants.map(({ condition }) => condition)])) {
    const items = new Set(space.items);
    spend(effort, 2000 + 20 * items.size * space.paths.length);
    const shapedRows = space.items
      .filter((row) => rows.has(row))
      .map((row) => ({ of: row, shapeIn: shapeOf(row, space) }));
    const shapedInvariants = invariants
      .filter(({ condition }) => items.has(condition))
      .map((invariant) => ({ of: invariant, shapeIn: shapeOf(invariant.condition, space) }));
    for (const cell of space.cells) {
      if (due(effort)) yield;
      look({ proof, space, cell }, shapedRows, shapedInvariants);
    }
  }
}

/** The first pass: who decides in a cell, and whether that is as it must be. */
function decideAll(scene: Scene, rows: readonly Shaped<Row>[], invariants: readonly Shaped<Invariant>[]): void {
  const { proof, cell } = scene;
  const speaking = invariants.map(({ of, shapeIn }) => ({ invariant: of, shape: shapeIn(cell) })).filter(speaksHere);
  for (const { invariant } of speaking) proof.applied.add(invariant);
  const before: Box[] = [];
  for (const { of: row, shapeIn } of rows) {
    const shape = shapeIn(cell);
    if (shape.boxes.length === 0) continue;
    judge(scene, row, shape, before, speaking);
    if (shape.always) return;
    before.push(...shape.boxes);
  }
  if (proof.reported.has('undecided')) return;
  const facts = witness(scene, undefined, [EVERYTHING], before);
  if (facts) reportUndecided(proof, facts);
}

interface Speaking {
  readonly invariant: Invariant;
  readonly shape: Shape;
}

const speaksHere = ({ invariant, shape }: Speaking): boolean =>
  invariant.whenItHolds ? shape.boxes.length > 0 : !shape.always;

/** All questions about one row in one cell; each is answered by a situation that it decides, or by none. */
function judge(scene: Scene, row: Row, { boxes }: Shape, before: readonly Box[], speaking: readonly Speaking[]): void {
  const { proof, cell } = scene;
  if (!proof.deciding.has(row) && witness(scene, row, boxes, before)) proof.deciding.add(row);
  if (row.effect === 'allow' && !mayBeAllowed(cell.facts) && !proof.reported.has(row)) {
    const facts = witness(scene, row, boxes, before);
    if (facts) reportForbidden(proof, row, facts);
  }
  for (const { invariant, shape } of speaking) {
    if (proof.reported.has(invariant) || !violates(invariant, row)) continue;
    const facts = invariant.whenItHolds
      ? witness(scene, row, overlaps(boxes, shape.boxes), before)
      : witness(scene, row, boxes, [...before, ...shape.boxes]);
    if (facts) reportViolated(proof, invariant, row, facts);
  }
}

const overlaps = (a: readonly Box[], b: readonly Box[]): Box[] =>
  a.flatMap((one) => b.flatMap((other) => intersection(one, other) ?? []));

/**
 * A situation of the cell in one of `wanted` and none of `avoid`, so that `row` (undefined: none) decides it.
 * undefined: there is no such situation.
 */
function witness(
  { proof, space, cell }: Scene,
  row: Row | undefined,
  wanted: readonly Box[],
  avoid: readonly Box[],
): Facts | undefined {
  for (const want of wanted) {
    const point = pointIn(want, avoid, cell.open, proof.effort);
    if (!point) continue;
    const facts = space.factsOf(cell, point);
    confirm(proof, row, facts);
    return facts;
  }
  return undefined;
}

/** The rows one by one and the policy as a whole must say the same: put to the proof as long as it costs little. */
function confirm({ matcher, effort, confirming }: Proof, row: Row | undefined, facts: Facts): void {
  const cost = matcher.costOf(facts);
  if (confirming.spent + cost > MOST_CONFIRMING) return;
  confirming.spent += cost;
  spend(effort, cost);
  const match = matcher.match(facts);
  if (match.row === row && match.allowed === (row?.effect === 'allow')) return;
  throw new Error(`Casbin contradicts itself about the row ${row?.id} for ${JSON.stringify(facts)}`);
}

/** The second pass: for rows that decide nothing, which ones do where they would match. */
function explainIdle({ proof, cell }: Scene, rows: readonly Shaped<Row>[]): void {
  const { deciding, hiders, effort } = proof;
  const before: Box[] = [];
  const above: { readonly row: Row; readonly shape: Shape; readonly before: number }[] = [];
  let decided = false;
  for (const { of: row, shapeIn } of rows) {
    if (decided && deciding.has(row)) continue;
    const shape = shapeIn(cell);
    if (deciding.has(row)) {
      if (shape.boxes.length === 0) continue;
      above.push({ row, shape, before: before.length });
      before.push(...shape.boxes);
      decided = shape.always;
      continue;
    }
    const known = hiders.get(row) ?? new Set<Row>();
    for (const hider of shape.boxes.length === 0 ? [] : above) {
      spend(effort, 1);
      if (known.has(hider.row)) continue;
      const wanted = overlaps(shape.boxes, hider.shape.boxes);
      const earlier = before.slice(0, hider.before);
      if (wanted.some((want) => pointIn(want, earlier, cell.open, effort))) known.add(hider.row);
    }
    hiders.set(row, known);
  }
}

const example = (facts: Facts): string => `for example ${JSON.stringify(facts)}`;

function reportUndecided({ report, reported, last }: Proof, facts: Facts): void {
  reported.add('undecided');
  const message = `no row decides some situations, ${example(facts)}; add a row after this one`;
  report({ ...placeOf(last), rule: 'undecided', message });
}

function reportForbidden({ report, reported }: Proof, row: Row, facts: Facts): void {
  reported.add(row);
  const message = `this row allows a key or a user that is not active, ${example(facts)}; deny those in a row above it`;
  report({ ...placeOf(row), rule: 'forbidden-allow', message });
}

function reportViolated({ report, reported }: Proof, invariant: Invariant, row: Row, facts: Facts): void {
  reported.add(invariant);
  const { effect, code, id, file, line } = row;
  const message = `${invariant.name}: violated by ${effect} ${code} of the row ${id} (${file}:${line}), ${example(facts)}`;
  report({ ...invariant.place, rule: 'invariant-violated', message });
}

function reportVacuous({ report }: Proof, { name, place }: Invariant): void {
  const message = `${name}: no situation is one that this speaks of, so it says nothing; mend its condition, or remove it`;
  report({ ...place, rule: 'invariant-vacuous', message });
}

const MOST_NAMED = 10;

function reportIdle({ report, rows, deciding, hiders }: Proof): void {
  for (const row of rows) {
    if (deciding.has(row)) continue;
    const by = [...(hiders.get(row) ?? [])];
    if (by.length === 0) {
      const message = 'no situation makes this row match; mend its rule or its action, or remove it';
      report({ ...placeOf(row), rule: 'row-never-matches', message });
      continue;
    }
    const named = by.slice(0, MOST_NAMED).map(({ id, file, line }) => `${id} (${file}:${line})`);
    const more = by.length > MOST_NAMED ? ` and ${by.length - MOST_NAMED} more` : '';
    const message = `wherever this row matches, rows above it have decided: ${named.join(', ')}${more}; move it up, or remove it`;
    report({ ...placeOf(row), rule: 'row-hidden', message });
  }
}
