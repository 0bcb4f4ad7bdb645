/** Gives records their own facts, in place of the situation that they share with others: so that a test can change those of one. */

import type { Knex } from 'knex';

export const ownFacts = (db: Knex, id?: string): Promise<unknown> =>
  db.raw(
    `update decision_records r set situation = null, policy = d.policy, facts_version = d.facts_version, facts = d.facts
     from decisions d where d.id = r.id and r.situation is not null ${id === undefined ? '' : 'and r.id = ?'}`,
    id === undefined ? [] : [id],
  );
