/**
 * Whether the view `decisions`, which is what people are shown, shows the rows of the tables and nothing else. Then what is proven of the
 * rows is proven of what is shown; else the verification reads the view.
 */

import type { Knex } from 'knex';
import { DECISIONS_VIEW } from '../../db/schema.ts';
import { COLUMN_NAMES } from '../columns.ts';

const MAY_READ = `
  select bool_and(has_table_privilege(name, 'select')) as allowed from (values ('decision_records'), ('situations')) as tables (name)`;

const ALL = COLUMN_NAMES.join(', ');

/**
 * By their plans: PostgreSQL puts the definition of a view in its place, so a view that is defined as ours was has the plan of our query, with
 * the same expression for each column. Its own text would differ from one release of PostgreSQL to the next.
 * False also where the role may read the view only.
 */
export async function isShownAsStored(db: Knex): Promise<boolean> {
  const { rows } = await db.raw<{ rows: { allowed: boolean }[] }>(MAY_READ);
  if (rows[0]?.allowed !== true) return false;
  const [shown, stored] = [await planOf(db, 'decisions'), await planOf(db, `(${DECISIONS_VIEW}) as decisions`)];
  return shown === stored;
}

async function planOf(db: Knex, from: string): Promise<string> {
  const { rows } = await db.raw<{ rows: { 'QUERY PLAN': string }[] }>(
    `explain (verbose, costs off) select ${ALL} from ${from}`,
  );
  return rows.map((row) => row['QUERY PLAN']).join('\n');
}
