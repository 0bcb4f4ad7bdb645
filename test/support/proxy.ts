/** A TCP proxy between a service and its PostgreSQL that simulates network faults. */

import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';

export interface Proxy {
  /** The database's URL through the proxy. */
  readonly url: string;
  /** Resets every connection and stops listening: connection refused. */
  readonly refuse: () => Promise<void>;
  /** Accepts connections, and drops all data on them and on existing ones, which stay broken after `heal`. */
  readonly swallow: () => void;
  /** Keeps what comes from the server until `heal` passes it on. */
  readonly hold: () => void;
  /** Bytes that are kept. */
  readonly held: () => number;
  /** Delays each chunk from the server by that many milliseconds. */
  readonly delay: (milliseconds: number) => void;
  /** Passes on `bytes` more bytes from the server, then resets the connection that carried the last of them. */
  readonly cutAfter: (bytes: number) => void;
  /** Passes on `bytes` more bytes to the server, then resets the connection that carried the last of them. */
  readonly cutSendingAfter: (bytes: number) => void;
  /** Bytes to the server since the last `cutSendingAfter` or `heal`. */
  readonly sent: () => number;
  /** Bytes from the server since the last `cutAfter` or `heal`. */
  readonly passed: () => number;
  /** Ends the fault; new connections work. */
  readonly heal: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** Where the server of a URL listens: on TCP, or on a Unix socket in the folder that stands for the host. */
export function listenerOf(databaseUrl: string): { host: string; port: number } | { path: string } {
  const { hostname, port } = new URL(databaseUrl);
  const host = decodeURIComponent(hostname);
  return host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { host, port: Number(port) };
}

/** The URL of the same database by way of a port of the loopback interface. */
export function byWayOf(port: number, databaseUrl: string): string {
  const url = new URL(databaseUrl);
  url.host = `127.0.0.1:${port}`;
  return url.href;
}

export async function startProxy(databaseUrl: string): Promise<Proxy> {
  const upstream = listenerOf(databaseUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  let delayMs = 0;
  let holding = false;
  const kept: (readonly [pair: readonly [Socket, Socket], chunk: Buffer])[] = [];
  let passed = 0;
  let cutAt = Number.POSITIVE_INFINITY;
  let sent = 0;
  let cutSendingAt = Number.POSITIVE_INFINITY;
  let swallowing = false;
  let listening: Server | undefined;

  const reset = (pair: readonly [Socket, Socket]): void => {
    pairs.delete(pair);
    const [client, server] = pair;
    client.resetAndDestroy();
    // A Unix socket has no RST.
    if (server.remoteAddress === undefined) server.destroy();
    else server.resetAndDestroy();
  };

  const accept = (client: Socket): void => {
    const server = dial({ ...upstream, noDelay: true });
    const pair = [client, server] as const;
    pairs.add(pair);
    client.setNoDelay(true);
    client.on('data', (chunk) => send(pair, chunk));
    server.on('data', (chunk) => {
      if (holding) kept.push([pair, chunk]);
      else if (delayMs > 0) setTimeout(() => pass(pair, chunk), delayMs);
      else pass(pair, chunk);
    });
    const hangUp = (): void => {
      pairs.delete(pair);
      for (const socket of pair) socket.destroy();
    };
    for (const socket of pair)
      socket
        .on('error', () => undefined)
        .on('end', hangUp)
        .on('close', hangUp);
    if (swallowing) lose(pair);
  };

  const pass = (pair: readonly [Socket, Socket], chunk: Buffer): void => {
    const [client] = pair;
    if (client.destroyed) return;
    const left = cutAt - passed;
    passed += chunk.length;
    if (chunk.length < left) client.write(chunk);
    else client.write(chunk.subarray(0, left), () => setImmediate(reset, pair));
  };

  const send = (pair: readonly [Socket, Socket], chunk: Buffer): void => {
    const [, server] = pair;
    if (server.destroyed) return;
    const left = cutSendingAt - sent;
    sent += chunk.length;
    if (chunk.length < left) server.write(chunk);
    else server.write(chunk.subarray(0, left), () => setImmediate(reset, pair));
  };

  // Data is acknowledged and discarded, and neither side learns that the other has closed.
  const lose = (pair: readonly [Socket, Socket]): void => {
    for (const socket of pair) {
      for (const event of ['data', 'end', 'close']) socket.removeAllListeners(event);
      socket.resume();
    }
  };

  const listen = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const server = createServer({ allowHalfOpen: true }, accept).once('error', reject);
      server.listen(port, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
      listening = server;
    });

  const refuse = async (): Promise<void> => {
    const server = listening;
    listening = undefined;
    const closed = new Promise((resolve) => (server ? server.close(resolve) : resolve(undefined)));
    for (const pair of pairs) reset(pair);
    await closed;
  };

  const port = await listen(0);
  return {
    url: byWayOf(port, databaseUrl),
    refuse,
    swallow: () => {
      swallowing = true;
      for (const pair of pairs) lose(pair);
    },
    hold: () => {
      holding = true;
    },
    held: () => kept.reduce((sum, [, chunk]) => sum + chunk.length, 0),
    delay: (milliseconds) => {
      delayMs = milliseconds;
    },
    cutAfter: (bytes) => {
      passed = 0;
      cutAt = bytes;
    },
    passed: () => passed,
    cutSendingAfter: (bytes) => {
      sent = 0;
      cutSendingAt = bytes;
    },
    sent: () => sent,
    heal: async () => {
      delayMs = 0;
      passed = 0;
      holding = false;
      cutAt = Number.POSITIVE_INFINITY;
      sent = 0;
      cutSendingAt = Number.POSITIVE_INFINITY;
      // Let the server see that its client is gone.
      if (swallowing) for (const [, server] of pairs) server.destroy();
      swallowing = false;
      for (const [pair, chunk] of kept.splice(0)) pass(pair, chunk);
      if (!listening) await listen(port);
    },
    close: refuse,
  };
}
