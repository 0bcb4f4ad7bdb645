/** What users, businesses and members share: the failure NOT_FOUND, and find-or-create for a PUT. */

import type { Knex } from 'knex';
import { Failure } from '../errors.ts';

export const notFound = (kind: string, id: string): Failure =>
  new Failure('NOT_FOUND', `There is no ${kind} ${id}. Look for its id in the list.`);

/**
 * Finds and locks the row with the primary key `place`, or inserts it with `rest`. Of two concurrent inserts the second waits
 * for the first (ON CONFLICT DO NOTHING) and then finds its row; a row that is deleted between insert and lock is inserted again.
 */
export async function findOrCreate<Row extends object>(
  trx: Knex.Transaction,
  table: string,
  place: Partial<Row>,
  rest: Partial<Row> = {},
): Promise<{ row: Row; created: boolean }> {
  for (;;) {
    const insert = trx(table).insert({ ...place, ...rest });
    const [made] = (await insert.onConflict(Object.keys(place)).ignore().returning('*')) as Row[];
    if (made) return { row: made, created: true };
    const found = await trx(table).where(place).forUpdate().first<Row | undefined>();
    if (found) return { row: found, created: false };
  }
}
