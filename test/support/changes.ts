/** What somebody writes into the change feed who has changed tables past the service. */

import type { Knex } from 'knex';

/** Every process forgets all that it knows. */
export const forgetEverything = (db: Knex): Promise<unknown> =>
  db.raw(`with number as (update change_counter set last = last + 1 returning last)
    insert into changes (seq, kind, id) select last, '*', '' from number`);
