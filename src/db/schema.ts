/**
 * Whether this code can work with the migrations that a database has: those that it ships, and those of versions that it has never heard of.
 * A migration that breaks older versions is stored with a mark that says which (migrations/index.ts), so that they can tell.
 */

import { DECISIONS, MIGRATIONS, type Migration } from '../../migrations/index.ts';

export { MIGRATIONS };

/** The query that the view `decisions` is defined as. */
export const DECISIONS_VIEW: string = DECISIONS;

export type Migrations = ReadonlyMap<string, Migration>;

/** A row of `knex_migrations`. */
export interface Applied {
  readonly name: string;
  /** Versions that know no migration of this name or a later one are broken. */
  readonly breaking: string | null;
}

/** The newest migration that this code knows, by which it tells the database and other versions what it can work with. */
export const NEWEST_MIGRATION: string = [...MIGRATIONS.keys()].at(-1) ?? '';

/** The SQLSTATE of `authz_require_fit`: the database was migrated past the version that wrote. */
const OUTDATED = 'AU003';
export const isOutdated = (error: unknown): boolean => (error as { code?: string } | null)?.code === OUTDATED;

export const UPGRADE_FIRST =
  'Deploy a version at least as new as the one that migrated the database, or point DATABASE_URL at another database';

/** Names begin with a number of three digits, so their order is that of the migrations. */
const newestOf = (migrations: Migrations): string => [...migrations.keys()].at(-1) ?? '';

/** Whether a version whose newest migration is `newest` is broken by one with this mark. */
export const breaks = (mark: string | null | undefined, newest = NEWEST_MIGRATION): boolean =>
  typeof mark === 'string' && mark > newest;

/** What stands between this code and a database. */
export interface SchemaFit {
  /** Those of ours that are not applied, in order. */
  readonly missing: readonly string[];
  /** Applied ones that are not ours. */
  readonly unknown: readonly string[];
  /** Those of the unknown that break this code. */
  readonly breaking: readonly string[];
}

export function schemaFit(applied: readonly Applied[], migrations: Migrations = MIGRATIONS): SchemaFit {
  const names = new Set(applied.map(({ name }) => name));
  const newest = newestOf(migrations);
  return {
    missing: [...migrations.keys()].filter((name) => !names.has(name)),
    unknown: applied.flatMap(({ name }) => (migrations.has(name) ? [] : [name])),
    breaking: applied.flatMap(({ name, breaking }) =>
      !migrations.has(name) && breaks(breaking, newest) ? [name] : [],
    ),
  };
}

/**
 * Whether this code serves such a database: nothing that it cannot work without is missing (what breaks older versions, and comes last, it works
 * with and without), and nothing breaks it.
 */
export const isServed = (fit: SchemaFit, migrations: Migrations = MIGRATIONS): boolean =>
  fit.breaking.length === 0 && (fit.missing.length === 0 || (fit.unknown.length === 0 && mayWait(fit, migrations)));

/** Of breaking migrations alone, behind all that is applied: until `authz migrate --contract`. */
const mayWait = ({ missing }: SchemaFit, migrations: Migrations): boolean =>
  missing.length < migrations.size && missing.every((name) => migrations.get(name)?.breaking !== null);
