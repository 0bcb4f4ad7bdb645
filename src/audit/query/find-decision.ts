/** One decision of the log, by its id. */

import type { Knex } from 'knex';
import { Failure } from '../../errors.ts';
import type { Decision } from '../../policy/decide.ts';

export interface RecordedDecision extends Decision {
  readonly id: string;
  readonly at: Date;
  /** Digest of the policy that decided. */
  readonly policy: string;
  /** As they were recorded: `readFacts` says whether they are facts. */
  readonly facts: unknown;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** @throws Failure NOT_FOUND */
export async function findDecision(db: Knex, id: string): Promise<RecordedDecision> {
  const { rows } = UUID.test(id)
    ? await db.raw<{ rows: RecordedDecision[] }>(
        'select id, at, effect, code, rule, policy, facts from decisions where id = ?',
        [id],
      )
    : { rows: [] };
  const [found] = rows;
  if (!found) throw new Failure('NOT_FOUND', `The decision log has no decision ${JSON.stringify(id)}.`);
  return found;
}
