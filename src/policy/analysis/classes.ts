/**
 * Partitions situations into equivalence classes: two situations that the same rows decide are in one, as far as a region can say
 * so. A class is described by the values that it admits of each fact that rows read, so that what a policy does can be said as
 * conditions on these facts.
 */

import type { Policy } from '../decide.ts';
import { TooManyGroups } from '../declared/networks.ts';
import { ACTION_PATH, type Facts, type FactType, valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { BudgetExceeded, MAX_BUDGET, newBudget } from './budget.ts';
import { type Factor, meansTheSame } from './factors.ts';
import { overBudget } from './faults.ts';
import { type Leaf, leavesOf } from './leaves.ts';
import { choiceIn, type Region, withOpen } from './regions.ts';
import { type Cell, type Space, spacesOf, textualCells } from './situations.ts';

/** The bound of the enumeration: beyond it, it would take minutes, and nobody would read the result. */
export const MAX_CLASSES = 100_000;

/** Stands for the texts that no row names. */
export const OTHER = Symbol('anything else');

/** A value of a fact; of the action, a pattern (`user:*`) for the actions whose longest pattern it is. */
export type Value = string | boolean | typeof OTHER;

/** A fact that rows read, with the values of it that they tell apart. */
export interface Dimension {
  /** How it is called in a condition. */
  readonly path: string;
  readonly values: readonly Value[];
}

/** For each dimension the indices of the values that are admitted; undefined: all of them. */
export type ValueSets = readonly (readonly number[] | undefined)[];

export interface SituationClass {
  /** One of its situations, as each of the policies sees it. */
  readonly facts: readonly Facts[];
  readonly values: ValueSets;
}

export interface Partition {
  readonly dimensions: readonly Dimension[];
  /** Together they are all the situations that can occur, and each of those is in one of them. */
  readonly classes: readonly SituationClass[];
  /** How many classes there are; more than `classes.length` where classes that are answered alike were merged. */
  readonly size: number;
}

/** The result would exceed its bound. No part of it is returned, because a reader would take that for the whole. */
export class OverBound extends Error {}

/**
 * The classes that the rows of one policy, or of two, tell apart. Where the rows that match an action are `answeredAlike`, all its
 * situations stay one class.
 * @throws OverBound: the other actions have more than `max` classes, or it is too much work to find them
 */
export function partitionOf(
  policies: readonly [Policy, ...Policy[]],
  answeredAlike: (rows: readonly Row[]) => boolean = () => false,
  max = MAX_CLASSES,
): Partition {
  try {
    return partition(policies, answeredAlike, max);
  } catch (error) {
    throw asOverBound(error);
  }
}

function partition(
  policies: readonly [Policy, ...Policy[]],
  answeredAlike: (rows: readonly Row[]) => boolean,
  max: number,
): Partition {
  const [{ schema }, ...others] = policies;
  const schemas: readonly [Schema, ...Schema[]] = [schema, ...others.map((other) => other.schema)];
  const rows = policies.flatMap((policy) => policy.rows);
  // Where only one register is strict, the same rows may allow what one of the two must not.
  const areAsStrict = new Set(schemas.map(({ declaration }) => declaration.actions.strict)).size === 1;
  const spaces = [...spacesOf(rows, schemas)].map((space) => ({
    space,
    isAlike:
      areAsStrict && answeredAlike(space.items) && space.factors.every((factor) => meansTheSame(factor, schemas)),
  }));
  const named = new Set(spaces.flatMap(({ space }) => space.paths));
  const dimensions = inOrder(schemas, [
    ...[...schema.paths]
      .filter(([path]) => named.has(path) || (path === ACTION_PATH && spaces.length > 1))
      .map(([path, type]) => dimensionOf(path, type, rows)),
    ...factorDimensions(spaces.flatMap(({ space }) => space.factors)),
  ]);
  const budget = newBudget(MAX_WORK);
  const classes: SituationClass[] = [];
  let size = 0;
  for (const { space, isAlike } of spaces) {
    const valuesOf = locator(dimensions, space);
    if (isAlike) {
      classes.push({ facts: factsOf(space, space.cells[0] as Cell, undefined), values: valuesOf(undefined) });
      for (const _ of textualCells(space)) size += 1;
    } else {
      for (const found of leavesOf(policies, space, budget)) {
        for (const region of boxesOf(found.region, space.factors, found.cell)) {
          classes.push({
            facts: factsOf(space, found.cell, { ...found, region }),
            values: valuesOf({ ...found, region }),
          });
          size += 1;
          if (classes.length > max) throw overBound(max);
        }
      }
    }
  }
  return { dimensions, classes, size };
}

/** An error of what there is too much of as one that says so of the whole. */
function asOverBound(error: unknown): unknown {
  if (error instanceof TooManyGroups) return new OverBound(`of the two together, ${error.message}`, { cause: error });
  if (error instanceof BudgetExceeded && error.row)
    return new OverBound(`${printPlace(error.row)}: ${overBudget(error.row)}`, { cause: error });
  return error;
}

const printPlace = ({ file, line }: Row): string => `${file}:${line}`;

/** For each row and region that it is asked of: about a minute. */
const MAX_WORK = 10 * MAX_BUDGET;

const overBound = (max: number): OverBound =>
  new OverBound(
    `the rows tell more than ${max} classes of situations apart, which is the bound; name fewer facts, ids and actions`,
  );

const factsOf = (space: Space<Row>, cell: Cell, leaf: Leaf | undefined): Facts[] =>
  space.schemas.map((_, view) =>
    space.factsOf(cell, choiceIn(leaf?.region ?? space.regionOf(cell)), leaf?.texts ?? new Map(), view),
  );

/** A region as products of value sets: of a factor of several facts, alternatives that are not all of them are taken one by one. */
function boxesOf(region: Region, factors: readonly Factor[], cell: Cell): Region[] {
  return factors.reduce<Region[]>(
    (regions, { columns, alternatives, applies }, index) => {
      const open = region[index] ?? [];
      const all = applies(cell.facts) ? alternatives.length : 1;
      if (columns.length === 1 || open.length === all) return regions;
      return regions.flatMap((one) => open.map((alternative) => withOpen(one, index, [alternative])));
    },
    [region],
  );
}

function dimensionOf(path: string, type: FactType, rows: readonly Row[]): Dimension {
  if (type === 'boolean') return { path, values: [true, false] };
  if (type !== 'text') return { path, values: type };
  const constants = rows.flatMap((row) => [...(row.when.constants.get(path) ?? [])]);
  const patterns = new Set(['*', ...constants, ...rows.map((row) => row.action)]);
  return { path, values: path === ACTION_PATH ? [...patterns] : [...new Set(['', ...constants]), OTHER] };
}

/** In the order of the facts. */
function inOrder(schemas: readonly Schema[], dimensions: readonly Dimension[]): readonly Dimension[] {
  const places = new Map([...new Set(schemas.flatMap(({ paths }) => [...paths.keys()]))].map((path, at) => [path, at]));
  const placeOf = ({ path }: Dimension): number => places.get(path.replace(/@.*$/, '')) ?? 0;
  return dimensions.toSorted((a, b) => placeOf(a) - placeOf(b));
}

/** A dimension for each column, with all values that any space has of it. */
function factorDimensions(factors: readonly Factor[]): Dimension[] {
  const values = new Map<string, Set<Value>>();
  for (const { columns, alternatives } of factors) {
    for (const [at, { label }] of columns.entries()) {
      const known = values.get(label) ?? new Set<Value>();
      values.set(label, known);
      for (const alternative of alternatives) known.add(alternative.values[at] as Value);
    }
  }
  return [...values].map(([path, known]) => ({
    path,
    // True before false, as of every fact that is one of these.
    values: known.has(true) || known.has(false) ? [true, false] : [...known],
  }));
}

/**
 * Maps a leaf to the value sets of its class in a space, and undefined to those of the whole space. Facts that no row of the
 * space reads may have any value; a constant that only rows of other spaces name counts as any other text.
 */
function locator(dimensions: readonly Dimension[], space: Space<Row>): (leaf: Leaf | undefined) => ValueSets {
  const { schemas, pattern, paths, items, factors } = space;
  const locate = dimensions.map(({ path, values }): ((leaf: Leaf | undefined) => readonly number[] | undefined) => {
    if (path === ACTION_PATH) return () => [values.indexOf(pattern)];
    const factor = factors.findIndex(({ columns }) => columns.some(({ label }) => label === path));
    if (factor !== -1) return (leaf) => leaf && openValues(factors[factor] as Factor, leaf, factor, path, values);
    if (!paths.includes(path)) return () => undefined;
    const own = new Set<Value>(dimensionOf(path, schemas[0]?.paths.get(path) ?? 'text', items).values);
    own.delete(OTHER);
    const singles = new Map(values.flatMap((value, index) => (own.has(value) ? [[value, [index]]] : [])));
    const rest = values.flatMap((value, index) => (own.has(value) ? [] : [index]));
    return (leaf) => leaf && (singles.get(leaf.texts.get(path) ?? valueAt(leaf.cell.facts, path)) ?? rest);
  });
  return (leaf) => locate.map((valuesOf) => valuesOf(leaf));
}

/** The values of a column that are open in a leaf; undefined where its factor is open as a whole. */
function openValues(
  { columns, alternatives, applies }: Factor,
  { region, cell }: Leaf,
  factor: number,
  label: string,
  values: readonly Value[],
): readonly number[] | undefined {
  const open = region[factor] ?? [];
  if (applies(cell.facts) && open.length === alternatives.length) return undefined;
  const at = columns.findIndex((column) => column.label === label);
  return [...new Set(open.map((one) => values.indexOf(alternatives[one]?.values[at] as Value)))].sort((a, b) => a - b);
}
