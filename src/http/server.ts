/** The HTTP server: its timeouts and limits of connections, and its graceful shutdown. */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Refusal } from '../errors.ts';
import { invalid } from '../input/json.ts';
import type { Service } from '../service.ts';
import { createApp } from './app.ts';
import { type Connections, trackConnections } from './connections.ts';
import type { Phase } from './exchange.ts';
import { failureReply } from './replies.ts';

/** Milliseconds: Node's timeouts of a request's head, a whole request and an idle connection; ours of an unread answer. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 15_000,
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 1_000,
  stallTimeout: 10_000,
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
  const { config, log } = service;
  const { HOST, PORT, MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, DRAIN_DELAY_MS, SHUTDOWN_LIMIT_MS } = config;
  const { stallTimeout, ...timeouts } = { ...LIMITS, ...limits };
  let phase: Phase = 'serving';
  const app = createApp(service, () => phase);
  // The application refuses a missing Host: Node's own answer has no body.
  const server = createServer({ ...timeouts, requireHostHeader: false });
  const [most, perAddress, trusted] = [MAX_CONNECTIONS, MAX_CONNECTIONS_PER_ADDRESS, config.TRUSTED_PROXIES];
  const connections = trackConnections(server, { most, perAddress, trusted, stallTimeout }, log);
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (connections.admits(request, response)) app(request, response);
  };
  server.on('request', answer);
  // No limit on their count, beyond which Node silently drops headers, such as a second Authorization. Their size is limited.
  server.maxHeadersCount = 0;
  server.on('checkExpectation', answer);
  server.on('clientError', (error, socket) => answerUnreadable(error, socket as Socket, connections));
  await listening(server, HOST, PORT);
  const { port } = server.address() as AddressInfo;

  const close = async (): Promise<void> => {
    phase = 'draining';
    await sleep(DRAIN_DELAY_MS);
    phase = 'refusing';
    const closed = new Promise((resolve) => server.close(resolve));
    connections.closeUnused();
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

/** Answers a parse error or a timeout of node:http with a 400 in the shape of every body, where no answer is due before it. */
function answerUnreadable(error: NodeJS.ErrnoException, socket: Socket, connections: Connections): void {
  if (connections.endsBehindAnswers(socket)) return;
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const body = JSON.stringify(failureReply(invalid('', 'this is not a valid HTTP request, or it came too slowly')));
  const head = ['HTTP/1.1 400 Bad Request', 'Connection: close', 'Content-Type: application/json; charset=utf-8'];
  socket.end(`${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
}
