/**
 * Situations in classes: two that no row tells apart are one. What a class is, is said by the values that it admits of each
 * fact that is named, so that what a policy does can be said as conditions on these facts and on nothing else.
 */

import { ACTION_PATH } from '../casbin/rule.ts';
import { FACT_PATHS, type FactGroup, type Facts, type FactType } from '../facts.ts';
import type { Row } from '../folder/rows.ts';
import { countSituationsIn, type Space, situationsIn, spacesOf } from './situations.ts';

/** More classes than this are not gone through: it would take minutes, and nobody would read the result. */
export const MAX_CLASSES = 100_000;

/** Stands for every text that no row names. */
export const OTHER = Symbol('anything else');

/** A value of a fact; of the action, a pattern (`user:*`) for the actions whose longest pattern it is. */
export type Value = string | boolean | typeof OTHER;

/** A fact that is named, with the values of it that can be told apart. */
export interface Dimension {
  readonly path: string;
  readonly values: readonly Value[];
}

/** For each dimension the indices of the values that are admitted; undefined: all of them. */
export type Extent = readonly (readonly number[] | undefined)[];

export interface SituationClass {
  /** One of its situations. */
  readonly facts: Facts;
  readonly extent: Extent;
}

export interface Partition {
  readonly dimensions: readonly Dimension[];
  /** Together they are all the situations that can occur, and each of those is in one of them. */
  readonly classes: readonly SituationClass[];
  /** How many classes there are; more than `classes` where some that are settled stand there as one. */
  readonly size: number;
}

/** What is asked for cannot be said in full within its bound; a part of it would look like all of it. */
export class OverBound extends Error {}

/**
 * The classes that `rows`, of one policy or of several, tell apart. Where `settled` says of the rows that take an action
 * that nothing is asked of them, all situations of that action are one class.
 * @throws OverBound: there are more than `max` that are not settled.
 */
export function partitionOf(
  rows: readonly Row[],
  settled: (rows: readonly Row[]) => boolean = () => false,
  max = MAX_CLASSES,
): Partition {
  const spaces = [...spacesOf(rows)].map((space) => ({
    space,
    isSettled: settled(space.items),
    count: countSituationsIn(space),
  }));
  if (spaces.reduce((sum, { isSettled, count }) => sum + (isSettled ? 1 : count), 0) > max) {
    throw new OverBound(
      `the rows tell more than ${max} classes of situations apart, which is the bound; name fewer facts, ids and actions`,
    );
  }
  const named = new Set(spaces.flatMap(({ space }) => space.paths));
  if (spaces.length > 1) named.add(ACTION_PATH);
  const dimensions = [...FACT_PATHS]
    .filter(([path]) => named.has(path))
    .map(([path, type]) => dimensionOf(path, type, rows));
  const classes = spaces.flatMap(({ space, isSettled }): SituationClass[] => {
    const extentOf = locator(dimensions, space);
    if (!isSettled) return [...situationsIn(space)].map((facts) => ({ facts, extent: extentOf(facts) }));
    const [facts] = situationsIn(space);
    return facts ? [{ facts, extent: extentOf(undefined) }] : [];
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

/** Where a fact lies in the record. */
export function valueAt(facts: Facts, path: string): string | boolean {
  const [, group, fact] = path.split('.') as [string, FactGroup, string];
  return (facts[group] as Record<string, string | boolean>)[fact] as string | boolean;
}

/** Whether `pattern`, of a row or in keyMatch, takes an action. Rows are tried by Casbin; this is to tell classes apart. */
export const takes = (pattern: string, action: string): boolean =>
  pattern.endsWith('*') ? action.startsWith(pattern.slice(0, -1)) : action === pattern;

/**
 * From facts to the extent of their class in a space; from none to that of the whole space. What the rows of a space don't
 * name may be anything, and the constants of the other rows are to them like any other text.
 */
function locator(dimensions: readonly Dimension[], space: Space<Row>): (facts: Facts | undefined) => Extent {
  const { pattern, paths, items } = space;
  const locate = dimensions.map(({ path, values }): ((facts: Facts | undefined) => readonly number[] | undefined) => {
    if (path === ACTION_PATH) return () => [values.indexOf(pattern)];
    if (!paths.includes(path)) return () => undefined;
    const own = new Set<Value>(dimensionOf(path, FACT_PATHS.get(path) ?? 'text', items).values);
    own.delete(OTHER);
    const singles = new Map(values.flatMap((value, index) => (own.has(value) ? [[value, [index]]] : [])));
    const rest = values.flatMap((value, index) => (own.has(value) ? [] : [index]));
    return (facts) => facts && (singles.get(valueAt(facts, path)) ?? rest);
  });
  return (facts) => locate.map((extentOf) => extentOf(facts));
}
