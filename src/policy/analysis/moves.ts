/**
 * The changes of facts that are worth trying: of each fact the values that it can take, one for all that nothing tells apart.
 * Facts of which only some combinations occur change together, as one.
 */

import { ACTION_PATH, valueAt } from '../facts.ts';
import type { Predicate, Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { OTHER } from './classes.ts';
import type { TestEvaluator, Value } from './evaluations.ts';
import type { Test } from './reasons.ts';

/** Facts that change together: in general one. */
export interface Unit {
  readonly paths: readonly string[];
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
  const tests = testsByPath(rows);
  return [...schema.paths]
    .filter(([path]) => !isFixed(path))
    .map(([path, type]) => {
      const outcomes = (value: Value): string =>
        (tests.get(path) ?? []).map((test) => Number(isTrue(test, new Map([[path, value]])))).join('');
      const present = now.get(path);
      if (type === 'text') return { paths: [path], choices: choicesOfText(path, rows, present) };
      const values: readonly Value[] = type === 'boolean' ? [true, false] : type;
      const alike = isDeclared(schema, path) ? outcomes : String;
      return { paths: [path], choices: choicesOf(values, present, valueAt(schema.nothingKnown, path), alike) };
    });
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

/** The tests of rows by the fact that they read. */
function testsByPath(rows: readonly Row[]): ReadonlyMap<string, readonly Test[]> {
  const tests = new Map<string, Map<string, Test>>();
  const visit = (part: Predicate): void => {
    if (part.kind === 'not') visit(part.of);
    else if (part.kind !== 'test') for (const of of [part.left, part.right]) visit(of);
    else if (part.path !== undefined)
      tests.set(part.path, new Map([...(tests.get(part.path) ?? []), [part.text, part]]));
  };
  for (const { when } of rows) visit(when.tree);
  return new Map([...tests].map(([path, of]) => [path, [...of.values()]]));
}

/** The empty text, and those that rows compare it with. */
const textsOf = (path: string, rows: readonly Row[]): readonly string[] => [
  ...new Set(['', ...rows.flatMap(({ when }) => [...(when.constants.get(path) ?? [])])]),
];

/** A text that fits every form of a fact, and is none of these. */
function unnamed(texts: readonly string[]): string {
  for (let number = 0; ; number += 1) if (!texts.includes(`other-${number}`)) return `other-${number}`;
}
