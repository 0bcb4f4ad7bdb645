/**
 * Reads facts that an older version of this program wrote: in a record of the decision log, or in a policy case. A fact that
 * was added since takes its declared default, so that old records replay and old cases keep their meaning.
 */

import { type Facts, type FactTable, fits, groupFrom, versionOf } from './facts.ts';
import type { Schema } from './schema.ts';

type Groups = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface RecordedFacts {
  readonly facts: Facts;
  /** The paths of the facts that are not in the record, such as `r.key.environment`: their values are the defaults. */
  readonly assumed: readonly string[];
}

/**
 * The facts of a record that was made under `version` of the built-in ones, by this policy or another. Of the declared facts
 * it takes what this schema declares: one that the record lacks, or whose recorded value is not declared here, has its default,
 * as if it were stored so today; one that is not declared here is left out.
 * @throws TypeError: the version is newer than this program's, or the record does not hold exactly the facts of its version
 */
export function readRecordedFacts(value: unknown, version: number, schema: Schema): RecordedFacts {
  const { table, read } = schema;
  const newest = versionOf(table);
  if (!Number.isInteger(version) || version < 1 || version > newest) {
    throw new TypeError(`its facts are of version ${version}, and this authz knows up to ${newest}; upgrade it`);
  }
  const declared = projectDeclared(value, schema);
  const { groups, assumed, early } = addDefaults(declared.groups, version, table);
  // An early fact can only have been written in afterwards: taking it would let whoever did so choose the decision.
  if (early[0] !== undefined) throw new TypeError(`version ${version} of the facts has no ${early[0]}`);
  return { facts: read(withRegistration(groups, schema)), assumed: [...declared.assumed, ...assumed] };
}

/**
 * Facts that a person wrote down, in a policy case or for an explanation. Each fact that came after version 1, and each declared
 * one, may be left out and then has its default, so that what was written before it keeps its meaning.
 * @throws TypeError: they lack a fact of version 1, or hold what is no fact
 */
export const readWrittenFacts = (value: unknown, schema: Schema): Facts => schema.read(completeFacts(value, schema));

/** Facts that a person wrote down, with each that may be left out. */
export const completeFacts = (value: unknown, schema: Schema): Groups =>
  withRegistration(addDefaults(addDeclared(value, schema), 1, schema.table).groups, schema, Object(value)['request']);

/** Groups in which `request` has what the register says of its action, but for what somebody `said` of it. */
function withRegistration(groups: Groups, schema: Schema, said?: unknown): Groups {
  const { request } = groups;
  const action = request?.['action'];
  if (!isRecord(request) || typeof action !== 'string') return groups;
  const saidAs = (name: string): unknown => {
    const [outer = '', within] = name.split('.');
    const value: unknown = Object(said)[outer];
    return within === undefined ? value : Object(value)[within];
  };
  const values = schema.registrationOf(action).map(([name, value]) => [name, saidAs(name) ?? value] as const);
  return { ...groups, request: { ...request, ...groupFrom(values) } };
}

/** The built-in facts that came after `version`. */
const laterFacts = (version: number, table: FactTable) =>
  Object.entries(table).flatMap(([group, facts]) =>
    Object.entries(facts).flatMap(([fact, { since, none }]) =>
      since > version ? [{ group, fact, none, path: `r.${group}.${fact}` }] : [],
    ),
  );

/** The paths of the built-in facts that came after `version`. */
export const factsSince = (version: number, { table }: Pick<Schema, 'table'>): string[] =>
  laterFacts(version, table).map(({ path }) => path);

interface Completed {
  readonly groups: Groups;
  /** Paths of the facts that were added. */
  readonly assumed: readonly string[];
  /** Paths of the facts that came after the version, but are present. */
  readonly early: readonly string[];
}

/** Adds each built-in fact that came after `version` and is not there; all else stays, for `read` of the schema to check. */
export function addDefaults(value: unknown, version: number, table: FactTable): Completed {
  const given = isRecord(value) ? value : {};
  const groups = { ...given } as Record<string, Record<string, unknown>>;
  const [assumed, early]: [string[], string[]] = [[], []];
  for (const { group, fact, none, path } of laterFacts(version, table)) {
    const isThere = isRecord(given[group]) && Object.hasOwn(given[group], fact);
    (isThere ? early : assumed).push(path);
    if (!isThere) groups[group] = { ...groups[group], [fact]: none };
  }
  return { groups, assumed, early };
}

/** The declared facts of a schema. */
const declaredFacts = ({ groups, factsOf }: Schema) =>
  groups.flatMap((group) =>
    factsOf(group).flatMap(([fact, { since, type, none }]) => {
      const [outer = '', within] = fact.split('.');
      return since === 0 ? [{ group, outer, within, type, none, path: `r.${group}.${fact}` }] : [];
    }),
  );

type Mutable = Record<string, Record<string, unknown>>;

/** Adds the default of each declared fact that is not there. */
function addDeclared(value: unknown, schema: Schema): Groups {
  const groups = copyOf(value);
  for (const { group, outer, within, none } of declaredFacts(schema)) {
    const target = within === undefined ? memberOf(groups, group) : memberOf(memberOf(groups, group), outer);
    const name = within ?? outer;
    if (!Object.hasOwn(target, name)) target[name] = none;
  }
  return groups;
}

/** The record with exactly the declared facts of a schema, each of a value that it declares, or the default. */
function projectDeclared(value: unknown, schema: Schema): { groups: Groups; assumed: string[] } {
  const groups = copyOf(value);
  const recorded = copyOf(value);
  const builtIn = new Set(
    schema.groups.flatMap((group) =>
      schema.factsOf(group).flatMap(([fact, { since }]) => (since > 0 ? [`${group}.${fact}`] : [])),
    ),
  );
  for (const [group, facts] of Object.entries(groups)) {
    if (!isRecord(facts)) continue;
    for (const name of Object.keys(facts)) if (!builtIn.has(`${group}.${name}`)) delete facts[name];
    if (Object.keys(facts).length === 0 && !isBuiltInGroup(group, builtIn)) delete groups[group];
  }
  const assumed: string[] = [];
  for (const { group, outer, within, type, none, path } of declaredFacts(schema)) {
    const found = within === undefined ? recorded[group]?.[outer] : Object(recorded[group]?.[outer])[within];
    const known = fits(type, found);
    if (!known) assumed.push(path);
    const target = within === undefined ? memberOf(groups, group) : memberOf(memberOf(groups, group), outer);
    target[within ?? outer] = known ? found : none;
  }
  const { role } = groups['target'] ?? {};
  const roles = schema.paths.get('r.target.role');
  if (typeof role === 'string' && roles && !fits(roles, role))
    (groups['target'] as Record<string, unknown>)['role'] = 'other';
  return { groups, assumed };
}

const isBuiltInGroup = (group: string, builtIn: ReadonlySet<string>): boolean =>
  [...builtIn].some((path) => path.startsWith(`${group}.`));

/** A group of a group, made where it is not there. */
function memberOf(groups: Record<string, unknown>, name: string): Record<string, unknown> {
  const member = groups[name];
  if (isRecord(member)) return member;
  const made: Record<string, unknown> = {};
  if (member === undefined) groups[name] = made;
  return made;
}

/** A copy of groups and of their groups, and of nothing else. */
function copyOf(value: unknown): Mutable {
  const copy = (record: unknown): unknown =>
    isRecord(record) ? Object.fromEntries(Object.entries(record).map(([name, of]) => [name, copy(of)])) : record;
  return (isRecord(value) ? copy(value) : {}) as Mutable;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
