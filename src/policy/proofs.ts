/**
 * What must hold of a policy in every situation, proved by going through all that its rows and invariants tell apart:
 * each is decided, by a row that may decide it so, and each row decides somewhere.
 */

import { mayBeAllowed } from './decide.ts';
import type { Facts } from './facts.ts';
import type { Report } from './finding.ts';
import { type Invariant, violates } from './invariants.ts';
import type { Matcher } from './matcher.ts';
import type { Row } from './parse.ts';
import { type Situation, type Space, spacesOf } from './situations.ts';
import { type Effort, MAX_EFFORT, type Truth, truths } from './truth.ts';

interface Proof {
  readonly matcher: Matcher;
  readonly report: Report;
  readonly effort: Effort;
  /** How much effort is spent when the next step ends. */
  pause: number;
  readonly truthOf: (row: Row, space: Space<Row>) => Truth;
  readonly rows: ReadonlySet<Row>;
  readonly invariants: readonly Invariant[];
  /** Rows that decided some situation. */
  readonly deciding: Set<Row>;
  /** For rows that decide nothing: those that do where they would match. */
  readonly hiders: Map<Row, Set<Row>>;
  /** Invariants of which some situation is one that they speak of. */
  readonly applied: Set<Invariant>;
  /** What was reported once already: one example is enough. */
  readonly reported: Set<unknown>;
}

/** A row, or an invariant's condition, with its truth in the space at hand. */
interface Judged {
  readonly row: Row;
  readonly holds: Truth;
}

/**
 * Reports situations that no row decides, allows that no policy may give, invariants that are violated or speak of
 * nothing, and rows that decide nothing. Steps of some milliseconds; whoever has other work does it between them.
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
  const effort: Effort = { spent: 0 };
  const proof: Proof = {
    matcher,
    report,
    effort,
    pause: STEP,
    truthOf: truths(matcher, effort),
    rows: new Set(rows),
    invariants,
    deciding: new Set(),
    hiders: new Map(),
    applied: new Set(),
    reported: new Set(),
  };
  const conditions = [...rows, ...invariants.map(({ condition }) => condition)];
  for (const pass of [decideAll, explainIdle]) {
    for (const space of spacesOf(conditions)) {
      effort.spent += 2000 + 20 * space.items.length * space.paths.length;
      const hopeless = effort.spent + SITUATION * space.size > MAX_EFFORT;
      if (hopeless || !(yield* pass(proof, space))) {
        report({ ...placeOf(last), rule: 'too-many-situations', message: TOO_MANY });
        return;
      }
    }
    if (proof.deciding.size === rows.length) break;
  }
  reportIdle(proof, rows);
  for (const invariant of invariants) {
    if (proof.applied.has(invariant)) continue;
    const message = `${invariant.name}: no situation is one that this speaks of, so it says nothing; mend its condition, or remove it`;
    report({ ...invariant.place, rule: 'invariant-vacuous', message });
  }
}

const TOO_MANY =
  'the rows and invariants tell more situations apart than can be gone through; name fewer ids and actions, or fewer facts in one rule';

const placeOf = (row: Row): { file: string; line: number; column: number } => ({
  file: row.file,
  line: row.line,
  column: 1,
});

const judged = (proof: Proof, space: Space<Row>): Judged[] =>
  space.items.filter((row) => proof.rows.has(row)).map((row) => ({ row, holds: proof.truthOf(row, space) }));

/** What going through a situation costs at least. */
const SITUATION = 5;
/** About 20 ms. */
const STEP = 1_000_000;

/** Whether it is time to let others work. */
function due(proof: Proof): boolean {
  if (proof.effort.spent < proof.pause) return false;
  proof.pause = proof.effort.spent + STEP;
  return true;
}

const exhausted = ({ effort }: Proof): boolean => effort.spent > MAX_EFFORT;

