/** The HTTP server: its one or two listeners, their timeouts and limits of connections, and its graceful shutdown. */

import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
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
  /** Of ADMIN_PORT; undefined where it is unset. */
  readonly adminAddress: string | undefined;
  /**
   * Graceful shutdown: readiness fails while requests are served for DRAIN_DELAY_MS; then the server stops listening and
   * finishes the requests under way. Connections that are open after SHUTDOWN_LIMIT_MS are destroyed. Idempotent.
   */
  readonly close: () => Promise<void>;
}

/** @throws Refusal when an address cannot be listened on. */
export async function listen(service: Service, limits: Partial<typeof LIMITS> = {}): Promise<HttpServer> {
  const { HOST, PORT, ADMIN_HOST, ADMIN_PORT, DRAIN_DELAY_MS, SHUTDOWN_LIMIT_MS } = service.config;
  if (ADMIN_HOST !== undefined && ADMIN_PORT === undefined)
    throw new Refusal(
      'ADMIN_HOST is set, so ADMIN_PORT must be too: without it there is one listener, of HOST and PORT',
    );
  let phase: Phase = 'serving';
  const app = createApp(service, () => phase);
  const main = await open(service, app.main, limits, { host: HOST, port: PORT, settings: 'HOST or PORT' });
  const listeners = [main];
  if (app.admin) {
    const place = { host: ADMIN_HOST ?? HOST, port: ADMIN_PORT ?? 0, settings: 'ADMIN_HOST or ADMIN_PORT' };
    const opening = open(service, app.admin, limits, place);
    listeners.push(
      await opening.catch(async (error: unknown) => {
        await main.close(0);
        throw error;
      }),
    );
  }

  const close = async (): Promise<void> => {
    phase = 'draining';
    await sleep(DRAIN_DELAY_MS);
    phase = 'refusing';
    await Promise.all(listeners.map((listener) => listener.close(SHUTDOWN_LIMIT_MS)));
  };
  let closing: Promise<void> | undefined;
  return {
    address: main.address,
    adminAddress: listeners[1]?.address,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** Where to listen, and the settings that say so. */
interface Place {
  readonly host: string;
  readonly port: number;
  readonly settings: string;
}

interface Listener {
  readonly address: string;
  /** Stops listening, and resolves when the requests under way are answered, or cut off after so many milliseconds. */
  readonly close: (limitMs: number) => Promise<void>;
}

async function open(
  { config, log }: Service,
  app: RequestListener,
  limits: Partial<typeof LIMITS>,
  place: Place,
): Promise<Listener> {
  const { stallTimeout, ...timeouts } = { ...LIMITS, ...limits };
  // The application refuses a missing Host: Node's own answer has no body.
  const server = createServer({ ...timeouts, requireHostHeader: false });
  const [most, perAddress, trusted] = [
    config.MAX_CONNECTIONS,
    config.MAX_CONNECTIONS_PER_ADDRESS,
    config.TRUSTED_PROXIES,
  ];
  const connections = trackConnections(server, { most, perAddress, trusted, stallTimeout }, log);
  const answer = (request: IncomingMessage, response: ServerResponse): void => {
    if (connections.admits(request, response)) app(request, response);
  };
  server.on('request', answer);
  // No limit on their count, beyond which Node silently drops headers, such as a second Authorization. Their size is limited.
  server.maxHeadersCount = 0;
  server.on('checkExpectation', answer);
  server.on('clientError', (error, socket) => answerUnreadable(error, socket as Socket, connections));
  await listening(server, place);
  const { port } = server.address() as AddressInfo;
  const { host } = place;
  return {
    address: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
    close: async (limitMs) => {
      const closed = new Promise((resolve) => server.close(resolve));
      connections.closeUnused();
      const limit = setTimeout(() => server.closeAllConnections(), limitMs);
      await closed;
      clearTimeout(limit);
    },
  };
}

function listening(server: Server, { host, port, settings }: Place): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new Refusal(`cannot listen on ${host} port ${port} (${cause.message}); set ${settings} to another`, cause),
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
