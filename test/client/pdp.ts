/** A server in place of the service, which does to each request what a test says, on sockets that it counts. */

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { json } from 'node:stream/consumers';

export interface Heard {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}

export type Behaviour = (heard: Heard, response: ServerResponse, socket: Socket) => unknown;

export interface Pdp {
  readonly url: string;
  /** What it was asked, since a test last emptied it. */
  readonly heard: Heard[];
  /** Connections that are open. */
  readonly sockets: ReadonlySet<Socket>;
  behave: Behaviour;
  readonly close: () => Promise<void>;
}

/** Starts one that allows everything. */
export async function startPdp(): Promise<Pdp> {
  const sockets = new Set<Socket>();
  const heard: Heard[] = [];
  const server = createServer(async (request, response) => {
    const body: unknown = request.method === 'GET' ? undefined : await json(request).catch(() => undefined);
    const one = { path: request.url ?? '', headers: request.headers, body };
    heard.push(one);
    await pdp.behave(one, response, request.socket);
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const pdp: Pdp = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard,
    sockets,
    behave: allow,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return pdp;
}

/** The answer that allows a question. */
export const grant = (question: unknown): Record<string, unknown> => {
  const { action, businessId } = question as { action: string; businessId?: string | number | null };
  return {
    Success: true,
    Code: 'OK',
    Message: 'The request is allowed.',
    Data: {
      decisionId: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
      status: 200,
      rule: 'allow-on-target',
      policy: 'sha256:5ed05654',
      apiKeyId: 'ada-main',
      userId: 'ada',
      businessId: businessId === undefined || businessId === null ? null : String(businessId),
      action,
    },
  };
};

export function reply(response: ServerResponse, body: unknown, status = 200, headers = {}): void {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
    ...headers,
  });
  response.end(text);
}

/** Allows a question, or each of a batch. */
export const allow: Behaviour = ({ path, body }, response) =>
  path === '/authorize/batch'
    ? reply(response, {
        Success: true,
        Code: 'OK',
        Message: 'Decided.',
        Data: { decisions: (body as { requests: unknown[] }).requests.map(grant) },
      })
    : reply(response, grant(body));

/** As the service fails. */
export const fail =
  (status: number, code: string, headers = {}, data?: object): Behaviour =>
  (_heard, response) =>
    reply(
      response,
      { Success: false, Code: code, Message: 'It failed.', ...(data && { Data: data }) },
      status,
      headers,
    );
