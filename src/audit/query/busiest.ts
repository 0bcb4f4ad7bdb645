/** Which keys the log has seen most lately, and on which businesses: what a process that starts will probably be asked about next. */

import type { Knex } from 'knex';
import type { Pair } from '../../facts/warm.ts';

/** How far back it looks, in minutes and in records, and how many pairs it tells, so that it is little work whatever the log holds. */
const MINUTES = 10;
const RECORDS = 20_000;
const PAIRS = 5000;
/** Milliseconds that the statement may take. */
const LIMIT_MS = 1500;

// The order is that of an index, so that no more records are read than are counted.
const BUSIEST = `
  select api_key_id as "keyId", business_id as "businessId" from (
    select api_key_id, business_id from decisions
    where at > now() - interval '${MINUTES} minutes' order by at desc, id desc limit ${RECORDS}
  ) recent
  where api_key_id is not null group by 1, 2 order by count(*) desc limit ${PAIRS}`;

/** The most asked about first. @throws what the database throws */
export async function busiestPairs(db: Knex): Promise<Pair[]> {
  const { rows } = await db.transaction(async (trx) => {
    await trx.raw(`set local statement_timeout = ${LIMIT_MS}`);
    return trx.raw<{ rows: { keyId: string; businessId: string | null }[] }>(BUSIEST);
  });
  return rows.map(({ keyId, businessId }) => ({ keyId, businessId: businessId ?? undefined }));
}
