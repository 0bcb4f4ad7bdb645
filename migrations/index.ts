/** Every migration, in order, under the name that databases remember it by: no file extension, never changed. */

import type { Knex } from 'knex';
import * as tables from './001_tables.ts';
import * as lifecycle from './002_lifecycle.ts';
import * as decisionLog from './003_decision_log.ts';
import * as replicas from './004_replicas.ts';
import * as rollout from './005_rollout.ts';
import * as auditQueries from './006_audit_queries.ts';
import * as retention from './007_retention.ts';

export const MIGRATIONS: ReadonlyMap<string, Knex.Migration> = new Map([
  ['001_tables', tables],
  ['002_lifecycle', lifecycle],
  ['003_decision_log', decisionLog],
  ['004_replicas', replicas],
  ['005_rollout', rollout],
  ['006_audit_queries', auditQueries],
  ['007_retention', retention],
]);
