/** Which facts there are, of which types, and which of their combinations can occur: what a policy is written in terms of. */

import { type RegistrationOf, registrationsIn } from './declared/actions.ts';
import { type Declaration, NOTHING_DECLARED } from './declared/declaration.ts';
import { compileNetworks, type Networks } from './declared/networks.ts';
import { compilingSchedules, type Schedules } from './declared/schedules.ts';
import { declaredConstraints, declaredTable } from './declared/table.ts';
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
  type Group,
  groupFrom,
  type TextForm,
} from './facts.ts';
import { runToEnd } from './time-slices.ts';

export interface Schema {
  readonly declaration: Declaration;
  /** Those that it declares, compiled: in which of them an address, or a moment, lies. */
  readonly networks: Networks;
  readonly schedules: Schedules;
  /** What its register says of an action. */
  readonly registrationOf: RegistrationOf;
  readonly table: FactTable;
  /** In the order of the table, in which Casbin is given them. */
  readonly groups: readonly string[];
  /** The facts of a group by their names, in their order; none of a group that there is not. */
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

/** The schema of the built-in facts and of those that are declared; compiles networks and schedules in one go. */
export const schemaOf = (declaration: Declaration, builtIn?: FactTable): Schema =>
  runToEnd(compileSchema(declaration, builtIn));

/**
 * The schema of the built-in facts and of those that a policy declares. Yields often, so that the caller can work in slices.
 * @throws TooManyGroups, of networks.ts or schedules.ts
 */
export function* compileSchema(declaration: Declaration, builtIn: FactTable = FACTS): Generator<void, Schema> {
  const networks = yield* compileNetworks(declaration.networks);
  const schedules = yield* compilingSchedules(declaration.schedules);
  const table = declaredTable(builtIn, declaration);
  const constraints = [...CONSTRAINTS, ...declaredConstraints(declaration)];
  const groups = Object.keys(table);
  const definitions = new Map(groups.map((group) => [group, Object.entries(table[group] ?? {})]));
  const factsOf: Schema['factsOf'] = (group) => definitions.get(group) ?? [];
  const each = groups.flatMap((group) =>
    factsOf(group).map(([fact, definition]) => [`r.${group}.${fact}`, definition] as const),
  );
  const readers = new Map(groups.map((group) => [group, groupReader(group, factsOf(group))]));
  return Object.freeze({
    declaration,
    networks,
    schedules,
    registrationOf: registrationsIn(declaration.actions),
    table,
    groups,
    factsOf,
    paths: new Map(each.map(([path, { type }]) => [path, type])),
    forms: new Map(each.flatMap(([path, { form }]) => (form ? [[path, form] as const] : []))),
    constraints,
    nothingKnown: closed(
      Object.fromEntries(
        groups.map((group) => [group, groupFrom(factsOf(group).map(([fact, { none }]) => [fact, none]))]),
      ),
    ) as unknown as Facts,
    read: (value: unknown) => {
      const given = members(value, groups, 'facts');
      const facts = Object.create(null) as Record<string, unknown>;
      for (const [group, readGroup] of readers) facts[group] = readGroup(given[group]);
      const broken = constraints.find((constraint) => !constraint.holds(facts as unknown as Facts));
      if (broken) throw new TypeError(`the facts contradict each other: ${broken.says}`);
      return facts as unknown as Facts;
    },
  });
}

const valuesInWords = (type: FactType): string =>
  type === 'boolean' ? 'true or false' : type === 'text' ? 'a text' : `one of ${type.join(', ')}`;

/** Copies one group; see `read` of the schema. */
function groupReader(group: string, facts: readonly (readonly [string, FactDefinition])[]): (value: unknown) => Group {
  const byOuter = new Map<string, (readonly [within: string | undefined, FactDefinition])[]>();
  for (const [name, definition] of facts) {
    const [outer = '', within] = name.split('.');
    byOuter.set(outer, [...(byOuter.get(outer) ?? []), [within, definition]]);
  }
  const names = [...byOuter.keys()];
  const checked = (path: string, { type }: FactDefinition, value: unknown): unknown => {
    if (!fits(type, value))
      throw new TypeError(`the fact ${path} is missing or of another type; it is ${valuesInWords(type)}`);
    return value;
  };
  return (value) => {
    const given = members(value, names, group);
    const copy = Object.create(null) as Record<string, unknown>;
    for (const [outer, definitions] of byOuter) {
      const [first] = definitions;
      if (first && first[0] === undefined) {
        copy[outer] = checked(`${group}.${outer}`, first[1], given[outer]);
        continue;
      }
      const path = `${group}.${outer}`;
      const inner = members(
        given[outer],
        definitions.map(([within]) => within ?? ''),
        path,
      );
      const nested = Object.create(null) as Record<string, unknown>;
      for (const [within = '', definition] of definitions)
        nested[within] = checked(`${path}.${within}`, definition, inner[within]);
      copy[outer] = nested;
    }
    return copy as Group;
  };
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
export const BUILT_IN: Schema = schemaOf(NOTHING_DECLARED);
