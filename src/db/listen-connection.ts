/** One connection that is held for its own sake, apart from every pool: it can listen, and waits behind nobody. */

import pg from 'pg';
import { connectionTo } from './connect.ts';

export interface Session {
  /** The rows. @throws what PostgreSQL or the connection throws, or once it takes longer than the session's limit. */
  readonly query: <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
  /** Hangs up at once, whatever is under way. Idempotent. */
  readonly drop: () => void;
}

interface Options {
  readonly url: string;
  /** Tells the connection from those of the pools, in pg_stat_activity. */
  readonly name: string;
  /** Milliseconds that a statement may take. */
  readonly limitMs: number;
  /** What is announced on a channel that the session listens on. */
  readonly onNotification: (payload: string) => void;
  /** Told once, when the connection is lost or dropped. */
  readonly onEnd: () => void;
}

/** @throws what connecting throws. */
export async function openSession({ url, name, limitMs, onNotification, onEnd }: Options): Promise<Session> {
  const client = new pg.Client({
    ...connectionTo(url, limitMs),
    application_name: name,
    // Where the server does not end a statement at its limit, it is the connection that is lost.
    query_timeout: limitMs,
  });
  const { stream } = (client as pg.Client & { connection: pg.Connection }).connection;
  // The failed statement or the end tells it too.
  client.on('error', () => undefined);
  client.on('notification', ({ payload = '' }) => onNotification(payload));
  client.once('end', onEnd);
  try {
    await client.connect();
  } catch (error) {
    stream.destroy();
    throw error;
  }
  return {
    query: async <Row extends object>(text: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(text, [...values])).rows,
    drop: () => void stream.destroy(),
  };
}
