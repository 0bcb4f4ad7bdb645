/** One decision, and why it was taken. */

import type { Knex } from 'knex';
import type { Actor } from '../../db/mutate.ts';
import { noteShown } from '../access-log.ts';
import { type DecisionRecord, getDecision } from './decisions.ts';
import { type Account, explainRecorded } from './explain-record.ts';

export type ShownDecision = DecisionRecord & Account;

/** @throws Failure NOT_FOUND, UNAVAILABLE or DEADLINE_EXCEEDED */
export async function showDecision(db: Knex, actor: Actor, id: string): Promise<ShownDecision> {
  const record = await getDecision(db, id);
  const account = await explainRecorded(db, record);
  await noteShown(db, actor, id);
  return { ...record, ...account };
}
