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

const FAULTS: Readonly<Record<string, (id: string) => string>> = {
  lacking: (id) =>
    `the database has keys under the pepper ${id}, which KEY_PEPPERS does not hold, so they would all be denied as unknown. ` +
    'Add it (last, if another is current); docs/administration.md says how to retire one.',
  other: (id) =>
    `the pepper ${id} is not the one that the database knows under this id, so its keys would all be denied as unknown. ` +
    'Restore its secret in KEY_PEPPERS, or give the new one an id of its own.',
};

/**
 * Checks the peppers against the database, which stores for each id an HMAC (`proof`) that reveals a changed secret. It reads neither
 * proofs nor digests, so that an auditor may. @throws Refusal when keys or callers are stored under a pepper that is not held, or held
 *   with another secret: valid ones would be denied as unknown, or not found
 */
export async function checkPeppers(db: Knex, peppers: readonly Pepper[]): Promise<void> {
  const [ids, proofs] = [peppers.map(({ id }) => id), peppers.map(proofOf)];
  const { rows } = await db.raw<{ rows: { id: string; fault: string }[] }>(
    'select id, fault from authz_pepper_faults(?::text[], ?::bytea[])',
    [ids, proofs],
  );
  const [fault] = rows;
  if (!fault) return;
  const alike = rows.filter((row) => row.fault === fault.fault).map(({ id }) => id);
  throw new Refusal((FAULTS[fault.fault] as (id: string) => string)([...new Set(alike)].join(', ')));
}

/** As `checkPeppers`, and stores the proof of each pepper that is new. @throws Refusal, as it does */
export async function requirePeppers(db: Knex, peppers: readonly Pepper[]): Promise<void> {
  await checkPeppers(db, peppers);
  const rows = peppers.map((pepper) => ({ id: pepper.id, proof: proofOf(pepper) }));
  const { rowCount } = await db.raw<{ rowCount: number }>(
    'insert into peppers (id, proof) select * from unnest(?::text[], ?::bytea[]) on conflict (id) do nothing',
    [rows.map(({ id }) => id), rows.map(({ proof }) => proof)],
  );
  // Another process may have been first, with another secret under the id.
  if (rowCount !== peppers.length) await checkPeppers(db, peppers);
}

const proofOf = (pepper: Pepper): Buffer => digestOf(pepper, 'proof');
