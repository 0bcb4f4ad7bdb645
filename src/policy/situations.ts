/**
 * Every situation that conditions can tell apart, so that what must hold of all of them is proved rather than sampled.
 * Actions fall into classes; within a class, only the facts that its conditions name take different values. Closed
 * facts take each of theirs; a text takes each constant that it is compared with, nothing, and one that is none of them.
 * Why that is complete is in docs/adr/0005-enumerating-situations.md.
 */

import { type ActionClass, byAction, unnamedWord } from './actions.ts';
import {
  CONSTRAINTS,
  type Constraint,
  closed,
  FACT_GROUPS,
  FACT_PATHS,
  FACTS_SCHEMA,
  type FactGroup,
  type Facts,
  type FactType,
} from './facts.ts';
import type { Row } from './parse.ts';

/** What situations are told apart by: a row, or anything else with an action pattern and a rule. */
export type Condition = Pick<Row, 'action' | 'when'>;

type Value = string | boolean;

/** One class of actions with its situations, each given as an index into `values` for each of `paths`. */
export interface Space<T extends Condition> extends ActionClass<T> {
  /** The facts that any condition of the class names, the action aside. */
  readonly paths: readonly string[];
  readonly values: readonly (readonly Value[])[];
  /** How many situations there are; known without going through them. */
  readonly size: number;
  /** The indices are one array, written anew for each situation. */
  readonly each: () => Generator<Situation>;
}

export interface Situation {
  readonly indices: Uint32Array;
  readonly facts: () => Facts;
}

/**
 * A combination of closed facts that can occur, with an id or a text wherever there may be one.
 * INVARIANT: constraints look at no text but for whether it is empty, so that one text stands for all others here.
 */
interface Pattern {
  readonly facts: Facts;
  /** For each path of the space: the index of a closed value, 0 for no text, -1 for any text that there is. */
  readonly indices: readonly number[];
}

const ACTION = 'r.request.action';
/** Whatever the conditions name: no policy may allow by these (`mayBeAllowed`). */
const ALWAYS = ['r.key.status', 'r.user.status'];

/** Each situation that `rows` can tell apart and that the schema says can occur, as a facts record. */
export function* situations(rows: readonly Condition[]): Generator<Facts> {
  for (const space of spacesOf(rows)) for (const situation of space.each()) yield situation.facts();
}

/** How many `situations` there are, without going through them; counting ends above `most`. */
export function countSituations(rows: readonly Condition[], most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (const { size } of spacesOf(rows)) {
    count += size;
    if (count > most) break;
  }
  return count;
}

/** The situations of each class of actions, one class after the other. */
export function* spacesOf<T extends Condition>(conditions: readonly T[]): Generator<Space<T>> {
  const patternsOf = patternFinder();
  const actions = conditions.flatMap(({ when }) => [...(when.constants.get(ACTION) ?? [])]);
  for (const { pattern, action, items } of byAction(conditions, actions).classes) {
    const named = new Set(ALWAYS);
    for (const { when } of items) for (const path of when.facts) named.add(path);
    const paths = [...FACT_PATHS.keys()].filter((path) => named.has(path) && path !== ACTION);
    const values = paths.map((path) => valuesOf(path, items));
    const patterns = patternsOf(paths);
    const texts = values.map((of) => of.length - 1);
    yield {
      pattern,
      action,
      items,
      paths,
      values,
      size: patterns.reduce((sum, { indices }) => sum + ways(indices, texts), 0),
      each: () => situationsOf({ action, paths, values }, patterns),
    };
  }
}

/** A list of which the index says the value: for a text, 0 is nothing and the last is what no condition names. */
function valuesOf(path: string, conditions: readonly Condition[]): readonly Value[] {
  const type = FACT_PATHS.get(path) as FactType;
  if (type === 'boolean') return [true, false];
  if (type !== 'text') return type;
  const constants = new Set(conditions.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]));
  constants.delete('');
  return ['', ...constants, unnamedWord(constants)];
}

const ways = (indices: readonly number[], texts: readonly number[]): number =>
  indices.reduce((product, index, at) => (index === -1 ? product * (texts[at] ?? 1) : product), 1);

