/** Takes the personal data of a user or a key out of the log; the chains stay whole, as they hold only a digest of them. */

import type { Knex } from 'knex';
import { type Actor, mutate } from '../../db/mutate.ts';

export interface Subject {
  readonly kind: 'user' | 'key';
  readonly id: string;
}

/** Their records; those that were erased before are left alone. */
const ERASE = {
  user: eraseWhere('user_id'),
  key: eraseWhere('api_key_id'),
};

function eraseWhere(column: string): string {
  return `update decision_records set ip = null, user_agent = null, personal_salt = null
    where ${column} = ? and at <= (select clock_timestamp()) and (personal_salt is not null or ip is not null or user_agent is not null)`;
}

/**
 * Sets ip, user agent and salt of all records of the subject to null, and leaves the event `audit.erase`; without any such
 * record, nothing. Needs the rights of the tables' owner.
 * @returns how many records had any
 * @throws Failure INTERNAL, UNAVAILABLE or DEADLINE_EXCEEDED: then all of it was erased or none, which is unknown (write-outcome.ts).
 */
export const erasePersonalData = (db: Knex, actor: Actor, { kind, id }: Subject): Promise<number> =>
  mutate(db, actor, async (trx) => {
    // INVARIANT: no record is erased that is younger than the event, since verification accepts none: records up to now, and the
    // event gets its time after this, by the same clock.
    const { rowCount } = await trx.raw<{ rowCount: number | null }>(ERASE[kind], [id]);
    const records = rowCount ?? 0;
    const event = { action: 'audit.erase', kind, id, after: { records } };
    return { result: records, events: records > 0 ? [event] : [], changes: [] };
  });
