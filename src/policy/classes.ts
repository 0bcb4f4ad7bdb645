/**
 * Situations in classes: two that no row tells apart are one. What a class is, is said by the values that it admits of each
 * fact that is named, so that what a policy does can be said as conditions on these facts and on nothing else.
 */

import { FACT_PATHS, type FactGroup, type Facts, type FactType } from './facts.ts';
import type { Row } from './parse.ts';
import { ACTION_PATH, type Condition } from './rule.ts';
import { situations } from './situations.ts';

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
}

/** What is asked for cannot be said in full within its bound; a part of it would look like all of it. */
export class OverBound extends Error {}

// `decide` itself reads these two: it refuses to allow a key or a user that is not active.
const ALWAYS_NAMED = ['r.key.status', 'r.user.status'];

/**
 * The classes that `rows`, of one policy or of several, tell apart.
 * @throws OverBound: there are more than `max`.
 */
export function partitionOf(rows: readonly Row[], max = MAX_CLASSES): Partition {
  const named = namedIn(rows);
  const dimensions = [...FACT_PATHS]
    .filter(([path]) => named.has(path))
    .map(([path, type]) => dimensionOf(path, type, rows));
  const extentIn = locator(dimensions, rows);
  const classes = new Map<string, SituationClass>();
  for (const facts of situations(rows)) {
    const extent = extentIn(facts);
    const name = extent.map((values) => values?.[0] ?? '').join();
    if (classes.has(name)) continue;
    if (classes.size === max) {
      throw new OverBound(
        `the rows tell more than ${max} classes of situations apart, which is the bound; name fewer facts, ids and actions`,
      );
    }
    classes.set(name, { facts, extent });
  }
  return { dimensions, classes: [...classes.values()] };
}

function namedIn(rows: readonly Row[]): ReadonlySet<string> {
  const named = new Set([...ALWAYS_NAMED, ...rows.flatMap((row) => pathsOf(row.when.tree))]);
  if (rows.some((row) => row.action !== '*')) named.add(ACTION_PATH);
  return named;
}

/** The facts that a condition reads. */
export function pathsOf(condition: Condition): readonly string[] {
  if (condition.kind === 'test') return condition.path === undefined ? [] : [condition.path];
  if (condition.kind === 'not') return pathsOf(condition.of);
  return [...pathsOf(condition.left), ...pathsOf(condition.right)];
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
 * From facts to the extent of their class. Only the rows that take the action count: what they don't name may be anything,
 * and the constants of the other rows are to them like any other text.
 */
function locator(dimensions: readonly Dimension[], rows: readonly Row[]): (facts: Facts) => Extent {
  const patterns = dimensions.find(({ path }) => path === ACTION_PATH)?.values.map(String) ?? ['*'];
  const longest = patterns.filter((pattern) => pattern.endsWith('*')).sort((a, b) => b.length - a.length);
  const known = new Map<string, readonly Locate[]>();
  return (facts) => {
    const { action } = facts.request;
    const pattern = patterns.includes(action) ? action : (longest.find((one) => takes(one, action)) ?? '*');
    const locate =
      known.get(pattern) ??
      locatorsFor(
        dimensions,
        patterns.indexOf(pattern),
        rows.filter((row) => takes(row.action, action)),
      );
    known.set(pattern, locate);
    return locate.map((extentOf) => extentOf(facts));
  };
}

type Locate = (facts: Facts) => readonly number[] | undefined;

/** `action`: the index of the pattern of an action that `rows` all take. */
function locatorsFor(dimensions: readonly Dimension[], action: number, rows: readonly Row[]): readonly Locate[] {
  const named = namedIn(rows);
  return dimensions.map(({ path, values }): Locate => {
    if (path === ACTION_PATH) return () => [action];
    if (!named.has(path)) return () => undefined;
    const own = new Set<Value>(dimensionOf(path, FACT_PATHS.get(path) ?? 'text', rows).values);
    const singles = new Map(
      values.flatMap((value, index) => (own.has(value) && value !== OTHER ? [[value, [index]]] : [])),
    );
    const rest = values.flatMap((value, index) => (own.has(value) && value !== OTHER ? [] : [index]));
    return (facts) => singles.get(valueAt(facts, path)) ?? rest;
  });
}
