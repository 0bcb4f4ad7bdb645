/** A single connection outside every pool, for LISTEN and for polls that must not queue behind other queries. */

import { connectionTo } from './connect.ts';
import { isPooled, openSession } from './session.ts';

export interface ListenConnection {
  /** Behind a pooler, where LISTEN hears nothing, and burdens a connection of others. */
  readonly pooled: boolean;
  /** The rows. @throws what PostgreSQL or the connection throws, or an Error once it takes longer than `limitMs`. */
  readonly query: <Row extends object>(text: string, values?: readonly unknown[]) => Promise<Row[]>;
  /** Destroys the socket at once; a query in flight rejects. Idempotent. */
  readonly drop: () => void;
}

interface Options {
  readonly url: string;
  /** application_name, as pg_stat_activity shows it. */
  readonly name: string;
  /** Milliseconds that a statement may take: the server's statement_timeout and the client's. */
  readonly limitMs: number;
  /** Called with the payload of each NOTIFY on a channel that was listened on. */
  readonly onNotification: (payload: string) => void;
  /** Called once, when the connection is lost or dropped. */
  readonly onEnd: () => void;
}

/** @throws what connecting throws */
export async function openListenConnection({
  url,
  name,
  limitMs,
  onNotification,
  onEnd,
}: Options): Promise<ListenConnection> {
  const settings = {
    ...connectionTo(url),
    application_name: name,
    // The client's own timeout, for a server that no longer answers and so cannot enforce statement_timeout.
    query_timeout: limitMs,
  };
  const client = await openSession(settings, limitMs);
  const { stream } = client.connection;
  client.on('notification', ({ payload = '' }) => onNotification(payload));
  client.once('end', onEnd);
  return {
    pooled: isPooled(client),
    query: async <Row extends object>(text: string, values: readonly unknown[] = []) =>
      (await client.query<Row>(text, [...values])).rows,
    drop: () => void stream.destroy(),
  };
}
