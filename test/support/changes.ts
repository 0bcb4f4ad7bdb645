/** Writes to the change feed on behalf of a test that changed tables directly. */

import type { Knex } from 'knex';

/** Makes every process flush its caches: a change `*`. It is what docs/database.md tells operators to run. */
export const forgetEverything = (db: Knex): Promise<unknown> =>
  db.raw(`select authz_record_change('[]', '[{"kind": "*", "id": ""}]')`);
