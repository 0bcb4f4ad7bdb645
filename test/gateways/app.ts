/** The service behind a gateway: it records exactly what arrives, and answers what it is asked to. */

import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface Arrival {
  readonly method: string;
  /** The target of the request line, byte by byte. */
  readonly target: string;
  /** Names in lower case with all their values, in the order in which they came. */
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly body: string;
}

export interface App {
  readonly port: number;
  /** What has arrived since this was last asked; a request that is none is one whose method is `unreadable`. */
  readonly arrived: () => Arrival[];
  readonly close: () => Promise<void>;
}

/** What it answers, so that a test knows that it was this who answered. */
export const FROM_APP = 'from the service behind';

const ENDINGS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'HPE_INVALID_EOF_STATE']);

/** Answers 200, or the status that the header X-Answer asks for. */
export async function startApp(): Promise<App> {
  let arrivals: Arrival[] = [];
  const server = createServer({ insecureHTTPParser: true, requireHostHeader: false }, async (request, response) => {
    const arrival = await read(request);
    arrivals.push(arrival);
    const status = Number(arrival.headers.get('x-answer')?.[0] ?? 200);
    response.writeHead(status, { 'content-type': 'text/plain', ...(status === 401 && { 'www-authenticate': 'App' }) });
    response.end(FROM_APP);
  });
  server.maxHeadersCount = 0;
  server.on('clientError', ({ code = '', message }: NodeJS.ErrnoException, socket) => {
    // A connection that a gateway gives up is no request, nor one that it gives up within the body of a request.
    if (!ENDINGS.has(code)) arrivals.push({ method: 'unreadable', target: message, headers: new Map(), body: '' });
    socket.destroy();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    arrived: () => {
      const all = arrivals;
      arrivals = [];
      return all;
    },
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function read(request: IncomingMessage): Promise<Arrival> {
  const headers = new Map<string, string[]>();
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = String(request.rawHeaders[at]).toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), String(request.rawHeaders[at + 1])]);
  }
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    // A client that goes away in the middle of its body: what came until then has arrived.
  }
  return {
    method: request.method ?? '',
    target: request.url ?? '',
    headers,
    body: Buffer.concat(chunks).toString('latin1'),
  };
}
