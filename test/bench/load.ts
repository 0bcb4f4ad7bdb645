/**
 * The load generator, a program of its own: requests whose bytes are made beforehand, over raw sockets with keep-alive
 * and without pipelining. On two cores the generator's cost is a part of what is measured, so it does no more than it
 * must: it finds the end of each reply, and whether it is a success. autocannon takes about twice as much for each request.
 *
 * Started with a channel. Takes a `Load`, answers with its `Outcome`, and so on until it is disconnected.
 */

import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';

export interface Load {
  readonly port: number;
  readonly connections: number;
  /** The request's first line without its version, and its headers but Host and Content-Length. */
  readonly line: string;
  readonly headers: readonly string[];
  /** A file with a body a line. They are sent one after the other, and from the beginning again. */
  readonly bodies: string;
  /** The first body, and how many of them there are; unset: all. */
  readonly from?: number;
  readonly count?: number;
  /** Each body once, and then it is over. */
  readonly once?: boolean;
  /** What the body of a success begins with or holds; unset: that of an allow. */
  readonly expect?: string;
  readonly milliseconds: number;
  /** Requests a second, at even intervals; unset: as many as are answered. */
  readonly rate?: number;
}

export interface Outcome {
  /** Replies with status 200 and what is expected. */
  readonly succeeded: number;
  readonly failed: number;
  /** The beginning of the first reply that was no success. */
  readonly failure: string;
  readonly seconds: number;
  /** The generator's own time on a core, in seconds. */
  readonly cpuSeconds: number;
  /** Milliseconds, at the 50th and the 99th percentile; 0 where nothing succeeded. */
  readonly p50: number;
  readonly p99: number;
}

/** How often those that are due are sent, where there is a rate. */
const TICK_MS = 1;
const SUCCESS = Buffer.from('HTTP/1.1 200 ');
const LENGTH = Buffer.from('\r\nContent-Length: ');
const END = Buffer.from('\r\n\r\n');
const ALLOW = '{"Success":true';
/** All of a reply that has come at once; a longer one comes in parts. */
const READ_BYTES = 65_536;
/** More latencies than any run has. */
const MOST = 4_000_000;

/** The bytes of requests that were made for earlier loads: making them takes time that the next would lose. */
const prepared = new Map<string, readonly Buffer[]>();
const buffer = Buffer.allocUnsafe(READ_BYTES);
const latencies = new Float32Array(MOST);

async function run(load: Load): Promise<Outcome> {
  const requests = requestsOf(load);

  let sent = 0;
  let succeeded = 0;
  let failed = 0;
  let failure = '';
  let over = false;
  /** Moments at which requests were due that found no connection free, and what sends on the connections that are. */
  const waiting: number[] = [];
  const free: Send[] = [];
  let end: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const goesOn = (): boolean => !over && !(load.once && sent >= requests.length);
  const release = (send: Send): void => {
    const due = load.rate === undefined ? performance.now() : waiting.shift();
    if (due !== undefined && goesOn()) send(due);
    else if (free.push(send) === load.connections && !goesOn()) end();
  };

  const expected = Buffer.from(load.expect ?? ALLOW);

  const open = async (): Promise<Socket> => {
    let since = 0;
    let missing = 0;
    let good = false;
    const send = (due: number): void => {
      since = due;
      socket.write(requests[sent++ % requests.length] ?? '');
    };
    const receive = (chunk: Buffer): void => {
      if (missing === 0) {
        // A head arrives whole: it is far smaller than what any of the servers writes at once.
        const body = chunk.indexOf(END) + END.length;
        const length = chunk.indexOf(LENGTH) + LENGTH.length;
        missing = body + Number.parseInt(chunk.toString('latin1', length, length + 8), 10);
        good = SUCCESS.compare(chunk, 0, SUCCESS.length) === 0 && chunk.indexOf(expected, body) !== -1;
        if (!good && failure === '') failure = chunk.toString('utf8', 0, 2000);
      }
      missing -= chunk.length;
      if (missing > 0) return;
      if (good) latencies[succeeded++] = performance.now() - since;
      else failed += 1;
      release(send);
    };
    const socket = connect({
      port: load.port,
      host: '127.0.0.1',
      noDelay: true,
      // One buffer for all, read before the next arrives: a stream would allocate one for each chunk, and cost a third more.
      onread: {
        buffer,
        callback: (length, read) => {
          receive(Buffer.from(read.buffer, read.byteOffset, length));
          return true;
        },
      },
    });
    await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
    socket.on('error', (error) => {
      throw error;
    });
    socket.on('close', () => {
      if (goesOn()) throw new Error('the server closed a connection');
    });
    free.push(send);
    return socket;
  };

  const sockets = await Promise.all(Array.from({ length: load.connections }, open));
  const cpu = process.cpuUsage();
  const start = performance.now();
  const timeout = setTimeout(() => {
    over = true;
    if (free.length === load.connections) end();
  }, load.milliseconds);
  const ticks = load.rate === undefined ? undefined : pace(load.rate, goesOn, waiting, free);
  if (!ticks) for (const send of free.splice(0)) release(send);
  await ended;
  const seconds = (performance.now() - start) / 1000;
  clearTimeout(timeout);
  clearInterval(ticks);
  const { user, system } = process.cpuUsage(cpu);
  for (const socket of sockets) socket.removeAllListeners('close').destroy();

  const sorted = latencies.slice(0, succeeded).sort();
  const percentile = (share: number): number => sorted[Math.floor(share * (succeeded - 1))] ?? 0;
  return {
    succeeded,
    failed,
    failure,
    seconds,
    cpuSeconds: (user + system) / 1e6,
    p50: percentile(0.5),
    p99: percentile(0.99),
  };
}

function requestsOf({ line, headers, bodies, from = 0, count }: Load): readonly Buffer[] {
  const head = [`${line} HTTP/1.1`, 'Host: bench', ...headers].join('\r\n');
  const key = [head, bodies, from, count].join('\n');
  const made = prepared.get(key);
  if (made) return made;
  const lines = readFileSync(bodies, 'utf8').trimEnd().split('\n');
  const requests = lines
    .slice(from, count === undefined ? undefined : from + count)
    .map((body) => Buffer.from(`${head}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`));
  prepared.set(key, requests);
  return requests;
}

type Send = (since: number) => void;

/**
 * An open loop: what is due is sent whether or not the server keeps up, and its latency counts from when it was due; or from the tick after that,
 * where the tick is in time.
 */
function pace(rate: number, goesOn: () => boolean, waiting: number[], free: Send[]): NodeJS.Timeout {
  const start = performance.now();
  let due = 0;
  return setInterval(() => {
    const now = performance.now();
    for (; goesOn() && due < ((now - start) / 1000) * rate; due += 1) {
      const since = Math.min(now, start + (due / rate) * 1000 + TICK_MS);
      const send = free.pop();
      if (send) send(since);
      else waiting.push(since);
    }
  }, TICK_MS);
}

process.on('message', (load: Load) => {
  run(load).then(
    (outcome) => process.send?.(outcome),
    (error: Error) => {
      process.stderr.write(`${error.stack}\n`);
      process.exit(1);
    },
  );
});
