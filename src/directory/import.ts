/**
 * Loads a document into the directory in one transaction: its entries are staged in temporary tables, held against each
 * other and against what the database has, and then merged. What the document does not name is left as it is.
 */

import { createReadStream } from 'node:fs';
import type { Knex } from 'knex';
import { Failure, type Issue, Refusal } from '../errors.ts';
import { parseJson } from '../json.ts';
import { createToken, digestOf, hintOf, type Pepper } from '../keys/token.ts';
import { type Document, parseDocument } from './document.ts';
import { CHECKS, MERGES, STAGES } from './import-sql.ts';

const MAX_BYTES = 64 * 1024 * 1024;
const CHUNK = 5000;

export interface ImportReport {
  readonly counts: Readonly<
    Record<'users' | 'businesses' | 'members' | 'apiKeys', { created: number; changed: number; left: number }>
  >;
  /** The keys that were made here, in clear: shown this once. */
  readonly generated: readonly { readonly id: string; readonly apiKey: string }[];
}

/**
 * Imports the file, or standard input for `-`. The first of the peppers is the one that new keys are digested under.
 * @throws Refusal when the file cannot be read; Failure INVALID_REQUEST that names every bad entry; then nothing is loaded.
 */
export async function importFile(
  db: Knex,
  peppers: readonly [Pepper, ...Pepper[]],
  file: string,
): Promise<ImportReport> {
  return importDocument(db, peppers, parseDocument(parseJson(await readAtMost(file, MAX_BYTES))));
}

async function importDocument(
  db: Knex,
  peppers: readonly [Pepper, ...Pepper[]],
  document: Document,
): Promise<ImportReport> {
  const clear = document.apiKeys.map((key) => key.apiKey ?? createToken('apiKey'));
  return db.transaction(async (trx) => {
    // Writers wait until this is done, readers do not: what was checked must still hold when it is merged.
    await trx.raw(
      'lock table users, businesses, business_members, api_keys, api_key_businesses in share row exclusive mode',
    );
    await stage(trx, document, clear, peppers);
    await check(trx);
    const counts = {} as Record<keyof ImportReport['counts'], { created: number; changed: number; left: number }>;
    let created: { id: string }[] = [];
    for (const { list, change, create } of MERGES) {
      const changed = (await trx.raw<{ rows: unknown[] }>(change)).rows.length;
      created = (await trx.raw<{ rows: { id: string }[] }>(create)).rows;
      counts[list] = { created: created.length, changed, left: document[list].length - created.length - changed };
    }
    // API keys are merged last, so these are theirs.
    const isNew = new Set(created.map((row) => row.id));
    const generated = document.apiKeys.flatMap((key, index) => {
      const apiKey = clear[index];
      return isNew.has(key.id) && key.apiKey === undefined && apiKey ? [{ id: key.id, apiKey }] : [];
    });
    return { counts, generated };
  });
}

async function stage(
  trx: Knex.Transaction,
  { users, businesses, members, apiKeys }: Document,
  clear: readonly string[],
  peppers: readonly [Pepper, ...Pepper[]],
): Promise<void> {
  for (const table of Object.values(STAGES)) await trx.raw(table.create);
  const put = async (stageName: keyof typeof STAGES, rows: readonly object[]): Promise<void> => {
    for (let start = 0; start < rows.length; start += CHUNK) {
      await trx.raw(STAGES[stageName].fill, [JSON.stringify(rows.slice(start, start + CHUNK))]);
    }
  };
  const hex = (pepper: Pepper, token: string): string => `\\x${digestOf(pepper, token).toString('hex')}`;
  await put(
    'users',
    users.map((user, n) => ({ n, ...user, ...user.rateLimit })),
  );
  await put(
    'businesses',
    businesses.map((business, n) => ({ n, ...business })),
  );
  await put(
    'members',
    members.map((member, n) => ({ n, ...member })),
  );
  await put(
    'apiKeys',
    apiKeys.map((key, n) => {
      const token = clear[n] ?? '';
      const digest = { digest: hex(peppers[0], token), pepperId: peppers[0].id, hint: hintOf(token) };
      return {
        n,
        ...key,
        ...key.rateLimit,
        ...digest,
        apiKey: undefined,
        restricted: key.restrictedBusinessIds != null,
      };
    }),
  );
  await put(
    'restrictions',
    apiKeys.flatMap((key, n) =>
      (key.restrictedBusinessIds ?? []).map((businessId, position) => ({ n, position, businessId })),
    ),
  );
  // A key given in clear may be stored already, under any of the peppers.
  await put(
    'digests',
    apiKeys.flatMap(({ apiKey }, n) =>
      apiKey === undefined ? [] : peppers.map((pepper) => ({ n, digest: hex(pepper, apiKey) })),
    ),
  );
  for (const { analyze } of Object.values(STAGES)) await trx.raw(analyze);
}

async function check(trx: Knex.Transaction): Promise<void> {
  const issues: Issue[] = [];
  for (const query of CHECKS) issues.push(...(await trx.raw<{ rows: Issue[] }>(query)).rows);
  if (issues.length > 0) throw new Failure('INVALID_REQUEST', undefined, { issues });
}

async function readAtMost(file: string, maxBytes: number): Promise<Buffer> {
  const tooLarge = new Refusal(`${file} is larger than ${maxBytes / 1024 / 1024} MiB; split it into several documents`);
  try {
    const input = file === '-' ? process.stdin : createReadStream(file);
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of input as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge;
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (cause) {
    if (cause === tooLarge) throw cause;
    throw new Refusal(`${file} cannot be read (${(cause as Error).message})`, cause);
  }
}
