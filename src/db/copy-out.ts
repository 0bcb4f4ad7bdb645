/** Streams a query's rows by COPY TO STDOUT with backpressure: the fastest way out of PostgreSQL. As text in batches, or as its binary format. */

import { StringDecoder } from 'node:string_decoder';
import type { Knex } from 'knex';
import type { ClientBase } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import { databaseFailure } from './failure.ts';
import { inTransaction } from './session.ts';

/** The text of each column, as PostgreSQL prints it; null for NULL. */
export type TextRow = readonly (string | null)[];

/**
 * Runs a query and yields its rows in batches of some hundreds, in constant memory. A consumer that stops early costs the
 * connection, since a COPY cannot be cancelled on it.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* copyOut(db: Knex, query: Knex.Raw | Knex.QueryBuilder): AsyncGenerator<TextRow[]> {
  const decoder = new StringDecoder('utf8');
  let rest = '';
  for await (const chunk of chunksOf(db, query, 'text')) {
    const lines = (rest + decoder.write(chunk)).split('\n');
    rest = lines.pop() ?? '';
    if (lines.length > 0) yield lines.map(fieldsOf);
  }
}

/** As copyOut, but yields the bytes of the binary format, cut anywhere. */
export const copyOutBinary = (db: Knex, query: Knex.Raw | Knex.QueryBuilder): AsyncGenerator<Buffer> =>
  chunksOf(db, query, 'binary');

async function* chunksOf(db: Knex, query: Knex.Raw | Knex.QueryBuilder, format: string): AsyncGenerator<Buffer> {
  const client = (await db.client.acquireConnection().catch((error: unknown) => {
    throw databaseFailure(error);
  })) as ClientBase & { __knex__disposed?: Error };
  let finished = false;
  try {
    // A transaction begins with the settings that the texts depend on (session.ts); that of the caller has them already.
    const own = !inTransaction(client);
    if (own) await client.query('begin');
    // COPY takes no bind parameters: `toQuery` puts them into the SQL as escaped literals.
    yield* client.query(copyTo(`copy (${query.toQuery()}) to stdout (format ${format})`)) as AsyncIterable<Buffer>;
    if (own) await client.query('commit');
    finished = true;
  } catch (error) {
    throw databaseFailure(error);
  } finally {
    if (!finished) client.__knex__disposed = new Error('the consumer of a COPY stopped before its end');
    await db.client.releaseConnection(client);
  }
}

const fieldsOf = (line: string): TextRow => line.split('\t').map(fieldOf);

function fieldOf(text: string): string | null {
  if (!text.includes('\\')) return text;
  return text === '\\N' ? null : text.replace(/\\(.)/g, (_, character: string) => ESCAPES[character] ?? character);
}

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };
