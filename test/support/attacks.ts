/**
 * What hostile clients do who have no token. Each attack goes on until it is aborted, on so many connections at a time; one that
 * ends is followed by another. They come to thousands of requests or connections a second: much for a service that pays for each,
 * and not so much that an attacker on the same machine takes the time that the service would need.
 */

import { setMaxListeners } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createToken } from '../../src/credentials/token.ts';

/** Attacks a service until the signal is aborted; resolves when its connections are gone. `underWay` is called once all were open. */
export type Attack = (address: string, signal: AbortSignal, underWay: () => void) => Promise<void>;

/** Between an answer and the next request of a flood; between a connection and the next one of all others. */
const FLOOD_PAUSE_MS = 2;
const PAUSE_MS = 20;

const get = (path: string, method = 'GET'): string => `${method} ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;
const post = (authorization: string, body: string): string =>
  `POST /authorize HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nContent-Type: application/json\r\n` +
  `Content-Length: ${body.length}\r\n\r\n${body}`;

/** Keeps `count` connections busy with `play`, which gets them open. */
const attack =
  (count: number, play: (socket: Socket) => void): Attack =>
  async (address, signal, underWay) => {
    let missing = count;
    const { hostname, port } = new URL(address);
    setMaxListeners(0, signal);
    const lane = async (): Promise<void> => {
      while (!signal.aborted) {
        const socket = connect(Number(port), hostname);
        const closed = new Promise((resolve) => socket.once('close', resolve));
        // A reset is what the service may do to such a client.
        socket.on('error', () => undefined);
        const end = (): void => void socket.destroy();
        signal.addEventListener('abort', end);
        socket.once('connect', () => {
          missing -= 1;
          if (missing === 0) underWay();
          play(socket);
        });
        await closed;
        signal.removeEventListener('abort', end);
        await sleep(PAUSE_MS);
      }
    };
    await Promise.all(Array.from({ length: count }, lane));
  };

/** Sends a request after each answer. */
const flood =
  (request: () => string) =>
  (socket: Socket): void => {
    socket.on('data', () => setTimeout(() => socket.write(request()), FLOOD_PAUSE_MS));
    socket.write(request());
  };

/** Sends a text byte by byte. */
const dribble =
  (text: string) =>
  (socket: Socket): void => {
    let at = 0;
    const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ''), 200);
    socket.once('close', () => clearInterval(timer));
    socket.resume();
  };

const pipeline = (path: string, method?: string) =>
  attack(2, (socket) => void socket.resume().write(get(path, method).repeat(1700)));

const question = (): string => JSON.stringify({ apiKey: createToken('apiKey'), action: 'account:read' });

/** `idle`: how many connections stay open and ask nothing more. */
export const attacks = (idle: number): Readonly<Record<string, Attack>> => ({
  'pipelined /metrics': pipeline('/metrics'),
  'pipelined /openapi.json': pipeline('/openapi.json'),
  'pipelined HEAD of /openapi.json': pipeline('/openapi.json', 'HEAD'),
  'pipelined /users': pipeline('/users?limit=1'),
  'pipelined addresses of nothing': pipeline('/nowhere'),
  'unread answers': attack(64, (socket) => void socket.pause().write(get('/openapi.json').repeat(1000))),
  'unread answers, sixteen at most': attack(64, (socket) => void socket.pause().write(get('/openapi.json').repeat(16))),
  'slow heads': attack(200, dribble(get('/healthz').replace('Host', 'X-Slow'.padEnd(8000, 'y')))),
  'slow bodies': attack(200, (socket) => {
    socket.write(post('Bearer junk', '').replace('Content-Length: 0', 'Content-Length: 16000'));
    dribble('{')(socket);
  }),
  'half-closed connections': attack(40, (socket) => void socket.pause().end(get('/openapi.json').repeat(16))),
  'idle connections': attack(idle, (socket) => void socket.resume().write(get('/healthz'))),
  'bad tokens': attack(
    8,
    flood(() => post('Bearer junk', question())),
  ),
  'made-up tokens': attack(
    8,
    flood(() => post(`Bearer ${createToken('caller')}`, question())),
  ),
  'made-up keys for tokens': attack(
    8,
    flood(() => post(`Token ${createToken('apiKey')}`, question())),
  ),
  'addresses of nothing': attack(
    8,
    flood(() => get(`/${Math.random()}`)),
  ),
  'long queries': attack(
    8,
    flood(() => get(`/healthz?${'a&'.repeat(7000)}`)),
  ),
  '/metrics': attack(
    8,
    flood(() => get('/metrics')),
  ),
  '/readyz': attack(
    8,
    flood(() => get('/readyz')),
  ),
});
