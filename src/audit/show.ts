/** One decision, and why it was taken. */

import type { Knex } from 'knex';
import type { Actor } from '../db/mutate.ts';
import { type DecisionRecord, getDecision } from './decisions.ts';
import { noteShown } from './reads.ts';

/** Explains a record under the policy of its time; null where that policy is not known. */
export type Explain = (record: DecisionRecord) => Promise<object | null>;

export interface ShownDecision extends DecisionRecord {
  readonly explanation: object | null;
}

const unexplained: Explain = async () => null;

/** @throws Failure NOT_FOUND, UNAVAILABLE or DEADLINE_EXCEEDED */
export async function showDecision(
  db: Knex,
  actor: Actor,
  id: string,
  explain: Explain = unexplained,
): Promise<ShownDecision> {
  const record = await getDecision(db, id);
  const explanation = await explain(record);
  await noteShown(db, actor, id);
  return { ...record, explanation };
}
