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
import { evaluationsOf, type TestEvaluator, type Value } from './evaluations.ts';
import { type Choice, type Unit, unitsOf } from './moves.ts';
import { type ReadFacts, readRecorder } from './read-recorder.ts';
import { settlingTests } from './reasons.ts';

export interface SmallestChanges {
  /** The sets with the fewest changes first. */
  readonly sets: readonly ChangeSet[];
  /** Why there may be others: as many as were asked for are listed, or the budget was spent; null: these are all. */
  readonly incomplete: 'cut' | 'budget' | null;
}

/** How many sets are listed: more than that nobody would read. */
export const MOST_SETS = 20;

/** Of a search: about 1 s. */
const MAX_SEARCH = 50_000_000;

/** A situation that was come to: the changes that lead there, and all facts by path. */
interface Node {
  readonly chosen: ReadonlyMap<Unit, Choice>;
  readonly values: ReadonlyMap<string, Value>;
}

type Step = readonly [Unit, Choice];

interface Search {
  readonly rows: readonly Row[];
  readonly unitOf: ReadonlyMap<string, Unit>;
  readonly isTrue: TestEvaluator;
  /** What must hold beside the rows: that the facts can occur together, and that they may be allowed at all. */
  readonly conditions: readonly ReadFacts[];
  readonly budget: Budget;
  /** The cost of one node. */
  readonly cost: number;
}

/**
 * The smallest changes of `given`, which `policy` denies; `most`: how many sets at most. Yields every few hundred microseconds.
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
  const now: ReadonlyMap<string, Value> = new Map(
    [...policy.schema.paths.keys()].map((path) => [path, valueAt(facts, path)]),
  );
  const found: Chosen[] = [];
  const sets = (): ChangeSet[] => mergedSets(found, now);
  try {
    const search = searchOf(policy, facts, now, newBudget(maxBudget));
    let level: readonly Node[] = [{ chosen: new Map(), values: now }];
    while (level.length > 0) {
      level = yield* searchLevel(search, level, found, (solution) => confirm(policy, facts, solution));
      if (sets().length > most) return { sets: sets().slice(0, most), incomplete: 'cut' };
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
  const record = readRecorder(schema);
  const isTrue = evaluationsOf(facts);
  const conditions = [
    ...schema.constraints.map(({ holds }) => holds),
    (facts: Facts) => mayBeAllowed(facts, schema),
  ].map(record);
  return {
    rows,
    unitOf: new Map(
      unitsOf(schema, rows, now, isTrue).flatMap((unit) => unit.paths.map((path) => [path, unit] as const)),
    ),
    isTrue,
    conditions,
    budget,
    cost: 100 * conditions.length + rows.reduce((sum, { when }) => sum + when.text.length, 0),
  };
}

/** Looks at all nodes of one size: adds those that are allowed to `found`, and returns those of the next size. */
function* searchLevel(
  search: Search,
  level: readonly Node[],
  found: Chosen[],
  confirmed: (node: Node) => Node,
): Generator<void, readonly Node[]> {
  const next = new Map<string, Node>();
  const smaller = [...found];
  for (const node of level) {
    yield;
    spend(search.budget, search.cost + 20 * smaller.length);
    // What has a part that is enough is none of the smallest.
    if (smaller.some((set) => isPart(set, node.chosen))) continue;
    const steps = stepsFrom(search, node);
    if (steps === undefined) {
      found.push(confirmed(node).chosen);
      continue;
    }
    spend(search.budget, 50 * steps.length);
    for (const step of steps) {
      const after = stepped(node, step);
      next.set(nameOf(after), after);
    }
  }
  return [...next.values()];
}

const isPart = (part: Chosen, whole: Chosen): boolean =>
  [...part].every(([unit, choice]) => whole.get(unit) === choice);

function stepped({ chosen, values }: Node, [unit, choice]: Step): Node {
  const after = new Map(values);
  for (const [index, path] of unit.paths.entries()) after.set(path, choice.values[index] as Value);
  return { chosen: new Map([...chosen, [unit, choice]]), values: after };
}

/** The same for the same changes, in whatever order they were made. */
const nameOf = ({ chosen }: Node): string =>
  [...chosen]
    .map(([{ paths, choices }, choice]) => `${paths[0]} ${choices.indexOf(choice)}`)
    .sort()
    .join();

/**
 * The changes of which every larger set that is allowed has one; undefined: this one is allowed. Each obstacle gives such steps, and
 * one obstacle is enough, so that with the fewest is taken: none at all means that nothing leads on from here.
 */
function stepsFrom(search: Search, node: Node): readonly Step[] | undefined {
  const { conditions, unitOf } = search;
  const obstacles: (readonly Step[])[] = conditions
    .map((condition) => condition(node.values))
    .filter(({ holds }) => !holds)
    .map(({ reads }) => {
      const units = new Set([...reads].flatMap((path) => unitOf.get(path) ?? []));
      return [...units]
        .filter((unit) => !node.chosen.has(unit))
        .flatMap((unit) => unit.choices.map((choice): Step => [unit, choice]));
    });
  const denial = stepsPastDenial(search, node);
  if (denial) obstacles.push(denial);
  return obstacles.length === 0 ? undefined : obstacles.reduce((a, b) => (b.length < a.length ? b : a));
}

/**
 * The changes of which every larger set that gets past the row that denies has one; undefined: an allow is the first that matches.
 *
 * The tests that make this row match, and those that keep the allows above it from matching, settle the denial: while they come out
 * as they do, this row or a denial above it decides. So one of them must come out otherwise.
 */
function stepsPastDenial({ rows, isTrue, unitOf }: Search, { chosen, values }: Node): readonly Step[] | undefined {
  const runs = (part: Predicate): boolean => isTrue(part, values);
  const decider = rows.find((row) => runs(row.when.tree));
  if (decider?.effect === 'allow') return undefined;
  const above = rows.slice(0, decider && rows.indexOf(decider)).filter(({ effect }) => effect === 'allow');
  const settling = [...above, ...(decider ? [decider] : [])].flatMap(({ when }) => settlingTests(when.tree, runs));
  const steps = new Map<Choice, Step>();
  for (const test of settling) {
    const unit = test.path === undefined ? undefined : unitOf.get(test.path);
    if (!unit || chosen.has(unit)) continue;
    for (const choice of unit.choices) {
      const after = new Map(unit.paths.map((path, index) => [path, choice.values[index] as Value]));
      if (isTrue(test, after) !== runs(test)) steps.set(choice, [unit, choice]);
    }
  }
  return [...steps.values()];
}

/** @throws Error where the policy does not allow what the search found */
function confirm(policy: Policy, facts: Facts, node: Node): Node {
  const changed = withValues(
    facts,
    new Map([...node.values].filter(([path, value]) => value !== valueAt(facts, path))),
  );
  const { effect, rule } = decide(policy, changed);
  if (effect !== 'allow')
    throw new Error(`the search for changes contradicts the denial by ${rule} of ${JSON.stringify(changed)}`);
  return node;
}
