/**
 * Rows into PostgreSQL by binary COPY, between two statements, all as one transaction in one round trip: nothing of it happens, or all of it.
 *
 * The messages of all three are written at once, with one Sync at the end. Between two Syncs PostgreSQL runs everything in one implicit
 * transaction, and after an error it skips the rest, the bytes of the COPY included. It relies on what pg-copy-streams and
 * pg-cursor rely on, too: pg's `Submittable`, and the methods of its connection that send one message each.
 */

import knex, { type Knex } from 'knex';
import pg from 'pg';
import { limitOf } from './connect.ts';
import { enclosureOf, type Internals, isLostStatement, statementName } from './session.ts';

interface Statement {
  readonly text: string;
  readonly values: readonly string[];
}

/** The texts are the same in each call with the same name: each connection has them parsed once. What the statements return is dropped. */
export interface CopyIn {
  readonly name: string;
  readonly before: Statement;
  /** `copy .. from stdin (format binary)` */
  readonly copy: string;
  /** The rows in the binary format of COPY, from its signature to its trailer. */
  readonly rows: Buffer;
  readonly after: Statement;
}

type Connection = Internals & { __knex__disposed?: unknown };

/**
 * Resolves once all of it is committed; in a transaction of the caller's, once it has run. `whenSending` is called when a connection is
 * there, and may still throw.
 * @throws what the database throws; KnexTimeoutError where it does not answer
 */
export async function copyIn(db: Knex, copy: CopyIn, whenSending: () => void): Promise<void> {
  const client = (await db.client.acquireConnection()) as Connection;
  try {
    whenSending();
    await send(client, copy, !unprepared.has(db.client));
  } catch (error) {
    if (isLostStatement(error)) unprepared.add(db.client);
    throw error;
  } finally {
    await db.client.releaseConnection(client);
  }
}

/** Which copies a connection has parsed, by their names. */
const parsed = new WeakMap<Connection, Set<string>>();
/** Pools in which nothing is prepared any more. */
const unprepared = new WeakSet<object>();

function send(client: Connection, copy: CopyIn, mayPrepare: boolean): Promise<void> {
  const enclosure = enclosureOf(client);
  const known = parsed.get(client) ?? new Set();
  parsed.set(client, known);
  const lost = client.connection as pg.Connection & Wire;
  return new Promise((resolve, reject) => {
    const limitMs = limitOf(client);
    const giveUp = (): void => {
      const error = new knex.KnexTimeoutError('the database does not answer');
      client.__knex__disposed ??= error;
      lost.stream.destroy();
      reject(error);
    };
    const timer = limitMs === undefined ? undefined : setTimeout(giveUp, limitMs);
    const submittable = {
      submit: (connection: pg.Connection): void => {
        const wire = connection as pg.Connection & Wire;
        wire.stream.cork();
        for (const text of enclosure?.before ?? []) run(wire, { text, values: [] }, '', true);
        const isNamed = mayPrepare && enclosure === undefined;
        const prepare = !isNamed || !known.has(copy.name);
        const nameOf = (part: string): string => (isNamed ? statementName(`${copy.name}-${part}`) : '');
        run(wire, copy.before, nameOf('before'), prepare);
        run(wire, { text: copy.copy, values: [] }, nameOf('copy'), prepare);
        wire.sendCopyFromChunk(copy.rows);
        wire.endCopyFrom();
        run(wire, copy.after, nameOf('after'), prepare);
        if (enclosure) run(wire, { text: enclosure.after, values: [] }, '', true);
        wire.sync();
        wire.stream.uncork();
      },
      handleError: (error: unknown): void => {
        clearTimeout(timer);
        // What was parsed of it is not known any more.
        known.delete(copy.name);
        // Queued until the server is ready again. It has no transaction to end where the connection itself failed.
        if (enclosure && error instanceof pg.DatabaseError) client.query(new pg.Query('rollback', () => reject(error)));
        else reject(error);
      },
      handleReadyForQuery: (): void => {
        clearTimeout(timer);
        known.add(copy.name);
        resolve();
      },
      handleCopyInResponse: ignore,
      handleRowDescription: ignore,
      handleDataRow: ignore,
      handleCommandComplete: ignore,
      handlePortalSuspended: ignore,
      handleEmptyQuery: ignore,
    };
    client.query(submittable as unknown as pg.Submittable);
  });
}

const ignore = (): void => undefined;

function run(wire: Wire, { text, values }: Statement, statement: string, prepare: boolean): void {
  if (prepare) {
    // The name may be taken: by what an attempt that failed has parsed.
    if (statement !== '') wire.close({ type: 'S', name: statement });
    wire.parse({ text, name: statement, types: [] });
  }
  wire.bind({ portal: '', statement, values });
  wire.execute({ portal: '', rows: 0 });
}

/** What pg's connection has and its types lack. */
interface Wire {
  readonly stream: { readonly cork: () => void; readonly uncork: () => void; readonly destroy: () => void };
  readonly close: (statement: { type: 'S'; name: string }) => void;
  readonly parse: (statement: { text: string; name: string; types: readonly number[] }) => void;
  readonly bind: (portal: { portal: string; statement: string; values: readonly string[] }) => void;
  readonly execute: (portal: { portal: string; rows: number }) => void;
  readonly sendCopyFromChunk: (chunk: Buffer) => void;
  readonly endCopyFrom: () => void;
  readonly sync: () => void;
}
