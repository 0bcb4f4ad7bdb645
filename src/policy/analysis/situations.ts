/**
 * Enumerates every situation that selectors can tell apart, so that what must hold of all of them is proved, not sampled.
 * Actions fall into classes; within a class, only the facts that its selectors read take different values. An enumeration or
 * boolean takes each of its values; a text takes each constant that it is compared with, the empty text, and one other.
 * Why that is complete is in docs/adr/0005-enumerating-situations.md.
 */

import { type ActionClass, byAction, unnamedWord } from '../action-patterns.ts';
import { ACTION_PATH, type Constraint, closed, type Facts, groupOf, valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';

/** What tells situations apart: a row, or anything else with an action pattern and a rule. */
export type Selector = Pick<Row, 'action' | 'when'>;

type Value = string | boolean;

/** One class of actions, with the facts that its selectors read and all combinations in which those can occur. */
export interface Space<T extends Selector> extends ActionClass<T> {
  readonly schema: Schema;
  /** The facts that any selector of the class reads, the action aside. */
  readonly paths: readonly string[];
  readonly cells: readonly Cell[];
  /** The facts of a cell with these texts, by path, for its open ones; a text that is missing is arbitrary. */
  readonly factsOf: (cell: Cell, texts: ReadonlyMap<string, string>) => Facts;
}

/**
 * A combination of enumerations and booleans that can occur, with each text either empty or open (any non-empty one).
 * INVARIANT: constraints look at texts only for whether they are empty, so one non-empty text stands for all.
 */
export interface Cell {
  readonly facts: Facts;
  /** For each path of the space: the index of its value, 0 for the empty text, -1 for an open one. */
  readonly indices: readonly number[];
  /** The paths whose text is open. */
  readonly open: readonly string[];
}

/** Always told apart, since what may be allowed at all depends on them (`mayBeAllowed`). */
const ALWAYS = ['r.key.status', 'r.user.status', 'r.freeze.active'];

/** Each situation that `rows` can tell apart and that the schema says can occur, as a facts record. */
export function* situations(rows: readonly Selector[], schema: Schema): Generator<Facts> {
  for (const space of spacesOf(rows, schema)) yield* situationsIn(space);
}

/** The situations of one space. */
export function* situationsIn(space: Space<Selector>): Generator<Facts> {
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
export function countSituations(rows: readonly Selector[], schema: Schema, most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (const space of spacesOf(rows, schema)) {
    count += countSituationsIn(space);
    if (count > most) break;
  }
  return count;
}

/** How many situations one space has. */
export function countSituationsIn(space: Space<Selector>): number {
  const texts = textsOf(space);
  const ways = (open: readonly string[]): number =>
    open.reduce((product, path) => product * (texts.get(path)?.length ?? 1), 1);
  return space.cells.reduce((sum, { open }) => sum + ways(open), 0);
}

/** For each text that the selectors of a space read: its constants, and one text that is none of them. */
function textsOf({ schema, paths, items }: Space<Selector>): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, readonly string[]>();
  for (const path of paths) {
    if (schema.paths.get(path) !== 'text') continue;
    const constants = new Set(items.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]));
    constants.delete('');
    texts.set(path, [...constants, unnamedWord(constants)]);
  }
  return texts;
}

/** The classes of actions with their cells: between them, every situation is in exactly one. */
export function* spacesOf<T extends Selector>(selectors: readonly T[], schema: Schema): Generator<Space<T>> {
  const cellsOf = cellFinder(schema);
  const actions = selectors.flatMap(({ when }) => [...(when.constants.get(ACTION_PATH) ?? [])]);
  for (const { pattern, action, items } of byAction(selectors, actions).classes) {
    const named = new Set(ALWAYS);
    for (const { when } of items) for (const path of when.facts) named.add(path);
    const paths = [...schema.paths.keys()].filter((path) => named.has(path) && path !== ACTION_PATH);
    const factsOf: Space<T>['factsOf'] = (cell, texts) => factsIn(schema, action, cell, texts);
    yield { schema, pattern, action, items, paths, cells: cellsOf(paths), factsOf };
  }
}

function factsIn(schema: Schema, action: string, { facts, open }: Cell, texts: ReadonlyMap<string, string>): Facts {
  const groups: Record<string, Record<string, Value>> = Object.fromEntries(
    schema.groups.map((group) => [group, { ...groupOf(facts, group) } as Record<string, Value>]),
  );
  for (const path of open) {
    const [, group = '', fact = ''] = path.split('.');
    const text = texts.get(path);
    if (text !== undefined) (groups[group] as Record<string, Value>)[fact] = text;
  }
  groups['request'] = { ...groups['request'], action };
  return closed(
    Object.fromEntries(schema.groups.map((group) => [group, closed(groups[group] ?? {})])),
  ) as unknown as Facts;
}

/** The combinations that differ in `paths`; memoized, since most classes read the same facts. */
function cellFinder(schema: Schema): (paths: readonly string[]) => readonly Cell[] {
  const known = new Map<string, readonly Cell[]>();
  return (paths) => {
    const key = paths.join();
    const before = known.get(key);
    if (before) return before;
    const cells = new Map<string, Cell>();
    for (const facts of possible(schema)) {
      const indices = paths.map((path) => indexIn(schema, path, facts));
      const name = indices.join();
      if (!cells.has(name)) cells.set(name, { facts, indices, open: paths.filter((_, at) => indices[at] === -1) });
    }
    const found = [...cells.values()];
    known.set(key, found);
    return found;
  };
}

function indexIn(schema: Schema, path: string, facts: Facts): number {
  const value = valueAt(facts, path);
  const type = schema.paths.get(path);
  if (type === 'text') return value === '' ? 0 : -1;
  return type === 'boolean' ? Number(value === false) : (type ?? []).indexOf(String(value));
}

const allOf = new WeakMap<Schema, readonly Facts[]>();

/** Every combination of values, texts being empty or not, that the constraints admit. */
function possible(schema: Schema): readonly Facts[] {
  const all = allOf.get(schema) ?? [...combine(schema, schema.groups, {})];
  allOf.set(schema, all);
  return all;
}

/** Group by group, so that a contradiction prunes the search early. */
function* combine(
  schema: Schema,
  [group, ...rest]: readonly string[],
  known: Readonly<Record<string, unknown>>,
): Generator<Facts> {
  if (group === undefined) {
    yield known as unknown as Facts;
    return;
  }
  const constraints: readonly Constraint[] = schema.constraints.filter(({ about }) => about.at(-1) === group);
  const lists = schema
    .factsOf(group)
    .map(([fact, { type }]) =>
      (type === 'boolean' ? [true, false] : type === 'text' ? closedTexts(`r.${group}.${fact}`) : type).map(
        (value) => [fact, value] as const,
      ),
    );
  for (const entries of product(lists)) {
    const facts = { ...known, [group]: Object.fromEntries(entries) };
    if (constraints.every(({ holds }) => holds(facts as unknown as Facts))) yield* combine(schema, rest, facts);
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
