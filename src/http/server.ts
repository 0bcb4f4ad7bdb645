/** The HTTP server: its timeouts and connection limit, and its graceful shutdown. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../errors.ts';
import { invalid } from '../input/json.ts';
import type { Service } from '../service.ts';
import { createApp } from './app.ts';
import type { Phase } from './exchange.ts';
import { failureReply } from './replies.ts';

/** Node's timeouts of a request's head, a whole request and an idle connection, in milliseconds. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1_000,
};

export interface HttpServer {
  readonly address: string;
  /**
   * Graceful shutdown: readiness fails while requests are served for DRAIN_DELAY_MS; then the server stops listening and
   * finishes the requests under way. Connections that are open after SHUTDOWN_LIMIT_MS are destroyed. Idempotent.
   */
  readonly close: () => Promise<void>;
}

/** @throws Refusal when the address cannot be listened on. */
export async function listen(service: Service, limits: Partial<typeof LIMITS> = {}): Promise<HttpServer> {
  const { HOST, PORT, MAX_CONNECTIONS, DRAIN_DELAY_MS, SHUTDOWN_LIMIT_MS } = service.config;
  let phase: Phase = 'serving';
  const answer = createApp(service, () => phase);
  // The application refuses a missing Host: Node's own answer has no body.
  const server = createServer({ ...LIMITS, ...limits, requireHostHeader: false }, answer);
  server.maxConnections = MAX_CONNECTIONS;
  // No limit on their count, beyond which Node silently drops headers, such as a second Authorization. Their size is limited.
  server.maxHeadersCount = 0;
  server.on('checkExpectation', answer);
  server.on('clientError', answerUnreadable);
  const closeUnused = trackRequests(server);
  await listening(server, HOST, PORT);
  const { port } = server.address() as AddressInfo;

  const close = async (): Promise<void> => {
    phase = 'draining';
    await sleep(DRAIN_DELAY_MS);
    phase = 'refusing';
    const closed = new Promise((resolve) => server.close(resolve));
    closeUnused();
    const limit = setTimeout(() => server.closeAllConnections(), SHUTDOWN_LIMIT_MS);
    await closed;
    clearTimeout(limit);
  };
  let closing: Promise<void> | undefined;
  return {
    address: `http://${HOST.includes(':') ? `[${HOST}]` : HOST}:${port}`,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/**
 * Tracks the requests under way on each connection, and returns a function that destroys the connections without one. Node's
 * `closeIdleConnections` leaves those that have sent nothing or half a head, and no timeout ends them while the server closes.
 */
function trackRequests(server: Server): () => void {
  const connections = new Map<Socket, { requests: number; readonly done: () => void }>();
  server.on('connection', (socket: Socket) => {
    const connection = {
      requests: 0,
      done: (): void => {
        connection.requests -= 1;
      },
    };
    connections.set(socket, connection);
    socket.once('close', () => connections.delete(socket));
  });
  server.on('request', ({ socket }, response) => {
    const connection = connections.get(socket);
    if (!connection) return;
    connection.requests += 1;
    response.on('close', connection.done);
  });
  return () => {
    for (const [socket, { requests }] of connections) if (requests === 0) socket.destroy();
  };
}

function listening(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new Refusal(`cannot listen on ${host} port ${port} (${cause.message}); set HOST or PORT to another`, cause),
      ),
    );
    server.listen(port, host, resolve);
  });
}

/** Answers a parse error or a timeout of node:http with a 400 in the shape of every body. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket): void {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(failureReply(invalid('', 'this is not a valid HTTP request, or it came too slowly')));
  const head = ['HTTP/1.1 400 Bad Request', 'Connection: close', 'Content-Type: application/json; charset=utf-8'];
  socket.end(`${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
