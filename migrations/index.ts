/**
 * Every migration, in order, under the name that databases remember it by: no file extension.
 *
 * Until 1.0.0 there is one, and it is edited, never appended to. From then on each is frozen, and a change is another file. docs/operations.md,
 * "Upgrade", says how to make one; test/db/additive.test.ts holds what calls itself additive against what it does.
 */

import type { Knex } from 'knex';
import * as initial from './001_initial.ts';

/** What the view `decisions` is defined as after all of them. */
export { DECISIONS } from './001_initial/decision-log.ts';

export interface Migration extends Knex.Migration {
  /**
   * Null: additive. Whatever version served the database before serves it after. Otherwise the name of a migration, this one at the latest:
   * versions that do not know that one cannot work with the database after this one, and those that do can before and after it.
   */
  readonly breaking: string | null;
}

export const MIGRATIONS: ReadonlyMap<string, Migration> = new Map([['001_initial', initial]]);
