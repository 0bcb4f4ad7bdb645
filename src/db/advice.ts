/** What to change where PostgreSQL refuses what every service needs of it. */

import { UPGRADE_FIRST } from './schema.ts';

/** By SQLSTATE. */
const ADVICE: Readonly<Record<string, string>> = {
  '25006':
    'the database takes no writes: DATABASE_URL must name the primary; where it does, default_transaction_read_only is on: ' +
    'reset it (alter database, role or system) once whatever set it, such as a full disk, is over',
  AU003: `the database was migrated past this version. ${UPGRADE_FIRST}`,
  '3F000': 'search_path names no schema that exists: alter database or role .. set search_path, or reset it',
  '42501': 'the role lacks a right: run deploy/roles.sql again, as the owner of the tables',
  '53100': 'the disk is full: make room, or prune old days of the log',
  '53300':
    'no connection is left for the role: raise its limit (alter role .. connection limit) or max_connections, or lower DATABASE_POOL',
};

/** Undefined where the error says enough. Looks through the causes, such as that of a Failure. */
export function adviceOn(error: unknown): string | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    const advice = ADVICE[(each as { code?: string }).code ?? ''];
    if (advice !== undefined) return advice;
  }
  return undefined;
}
