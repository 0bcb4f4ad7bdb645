/**
 * The smallest changes of facts that turn a denial into an allow: all sets of changes that do, and of which no part does.
 *
 * A search by size, as for minimal hitting sets (Reiter's diagnoses). What stands in the way of an allow (the row that denies, or
 * a constraint that the facts would break) is settled by a few facts, whatever the others are: so a set of changes that gets past
 * it changes one of these, and only these are branched on. Nothing is left out, and nothing is sampled.
 */

import { matchesPattern } from '../action-patterns.ts';
import { withValues } from '../changed-facts.ts';
import { decide, mayBeAllowed, type Policy } from '../decide.ts';
import { type Facts, valueAt } from '../facts.ts';
import type { Predicate, Row } from '../row.ts';
import { type Budget, BudgetExceeded, newBudget, spend } from './budget.ts';
import { type ChangeSet, type Chosen, mergedSets } from './change-sets.ts';
import { evaluationsOf, type TestEvaluator, type Value, type Values } from './evaluations.ts';
import { type Choice, type Unit, unitsOf } from './moves.ts';
import { type ReadFacts, readRecorder } from './read-recorder.ts';
import { settlingTests, type Test } from './reasons.ts';

export interface SmallestChanges {
  /** The sets with the fewest changes first. */
  readonly sets: readonly ChangeSet[];
  /** Why there may be others: as many as were asked for are listed, or the budget was spent; null: these are all. */
  readonly incomplete: 'cut' | 'budget' | null;
}

/** How many sets are listed: more than that nobody would read. */
export const MOST_SETS = 20;

/** Of a search: about a second. */
const MAX_SEARCH = 50_000_000;

/** A change of a unit. */
interface Step {
  readonly number: number;
  readonly unit: Unit;
  readonly choice: Choice;
}

/** Changes that were come to, in the order of their numbers. */
type Node = readonly Step[];

interface Search {
  readonly rows: readonly Row[];
  /** The facts as they are. */
  readonly now: ReadonlyMap<string, Value>;
  /** What a fact can change to, by its path. */
  readonly stepsOf: ReadonlyMap<string, readonly Step[]>;
  readonly isTrue: TestEvaluator;
  /** The changes after which a test comes out so. */
  readonly stepsTo: (test: Test, outcome: boolean) => Generator<void, readonly Step[]>;
  /** What must hold beside the rows: that the facts can occur together, and that they may be allowed at all. */
  readonly conditions: readonly ReadFacts[];
  readonly budget: Budget;
  /** The cost of one node. */
  readonly cost: number;
}

/**
 * The smallest changes of `given`, which `policy` denies; `most`: how many sets at most. Yields every few milliseconds.
 * @throws Failure UNAVAILABLE, as `decide` does · Error: `decide` contradicts the search, a defect of ours
 */
export function* smallestChanges(
  policy: Policy,
  given: Facts,
  most = MOST_SETS,
  maxBudget = MAX_SEARCH,
): Generator<void, SmallestChanges> {
  if (decide(policy, given).effect === 'allow') return { sets: [], incomplete: null };
  const facts = policy.schema.read(given);
  const paths = [...policy.schema.paths.keys()];
  const now: ReadonlyMap<string, Value> = new Map(paths.map((path) => [path, valueAt(facts, path)]));
  const found: Node[] = [];
  const sets = (): ChangeSet[] => mergedSets(found.map(chosenIn), now);
  try {
    const search = searchOf(policy, facts, now, newBudget(maxBudget));
    // Each test is compiled when it is first evaluated: of thousands of rows not all at once.
    for (const { when } of search.rows) {
      search.isTrue(when.tree, now);
      yield;
    }
    let level: readonly Node[] = [[]];
    while (level.length > 0) {
      level = yield* searchLevel(search, level, found, (node) => confirm(search, policy, facts, node));
      const listed = sets();
      if (listed.length > most) return { sets: listed.slice(0, most), incomplete: 'cut' };
    }
  } catch (error) {
    if (!(error instanceof BudgetExceeded)) throw error;
    return { sets: sets().slice(0, most), incomplete: 'budget' };
  }
  return { sets: sets(), incomplete: null };
}

function searchOf(policy: Policy, facts: Facts, now: ReadonlyMap<string, Value>, budget: Budget): Search {
  const { schema } = policy;
  const rows = policy.rows.filter((row) => matchesPattern(row.action, facts.request.action));
  const isTrue = evaluationsOf(facts);
  const allowable = (changed: Facts): boolean => mayBeAllowed(changed, schema);
  const conditions = [...schema.constraints.map(({ holds }) => holds), allowable].map(readRecorder(schema));
  const cost = 100 * conditions.length + 25 * rows.length;
  // Each test is compiled, and evaluated once or twice.
  spend(budget, 2000 * rows.length);
  const stepsOf = new Map<string, readonly Step[]>();
  let number = 0;
  for (const unit of unitsOf(schema, rows, now, isTrue)) {
    const steps = unit.choices.map((choice): Step => ({ number: number++, unit, choice }));
    for (const path of unit.paths) stepsOf.set(path, steps);
  }
  return { rows, now, stepsOf, isTrue, stepsTo: outcomesOf(stepsOf, isTrue, budget), conditions, budget, cost };
}

