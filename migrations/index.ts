/** Every migration, in order, under the name that databases remember it by: no file extension, never changed. */

import type { Knex } from 'knex';
import * as tables from './001_tables.ts';
import * as lifecycle from './002_lifecycle.ts';
import * as replicas from './004_replicas.ts';

export const MIGRATIONS: ReadonlyMap<string, Knex.Migration> = new Map([
  ['001_tables', tables],
  ['002_lifecycle', lifecycle],
  ['004_replicas', replicas],
]);
