/** What a credential is called in the log: by the id of the key that it was, and by its fingerprint while it was none. */

import type { Knex } from 'knex';
import { digestOf, fingerprinter, hintOf, isToken, type Pepper } from '../../credentials/token.ts';
import { orFailure } from '../../db/failure.ts';
import { Refusal } from '../../errors.ts';
import { findIds } from '../../keys/keys.ts';
import { keyOfHeader } from '../../token-form.ts';

export interface Credential {
  readonly apiKeyIds: readonly string[];
  readonly fingerprints: readonly string[];
}

/**
 * Finds the names of a credential in clear: an API key, live, revoked or deleted, or anything else that was sent in the
 * place of one. A deleted key is known by its hint in the events of its life, whose last characters depend on all the
 * others, so that another key of the same hint is not to be expected.
 * @throws Refusal when the text is empty; Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function findCredential(db: Knex, peppers: readonly Pepper[], text: string): Promise<Credential> {
  if (text === '') throw new Refusal('standard input is empty; send the credential there, in clear');
  const key = keyOfHeader(text) ?? text;
  // `Bearer KEY` is not read as a key (keyOfHeader), so the fingerprint that was recorded for it is of the whole header.
  const sent = [...new Set([key, text, `Bearer ${key}`])];
  return {
    apiKeyIds: isToken('apiKey', key) ? await idsOf(db, peppers, key) : [],
    fingerprints: peppers.flatMap((pepper) => sent.map(fingerprinter(pepper))),
  };
}

async function idsOf(db: Knex, peppers: readonly Pepper[], key: string): Promise<string[]> {
  const digests = peppers.map((pepper) => digestOf(pepper, key));
  const live = await findIds(db, digests);
  if (live.length > 0) return live;
  const { rows } = await orFailure(
    db.raw<{ rows: { id: string }[] }>(
      `select distinct subject_id as id from admin_events
       where subject_kind = 'key' and ? in (before ->> 'hint', after ->> 'hint')
         and not exists (select from audited_keys where audited_keys.id = subject_id)`,
      [hintOf(key)],
    ),
  );
  return rows.map(({ id }) => id);
}
