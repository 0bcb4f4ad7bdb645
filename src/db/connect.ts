/** Connections to PostgreSQL, and what their failures mean. */

import knex, { type Knex } from 'knex';
import pg from 'pg';
import { Failure } from '../errors.ts';

interface Options {
  readonly url: string;
  readonly poolSize: number;
  /** How long a statement, and the wait for a connection, may take; unset: no limit on statements (migrations, imports). */
  readonly limitMs?: number;
}

const UNLIMITED_ACQUIRE_MS = 30_000;
const CONNECT_MS = 2000;
const ignore = (): void => undefined;

/** A pool of connections. Nothing connects before it is needed. */
export function connect({ url, poolSize, limitMs }: Options): Knex {
  // INVARIANT: an insert that has been answered has been flushed, even where the database's own default says otherwise.
  const settings = ['-c synchronous_commit=on', `-c statement_timeout=${limitMs ?? 0}`];
  const own = new URL(url).searchParams.get('options');
  return knex({
    client: 'pg',
    connection: {
      connectionString: url,
      application_name: 'iqra-authz',
      options: [...(own ? [own] : []), ...settings].join(' '),
      connectionTimeoutMillis: CONNECT_MS,
      keepAlive: true,
    },
    pool: {
      min: 0,
      max: poolSize,
      idleTimeoutMillis: 30_000,
      createTimeoutMillis: CONNECT_MS,
      createRetryIntervalMillis: 50,
    },
    acquireConnectionTimeout: limitMs ?? UNLIMITED_ACQUIRE_MS,
    // Otherwise an error's message quotes the values of the statement that failed.
    compileSqlOnError: false,
    // What fails is thrown; knex would print it besides, past our log.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
}

const QUERY_CANCELED = '57014';

/** What a failed statement means to who asked: too late, or not to be had. The error itself becomes the cause. */
export function databaseFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const late =
    cause instanceof knex.KnexTimeoutError || (cause instanceof pg.DatabaseError && cause.code === QUERY_CANCELED);
  return new Failure(late ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE', undefined, { cause });
}
