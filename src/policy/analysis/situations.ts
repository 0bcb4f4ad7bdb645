/**
 * Every situation that selectors can tell apart, so that what must hold of all of them is proved, not sampled. Actions fall into
 * classes; within a class, only the facts that its selectors read take different values. An enumeration or boolean takes each of
 * its values; a text takes each constant that it is compared with, the empty text, and one other.
 * Why that is complete is in docs/adr/0005-enumerating-situations.md.
 */

import { type ActionClass, byAction, unnamedWord } from '../action-patterns.ts';
import { ACTION_PATH, type Constraint, closed, type Facts, groupFrom, valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import {
  actionFactor,
  type Factor,
  factorsOf,
  isInFactor,
  REGISTERED_PATH,
  ROLE_PATH,
  seenAs,
  type Value,
} from './factors.ts';
import { type Choice, type Region, sizeOf } from './regions.ts';

/** What tells situations apart: a row, or anything else with an action pattern and a rule. */
export type Selector = Pick<Row, 'action' | 'when'>;

/** One class of actions, with the facts that its selectors read and all combinations in which those can occur. */
export interface Space<T extends Selector> extends ActionClass<T> {
  /** One, or those of two policies that are compared. */
  readonly schemas: readonly Schema[];
  /** The facts that any selector of the class reads and that are in no factor, the action aside. */
  readonly paths: readonly string[];
  readonly cells: readonly Cell[];
  readonly factors: readonly Factor[];
  /** All that can occur in a cell. */
  readonly regionOf: (cell: Cell) => Region;
  /** The facts of a cell with these texts, by path, for its open ones; a text that is missing is arbitrary. */
  readonly factsOf: (cell: Cell, choice: Choice, texts: ReadonlyMap<string, string>, view?: number) => Facts;
}

/**
 * A combination of enumerations and booleans that can occur, with each text either empty or open (any non-empty one); what is in
 * a factor is not part of it.
 * INVARIANT: constraints look at texts only for whether they are empty, so one non-empty text stands for all.
 */
export interface Cell {
  readonly facts: Facts;
  /** For each path of the space: the index of its value, 0 for the empty text, -1 for an open one. */
  readonly indices: readonly number[];
  /** The paths whose text is open. */
  readonly open: readonly string[];
}

/** Always told apart, since what may be allowed at all, and what is known, depends on them (`mayBeAllowed`). */
const ALWAYS = ['r.key.status', 'r.user.status', 'r.freeze.active'];

/** Each situation that `rows` can tell apart and that the schema says can occur, as a facts record. */
export function* situations(rows: readonly Selector[], schema: Schema): Generator<Facts> {
  for (const space of spacesOf(rows, [schema])) {
    for (const { cell, texts } of textualCells(space)) {
      for (const choice of product(space.regionOf(cell))) yield space.factsOf(cell, choice, texts);
    }
  }
}

/** Each cell of a space with each choice of its texts. */
export function* textualCells(
  space: Space<Selector>,
): Generator<{ readonly cell: Cell; readonly texts: ReadonlyMap<string, string> }> {
  const texts = textsOf(space);
  for (const cell of space.cells) {
    const lists = cell.open.map((path) => (texts.get(path) ?? []).map((text) => [path, text] as const));
    for (const chosen of product(lists)) yield { cell, texts: new Map(chosen) };
  }
}

/** How many `situations` there are, without going through them; counting ends above `most`. */
export function countSituations(rows: readonly Selector[], schema: Schema, most = Number.POSITIVE_INFINITY): number {
  let count = 0;
  for (const space of spacesOf(rows, [schema])) {
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
  return space.cells.reduce((sum, cell) => sum + ways(cell.open) * sizeOf(space.regionOf(cell)), 0);
}

/** For each text that the selectors of a space read: its constants, and one text that is none of them. */
function textsOf({ schemas, paths, items }: Space<Selector>): ReadonlyMap<string, readonly string[]> {
  const texts = new Map<string, readonly string[]>();
  for (const path of paths) {
    if (schemas[0]?.paths.get(path) !== 'text') continue;
    const constants = new Set(items.flatMap(({ when }) => [...(when.constants.get(path) ?? [])]));
    constants.delete('');
    texts.set(path, [...constants, unnamedWord(constants)]);
  }
  return texts;
}

/** The classes of actions with their cells: between them, every situation is in exactly one. */
export function* spacesOf<T extends Selector>(
  selectors: readonly T[],
  schemas: readonly [Schema, ...Schema[]],
): Generator<Space<T>> {
  const cellsOf = cellFinder(schemas[0]);
  const actions = selectors.flatMap(({ when }) => [...(when.constants.get(ACTION_PATH) ?? [])]);
  const { classes } = byAction(selectors, actions);
  const patterns = classes.map(({ pattern }) => pattern);
  for (const { pattern, action, items } of classes) {
    const named = namedBy(items, schemas);
    const paths = [...schemas[0].paths.keys()].filter(
      (path) => named.has(path) && path !== ACTION_PATH && !isInFactor(path, schemas),
    );
    const aboutActions = actionFactor(schemas, named, pattern, patterns);
    const factors = [...factorsOf(schemas, named), ...(aboutActions ? [aboutActions] : [])];
    yield {
      schemas,
      pattern,
      action,
      items,
      paths,
      cells: cellsOf(paths),
      factors,
      regionOf: ({ facts }) =>
        factors.map(({ alternatives, applies }) => (applies(facts) ? [...alternatives.keys()] : [0])),
      factsOf: (cell, choice, texts, view = 0) =>
        factsIn(schemas[view] ?? schemas[0], view, action, cell, factors, choice, texts),
    };
  }
}

/** The facts that selectors read, and those that decide whether what they read is known. */
function namedBy(items: readonly Selector[], schemas: readonly Schema[]): ReadonlySet<string> {
  const named = new Set(ALWAYS);
  for (const { when } of items) for (const path of when.facts) named.add(path);
  for (const path of [...named]) {
    if (path === ROLE_PATH || (path.startsWith('r.target.') && isInFactor(path, schemas))) named.add('r.target.status');
  }
  if (schemas.some(({ declaration }) => declaration.actions.strict)) named.add(REGISTERED_PATH);
  return named;
}

function factsIn(
  schema: Schema,
  view: number,
  action: string,
  { facts, open }: Cell,
  factors: readonly Factor[],
  choice: Choice,
  texts: ReadonlyMap<string, string>,
): Facts {
  const chosen = new Map<string, Value>([[ACTION_PATH, action]]);
  for (const path of open) chosen.set(path, texts.get(path) ?? String(valueAt(facts, path)));
  for (const [index, { columns, alternatives }] of factors.entries()) {
    const { values, action: standsFor } = alternatives[choice[index] ?? 0] ?? { values: [] };
    if (standsFor !== undefined) chosen.set(ACTION_PATH, standsFor);
    for (const [at, { path, views }] of columns.entries())
      if (views.includes(view)) chosen.set(path, values[at] as Value);
  }
  for (const [name, value] of schema.registrationOf(String(chosen.get(ACTION_PATH))))
    chosen.set(`r.request.${name}`, value);
  const groups = schema.groups.map((group) => {
    const values = schema.factsOf(group).map(([fact, definition]) => {
      const path = `r.${group}.${fact}`;
      return [fact, seenAs(path, definition, chosen.get(path) ?? valueAt(facts, path))] as const;
    });
    return [group, groupFrom(values)];
  });
  return closed(Object.fromEntries(groups)) as Facts;
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

/** Every combination of the values that are in no factor, texts being empty or not, that the constraints admit. */
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
  const lists = schema.factsOf(group).map(([fact, { type, none }]) => {
    const path = `r.${group}.${fact}`;
    const values = isInFactor(path, [schema])
      ? [none]
      : type === 'boolean'
        ? [true, false]
        : type === 'text'
          ? closedTexts(path)
          : type;
    return values.map((value) => [fact, value] as const);
  });
  for (const entries of product(lists)) {
    const facts = { ...known, [group]: groupFrom(entries) };
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
