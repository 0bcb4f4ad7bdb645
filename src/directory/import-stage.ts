/** Streams the entries of an import into the staging tables by one COPY, in constant memory. */

import { pipeline } from 'node:stream/promises';
import type { Knex } from 'knex';
import type { ClientBase } from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import { digestOf, hintOf, type Pepper } from '../credentials/token.ts';
import type { Entry } from './document.ts';
import { COPY_STAGED, STAGED_COLUMNS, type StagedColumn } from './import-sql.ts';

type Value = string | number | boolean | Buffer | null | undefined;
type StagedRow = { readonly part: string; readonly n: number } & { readonly [column in StagedColumn]?: Value };

/** Characters after which a piece of text is written; the last entry may exceed it. */
const CHUNK = 64 * 1024;

/** Copies the entries, as they come, into the staging tables of the transaction. */
export async function copyEntries(
  trx: Knex.Transaction,
  batches: AsyncIterable<readonly Entry[]>,
  peppers: readonly [Pepper, ...Pepper[]],
  keyOf: (id: string) => string,
): Promise<void> {
  // In a transaction knex returns the transaction's connection, and releases it with the transaction.
  const client = (await trx.client.acquireConnection()) as ClientBase;
  await pipeline(copyText(batches, peppers, keyOf), client.query(copyFrom(COPY_STAGED)));
}

async function* copyText(
  batches: AsyncIterable<readonly Entry[]>,
  peppers: readonly [Pepper, ...Pepper[]],
  keyOf: (id: string) => string,
): AsyncGenerator<string> {
  for await (const batch of batches) {
    let text = '';
    for (const entry of batch) {
      for (const row of rowsOf(entry, peppers, keyOf)) text += copyRow(row);
      if (text.length < CHUNK) continue;
      yield text;
      text = '';
    }
    if (text !== '') yield text;
  }
}

function rowsOf(
  { list, n, value }: Entry,
  peppers: readonly [Pepper, ...Pepper[]],
  keyOf: (id: string) => string,
): StagedRow[] {
  if (list === 'members') return [{ part: list, n, ...value }];
  const attributes = JSON.stringify(value.attributes);
  if (list !== 'apiKeys') {
    return [{ part: list, n, ...value, ...('rateLimit' in value ? value.rateLimit : undefined), attributes }];
  }
  // The key in clear goes no further: only its digest and hint are staged.
  const { apiKey, restrictedBusinessIds, rateLimit, ...columns } = value;
  const token = apiKey ?? keyOf(value.id);
  const given = apiKey !== undefined;
  const digests = (given ? peppers : peppers.slice(0, 1)).map((pepper) => digestOf(pepper, token));
  return [
    {
      part: list,
      n,
      ...columns,
      ...rateLimit,
      attributes,
      digest: digests[0],
      pepperId: peppers[0].id,
      hint: hintOf(token),
      given,
      restricted: restrictedBusinessIds != null,
    },
    ...(restrictedBusinessIds ?? []).map((businessId, position) => ({ part: 'restrictions', n, position, businessId })),
    // A key given in clear may be stored already, under any of the peppers.
    ...(given ? digests.map((digest) => ({ part: 'digests', n, digest })) : []),
  ];
}

/** A line in the text format of COPY. */
const copyRow = (row: StagedRow): string => `${STAGED_COLUMNS.map((column) => copyField(row[column])).join('\t')}\n`;

function copyField(value: Value): string {
  if (value == null) return '\\N';
  if (typeof value === 'string') return /[\\\t\n\r]/.test(value) ? value.replace(/[\\\t\n\r]/g, escapeOf) : value;
  return Buffer.isBuffer(value) ? `\\\\x${value.toString('hex')}` : String(value);
}

const escapeOf = (character: string): string =>
  ({ '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' })[character] ?? character;
