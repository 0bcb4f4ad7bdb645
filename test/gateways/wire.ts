/** Requests to a gateway, byte by byte, and what comes back. */

import { connect } from 'node:net';

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

export interface Asked {
  readonly method?: string;
  readonly target: string;
  /** The API key of the client. */
  readonly key?: string;
  readonly headers?: readonly (readonly [name: string, value: string])[];
  readonly body?: string;
  /** Sends the body as chunks of so many bytes. */
  readonly chunks?: number;
}

/** The bytes of a request after which the connection is closed. */
export function bytesOf({ method = 'GET', target, key, headers = [], body, chunks }: Asked): string {
  const length = body === undefined || chunks ? [] : [`Content-Length: ${Buffer.byteLength(body, 'latin1')}`];
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'Host: api.example',
    'Connection: close',
    ...(key === undefined ? [] : [`Authorization: Token ${key}`]),
    ...headers.map(([name, value]) => `${name}: ${value}`),
    ...(chunks ? ['Transfer-Encoding: chunked'] : length),
  ];
  return `${lines.join('\r\n')}\r\n\r\n${chunks ? chunked(body ?? '', chunks) : (body ?? '')}`;
}

function chunked(body: string, size: number): string {
  let text = '';
  for (let at = 0; at < body.length; at += size) {
    const part = body.slice(at, at + size);
    text += `${part.length.toString(16)}\r\n${part}\r\n`;
  }
  return `${text}0\r\n\r\n`;
}

/** Sends bytes (latin1), and returns all that comes back until the other side closes, or sends nothing for so long. */
export function exchangeBytes(address: string, bytes: string, idleMs = 60_000): Promise<string> {
  const { hostname, port } = new URL(address);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes, 'latin1'));
    let text = '';
    socket.on('data', (chunk) => (text += chunk.toString('latin1')));
    socket.setTimeout(idleMs, () => socket.destroy());
    // A reset ends an answer as well as anything: a gateway that refuses bytes may not have read all of them.
    socket.on('error', () => undefined).on('close', () => resolve(text));
  });
}

/** @throws Error where what came back is not one answer */
export async function askGateway(address: string, asked: Asked): Promise<Answer> {
  const text = await exchangeBytes(address, bytesOf(asked));
  const answer = answerIn(text);
  if (!answer) throw new Error(`this is no answer: ${JSON.stringify(text)}`);
  return answer;
}

/** undefined: it is not one whole answer. */
export function answerIn(text: string): Answer | undefined {
  const end = text.indexOf('\r\n\r\n');
  const [line = '', ...lines] = text.slice(0, end).split('\r\n');
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(line)?.[1]);
  if (end < 0 || Number.isNaN(status)) return undefined;
  const headers = new Headers(
    lines.map((each): [string, string] => {
      const colon = each.indexOf(':');
      return [each.slice(0, colon), each.slice(colon + 1).trim()];
    }),
  );
  const rest = text.slice(end + 4);
  return { status, headers, body: headers.get('transfer-encoding') === 'chunked' ? unchunked(rest) : rest };
}

function unchunked(text: string): string {
  let body = '';
  for (let rest = text; ; ) {
    const [, digits = '0'] = /^([\da-f]+)\r\n/i.exec(rest) ?? [];
    const size = Number.parseInt(digits, 16);
    if (size === 0) return body;
    const from = digits.length + 2;
    body += rest.slice(from, from + size);
    rest = rest.slice(from + size + 2);
  }
}

/** As a cell of the table in docs/gateways.md: `429 RATE_LIMITED, Retry-After`. */
export function cellOf({ status, headers, body }: Answer): string {
  const json = /^application\/json\b/.test(headers.get('content-type') ?? '');
  const code = json ? ` ${(JSON.parse(body) as { Code: string }).Code}` : '';
  return `${status}${code}${headers.has('retry-after') ? ', Retry-After' : ''}`;
}
