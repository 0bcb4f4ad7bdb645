/**
 * The parts of the facts that vary by themselves, once key, user and target are fixed: the role, each attribute, where the
 * address lies, which moment it is, what is asked, and whether the action is registered. Each is a list of alternatives, so that
 * an analysis can leave a part open until a rule reads it (regions.ts).
 */

import { patternsOf, unnamedWord } from '../action-patterns.ts';
import { exists } from '../declared/table.ts';
import { type FactDefinition, type Facts, type FactType, fits, type Group } from '../facts.ts';
import type { Schema } from '../schema.ts';
import { jointOf } from './joint-groups.ts';

export type Value = string | boolean;

/** A fact of a factor. Several schemas share it where it means the same in them. */
export interface Column {
  readonly path: string;
  /** How it is called in a condition: the path, or where schemas differ about what it means, the path and `@old` or `@new`. */
  readonly label: string;
  /** The indices of the schemas that it is a fact of. */
  readonly views: readonly number[];
}

export interface Alternative {
  /** In the order of the columns. */
  readonly values: readonly Value[];
  /** The action that stands for it, where it is about actions. */
  readonly action?: string;
}

export interface Factor {
  readonly columns: readonly Column[];
  /** The first is what holds where the factor does not apply. */
  readonly alternatives: readonly Alternative[];
  /** Whether it varies beside these facts; otherwise it is its first alternative. */
  readonly applies: (facts: Facts) => boolean;
}

/** The facts that are in a factor, of those that every policy has. */
export const ROLE_PATH = 'r.target.role';
export const REGISTERED_PATH = 'r.request.registered';
export const ADDRESSED_PATH = 'r.request.addressed';
const BY_ID_PATH = 'r.request.byId';
const BUILT_IN_FACTORS = [ROLE_PATH, REGISTERED_PATH, ADDRESSED_PATH, BY_ID_PATH];
/** Groups whose facts vary together. */
const TOGETHER = ['request', 'network', 'schedule'];

/** Whether a fact is part of a factor. */
export const isInFactor = (path: string, schemas: readonly Schema[]): boolean =>
  BUILT_IN_FACTORS.includes(path) || schemas.some((schema) => definitionOf(schema, path)?.since === 0);

export const definitionOf = ({ table }: Schema, path: string) => {
  const [, group = '', ...names] = path.split('.');
  return table[group]?.[names.join('.')];
};

/** What a policy sees of a fact that has a value which perhaps only another one declares: what the loader would make of it. */
export const seenAs = (path: string, { type, none }: Pick<FactDefinition, 'type' | 'none'>, value: Value): Value =>
  fits(type, value) ? value : path === ROLE_PATH ? 'other' : none;

/** The factors that `named` facts belong to, whatever the action. `named` may hold other facts, which are left out. */
export function factorsOf(schemas: readonly Schema[], named: ReadonlySet<string>): Factor[] {
  const paths = new Set(schemas.flatMap((schema) => [...schema.paths.keys()]).filter((path) => named.has(path)));
  const alone = [...paths].flatMap((path) => {
    const [, group = ''] = path.split('.');
    if (!isInFactor(path, schemas) || (TOGETHER.includes(group) && path !== BY_ID_PATH)) return [];
    return [loneFactor(path, group, schemas)];
  });
  // Many rows share the address and the moment, so regions are split by these first: by what a row has to itself, parts would multiply.
  return [...addressFactors(schemas, paths), ...scheduleFactors(schemas, paths), ...alone];
}

function loneFactor(path: string, group: string, schemas: readonly Schema[]): Factor {
  const views = viewsOf(path, schemas);
  const definitions = views.map((view) => definitionOf(schemas[view] as Schema, path) as FactDefinition);
  const given = new Set<Value>(definitions.flatMap(({ none, type }) => [none, ...valuesOf(type)]));
  const applies = appliesTo(path, group);
  const [kind, ...others] = definitions.map(({ type }) => type === 'boolean');
  if (others.every((other) => other === kind))
    return {
      columns: [{ path, label: path, views }],
      alternatives: [...given].map((value) => ({ values: [value] })),
      applies,
    };
  // What is a yes or no to one of them, and one of several values to the other: each sees what it declares.
  return {
    columns: views.map((view) => ({ path, label: labelOf(path, view), views: [view] })),
    alternatives: distinct([
      { values: definitions.map(({ none }) => none) },
      ...[...given].map((value) => ({
        values: definitions.map(({ type, none }) => (fits(type, value) ? value : none)),
      })),
    ]),
    applies,
  };
}

