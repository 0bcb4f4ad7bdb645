/** Raw requests over a socket, for what fetch cannot send; and the assertions that hold for every refused request. */

import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect } from 'chai';
import { FAILURES, type FailureCode, type Issue } from '../../src/errors.ts';
import type { Reply, TestService } from '../support/service.ts';

export type HeaderList = readonly (readonly [name: string, value: string])[];

/** The bytes of a request, with a Host header and, when there is a body, its length. */
export function request(line: string, headers: HeaderList = [], body: string | Buffer = ''): Buffer {
  const length = Buffer.byteLength(body);
  const all: HeaderList = [
    ['Host', 'test'],
    ...headers,
    ...(length > 0 ? [['Content-Length', String(length)] as const] : []),
  ];
  const head = `${[`${line} HTTP/1.1`, ...all.map(([name, value]) => `${name}: ${value}`)].join('\r\n')}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)]);
}

/** A body as one of HTTP's chunks after the other. */
export function chunked(body: Buffer, size = 16_384): Buffer {
  const parts: Buffer[] = [];
  for (let at = 0; at < body.length; at += size) {
    const part = body.subarray(at, at + size);
    parts.push(Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\n\r\n')]);
}

/** A connection of one's own. `replies` waits for the end of the connection, however it comes. */
export interface Wire {
  readonly socket: Socket;
  readonly send: (bytes: Buffer | string) => void;
  /** All bytes so far. */
  readonly text: () => string;
  readonly replies: () => Promise<Reply[]>;
  /** What was wrong with the connection: a reset, such as one that lets a client lose the answer. */
  readonly fault: () => NodeJS.ErrnoException | undefined;
}

export async function dial(address: string): Promise<Wire> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  let fault: NodeJS.ErrnoException | undefined;
  socket.on('error', (error) => {
    fault = error;
  });
  // Not events.once, which rejects at an error, and then nobody may be waiting yet.
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await once(socket, 'connect');
  return {
    socket,
    send: (bytes) => void socket.write(bytes),
    text: () => Buffer.concat(chunks).toString(),
    replies: async () => {
      await closed;
      return parseReplies(Buffer.concat(chunks));
    },
    fault: () => fault,
  };
}

/** Sends bytes after which the service has to close the connection, and returns its answers. */
export async function exchange(address: string, bytes: Buffer | string): Promise<Reply[]> {
  const wire = await dial(address);
  wire.send(bytes);
  return wire.replies();
}

/** The one answer to a request, on a connection of its own. */
export async function askRaw(
  address: string,
  line: string,
  headers: HeaderList = [],
  body: string | Buffer = '',
): Promise<Reply> {
  const [reply, ...others] = await exchange(address, request(line, [...headers, ['Connection', 'close']], body));
  if (!reply || others.length > 0) throw new Error(`${others.length + (reply ? 1 : 0)} answers to one request`);
  return reply;
}

function parseReplies(bytes: Buffer): Reply[] {
  const replies: Reply[] = [];
  for (let rest = bytes; rest.length > 0; ) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`this is no answer: ${rest}`);
    const [first = '', ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const headers = new Headers(
      lines.map((line): [string, string] => [line.split(':')[0] ?? '', line.slice(line.indexOf(':') + 1)]),
    );
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    const length = Number(headers.get('content-length') ?? 0);
    const body = rest.subarray(end + 4, end + 4 + length).toString();
    if (status >= 200) replies.push({ status, headers, body: JSON.parse(body) as Reply['body'] });
    rest = rest.subarray(end + 4 + length);
  }
  return replies;
}

export const issuesOf = (reply: Reply): Issue[] => (reply.body.Data?.['issues'] ?? []) as Issue[];

/** A failure, in our shape, that says what to do and holds none of the `secrets`. */
export function expectFailure(reply: Reply, code: FailureCode, secrets: readonly string[] = []): void {
  const { status, body, headers } = reply;
  const said = JSON.stringify(body);
  expect({ status, Code: body.Code }, said).to.deep.equal({ status: FAILURES[code].status, Code: code });
  expect(body.Success).to.equal(false);
  expect(body.Message).to.match(/^[A-Z].{10,}\.$/);
  expect(headers.get('content-type')).to.equal('application/json; charset=utf-8');
  expect(Object.keys(body)).to.deep.equal([
    'Success',
    'Code',
    'Message',
    ...(code === 'INVALID_REQUEST' ? ['Data'] : []),
  ]);
  if (code === 'INVALID_REQUEST') {
    expect(Object.keys(body.Data ?? {})).to.deep.equal(['issues']);
    expect(issuesOf(reply)).to.not.deep.equal([]);
    for (const issue of issuesOf(reply)) {
      expect(Object.keys(issue)).to.have.members(['path', 'message']);
      expect(issue.path).to.match(/^[\w.[\]?]*$/);
      expect(issue.message).to.match(/\w{3}/);
    }
  }
  const emitted = `${said}\n${JSON.stringify([...headers])}`;
  for (const secret of secrets) expect(emitted).to.not.include(secret);
}

export const countDecisions = async ({ db }: Pick<TestService, 'db'>): Promise<number> => {
  const [row] = await db('decisions').count<{ count: string }[]>('* as count');
  return Number(row?.count);
};

/** In a `describe`: nothing that its tests do is recorded, and the service decides as ever after each of them. */
export function nothingIsRecorded(service: () => TestService): void {
  let before: number;
  beforeEach(async () => {
    before = await countDecisions(service());
  });
  afterEach(async () => {
    expect(await countDecisions(service())).to.equal(before);
    const reply = await service().ask('/authorize', { action: 'account:read' });
    expect(reply.body.Code).to.equal('INVALID_API_KEY');
  });
}