/** The first pass: who decides each situation, and whether that is as it must be. False when it takes too long. */
function* decideAll(proof: Proof, space: Space<Row>): Generator<void, boolean> {
  const rows = judged(proof, space);
  const items = new Set(space.items);
  const speaking = proof.invariants
    .filter(({ condition }) => items.has(condition))
    .map((invariant) => ({ invariant, holds: proof.truthOf(invariant.condition, space) }));
  for (const situation of space.each()) {
    proof.effort.spent += SITUATION + speaking.length;
    if (due(proof)) yield;
    if (exhausted(proof)) return false;
    const row = rows.find(({ holds }) => holds(situation))?.row;
    if (row && !proof.deciding.has(row)) confirm(proof, row, situation.facts());
    if (!row) {
      once(proof, 'undecided', () => undecided(proof, situation.facts()));
      continue;
    }
    if (row.effect === 'allow' && !proof.reported.has(row) && !mayBeAllowed(situation.facts())) {
      once(proof, row, () => forbiddenAllow(proof, row, situation.facts()));
    }
    for (const { invariant, holds } of speaking) {
      if (proof.reported.has(invariant)) continue;
      const wrong = violates(invariant, row);
      if (!wrong && proof.applied.has(invariant)) continue;
      if (holds(situation) === invariant.whenItHolds) {
        proof.applied.add(invariant);
        if (wrong) once(proof, invariant, () => violated(proof, invariant, row, situation.facts()));
      }
    }
  }
  return true;
}

function once(proof: Proof, what: unknown, report: () => void): void {
  if (proof.reported.has(what)) return;
  proof.reported.add(what);
  report();
}

/** Notes that a row decides; of each, one situation is put to the whole policy, as a decision would be. */
function confirm(proof: Proof, row: Row, facts: Facts): void {
  proof.deciding.add(row);
  proof.effort.spent += proof.matcher.costOf(facts);
  const match = proof.matcher.match(facts);
  if (match.row !== row || match.allowed !== (row.effect === 'allow')) {
    throw new Error(`Casbin contradicts itself about the row ${row.id} for ${JSON.stringify(facts)}`);
  }
}

function undecided(proof: Proof, facts: Facts): void {
  const last = [...proof.rows].at(-1) as Row;
  const message = `no row decides some situations, ${example(facts)}; add a row after this one`;
  proof.report({ ...placeOf(last), rule: 'undecided', message });
}

function forbiddenAllow(proof: Proof, row: Row, facts: Facts): void {
  const message = `this row allows a key or a user that is not active, ${example(facts)}; deny those in a row above it`;
  proof.report({ ...placeOf(row), rule: 'forbidden-allow', message });
}

function violated(proof: Proof, invariant: Invariant, row: Row, facts: Facts): void {
  const { effect, code, id, file, line } = row;
  const message = `${invariant.name}: violated by ${effect} ${code} of the row ${id} (${file}:${line}), ${example(facts)}`;
  proof.report({ ...invariant.place, rule: 'invariant-violated', message });
}

const example = (facts: Facts): string => `for example ${JSON.stringify(facts)}`;

/** The second pass: for rows that decide nothing, which ones do where they would match. */
function* explainIdle(proof: Proof, space: Space<Row>): Generator<void, boolean> {
  const rows = judged(proof, space);
  const idle = rows.filter(({ row }) => !proof.deciding.has(row));
  if (idle.length === 0) return true;
  for (const situation of space.each()) {
    if (due(proof)) yield;
    if (exhausted(proof)) return false;
    const first = rows.find(({ holds }) => holds(situation))?.row;
    if (first) noteHider(proof.hiders, idle, first, situation);
  }
  return true;
}

function noteHider(hiders: Map<Row, Set<Row>>, idle: readonly Judged[], first: Row, situation: Situation): void {
  for (const { row, holds } of idle) {
    if (!holds(situation)) continue;
    const known = hiders.get(row);
    if (known) known.add(first);
    else hiders.set(row, new Set([first]));
  }
}

const MOST_NAMED = 10;

function reportIdle(proof: Proof, rows: readonly Row[]): void {
  for (const row of rows) {
    if (proof.deciding.has(row)) continue;
    const by = [...(proof.hiders.get(row) ?? [])];
    if (by.length === 0) {
      const message = 'no situation makes this row match; mend its rule or its action, or remove it';
      proof.report({ ...placeOf(row), rule: 'row-never-matches', message });
      continue;
    }
    const named = by.slice(0, MOST_NAMED).map(({ id, file, line }) => `${id} (${file}:${line})`);
    const more = by.length > MOST_NAMED ? ` and ${by.length - MOST_NAMED} more` : '';
    const message = `wherever this row matches, rows above it have decided: ${named.join(', ')}${more}; move it up, or remove it`;
    proof.report({ ...placeOf(row), rule: 'row-hidden', message });
  }
}
