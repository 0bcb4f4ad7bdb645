/**
 * Every situation that conditions can tell apart, so that what must hold of all of them is proved rather than sampled.
 * Actions fall into classes; within a class, only the facts that its conditions name take different values. Closed
 * facts take each of theirs; a text takes each constant that it is compared with, nothing, and one that is none of them.
 * Why that is complete is in docs/adr/0005-enumerating-situations.md.
 */

import { ACTION_PATH } from '../casbin/rule.ts';
import {
  CONSTRAINTS,
  type Constraint,
  closed,
  FACT_GROUPS,
  FACT_PATHS,
  type FactGroup,
  type Facts,
  factsOf,
} from '../facts.ts';
import type { Row } from '../folder/rows.ts';
import { type ActionClass, byAction, unnamedWord } from './action-classes.ts';

/** What situations are told apart by: a row, or anything else with an action pattern and a rule. */
export type Condition = Pick<Row, 'action' | 'when'>;

type Value = string | boolean;

/** One class of actions, with the facts that its conditions name and all combinations in which those can occur. */
export interface Space<T extends Condition> extends ActionClass<T> {
  /** The facts that any condition of the class names, the action aside. */
  readonly paths: readonly string[];
  readonly cells: readonly Cell[];
  /** The facts of a cell with these texts for those that are open, by their paths; where one lacks, any. */
  readonly factsOf: (cell: Cell, texts: ReadonlyMap<string, string>) => Facts;
}

/**
 * A combination of closed facts that can occur, with each text either absent or open: any text but none.
 * INVARIANT: constraints look at no text but for whether it is empty, so that one text stands for all others here.
 */
export interface Cell {
  readonly facts: Facts;
  /** For each path of the space: the index of a closed value, 0 for no text, -1 for an open one. */
  readonly indices: readonly number[];
  /** The paths whose text is open. */
  readonly open: readonly string[];
}

/** Whatever the conditions name: no policy may allow by these (`mayBeAllowed`). */
const ALWAYS = ['r.key.status', 'r.user.status'];

/** Each situation that `rows` can tell apart and that the schema says can occur, as a facts record. */
export function* situations(rows: readonly Condition[]): Generator<Facts> {
  for (const space of spacesOf(rows)) yield* situationsIn(space);
}

/** The situations of one space. */
export function* situationsIn(space: Space<Condition>): Generator<Facts> {
  const texts = textsOf(space);
  for (const cell of space.cells) {
    for (const chosen of product(
      cell.open.map((path) => (texts.get(path) ?? []).map((text) => [path, text] as const)),
    )) {
      yield space.factsOf(cell, new Map(chosen));
    }
  }
}

/** How many `situations` there are, without going through them; counting ends above `most`. */
export function countSituations(rows: readonly Condition[], most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (const space of spacesOf(rows)) {
    count += countSituationsIn(space);
    if (count > most) break;
  }
  return count;
}

/** How many situations one space has. */
export function countSituationsIn(space: Space<Condition>): number {
  const texts = textsOf(space);
  const ways = (open: readonly string[]): number =>
    open.reduce((product, path) => product * (texts.get(path)?.length ?? 1), 1);
  return space.cells.reduce((sum, { open }) => sum + ways(open), 0);
}

/** For each text that the conditions of a space name: its constants, and one text that is none of them. */
function textsOf({ paths, items }: Space<Condition>): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, readonly string[]>();
  for (const path of paths) {
    if (FACT_PATHS.get(path) !== 'text') continue;
    const constants = new Set(items.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]));
    constants.delete('');
    texts.set(path, [...constants, unnamedWord(constants)]);
  }
  return texts;
}

/** The classes of actions with their cells: between them, every situation is in exactly one. */
export function* spacesOf<T extends Condition>(conditions: readonly T[]): Generator<Space<T>> {
  const cellsOf = cellFinder();
  const actions = conditions.flatMap(({ when }) => [...(when.constants.get(ACTION_PATH) ?? [])]);
  for (const { pattern, action, items } of byAction(conditions, actions).classes) {
    const named = new Set(ALWAYS);
    for (const { when } of items) for (const path of when.facts) named.add(path);
    const paths = [...FACT_PATHS.keys()].filter((path) => named.has(path) && path !== ACTION_PATH);
    const factsOf: Space<T>['factsOf'] = (cell, texts) => factsIn(action, cell, texts);
    yield { pattern, action, items, paths, cells: cellsOf(paths), factsOf };
  }
}

function factsIn(action: string, { facts, open }: Cell, texts: ReadonlyMap<string, string>): Facts {
  const groups = Object.fromEntries(FACT_GROUPS.map((group) => [group, { ...facts[group] } as Record<string, Value>]));
  for (const path of open) {
    const [, group = '', fact = ''] = path.split('.');
    const text = texts.get(path);
    if (text !== undefined) (groups[group] as Record<string, Value>)[fact] = text;
  }
  groups['request'] = { ...groups['request'], action };
  return closed(Object.fromEntries(FACT_GROUPS.map((group) => [group, closed(groups[group] ?? {})]))) as Facts;
}

/** The combinations that differ in `paths`, one for each way in which they can; remembered, as classes are much alike. */
function cellFinder(): (paths: readonly string[]) => readonly Cell[] {
  const known = new Map<string, readonly Cell[]>();
  return (paths) => {
    const key = paths.join();
    const before = known.get(key);
    if (before) return before;
    const cells = new Map<string, Cell>();
    for (const facts of possible()) {
      const indices = paths.map((path) => indexIn(path, facts));
      const name = indices.join();
      if (!cells.has(name)) cells.set(name, { facts, indices, open: paths.filter((_, at) => indices[at] === -1) });
    }
    const found = [...cells.values()];
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
  const lists = factsOf(group).map(([fact, { type }]) =>
    (type === 'boolean' ? [true, false] : type === 'text' ? closedTexts(`r.${group}.${fact}`) : type).map(
      (value) => [fact, value] as const,
    ),
  );
  for (const entries of product(lists)) {
    const facts = { ...known, [group]: Object.fromEntries(entries) };
    if (constraints.every(({ holds }) => holds(facts as Facts))) yield* combine(rest, facts);
  }
}

/** A question always has an action. */
const closedTexts = (path: string): readonly string[] => (path === ACTION_PATH ? ['x:x'] : ['', 'x']);

function* product<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (!first) {
    yield [];
    return;
  }
  for (const tail of product(rest)) for (const value of first) yield [value, ...tail];
}
