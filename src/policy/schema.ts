/** Which facts there are, of which types, and which of their combinations can occur: what a policy is written in terms of. */

import {
  CONSTRAINTS,
  type Constraint,
  closed,
  FACTS,
  type FactDefinition,
  type Facts,
  type FactTable,
  type FactType,
  fits,
  type TextForm,
} from './facts.ts';

export interface Schema {
  readonly table: FactTable;
  /** In the order of the table, in which Casbin is given them. */
  readonly groups: readonly string[];
  /** The facts of a group, in their order; none of a group that there is not. */
  readonly factsOf: (group: string) => readonly (readonly [name: string, FactDefinition])[];
  /** Every fact path of the rule language, such as `r.key.status`, with its type. */
  readonly paths: ReadonlyMap<string, FactType>;
  /** What each fact of type text can be, by its path. */
  readonly forms: ReadonlyMap<string, TextForm>;
  readonly constraints: readonly Constraint[];
  /** Facts of which nothing is known: no key, no user, no target. `request.action` is empty, so this is no question yet. */
  readonly nothingKnown: Facts;
  /**
   * A copy, without prototypes, of a facts record. Throws a TypeError that names the first fault, unless `value` is exactly one:
   * every fact there, each of its type, nothing more, in a combination that can occur.
   *
   * INVARIANT: nothing is decided on a record that has not passed here, because a rule such as
   * `r.key.status != 'revoked'` would hold of a fact that is missing. Each fact is read once, so that what was checked is
   * what is decided on, whatever a getter would answer the next time.
   */
  readonly read: (value: unknown) => Facts;
}

/** The schema of a table of facts. */
export function schemaOf(table: FactTable, constraints: readonly Constraint[]): Schema {
  const groups = Object.keys(table);
  const definitions = new Map(groups.map((group) => [group, Object.entries(table[group] ?? {})]));
  const names = new Map(groups.map((group) => [group, Object.keys(table[group] ?? {})]));
  const factsOf: Schema['factsOf'] = (group) => definitions.get(group) ?? [];

  const readGroup = (group: string, value: unknown): Readonly<Record<string, unknown>> => {
    const given = members(value, names.get(group) ?? [], group);
    const facts = Object.create(null) as Record<string, unknown>;
    for (const [fact, { type }] of factsOf(group)) {
      facts[fact] = given[fact];
      if (!fits(type, facts[fact])) throw new TypeError(`the fact ${group}.${fact} is missing or of another type`);
    }
    return facts;
  };

  return Object.freeze({
    table,
    groups,
    factsOf,
    paths: new Map(
      groups.flatMap((group) => factsOf(group).map(([fact, { type }]) => [`r.${group}.${fact}`, type] as const)),
    ),
    forms: new Map(
      groups.flatMap((group) =>
        factsOf(group).flatMap(([fact, { form }]) => (form ? [[`r.${group}.${fact}`, form] as const] : [])),
      ),
    ),
    constraints,
    nothingKnown: closed(
      Object.fromEntries(
        groups.map((group) => [
          group,
          closed(Object.fromEntries(factsOf(group).map(([fact, { none }]) => [fact, none]))),
        ]),
      ),
    ) as unknown as Facts,
    read: (value: unknown) => {
      const given = members(value, groups, 'facts');
      const facts = Object.create(null) as Record<string, unknown>;
      for (const group of groups) facts[group] = readGroup(group, given[group]);
      const broken = constraints.find((constraint) => !constraint.holds(facts as unknown as Facts));
      if (broken) throw new TypeError(`the facts contradict each other: ${broken.says}`);
      return facts as unknown as Facts;
    },
  });
}

function members(value: unknown, names: readonly string[], what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) throw new TypeError(`the facts record lacks ${what}`);
  const own = Object.keys(value);
  if (own.length !== names.length || !names.every((name) => own.includes(name))) {
    throw new TypeError(`${what} must hold exactly: ${names.join(', ')}`);
  }
  return value as Record<string, unknown>;
}

/** The facts that every policy has. */
export const BUILT_IN: Schema = schemaOf(FACTS, CONSTRAINTS);
