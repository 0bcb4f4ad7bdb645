/** What the service may not do to the log, retention does: as the owner of its tables. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import { Refusal } from '../../errors.ts';

const OWNS = `select pg_has_role(current_user, relowner, 'USAGE') as owns from pg_class where oid = 'decision_records'::regclass`;

/** @throws Refusal when the role of the connection does not own the log; Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function requireOwner(db: Knex): Promise<void> {
  const { rows } = await orFailure(db.raw<{ rows: { owns: boolean }[] }>(OWNS));
  if (rows[0]?.owns) return;
  throw new Refusal(
    'the role of DATABASE_URL does not own the decision log, and may not remove anything from it. Run this with the ' +
      'DATABASE_URL of the owner, the role that runs authz migrate',
  );
}
