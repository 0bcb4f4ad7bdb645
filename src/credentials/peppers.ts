/** Which peppers the stored digests were made under: a start without one of them is refused, an unused one may be retired. */

import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { Refusal } from '../errors.ts';
import { digestOf, type Pepper } from './token.ts';

export interface PepperUse {
  readonly id: string;
  readonly current: boolean;
  /** Whether KEY_PEPPERS has it. */
  readonly held: boolean;
  readonly apiKeys: number;
  readonly callers: number;
}

/** How many keys and callers are stored under each pepper, held or not. One that is not current and has none can be retired. */
export async function pepperUse(db: Knex, peppers: readonly Pepper[]): Promise<PepperUse[]> {
  const { rows } = await orFailure(
    db.raw<{ rows: { id: string; keys: number; callers: number }[] }>(
      `select pepper_id as id, (count(*) filter (where is_key))::int as keys, (count(*) filter (where not is_key))::int as callers
       from (select pepper_id, true as is_key from api_keys union all select pepper_id, false from callers) used
       group by 1`,
    ),
  );
  const ids = [...new Set([...peppers.map((pepper) => pepper.id), ...rows.map((row) => row.id).sort()])];
  return ids.map((id) => {
    const used = rows.find((row) => row.id === id);
    const held = peppers.some((pepper) => pepper.id === id);
    return { id, current: id === peppers[0]?.id, held, apiKeys: used?.keys ?? 0, callers: used?.callers ?? 0 };
  });
}

/**
 * Checks the peppers against the database, which stores for each id an HMAC (`proof`) that reveals a changed secret.
 * @throws Refusal when keys or callers are stored under a pepper that is not held, or held with another secret: valid ones
 *   would be denied as unknown.
 */
export async function requirePeppers(db: Knex, peppers: readonly Pepper[]): Promise<void> {
  const ids = peppers.map((pepper) => pepper.id);
  const { rows } = await db.raw<{ rows: { id: string }[] }>(
    `(select pepper_id as id from api_keys where pepper_id <> all (?::text[]) limit 1)
     union (select pepper_id from callers where pepper_id <> all (?::text[]) limit 1)`,
    [ids, ids],
  );
  if (rows.length > 0) {
    throw new Refusal(
      `the database has keys under the pepper ${rows.map((row) => row.id).join(', ')}, which KEY_PEPPERS does not hold, so ` +
        'they would all be denied as unknown. Add it (last, if another is current); docs/operations.md says how to retire one.',
    );
  }
  for (const pepper of peppers) {
    const proof = digestOf(pepper, 'proof');
    await db('peppers').insert({ id: pepper.id, proof }).onConflict('id').ignore();
    const known = await db('peppers').where({ id: pepper.id }).first<{ proof: Buffer }>('proof');
    if (known.proof.equals(proof)) continue;
    throw new Refusal(
      `the pepper ${pepper.id} is not the one that the database knows under this id, so its keys would all be denied ` +
        'as unknown. Restore its secret in KEY_PEPPERS, or give the new one an id of its own.',
    );
  }
}
