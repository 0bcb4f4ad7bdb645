/**
 * Every migration, in order, under the name that databases remember it by: no file extension.
 *
 * Until 1.0.0 there is one, and it is edited, never appended to. From then on each is frozen, and a change is another file.
 */

import type { Knex } from 'knex';
import * as initial from './001_initial.ts';

/** What the view `decisions` is defined as after all of them. */
export { DECISIONS } from './001_initial/decision-log.ts';

export const MIGRATIONS: ReadonlyMap<string, Knex.Migration> = new Map([['001_initial', initial]]);
