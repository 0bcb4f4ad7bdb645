/** What the lists of the directory share: their failures, and how a PUT comes to its row. */

import type { Knex } from 'knex';
import { Failure } from '../errors.ts';

export const notFound = (kind: string, id: string): Failure =>
  new Failure('NOT_FOUND', `There is no ${kind} ${id}. Look for its id in the list.`);

/**
 * The row at `place`, locked; made with `rest` when there is none. Of two who make it at once, the second waits for the
 * first and then finds it; what is deleted just before it could be locked is made anew.
 */
export async function findOrMake<Row extends object>(
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
