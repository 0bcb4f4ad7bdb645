/**
 * Counts rate limits in Redis or Valkey, for several processes together. A circuit breaker with a timeout: an addition that
 * fails or is late opens it, and a probe every half second closes it, so a Redis that hangs or is slow costs the requests
 * under way one timeout, and none of them an error.
 */

import { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Log } from '../log.ts';
import type { Count } from './memory.ts';

export interface RedisCounter {
  /** As AddLocally, the window in whole seconds; undefined while Redis is unavailable. Never rejects. */
  readonly add: (name: string, points: number, windowSeconds: number) => Promise<Count | undefined>;
  /** Whether the last addition or probe succeeded. */
  readonly up: () => boolean;
  readonly close: () => void;
}

export interface RedisOptions {
  /** May hold a password: pass it to the client only, never to a log or an error. */
  readonly url: string;
  /** The timeout of an addition, in milliseconds. */
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

const ignore = (): void => undefined;

const clientOf = (url: string): Redis =>
  new Redis(url, {
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

/**
 * Connects and probes once, for two seconds at most. Resolves even if Redis does not answer: a start does not depend on it.
 * One function, because additions, probes and errors of the connection share the state of the breaker.
 */
export async function redisCounter({ url, waitMs }: RedisOptions, log: Log): Promise<RedisCounter> {
  const client = clientOf(url);
  const limiter = new RateLimiterRedis({
    storeClient: client,
    points: Number.MAX_SAFE_INTEGER,
    duration: 1,
    keyPrefix: 'iqra-authz:limit',
  });
  let up = false;
  let closed = false;
  let nextProbe: NodeJS.Timeout | undefined;
  let loggedAt = Number.NEGATIVE_INFINITY;
  /** The last error of the connection; its commands are rejected with a general one. */
  let connectionError: unknown;

  const consume = async (name: string, points: number, customDuration: number): Promise<Count> => {
    const { consumedPoints, msBeforeNext } = await within(waitMs, limiter.consume(name, points, { customDuration }));
    return { total: consumedPoints, endsInMs: msBeforeNext };
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
      await consume(PROBE, 1, 1);
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
  return {
    add: async (name, points, windowSeconds) => {
      if (!up) return undefined;
      try {
        return await consume(name, points, windowSeconds);
      } catch (error) {
        openBreaker(error);
        return undefined;
      }
    },
    up: () => up,
    close: () => {
      closed = true;
      up = false;
      clearTimeout(nextProbe);
      client.disconnect();
    },
  };
}

/** The outcome of the promise, or an Error after so many milliseconds. */
const within = <T>(milliseconds: number, promise: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const late = (): void => reject(new Error(`no answer within ${milliseconds} ms`));
    // If this process was blocked, the answer may wait in the socket: the poll phase reads it before the immediate runs.
    const timer = setTimeout(() => setImmediate(late), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
