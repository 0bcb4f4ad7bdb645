/**
 * Counting in Redis or Valkey, for several processes together. It is asked for a bounded time and only while it is known
 * to answer: one that hangs, refuses, resets or is slow costs a few requests that time once, and no request an error.
 */

import { Redis } from 'ioredis';
import { RateLimiterRedis } from 'rate-limiter-flexible';
import type { Log } from '../log.ts';
import type { Count } from './memory.ts';

export interface RedisCounter {
  /** As AddLocally, the window in whole seconds; undefined when Redis is lost. Never rejects. */
  readonly add: (name: string, points: number, windowSeconds: number) => Promise<Count | undefined>;
  /** Whether it answered when it was last asked. */
  readonly up: () => boolean;
  readonly close: () => void;
}

export interface RedisOptions {
  /** May hold a password: it goes to the client, and nowhere else. */
  readonly url: string;
  /** Milliseconds for which it is waited for. */
  readonly waitMs: number;
}

/** How long a lost Redis is left alone before it is tried again. */
const PAUSE_MS = 500;
const CONNECT_MS = 1000;
/** A connection on which nothing comes back for so long is replaced: it may lead to a server that is gone. */
const SILENT_MS = 1000;
const GOODBYE_MS = 250;
/** While Redis is lost, the log says so this often at most, whatever the reasons. */
const REPEAT_MS = 60_000;
/** No window of a key has this name. */
const TRIAL = 'trial';

const ignore = (): void => undefined;

/** Connects, and waits until Redis has answered or failed to, for a second or two: a start does not depend on it. */
export async function redisCounter({ url, waitMs }: RedisOptions, log: Log): Promise<RedisCounter> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectionName: 'iqra-authz',
    // Understood by every server and proxy; we need nothing of the newer one.
    protocol: 2,
    disableClientInfo: true,
    // Whether it can be used is what `tryAgain` finds out.
    enableReadyCheck: false,
    connectTimeout: CONNECT_MS,
    socketTimeout: SILENT_MS,
    disconnectTimeout: GOODBYE_MS,
    retryStrategy: (attempt) => Math.min(50 * attempt, PAUSE_MS),
    // What cannot be sent now, or was cut off, is counted locally. Sent later, it would be counted twice.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
  });
  const limiter = new RateLimiterRedis({
    storeClient: client,
    points: Number.MAX_SAFE_INTEGER,
    duration: 1,
    keyPrefix: 'iqra-authz:limit',
  });
  let up = false;
  let closed = false;
  let trial: NodeJS.Timeout | undefined;
  let saidAt = Number.NEGATIVE_INFINITY;
  /** What the connection died of, which its commands are not told. */
  let diedOf: unknown;

  const ask = async (name: string, points: number, customDuration: number): Promise<Count> => {
    const { consumedPoints, msBeforeNext } = await within(waitMs, limiter.consume(name, points, { customDuration }));
    return { total: consumedPoints, endsInMs: msBeforeNext };
  };
  const lose = (error: unknown): void => {
    if (closed) return;
    up = false;
    trial ??= setTimeout(tryAgain, PAUSE_MS).unref();
    if (performance.now() < saidAt + REPEAT_MS) return;
    saidAt = performance.now();
    log.warn(
      { error: diedOf ?? error },
      'Redis cannot be used: each process counts rate limits on its own until it is back',
    );
  };
  /** Asks what a decision would ask, so that a Redis that may not be written, or is too slow, is not taken for one that is back. */
  const tryAgain = async (): Promise<void> => {
    trial = undefined;
    try {
      await ask(TRIAL, 1, 1);
      up = true;
      diedOf = undefined;
      log.info('Redis counts rate limits for all processes');
    } catch (error) {
      lose(error);
    }
  };

  client.on('error', (error) => {
    diedOf = error;
  });
  await client.connect().catch(ignore);
  await tryAgain();
  return {
    add: async (name, points, windowSeconds) => {
      if (!up) return undefined;
      try {
        return await ask(name, points, windowSeconds);
      } catch (error) {
        lose(error);
        return undefined;
      }
    },
    up: () => up,
    close: () => {
      closed = true;
      up = false;
      clearTimeout(trial);
      client.disconnect();
    },
  };
}

/** The promise's outcome, or an error after so many milliseconds. */
const within = <T>(milliseconds: number, promise: Promise<T>): Promise<T> =>
  new Promise((resolve, reject) => {
    const late = (): void => reject(new Error(`no answer within ${milliseconds} ms`));
    // Where this process itself was busy, the answer may lie in the socket; it is read before the immediate runs.
    const timer = setTimeout(() => setImmediate(late), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
