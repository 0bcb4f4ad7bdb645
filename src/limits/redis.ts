/**
 * Counts rate limits in Redis or Valkey, for several processes together, in one round trip for all that is counted in a turn of the
 * event loop. A circuit breaker with a timeout: a round trip that fails or is late opens it, and a probe every half second closes it,
 * so a Redis that hangs or is slow costs the requests under way one timeout, and none of them an error.
 */

import { Redis } from 'ioredis';
import type { Log } from '../log.ts';
import type { Count } from './memory.ts';

export interface RedisCounter {
  /** As AddLocally, the window in whole seconds; undefined while Redis is unavailable. Never rejects. */
  readonly add: (name: string, points: number, windowSeconds: number) => Promise<Count | undefined>;
  /** Whether the last round trip, of additions or a probe, succeeded. */
  readonly up: () => boolean;
  readonly close: () => void;
}

export interface RedisOptions {
  /** May hold a password: pass it to the client only, never to a log or an error. */
  readonly url: string;
  /** The timeout of a round trip, in milliseconds. */
  readonly waitMs: number;
}

/** Between two probes of an unavailable Redis, and the longest wait between two reconnections. */
const PAUSE_MS = 500;
const CONNECT_MS = 1000;
/** The socket timeout: a connection without an answer for so long is replaced, since its peer may be dead. */
const SILENT_MS = 1000;
const GOODBYE_MS = 250;
/** The least time between two log lines about an unavailable Redis. */
const REPEAT_MS = 60_000;
/** The window that probes count in. Those of keys have a colon in their names. */
const PROBE = 'probe';
const PREFIX = 'iqra-authz:limit:';
/** Additions that one script makes: Redis serves nobody else while it runs, a microsecond or two for each. */
const MOST = 500;

/**
 * For each key and its points and seconds in ARGV: adds, and returns the total and the milliseconds until the window ends. A key without an
 * end gets one: it is new, and begins its window; or somebody else has taken its end away.
 */
const ADD_ALL = `
  local counts = {}
  for n, key in ipairs(KEYS) do
    local points, seconds = ARGV[2 * n - 1], ARGV[2 * n]
    counts[2 * n - 1] = redis.call('INCRBY', key, points)
    local left = redis.call('PTTL', key)
    if left == -1 then
      redis.call('EXPIRE', key, seconds)
      left = 1000 * seconds
    end
    counts[2 * n] = left
  end
  return counts`;

interface Addition {
  readonly name: string;
  readonly points: number;
  readonly seconds: number;
}

interface Waiting extends Addition {
  readonly resolve: (count: Count | undefined) => void;
}

/** A Redis client with ADD_ALL as a command: the number of keys, the keys, and the points and seconds of each. */
type Client = Redis & { readonly addAll: (keys: number, ...rest: (string | number)[]) => Promise<unknown> };

const ignore = (): void => undefined;

function clientOf(url: string): Client {
  const client = new Redis(url, {
    lazyConnect: true,
    connectionName: 'iqra-authz',
    // RESP2, which every server and proxy speaks.
    protocol: 2,
    disableClientInfo: true,
    // `probe` finds out whether it can be used.
    enableReadyCheck: false,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    disconnectTimeout: GOODBYE_MS,
    retryStrategy: (attempt) => Math.min(50 * attempt, PAUSE_MS),
    // No queue and no resending: an addition that fails is counted locally, and sent later would be counted twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  // As EVALSHA, and as EVAL where the server does not know the script.
  client.defineCommand('addAll', { lua: ADD_ALL });
  return client as Client;
}

/**
 * Connects and probes once, for two seconds at most. Resolves even if Redis does not answer: a start does not depend on it.
 * One function, because additions, probes and errors of the connection share the state of the breaker.
 */
export async function redisCounter({ url, waitMs }: RedisOptions, log: Log): Promise<RedisCounter> {
  const client = clientOf(url);
  let up = false;
  let closed = false;
  let nextProbe: NodeJS.Timeout | undefined;
  let loggedAt = Number.NEGATIVE_INFINITY;
  /** The last error of the connection; its commands are rejected with a general one. */
  let connectionError: unknown;

  const addAll = async (additions: readonly Addition[]): Promise<Count[]> => {
    const keys = additions.map(({ name }) => PREFIX + name);
    const rest = additions.flatMap(({ points, seconds }) => [points, seconds]);
    return countsIn(await within(waitMs, client.addAll(keys.length, ...keys, ...rest)), keys.length);
  };
  const openBreaker = (error: unknown): void => {
    if (closed) return;
    up = false;
    nextProbe ??= setTimeout(probe, PAUSE_MS).unref();
    if (performance.now() < loggedAt + REPEAT_MS) return;
    loggedAt = performance.now();
    log.warn(
      { error: connectionError ?? error },
      'Redis cannot be used: each process counts rate limits on its own until it is back',
    );
  };
  /** Adds a point, as a decision would, so that a Redis that is read-only or slow does not pass for a usable one. */
  const probe = async (): Promise<void> => {
    nextProbe = undefined;
    try {
      await addAll([{ name: PROBE, points: 1, seconds: 1 }]);
      up = true;
      connectionError = undefined;
      log.info('Redis counts rate limits for all processes');
    } catch (error) {
      openBreaker(error);
    }
  };

  client.on('error', (error) => {
    connectionError = error;
  });
  await client.connect().catch(ignore);
  await probe();

  const waiting: Waiting[] = [];
  const send = async (additions: readonly Waiting[]): Promise<void> => {
    // Others may have failed since these were asked for.
    const counts = up ? await addAll(additions).catch(openBreaker) : undefined;
    for (const [place, { resolve }] of additions.entries()) resolve(counts?.[place]);
  };
  const sendAll = (): void => {
    while (waiting.length > 0) void send(waiting.splice(0, MOST));
  };
  return {
    add: (name, points, seconds) =>
      new Promise((resolve) => {
        if (!up) return resolve(undefined);
        if (waiting.length === 0) setImmediate(sendAll);
        waiting.push({ name, points, seconds, resolve });
      }),
    up: () => up,
    close: () => {
      closed = true;
      up = false;
      clearTimeout(nextProbe);
      client.disconnect();
    },
  };
}

/** @throws Error: it is not two whole numbers for each addition, so it did not come from the script */
function countsIn(answer: unknown, additions: number): Count[] {
  if (!Array.isArray(answer) || answer.length !== 2 * additions || !answer.every(Number.isInteger))
    throw new Error('Redis answered what the script of the limits does not');
  return Array.from({ length: additions }, (_, n) => ({ total: answer[2 * n], endsInMs: answer[2 * n + 1] }));
}

/** The outcome of the promise, or an Error after so many milliseconds. */
const within = <T>(milliseconds: number, promise: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const late = (): void => reject(new Error(`no answer within ${milliseconds} ms`));
    // If this process was blocked, the answer may wait in the socket: the poll phase reads it before the immediate runs.
    const timer = setTimeout(() => setImmediate(late), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
