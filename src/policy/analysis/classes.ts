/**
 * Partitions situations into equivalence classes: two situations that no row tells apart are in one. A class is described by
 * the values that it admits of each fact that rows read, so that what a policy does can be said as conditions on these facts.
 */

import { ACTION_PATH, type Facts, type FactType, valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { countSituationsIn, type Space, situationsIn, spacesOf } from './situations.ts';

/** The bound of the enumeration: beyond it, it would take minutes, and nobody would read the result. */
export const MAX_CLASSES = 100_000;

/** Stands for the texts that no row names. */
export const OTHER = Symbol('anything else');

/** A value of a fact; of the action, a pattern (`user:*`) for the actions whose longest pattern it is. */
export type Value = string | boolean | typeof OTHER;

/** A fact that rows read, with the values of it that they tell apart. */
export interface Dimension {
  readonly path: string;
  readonly values: readonly Value[];
}

/** For each dimension the indices of the values that are admitted; undefined: all of them. */
export type ValueSets = readonly (readonly number[] | undefined)[];

export interface SituationClass {
  /** One of its situations. */
  readonly facts: Facts;
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
 * The classes that `rows`, of one policy or of several, tell apart. Where the rows that match an action are `answeredAlike`,
 * all its situations stay one class.
 * @throws OverBound: the other actions have more than `max` classes.
 */
export function partitionOf(
  rows: readonly Row[],
  schema: Schema,
  answeredAlike: (rows: readonly Row[]) => boolean = () => false,
  max = MAX_CLASSES,
): Partition {
  const spaces = [...spacesOf(rows, schema)].map((space) => ({
    space,
    isAnsweredAlike: answeredAlike(space.items),
    count: countSituationsIn(space),
  }));
  if (spaces.reduce((sum, { isAnsweredAlike, count }) => sum + (isAnsweredAlike ? 1 : count), 0) > max) {
    throw new OverBound(
      `the rows tell more than ${max} classes of situations apart, which is the bound; name fewer facts, ids and actions`,
    );
  }
  const named = new Set(spaces.flatMap(({ space }) => space.paths));
  if (spaces.length > 1) named.add(ACTION_PATH);
  const dimensions = [...schema.paths]
    .filter(([path]) => named.has(path))
    .map(([path, type]) => dimensionOf(path, type, rows));
  const classes = spaces.flatMap(({ space, isAnsweredAlike }): SituationClass[] => {
    const valuesOf = locator(dimensions, space);
    if (!isAnsweredAlike) return [...situationsIn(space)].map((facts) => ({ facts, values: valuesOf(facts) }));
    const [facts] = situationsIn(space);
    return facts ? [{ facts, values: valuesOf(undefined) }] : [];
  });
  return { dimensions, classes, size: spaces.reduce((sum, { count }) => sum + count, 0) };
}

function dimensionOf(path: string, type: FactType, rows: readonly Row[]): Dimension {
  if (type === 'boolean') return { path, values: [true, false] };
  if (type !== 'text') return { path, values: type };
  const constants = rows.flatMap((row) => [...(row.when.constants.get(path) ?? [])]);
  const patterns = new Set(['*', ...constants, ...rows.map((row) => row.action)]);
  return { path, values: path === ACTION_PATH ? [...patterns] : [...new Set(['', ...constants]), OTHER] };
}

/**
 * Maps facts to the value sets of their class in a space, and undefined to those of the whole space. Facts that no row of the
 * space reads may have any value; a constant that only rows of other spaces name counts as any other text.
 */
function locator(dimensions: readonly Dimension[], space: Space<Row>): (facts: Facts | undefined) => ValueSets {
  const { schema, pattern, paths, items } = space;
  const locate = dimensions.map(({ path, values }): ((facts: Facts | undefined) => readonly number[] | undefined) => {
    if (path === ACTION_PATH) return () => [values.indexOf(pattern)];
    if (!paths.includes(path)) return () => undefined;
    const own = new Set<Value>(dimensionOf(path, schema.paths.get(path) ?? 'text', items).values);
    own.delete(OTHER);
    const singles = new Map(values.flatMap((value, index) => (own.has(value) ? [[value, [index]]] : [])));
    const rest = values.flatMap((value, index) => (own.has(value) ? [] : [index]));
    return (facts) => facts && (singles.get(valueAt(facts, path)) ?? rest);
  });
  return (facts) => locate.map((valuesOf) => valuesOf(facts));
}
