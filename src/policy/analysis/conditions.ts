/**
 * Says which situations share a label (a row that decides them, a change of answer) as conditions of the rule language, so
 * that what is read can be pasted into a row.
 */

import { matchesPattern } from '../action-patterns.ts';
import { ACTION_PATH } from '../facts.ts';
import { type Dimension, OTHER, OverBound, type Partition, type SituationClass, type Value } from './classes.ts';
import { type Cover, MAX_CUBES, minimise } from './minimise.ts';

/** The classes that share a label. */
export interface LabelledClasses {
  /** One of these holds of each of its classes, and none of them of any other that can occur. */
  readonly when: readonly string[];
  readonly classes: readonly SituationClass[];
}

/**
 * The classes of `partition` by their labels (undefined: in no group), each group with its conditions.
 * @throws OverBound
 */
export function groupByLabel(
  partition: Partition,
  labels: readonly (string | undefined)[],
): Map<string, LabelledClasses> {
  const groups = new Map<string, LabelledClasses>();
  for (const label of new Set(labels)) {
    if (label === undefined) continue;
    const [inside, outside] = [true, false].map((within) =>
      partition.classes.filter((_, index) => (labels[index] === label) === within),
    ) as [SituationClass[], SituationClass[]];
    groups.set(label, { when: conditionsOf(partition, inside, outside), classes: inside });
  }
  return groups;
}

function conditionsOf(
  { dimensions }: Partition,
  inside: readonly SituationClass[],
  outside: readonly SituationClass[],
): string[] {
  const covers = minimise(
    inside.map(({ values }) => values),
    outside.map(({ values }) => values),
    dimensions.map(({ values }) => values.length),
  );
  if (!covers) {
    throw new OverBound(`it takes more than ${MAX_CUBES} conditions to say when this is so, which is the bound`);
  }
  return covers.sort((a, b) => b.count - a.count).map((cover) => conditionOf(cover, dimensions));
}

/** A condition that holds of exactly what `cover` holds, among what can occur; `true` when it has no limits. */
function conditionOf({ widest, needed }: Cover, dimensions: readonly Dimension[]): string {
  const parts = dimensions.flatMap((dimension, d) => {
    const [most, least] = [widest[d], needed[d]];
    if (!most || !least) return [];
    const [a, b] = [least, most].map((values) => printValues(dimension, values)) as [string, string];
    return [literals(b) < literals(a) ? b : a];
  });
  return parts.length > 0 ? parts.join(' && ') : 'true';
}

/** How many literals a condition has: the fewer, the easier to read. */
const literals = (condition: string): number => condition.split("'").length;

function printValues({ path, values }: Dimension, chosen: ReadonlySet<number>): string {
  const [within, without] = [true, false].map((wanted) =>
    values.filter((_, index) => chosen.has(index) === wanted),
  ) as [Value[], Value[]];
  if (path === ACTION_PATH) return printActions(within.map(String), without.map(String));
  if (typeof values[0] === 'boolean') return within[0] === true ? path : `!${path}`;
  const others = within.includes(OTHER) || (!without.includes(OTHER) && without.length === 1 && within.length > 1);
  if (others) return printNone(path, without as string[]);
  return printAny(path, within as string[]);
}

const quoted = (texts: readonly string[]): string => texts.map((text) => `'${text}'`).join(', ');

const printAny = (path: string, texts: readonly string[]): string =>
  texts.length === 1 ? `${path} == ${quoted(texts)}` : `(${path} in [${quoted(texts)}])`;

const printNone = (path: string, texts: readonly string[]): string =>
  texts.length === 1 ? `${path} != ${quoted(texts)}` : `!(${path} in [${quoted(texts)}])`;

/** A tree of patterns by inclusion: below each the patterns that it directly includes. */
interface Branch {
  readonly pattern: string;
  readonly below: readonly Branch[];
}

function branchOf(pattern: string, patterns: readonly string[]): Branch {
  const inside = patterns.filter((other) => other !== pattern && matchesPattern(pattern, other));
  const direct = inside.filter(
    (other) => !inside.some((between) => between !== other && matchesPattern(between, other)),
  );
  return { pattern, below: direct.map((other) => branchOf(other, inside)) };
}

/** The actions whose longest pattern is one of `chosen`: what matches them, less what matches a longer pattern. */
function printActions(chosen: readonly string[], others: readonly string[]): string {
  const alternatives = alternativesOf(branchOf('*', [...chosen, ...others]), new Set(chosen), new Set(others));
  return printAlternatives(alternatives);
}

/** Any of these actions, or any of these conditions. */
interface Alternatives {
  readonly actions: readonly string[];
  readonly conditions: readonly string[];
}

function alternativesOf(branch: Branch, chosen: ReadonlySet<string>, others: ReadonlySet<string>): Alternatives {
  const { pattern, below } = branch;
  const union = (of: ReadonlySet<string>, not: ReadonlySet<string>): Alternatives => {
    const parts = below.map((part) => alternativesOf(part, of, not));
    return {
      actions: parts.flatMap(({ actions }) => actions),
      conditions: parts.flatMap(({ conditions }) => conditions),
    };
  };
  if (!chosen.has(pattern)) return union(chosen, others);
  if (!pattern.endsWith('*')) return { actions: [pattern], conditions: [] };
  const except = printExceptions(union(others, chosen));
  const all = [...(pattern === '*' ? [] : [`keyMatch(${ACTION_PATH}, '${pattern}')`]), ...except];
  return { actions: [], conditions: [all.join(' && ')] };
}

const wrap = (condition: string): string => (condition.includes(' && ') ? `(${condition})` : condition);

function printExceptions({ actions, conditions }: Alternatives): string[] {
  return [
    ...conditions.map((condition) => `!${wrap(condition)}`),
    ...(actions.length > 0 ? [printNone(ACTION_PATH, actions)] : []),
  ];
}

function printAlternatives({ actions, conditions }: Alternatives): string {
  const parts = [...conditions, ...(actions.length > 0 ? [printAny(ACTION_PATH, actions)] : [])];
  return parts.length === 1 ? (parts[0] as string) : `(${parts.map(wrap).join(' || ')})`;
}