/** Memoized by test. */
function outcomesOf(
  stepsOf: Search['stepsOf'],
  isTrue: TestEvaluator,
  budget: Budget,
): (test: Test, outcome: boolean) => Generator<void, readonly Step[]> {
  const known = new Map<string, ReadonlyMap<boolean, readonly Step[]>>();
  return function* (test, outcome) {
    const before = known.get(test.text);
    if (before) return before.get(outcome) ?? [];
    yield;
    const steps = test.path === undefined ? [] : (stepsOf.get(test.path) ?? []);
    spend(budget, 20 * steps.length);
    const by = new Map<boolean, Step[]>([
      [true, []],
      [false, []],
    ]);
    for (const step of steps) {
      const value = step.choice.values[step.unit.paths.indexOf(test.path ?? '')];
      by.get(isTrue(test, { get: () => value }))?.push(step);
    }
    known.set(test.text, by);
    return by.get(outcome) ?? [];
  };
}

const chosenIn = (node: Node): Chosen => new Map(node.map(({ unit, choice }) => [unit, choice]));

/** Looks at all nodes of one size: adds those that are allowed to `found`, and returns those of the next size. */
function* searchLevel(
  search: Search,
  level: readonly Node[],
  found: Node[],
  confirm: (node: Node) => void,
): Generator<void, readonly Node[]> {
  const next = new Map<string, Node>();
  const smaller = byFirst(found);
  for (const node of level) {
    yield;
    spend(search.budget, search.cost);
    // What has a part that is enough is none of the smallest.
    if (node.some((step) => smaller.get(step)?.some((part) => part.every((one) => node.includes(one))))) continue;
    const steps = yield* stepsFrom(search, node);
    if (steps === undefined) {
      confirm(node);
      // Each is compared with all others, where facts change together (change-sets.ts).
      if (node.some(({ unit }) => unit.paths.length > 1)) spend(search.budget, 20 * found.length);
      found.push(node);
      continue;
    }
    spend(search.budget, STEP_COST * steps.length);
    for (const step of steps) {
      const after = [...node, step].sort((a, b) => a.number - b.number);
      next.set(after.map(({ number }) => number).join(), after);
    }
  }
  return [...next.values()];
}

const STEP_COST = 150;

/** By the first of their steps. */
function byFirst(nodes: readonly Node[]): ReadonlyMap<Step, readonly Node[]> {
  const filed = new Map<Step, Node[]>();
  for (const node of nodes) {
    const [first] = node;
    if (!first) continue;
    const before = filed.get(first);
    if (before) before.push(node);
    else filed.set(first, [node]);
  }
  return filed;
}

/** The facts with these changes. */
function valuesAt({ now }: Search, node: Node): Values {
  const changed = new Map(node.flatMap((step) => changesOf(step)));
  return { get: (path) => changed.get(path) ?? now.get(path) };
}

const changesOf = ({ unit, choice }: Pick<Step, 'unit' | 'choice'>): (readonly [string, Value])[] =>
  unit.paths.map((path, index) => [path, choice.values[index] as Value]);

/**
 * The changes of which every larger set that is allowed has one; undefined: this one is allowed. Each obstacle gives such steps, and
 * one obstacle is enough, so that with the fewest is taken: none at all means that nothing leads on from here.
 */
function* stepsFrom(search: Search, node: Node): Generator<void, readonly Step[] | undefined> {
  const values = valuesAt(search, node);
  const changed = new Set(node.map(({ unit }) => unit));
  const obstacles: (readonly Step[])[] = [];
  for (const condition of search.conditions) {
    const { holds, reads } = condition(values);
    if (holds) continue;
    const steps = new Set([...reads].flatMap((path) => search.stepsOf.get(path) ?? []));
    obstacles.push([...steps].filter(({ unit }) => !changed.has(unit)));
  }
  if (obstacles.some(({ length }) => length === 0)) return [];
  const denial = yield* stepsPastDenial(search, values, changed);
  if (denial) obstacles.push(denial);
  return obstacles.length === 0 ? undefined : obstacles.reduce((a, b) => (b.length < a.length ? b : a));
}

/**
 * The changes of which every larger set that gets past the row that denies has one; undefined: an allow is the first that matches.
 *
 * The tests that make this row match, and those that keep the allows above it from matching, settle the denial: while they come out
 * as they do, this row or a denial above it decides. So one of them must come out otherwise.
 */
function* stepsPastDenial(
  { rows, isTrue, stepsTo }: Search,
  values: Values,
  changed: ReadonlySet<Unit>,
): Generator<void, readonly Step[] | undefined> {
  const runs = (part: Predicate): boolean => isTrue(part, values);
  const at = rows.findIndex((row) => runs(row.when.tree));
  const decider = rows[at];
  if (decider?.effect === 'allow') return undefined;
  const above = rows.slice(0, decider ? at : undefined).filter(({ effect }) => effect === 'allow');
  const settling = [...above, ...(decider ? [decider] : [])].flatMap(({ when }) => settlingTests(when.tree, runs));
  const steps = new Set<Step>();
  for (const test of new Map(settling.map((one) => [one.text, one])).values()) {
    for (const step of yield* stepsTo(test, !runs(test))) {
      // All of them are of one unit.
      if (changed.has(step.unit)) break;
      steps.add(step);
    }
  }
  return [...steps];
}

/** @throws Error where the policy does not allow what the search found */
function confirm({ budget }: Search, policy: Policy, facts: Facts, node: Node): void {
  const changed = withValues(facts, new Map(node.flatMap(changesOf)));
  spend(budget, policy.costOf(changed));
  const { effect, rule } = decide(policy, changed);
  if (effect === 'allow') return;
  throw new Error(`the search for changes contradicts the denial by ${rule} of ${JSON.stringify(changed)}`);
}
