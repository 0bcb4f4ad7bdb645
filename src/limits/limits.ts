/**
 * Fixed-window rate limits of API keys. They deny nothing themselves: their outcome is the fact `limit.exceeded`, on which
 * the policy decides.
 *
 * A window begins with a key's first request and has a fixed length. A change of `requests` applies at once, in the window
 * under way; a change of `windowSeconds` begins another window, because the old one may last up to a day.
 */

import type { Awaitable } from '../awaitable.ts';
import type { Known } from '../facts/load.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { Log } from '../log.ts';
import { gauge, type Metric } from '../metric.ts';
import { isActive } from '../policy/decide.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { type Count, memoryCounter } from './memory.ts';
import type { RedisCounter, RedisOptions } from './redis.ts';

/** The state of a key's limit after a request has been counted. */
export interface RateLimitState {
  readonly exceeded: boolean;
  /** Requests allowed in a window. */
  readonly limit: number;
  /** Requests left in this window. */
  readonly remaining: number;
  /** Whole seconds until the window ends, at least 1. */
  readonly resetSeconds: number;
}

/** What counting a question depends on. */
export type Counted = Pick<Known, 'key' | 'user' | 'limit'>;

export interface Limits {
  /**
   * Consumes a point for each question of an active key of an active user, in their order; undefined for the others.
   * At once without Redis. Never rejects, and waits for Redis no longer than `waitMs`.
   */
  readonly consume: (known: readonly Counted[]) => Awaitable<(RateLimitState | undefined)[]>;
  readonly stats: () => LimitStats;
  readonly close: () => void;
}

export interface LimitStats {
  /** Whether Redis counts; undefined where none is configured. */
  readonly redisUp: boolean | undefined;
  /** How many times this process counted in its memory alone because Redis was unavailable. */
  readonly countedLocally: number;
}

interface Options {
  /** The limit of a key for which none was loaded. */
  readonly fallback: RateLimit;
  readonly redis: RedisOptions | undefined;
  /** Most memory for windows, in bytes; unset: any. */
  readonly bytes?: number;
}

export async function createLimits({ fallback, redis: options, ...memory }: Options, log: Log): Promise<Limits> {
  const addLocally = memoryCounter(memory);
  // Loaded only where it is configured: the client of Redis is an eighth of what a start compiles.
  const redis = options && (await (await import('./redis.ts')).redisCounter(options, log));
  let countedLocally = 0;

  const add = async (redis: RedisCounter, { name, points, seconds }: Window): Promise<Count> => {
    const asked = performance.now();
    const shared = await redis.add(name, points, seconds);
    if (!shared) countedLocally += 1;
    // INVARIANT: every point is counted in memory too, so that a process allows no more than one limit in a window even
    // if Redis fails within it or comes back empty. The local window ends no later than the shared one, so it cannot deny
    // requests of the next.
    const lastsMs = shared ? shared.endsInMs - (performance.now() - asked) : seconds * 1000;
    const own = addLocally(name, points, lastsMs);
    return shared && shared.total >= own.total ? shared : own;
  };

  const consumeShared = async (redis: RedisCounter, known: readonly Counted[]) => {
    const { windows, places } = windowsOf(known, fallback);
    const counts = new Map<Window, Count>();
    await Promise.all([...windows.values()].map(async (window) => counts.set(window, await add(redis, window))));
    return places.map((place) => place && stateAt(place, counts.get(place.window)));
  };

  /** As `consumeShared`, of a lone question, which most are: without what a batch needs, and at once where nothing is counted. */
  const consumeOne = (redis: RedisCounter, { key, user, limit = fallback }: Counted) => {
    if (!isActive({ key, user })) return [undefined];
    const window = { name: windowName(key.id, limit), points: 1, seconds: limit.windowSeconds };
    return add(redis, window).then((count) => [stateOf(limit, count)]);
  };

  const consumeHere = ({ key, user, limit = fallback }: Counted): RateLimitState | undefined =>
    isActive({ key, user })
      ? stateOf(limit, addLocally(windowName(key.id, limit), 1, limit.windowSeconds * 1000))
      : undefined;

  return {
    consume: (known) => {
      if (!redis) return known.map(consumeHere);
      const [first, ...others] = known;
      return first && others.length === 0 ? consumeOne(redis, first) : consumeShared(redis, known);
    },
    stats: () => ({ redisUp: redis?.up(), countedLocally }),
    close: () => redis?.close(),
  };
}

/** Unambiguous, whatever the id: the length comes first and holds no colon. */
const windowName = (keyId: string, { windowSeconds }: RateLimit): string => `${windowSeconds}:${keyId}`;

interface Window {
  readonly name: string;
  readonly seconds: number;
  /** How many of these questions fall into it. */
  points: number;
}

interface Place {
  readonly window: Window;
  /** The place of the question among those in its window, from 1. */
  readonly number: number;
  readonly limit: RateLimit;
}

/** The windows of the questions, and the place of each question in its window: a batch adds once to each window. */
function windowsOf(known: readonly Counted[], fallback: RateLimit) {
  const windows = new Map<string, Window>();
  const places = known.map(({ key, user, limit = fallback }): Place | undefined => {
    if (!isActive({ key, user })) return undefined;
    const name = windowName(key.id, limit);
    const window = windows.get(name) ?? { name, seconds: limit.windowSeconds, points: 0 };
    windows.set(name, window);
    window.points += 1;
    return { window, number: window.points, limit };
  });
  return { windows, places };
}

function stateAt({ window, number, limit }: Place, count: Count | undefined): RateLimitState {
  if (!count) throw new Error('a window was not counted');
  return stateOf(limit, { ...count, total: count.total - window.points + number });
}

/** The state after a question, where `count` is as it was left by that question. */
function stateOf({ requests, windowSeconds }: RateLimit, { total, endsInMs }: Count): RateLimitState {
  return {
    exceeded: total > requests,
    limit: requests,
    remaining: Math.max(0, requests - total),
    // Capped, because the end is computed from the wall clock of Redis, which may be set back.
    resetSeconds: Math.min(windowSeconds, Math.max(1, Math.ceil(endsInMs / 1000))),
  };
}

const EXCEEDED: Facts['limit'] = closed({ exceeded: true });

/** The facts, with `limit.exceeded` where it is. */
export const withLimit = (facts: Facts, state: Pick<RateLimitState, 'exceeded'> | undefined): Facts =>
  state?.exceeded ? closed({ ...facts, limit: EXCEEDED }) : facts;

export const limitMetrics = (stats: () => LimitStats): Metric[] => [
  gauge('rate_limit_insurance', '1 while Redis is lost and limits are local.', () => Number(stats().redisUp === false)),
];
