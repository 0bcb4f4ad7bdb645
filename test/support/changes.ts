/** Writes to the change feed on behalf of a test that changed tables directly. */

import type { Knex } from 'knex';

/** Makes every process flush its caches: a change `*`. */
export const forgetEverything = (db: Knex): Promise<unknown> =>
  db.raw(`with number as (update change_counter set last = last + 1 returning last)
    insert into changes (seq, kind, id) select last, '*', '' from number`);