/** What a fact is called of which two schemas say something else. */
const labelOf = (path: string, view: number): string => `${path}@${view === 0 ? 'old' : 'new'}`;

const valuesOf = (type: FactType): readonly Value[] =>
  type === 'boolean' ? [false, true] : type === 'text' ? [] : type;

const viewsOf = (path: string, schemas: readonly Schema[]): number[] =>
  schemas.flatMap((schema, view) => (schema.paths.has(path) ? [view] : []));

/** Of a key, user or target that there is not, no attribute is known; nor has an unknown user a role. */
function appliesTo(path: string, group: string): Factor['applies'] {
  if (path === ROLE_PATH) return (facts) => exists(facts, 'target') && exists(facts, 'user');
  if (group === 'key' || group === 'user' || group === 'target') return (facts) => exists(facts, group);
  return () => true;
}

const always = (): boolean => true;

/** Distinct by their values; the first of each stays. */
function distinct(alternatives: readonly Alternative[]): Alternative[] {
  const known = new Map<string, Alternative>();
  for (const one of alternatives) {
    const key = JSON.stringify(one.values);
    if (!known.has(key)) known.set(key, one);
  }
  return [...known.values()];
}

/** In which networks an address lies, and whether there is one. */
function addressFactors(schemas: readonly Schema[], paths: ReadonlySet<string>): Factor[] {
  const wanted = [...paths].filter((path) => path === ADDRESSED_PATH || path.startsWith('r.network.'));
  if (wanted.length === 0) return [];
  const { columns, combinations } = combined(schemas, 'network', wanted, (schema) => schema.networks.groups);
  const addressed: Column = { path: ADDRESSED_PATH, label: ADDRESSED_PATH, views: schemas.map((_, view) => view) };
  return [
    {
      columns: [addressed, ...columns],
      alternatives: distinct([
        { values: [false, ...columns.map(() => false)] },
        ...[...combinations, ...fromEmptyFiles(schemas, columns, combinations)].map((values) => ({
          values: [true, ...values],
        })),
      ]),
      applies: always,
    },
  ];
}

/**
 * For each list in a file that is empty now a combination in which an address lies in it: somebody else fills it, and the policy must
 * not be refused, with a row that never matches, because there is nothing on a blocklist today.
 */
function fromEmptyFiles(
  schemas: readonly Schema[],
  columns: readonly Column[],
  combinations: readonly (readonly Value[])[],
): readonly (readonly Value[])[] {
  const isFile = ({ path, views }: Column): boolean =>
    views.some((view) =>
      schemas[view]?.declaration.networks.some(({ name, file }) => file !== undefined && path === `r.network.${name}`),
    );
  return columns.flatMap((column, at) =>
    isFile(column) && !combinations.some((values) => values[at] === true)
      ? [columns.map((_, index) => index === at)]
      : [],
  );
}

/** In which schedules a moment lies. */
function scheduleFactors(schemas: readonly Schema[], paths: ReadonlySet<string>): Factor[] {
  const wanted = [...paths].filter((path) => path.startsWith('r.schedule.'));
  if (wanted.length === 0) return [];
  const { columns, combinations } = combined(schemas, 'schedule', wanted, (schema) => schema.schedules.groups);
  return [{ columns, alternatives: distinct(combinations.map((values) => ({ values }))), applies: always }];
}

/**
 * The columns of a group of which only some combinations occur, and these. Where two schemas declare the group alike, a fact is
 * one column; otherwise it is one of each schema, since the same name may mean something else.
 */
