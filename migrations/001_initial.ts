/**
 * The whole schema.
 *
 * Text that is compared or sorted is COLLATE "C": byte by byte, as the contract says of ids, whatever the locale of the
 * database. Formats and ranges are CHECKed here as well as by the schemas of the requests, so that another writer cannot
 * store what this code would not read. Moments that are shown are timestamptz(3), in the milliseconds that are shown; where
 * a moment is compared with now(), it has its microseconds, since rounding could put an end of now into the future.
 */

import type { Knex } from 'knex';
import { ADMIN_CHAIN, DROP_ADMIN_CHAIN } from './001_initial/admin-chain.ts';
import { AUDITED, DROP_AUDITED } from './001_initial/audited.ts';
import { CHANGES, DROP_CHANGES } from './001_initial/changes.ts';
import { CHECKPOINT_FUNCTIONS, DROP_CHECKPOINT_FUNCTIONS } from './001_initial/checkpoint-functions.ts';
import { DECISION_LOG, DROP_DECISION_LOG } from './001_initial/decision-log.ts';
import { DIRECTORY, DROP_DIRECTORY } from './001_initial/directory.ts';
import { DROP_FINDINGS, FINDINGS } from './001_initial/findings.ts';
import { DROP_FREEZES, FREEZES } from './001_initial/freezes.ts';
import { DROP_LOG_FUNCTIONS, LOG_FUNCTIONS } from './001_initial/log-functions.ts';
import { DROP_READS, READS } from './001_initial/reads.ts';
import { DROP_RECORD_FUNCTIONS, RECORD_FUNCTIONS } from './001_initial/record-functions.ts';
import { DROP_ROLLOUT, ROLLOUT } from './001_initial/rollout.ts';
import { DROP_SCHEMA_MARKS, SCHEMA_MARKS } from './001_initial/schema-marks.ts';

export const breaking = null;

export async function up(knex: Knex): Promise<void> {
  const { rows } = await knex.raw<{ rows: { schema: string }[] }>('select quote_ident(current_schema()) as schema');
  const schema = rows[0]?.schema ?? '';
  const parts = [SCHEMA_MARKS, DIRECTORY, FREEZES, CHANGES, ROLLOUT, DECISION_LOG, FINDINGS];
  const functions = [LOG_FUNCTIONS, RECORD_FUNCTIONS, CHECKPOINT_FUNCTIONS, ADMIN_CHAIN, READS, AUDITED].map((part) =>
    part(schema),
  );
  for (const sql of [...parts, ...functions]) await knex.schema.raw(sql);
}

export async function down(knex: Knex): Promise<void> {
  const functions = [
    DROP_AUDITED,
    DROP_READS,
    DROP_ADMIN_CHAIN,
    DROP_CHECKPOINT_FUNCTIONS,
    DROP_RECORD_FUNCTIONS,
    DROP_LOG_FUNCTIONS,
  ];
  const parts = [
    DROP_FINDINGS,
    DROP_DECISION_LOG,
    DROP_ROLLOUT,
    DROP_CHANGES,
    DROP_FREEZES,
    DROP_DIRECTORY,
    DROP_SCHEMA_MARKS,
  ];
  for (const sql of [...functions, ...parts]) await knex.schema.raw(sql);
}
