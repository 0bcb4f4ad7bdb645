/** Connection pools to PostgreSQL, with limits on statements, on waiting, and on connections that stopped answering. */

import knex, { type Knex } from 'knex';
import { gauge, type Metric, type Sample, sampleEach } from '../metric.ts';
import { type Internals, inTransaction, openSession } from './session.ts';
import { joinShare } from './share.ts';

interface Options {
  readonly url: string;
  readonly poolSize: number;
  /** Milliseconds that a statement, and the wait for a connection, may take; unset: statements have no limit (migrations, imports). */
  readonly limitMs?: number;
  /** Connections that stay while others are needed elsewhere: those that no decision can do without. */
  readonly keep?: number;
  /** A statement has one process of the server, however large it is: so many cannot take the cores from those that are waited for. */
  readonly oneCore?: boolean;
}

const UNLIMITED_ACQUIRE_MS = 30_000;
const CONNECT_MS = 2000;
/** How long after statement_timeout a connection that has not answered counts as lost. */
const LOST_MS = 250;
/** How long the server has to close its side after our Terminate message, before the socket is destroyed. */
const TERMINATE_MS = 500;
const ignore = (): void => undefined;

/** Fields of pg and knex that their types do not declare. */
type Connection = Internals & { __knex__disposed?: unknown };

/** By connection: how long it may be silent before it counts as lost, where there is a limit. */
const limits = new WeakMap<Internals, number>();

/** Milliseconds after which a connection that has not answered counts as lost; undefined: none. For statements that go past knex. */
export const limitOf = (client: Internals): number | undefined => limits.get(client);

const idleConnections = (pool: { readonly free: readonly { readonly resource: Connection }[] }): Connection[] =>
  pool.free.map(({ resource }) => resource);

/** pg's connection settings for `url`. */
export const connectionTo = (url: string) => ({
  connectionString: url,
  application_name: 'iqra-authz',
  connectionTimeoutMillis: CONNECT_MS,
  keepAlive: true,
});

/** A pool of connections. Nothing connects before it is needed. */
export function connect({ url, poolSize, limitMs, keep = 0, oneCore = false }: Options): Knex {
  const own = oneCore ? { max_parallel_workers_per_gather: '0' } : {};
  const db = knex({
    client: 'pg',
    connection: connectionTo(url),
    // Of no use to what we ask of knex; without it, each pool would ask for it.
    version: '15',
    pool: {
      min: 0,
      max: poolSize,
      idleTimeoutMillis: 30_000,
      // A connection stays with the server that it began with: after a failover, one that was replaced or is read-only.
      maxConnectionLifetimeMillis: 60_000,
      maxConnectionLifetimeJitterMillis: 30_000,
      createTimeoutMillis: CONNECT_MS,
      createRetryIntervalMillis: 50,
    },
    acquireConnectionTimeout: limitMs ?? UNLIMITED_ACQUIRE_MS,
    // True would put the values of a failed statement, secrets included, into the error's message.
    compileSqlOnError: false,
    // Errors are thrown; knex would also print them to the console, past our log.
    log: { warn: ignore, error: ignore, deprecate: ignore, debug: ignore },
  });
  const { pool } = db.client;
  const share = joinShare(() => {
    const idle = idleConnections(pool).filter((client) => client.__knex__disposed === undefined);
    for (const client of idle.slice(Math.max(0, keep - pool.numUsed()))) {
      client.__knex__disposed = new Error('given back');
      client.end().catch(ignore);
    }
  });
  db.client.acquireRawConnection = async (): Promise<Connection> => {
    const client = await share.open<Connection>(() => openSession(connectionTo(url), limitMs ?? 0, own));
    if (limitMs !== undefined) limits.set(client, limitMs + LOST_MS);
    client.on('error', (error) => {
      client.__knex__disposed = error;
    });
    client.on('end', () => {
      client.__knex__disposed ??= new Error('the connection ended');
    });
    return client;
  };
  // The timeout of a wait for a connection says nothing of why there is none.
  const acquire = db.client.acquireConnection.bind(db.client);
  db.client.acquireConnection = (): Promise<Connection> =>
    acquire().catch((error: Error) => {
      if (error instanceof knex.KnexTimeoutError) error.cause ??= share.lacking();
      throw error;
    });
  // Knex puts the statement in front of the message: of no use to who reads the log, and long.
  db.on('query-error', (error: Error, { sql }: { sql: string }) => {
    error.message = error.message.replace(`${sql} - `, '');
  });
  // A server that is suspended or unreachable does not answer Terminate, and the open socket would keep the process alive.
  db.client.destroyRawConnection = (client: Connection): Promise<void> => {
    setTimeout(() => client.connection.stream.destroy(), TERMINATE_MS).unref();
    return client.end();
  };
  // Knex discards the connection of a statement that it timed out itself. Only a lost connection should come to that, so its
  // timeout lies after statement_timeout: reconnecting for each late statement would keep a busy service busy.
  if (limitMs !== undefined) db.on('start', (statement: Knex.Raw) => statement.timeout(limitMs + LOST_MS));
  // Knex marks a timed-out connection as disposed but leaves its socket open until the pool next picks it. Close it now, and
  // the idle ones with it: what made one hang (a dropped route, a failover) has probably hit them all.
  pool.on('release', (client: Connection) => {
    // A transaction that could not be ended must not become the next user's.
    if (inTransaction(client)) client.__knex__disposed ??= new Error('released in a transaction');
    if (!(client.__knex__disposed instanceof knex.KnexTimeoutError)) return;
    for (const { connection } of [client, ...idleConnections(pool)]) connection.stream.destroy();
  });
  const destroy = db.client.destroy.bind(db.client);
  db.client.destroy = (...args: unknown[]): unknown => {
    share.leave();
    return destroy(...args);
  };
  return db;
}

/** Of `pools`, by name. */
export function poolMetrics(pools: Readonly<Record<string, Knex>>): Metric[] {
  const connections = (): Sample[] =>
    Object.entries(pools).flatMap(([name, { client }]): Sample[] => [
      [client.pool.numUsed(), name, 'used'],
      [client.pool.numFree(), name, 'free'],
    ]);
  const waiting = () => sampleEach(pools, ({ client }) => client.pool.numPendingAcquires());
  return [
    gauge('pool_connections', 'Connections to PostgreSQL, by pool and state.', connections, ['pool', 'state']),
    gauge('pool_waiting', 'Requests that wait for a connection to PostgreSQL, by pool.', waiting, ['pool']),
  ];
}
