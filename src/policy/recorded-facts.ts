/**
 * Reads facts that an older version of this program wrote: in a record of the decision log, or in a policy case. A fact that
 * was added since takes its declared default, so that old records replay and old cases keep their meaning.
 */

import { type Facts, type FactTable, versionOf } from './facts.ts';
import type { Schema } from './schema.ts';

type Groups = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

export interface RecordedFacts {
  readonly facts: Facts;
  /** The paths of the facts that came later, such as `r.key.environment`: their values are the defaults. */
  readonly assumed: readonly string[];
}

/**
 * The facts of a record that was made under `version` of them.
 * @throws TypeError: the version is newer than this program's, or the record does not hold exactly the facts of its version
 */
export function readRecordedFacts(value: unknown, version: number, { table, read }: Schema): RecordedFacts {
  const newest = versionOf(table);
  if (!Number.isInteger(version) || version < 1 || version > newest) {
    throw new TypeError(`its facts are of version ${version}, and this authz knows up to ${newest}; upgrade it`);
  }
  const { groups, assumed, early } = addDefaults(value, version, table);
  // An early fact can only have been written in afterwards: taking it would let whoever did so choose the decision.
  if (early[0] !== undefined) throw new TypeError(`version ${version} of the facts has no ${early[0]}`);
  return { facts: read(groups), assumed };
}

/**
 * Facts that a person wrote down, in a policy case or for an explanation. Each fact that came after version 1 may be left out
 * and then has its default, so that what was written before it keeps its meaning.
 * @throws TypeError: they lack a fact of version 1, or hold what is no fact
 */
export const readWrittenFacts = (value: unknown, { table, read }: Schema): Facts =>
  read(addDefaults(value, 1, table).groups);

/** The facts that came after `version`. */
const laterFacts = (version: number, table: FactTable) =>
  Object.entries(table).flatMap(([group, facts]) =>
    Object.entries(facts).flatMap(([fact, { since, none }]) =>
      since > version ? [{ group, fact, none, path: `r.${group}.${fact}` }] : [],
    ),
  );

/** The paths of the facts that came after `version`. */
export const factsSince = (version: number, { table }: Pick<Schema, 'table'>): string[] =>
  laterFacts(version, table).map(({ path }) => path);

interface Completed {
  readonly groups: Groups;
  /** Paths of the facts that were added. */
  readonly assumed: readonly string[];
  /** Paths of the facts that came after the version, but are present. */
  readonly early: readonly string[];
}

/** Adds each fact that came after `version` and is not there; all else stays, for `read` of the schema to check. */
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

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
