/** Connections to PostgreSQL, and what their failures mean. */

import knex, { type Knex } from 'knex';
import pg from 'pg';
import { Failure } from '../errors.ts';

interface Options {
  readonly url: string;
  readonly poolSize: number;
  /** Milliseconds that a statement, and the wait for a connection, may take; unset: statements have no limit (migrations, imports). */
  readonly limitMs?: number;
}

const UNLIMITED_ACQUIRE_MS = 30_000;
const CONNECT_MS = 2000;
/** How long after PostgreSQL should have ended a statement its connection is taken for lost. */
const LOST_MS = 250;
/** How long the server has to hang up when we do. */
const GOODBYE_MS = 500;
const ignore = (): void => undefined;

/** What pg and knex have, and do not declare. */
type Connection = pg.Client & { readonly connection: pg.Connection; readonly __knex__disposed?: unknown };

const idle = (pool: { readonly free: readonly { readonly resource: Connection }[] }): Connection[] =>
  pool.free.map(({ resource }) => resource);

/** How to connect to `url`, with statements ended by PostgreSQL after that many milliseconds; 0: never. */
export function connectionTo(url: string, limitMs: number) {
  // INVARIANT: an insert that has been answered has been flushed, even where the database's own default says otherwise.
  const settings = ['-c synchronous_commit=on', `-c statement_timeout=${limitMs}`];
  const address = new URL(url);
  const own = address.searchParams.getAll('options');
  // pg prefers what the URL says to what it is told besides.
  if (own.length > 0) address.searchParams.delete('options');
  return {
    connectionString: own.length > 0 ? address.href : url,
    application_name: 'iqra-authz',
    options: [...own, ...settings].join(' '),
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
  };
}

/** A pool of connections. Nothing connects before it is needed. */
export function connect({ url, poolSize, limitMs }: Options): Knex {
  const db = knex({
    client: 'pg',
    connection: connectionTo(url, limitMs ?? 0),
    pool: {
      min: 0,
      max: poolSize,
      idleTimeoutMillis: 30_000,
      // A session keeps for ever what it began with: the address of a server that has been replaced, a read-only database.
      maxConnectionLifetimeMillis: 60_000,
      maxConnectionLifetimeJitterMillis: 30_000,
      createTimeoutMillis: CONNECT_MS,
      createRetryIntervalMillis: 50,
    },
    acquireConnectionTimeout: limitMs ?? UNLIMITED_ACQUIRE_MS,
    // Otherwise an error's message quotes the values of the statement that failed.
    compileSqlOnError: false,
    // What fails is thrown; knex would print it besides, past our log.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
  // A server that is suspended or cut off does not answer our goodbye, and its open socket would keep the process alive.
  db.client.destroyRawConnection = (client: Connection): Promise<void> => {
    setTimeout(() => client.connection.stream.destroy(), GOODBYE_MS).unref();
    return client.end();
  };
  // Knex throws away the connection of a statement that it has timed out. A deadline must not do that: connecting anew
  // is dearer than what it cut short, so a service that is merely busy would be kept so by that alone.
  if (limitMs !== undefined) db.on('start', (statement: Knex.Raw) => statement.timeout(limitMs + LOST_MS));
  // Knex would keep it until it comes up again, and the server its end of it. Where one is lost, the idle ones may be too.
  const { pool } = db.client;
  pool.on('release', (client: Connection) => {
    if (!(client.__knex__disposed instanceof knex.KnexTimeoutError)) return;
    for (const { connection } of [client, ...idle(pool)]) connection.stream.destroy();
  });
  return db;
}

/** Connections of a pool that are lent, that are not, and who waits for one. */
export function poolUse(db: Knex): { readonly used: number; readonly free: number; readonly waiting: number } {
  const { pool } = db.client;
  return { used: pool.numUsed(), free: pool.numFree(), waiting: pool.numPendingAcquires() };
}

const QUERY_CANCELED = '57014';

/** What a failed statement means to who asked: too late, or not to be had. The error itself becomes the cause. */
export function databaseFailure(cause: unknown): Failure {
  if (cause instanceof Failure) return cause;
  const late =
    cause instanceof knex.KnexTimeoutError || (cause instanceof pg.DatabaseError && cause.code === QUERY_CANCELED);
  return new Failure(late ? 'DEADLINE_EXCEEDED' : 'UNAVAILABLE', undefined, { cause });
}