function combined(
  schemas: readonly Schema[],
  group: 'network' | 'schedule',
  wanted: readonly string[],
  groupsOf: (schema: Schema) => readonly Group[],
): { columns: readonly Column[]; combinations: readonly (readonly Value[])[] } {
  const [older, newer] = schemas;
  const names = wanted.flatMap((path) => (path.startsWith(`r.${group}.`) ? [path.split('.')[2] ?? ''] : []));
  if (!older || !newer || older === newer) {
    const views = [...schemas.keys()];
    const columns = names.map((name) => ({ path: `r.${group}.${name}`, label: `r.${group}.${name}`, views }));
    return {
      columns,
      combinations: groupsOf(schemas[0] as Schema).map((one) => names.map((name) => one[name] === true)),
    };
  }
  const joint = jointOf(older, newer, group);
  const columns = names.flatMap((name): (Column & { readonly key: string })[] => {
    const path = `r.${group}.${name}`;
    const same = joint.same.has(name);
    if (same) return [{ path, label: path, views: [0, 1], key: `new ${name}` }];
    const [inOld, inNew] = [older.paths.has(path), newer.paths.has(path)];
    return [
      ...(inOld ? [{ path, label: inNew ? labelOf(path, 0) : path, views: [0], key: `old ${name}` }] : []),
      ...(inNew ? [{ path, label: inOld ? labelOf(path, 1) : path, views: [1], key: `new ${name}` }] : []),
    ];
  });
  return { columns, combinations: joint.groups.map((one) => columns.map(({ key }) => one[key] === true)) };
}

/** Whether a factor is the same facts, with the same values and meanings, in all of the schemas. */
export const meansTheSame = ({ columns }: Factor, schemas: readonly Schema[]): boolean =>
  columns.every(
    ({ path, label, views }) =>
      label === path &&
      views.length === schemas.length &&
      new Set(schemas.map((schema) => JSON.stringify(schema.paths.get(path)))).size === 1,
  );

/** Whether and how the actions of a class are registered: their register and groups are functions of the action. */
export function actionFactor(
  schemas: readonly Schema[],
  named: ReadonlySet<string>,
  pattern: string,
  patterns: readonly string[],
): Factor | undefined {
  const isWanted = (path: string): boolean => path === REGISTERED_PATH || path.startsWith('r.request.group.');
  const paths = new Set(schemas.flatMap((schema) => [...schema.paths.keys()].filter(isWanted)));
  const columns = [...paths].filter((path) => named.has(path)).flatMap((path) => columnsOf(path, schemas));
  if (columns.length === 0) return undefined;
  const known = new Set(schemas.flatMap(({ declaration }) => [...declaration.actions.known.keys()]));
  const word = unnamedWord([...patterns, ...known]);
  const others = pattern === '*' ? `${word}:${word}` : pattern.replace('*', word);
  // Those whose longest pattern this is.
  const here = [...known].filter((action) => patternsOf(action).find((one) => patterns.includes(one)) === pattern);
  const actions = pattern.endsWith('*') ? [others, ...here] : [pattern];
  const alternatives = actions.map((action) => {
    const said = schemas.map((schema) => new Map(schema.registrationOf(action)));
    const saysOf = ({ path, views: [view = 0] }: Column): boolean =>
      said[view]?.get(path.replace('r.request.', '')) === true;
    return { action, values: columns.map(saysOf) };
  });
  return { columns, alternatives: distinct(alternatives), applies: always };
}

function columnsOf(path: string, schemas: readonly Schema[]): Column[] {
  const views = viewsOf(path, schemas);
  const meanings = views.map((view) => meaningOf(schemas[view], path));
  if (new Set(meanings).size <= 1) return [{ path, label: path, views }];
  return views.map((view) => ({ path, label: labelOf(path, view), views: [view] }));
}

const listOf = (schema: Schema | undefined, path: string): readonly string[] =>
  (path === REGISTERED_PATH
    ? [...(schema?.declaration.actions.known.keys() ?? [])]
    : schema?.declaration.actions.groups.get(path.split('.')[3] ?? '')) ?? [];

const meaningOf = (schema: Schema | undefined, path: string): string =>
  JSON.stringify([...listOf(schema, path)].sort());
