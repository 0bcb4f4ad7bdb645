/**
 * The changes of facts that are worth trying: of each fact the values that it can take, one for all that nothing tells apart.
 * Facts of which only some combinations occur change together, as one.
 */

import { ACTION_PATH, valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { OTHER } from './classes.ts';
import type { TestEvaluator, Value } from './evaluations.ts';
import { ADDRESSED_PATH } from './factors.ts';
import { testsByPath } from './reasons.ts';

/** Facts that change together: in general one. */
export interface Unit {
  readonly paths: readonly string[];
  /** Those of them that rows read, where there are several: whoever is told of a change need not know of the others. */
  readonly shown: ReadonlySet<string>;
  readonly choices: readonly Choice[];
}

/** What the facts of a unit can change to. */
export interface Choice {
  /** In the order of the paths. Where it stands for several, one of them. */
  readonly values: readonly Value[];
  /** Of a unit of one fact: the values that it stands for, since nothing tells them apart; OTHER: every text that no row names. */
  readonly all: readonly (Value | typeof OTHER)[];
}

/** What a fact changes to: one of some values, or, of a text, anything but some. */
export type NewValue = { readonly anyOf: readonly Value[] } | { readonly noneOf: readonly Value[] };

/** What nobody can change by changing who asks and what they ask about: the action, and what it is. */
export const isFixed = (path: string): boolean => path === ACTION_PATH || path.startsWith('r.request.group.');

/** The units of a schema, with all values but the present ones that `rows` or the schema's constraints can tell apart. */
export function unitsOf(
  schema: Schema,
  rows: readonly Row[],
  now: ReadonlyMap<string, Value>,
  isTrue: TestEvaluator,
): readonly Unit[] {
  const tests = testsByPath(rows.map(({ when }) => when.tree));
  const outcomes = (path: string, value: Value): string =>
    (tests.get(path) ?? []).map((test) => Number(isTrue(test, new Map([[path, value]])))).join('');
  const together = [addresses(schema), moments(schema)].map((one) => unitOfSeveral(one, now, outcomes));
  const inSeveral = new Set(together.flatMap(({ paths }) => paths));
  const alone = [...schema.paths]
    .filter(([path]) => !isFixed(path) && !inSeveral.has(path))
    .map(([path, type]): Unit => {
      const present = now.get(path);
      const unit = { paths: [path], shown: new Set([path]) };
      if (type === 'text') return { ...unit, choices: choicesOfText(path, rows, present) };
      const values: readonly Value[] = type === 'boolean' ? [true, false] : type;
      const alike = isDeclared(schema, path) ? (value: Value) => outcomes(path, value) : String;
      return { ...unit, choices: choicesOf(values, present, valueAt(schema.nothingKnown, path), alike) };
    });
  return [...alone, ...together];
}

interface Together {
  readonly paths: readonly string[];
  /** Each combination that occurs, in the order of the paths. */
  readonly combinations: readonly (readonly Value[])[];
}

/** Whether there is an address, and in which networks it lies. */
function addresses({ networks, groups, factsOf }: Schema): Together {
  const names = groups.includes('network') ? factsOf('network').map(([name]) => name) : [];
  return {
    paths: [ADDRESSED_PATH, ...names.map((name) => `r.network.${name}`)],
    combinations: [
      [false, ...names.map(() => false)],
      ...networks.groups.map((group) => [true, ...names.map((name) => group[name] === true)]),
    ],
  };
}

/** In which schedules a moment lies. */
function moments({ schedules, factsOf }: Schema): Together {
  const names = factsOf('schedule').map(([name]) => name);
  return {
    paths: names.map((name) => `r.schedule.${name}`),
    combinations: schedules.groups.map((group) => names.map((name) => group[name] === true)),
  };
}

/** A choice for all combinations that no test tells apart: that which is nearest to the present one. */
function unitOfSeveral(
  { paths, combinations }: Together,
  now: ReadonlyMap<string, Value>,
  outcomes: (path: string, value: Value) => string,
): Unit {
  const present = paths.map((path) => now.get(path) ?? false);
  const nameOf = (values: readonly Value[]): string =>
    values.map((value, index) => outcomes(paths[index] ?? '', value)).join(' ');
  const distance = (values: readonly Value[]): number =>
    values.filter((value, index) => value !== present[index]).length;
  const choices = new Map<string, Choice>();
  for (const values of combinations) {
    const name = nameOf(values);
    const before = choices.get(name);
    if (!before || distance(values) < distance(before.values))
      choices.set(name, { values, all: values.length === 1 ? values : [] });
  }
  choices.delete(nameOf(present));
  return { paths, shown: new Set(paths.filter((path) => outcomes(path, true) !== '')), choices: [...choices.values()] };
}

/**
 * Whether a policy declares the fact. INVARIANT: constraints compare a declared fact with what it is where nothing is known, and
 * with no other value; so other values that no test tells apart are alike.
 */
function isDeclared({ table }: Schema, path: string): boolean {
  const [, group = '', ...names] = path.split('.');
  return table[group]?.[names.join('.')]?.since === 0;
}

/** A choice for all values that are `alike`; the value where nothing is `known` is like no other. */
function choicesOf(
  values: readonly Value[],
  now: Value | undefined,
  unknown: Value,
  alike: (value: Value) => string,
): Choice[] {
  const classOf = (value: Value): string => (value === unknown ? 'unknown' : `known ${alike(value)}`);
  const classes = new Map<string, Value[]>();
  for (const value of values) {
    const name = classOf(value);
    if (now === undefined || name !== classOf(now)) classes.set(name, [...(classes.get(name) ?? []), value]);
  }
  return [...classes.values()].map((all) => ({ values: all.slice(0, 1), all }));
}

function choicesOfText(path: string, rows: readonly Row[], now: Value | undefined): Choice[] {
  const named = textsOf(path, rows);
  const choices = named.filter((text) => text !== now).map((text): Choice => ({ values: [text], all: [text] }));
  // Of two texts that no row names and that are not empty, neither does what the other does not.
  return named.includes(String(now)) ? [...choices, { values: [unnamed(named)], all: [OTHER] }] : choices;
}

/** The empty text, and those that rows compare it with. */
const textsOf = (path: string, rows: readonly Row[]): readonly string[] => [
  ...new Set(['', ...rows.flatMap(({ when }) => [...(when.constants.get(path) ?? [])])]),
];

/** A text that fits every form of a fact, and is none of these. */
function unnamed(texts: readonly string[]): string {
  for (let number = 0; ; number += 1) if (!texts.includes(`other-${number}`)) return `other-${number}`;
}