function* situationsOf(
  space: Pick<Space<Condition>, 'action' | 'paths' | 'values'>,
  patterns: readonly Pattern[],
): Generator<Situation> {
  const indices = new Uint32Array(space.paths.length);
  for (const pattern of patterns) {
    const open = pattern.indices.flatMap((index, at) => (index === -1 ? [at] : []));
    for (const [at, index] of pattern.indices.entries()) indices[at] = index === -1 ? 1 : index;
    const situation = { indices, facts: () => factsOf(space, pattern.facts, indices) };
    do yield situation;
    while (advance(indices, open, space.values));
  }
}

/** The next of the texts, counting as a clock does; false once all have been there. */
function advance(indices: Uint32Array, open: readonly number[], values: readonly (readonly Value[])[]): boolean {
  for (const at of open) {
    const next = (indices[at] ?? 0) + 1;
    if (next < (values[at]?.length ?? 0)) {
      indices[at] = next;
      return true;
    }
    indices[at] = 1;
  }
  return false;
}

function factsOf(
  { action, paths, values }: Pick<Space<Condition>, 'action' | 'paths' | 'values'>,
  pattern: Facts,
  indices: Uint32Array,
): Facts {
  const groups = Object.fromEntries(
    FACT_GROUPS.map((group) => [group, { ...pattern[group] } as Record<string, Value>]),
  );
  for (const [at, path] of paths.entries()) {
    const [, group = '', fact = ''] = path.split('.');
    (groups[group] as Record<string, Value>)[fact] = values[at]?.[indices[at] ?? 0] as Value;
  }
  groups['request'] = { action };
  return closed(Object.fromEntries(FACT_GROUPS.map((group) => [group, closed(groups[group] ?? {})]))) as Facts;
}

/** The combinations that differ in `paths`, one for each way in which they can; remembered, as classes are much alike. */
function patternFinder(): (paths: readonly string[]) => readonly Pattern[] {
  const known = new Map<string, readonly Pattern[]>();
  return (paths) => {
    const key = paths.join();
    const before = known.get(key);
    if (before) return before;
    const patterns = new Map<string, Pattern>();
    for (const facts of possible()) {
      const indices = paths.map((path) => indexIn(path, facts));
      const name = indices.join();
      if (!patterns.has(name)) patterns.set(name, { facts, indices });
    }
    const found = [...patterns.values()];
    known.set(key, found);
    return found;
  };
}

function indexIn(path: string, facts: Facts): number {
  const [, group, fact] = path.split('.') as [string, FactGroup, string];
  const value = (facts[group] as Record<string, Value>)[fact];
  const type = FACT_PATHS.get(path);
  if (type === 'text') return value === '' ? 0 : -1;
  return type === 'boolean' ? Number(value === false) : (type ?? []).indexOf(String(value));
}

let all: readonly Facts[] | undefined;

/** Every combination of closed facts, and of texts there or not, that the constraints let occur. */
function possible(): readonly Facts[] {
  all ??= [...combine(FACT_GROUPS, {})];
  return all;
}

/** Group by group, so that what contradicts itself already is not multiplied by the rest. */
function* combine([group, ...rest]: readonly FactGroup[], known: Partial<Facts>): Generator<Facts> {
  if (group === undefined) {
    yield known as Facts;
    return;
  }
  const constraints: readonly Constraint[] = CONSTRAINTS.filter(({ about }) => about.at(-1) === group);
  const lists = Object.entries<FactType>(FACTS_SCHEMA[group]).map(([fact, type]) =>
    (type === 'boolean' ? [true, false] : type === 'text' ? ['', 'x'] : type).map((value) => [fact, value] as const),
  );
  for (const entries of product(group === 'request' ? [[['action', 'x:x']]] : lists)) {
    const facts = { ...known, [group]: Object.fromEntries(entries) };
    if (constraints.every(({ holds }) => holds(facts as Facts))) yield* combine(rest, facts);
  }
}

function* product<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (!first) {
    yield [];
    return;
  }
  for (const tail of product(rest)) for (const value of first) yield [value, ...tail];
}
