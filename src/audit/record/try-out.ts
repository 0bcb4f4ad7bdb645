/** Whether a decision could be recorded now: one is written as all are, and rolled back. */

import type { Knex } from 'knex';
import { readClock } from '../../db/clock.ts';
import { lacksPartition } from '../../db/write-outcome.ts';
import { BUILT_IN } from '../../policy/schema.ts';
import { uuidsBy } from '../../uuid.ts';
import { newChain, numberBatch, sendBatch } from './batch.ts';
import type { Entry } from './entry.ts';
import { daysFrom, makePartitions } from './partitions.ts';

/** In a chain of its own, of which nothing stays. @throws what the database throws */
export async function tryToRecord(db: Knex): Promise<void> {
  const write = async (): Promise<void> => {
    const trx = await db.transaction();
    try {
      const batch = numberBatch(newChain(), [denialAt(await readClock(trx))]);
      await sendBatch(trx, batch, () => undefined);
    } finally {
      await trx.rollback();
    }
  };
  await write().catch(async (error: unknown) => {
    // As for a decision, which would make it.
    if (!lacksPartition(error)) throw error;
    await makePartitions(db, daysFrom(await readClock(db), 0));
    await write();
  });
}

const denialAt = (clock: number): Entry => ({
  id: uuidsBy()(clock),
  callerId: 'readiness',
  callerRequestId: undefined,
  traceId: undefined,
  facts: BUILT_IN.nothingKnown,
  decision: { effect: 'deny', code: 'INVALID_API_KEY', rule: 'readiness' },
  policy: '',
  // As large as a record gets: what a small one still finds room for says nothing of the next.
  context: { ip: '192.0.2.255', userAgent: 'x'.repeat(512), requestId: 'x'.repeat(128) },
  durationUs: 0,
  fingerprint: undefined,
  shadow: undefined,
});
