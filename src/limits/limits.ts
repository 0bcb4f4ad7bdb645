/**
 * Fixed-window rate limits of API keys. They deny nothing themselves: their outcome is the fact `limit.exceeded`, on which
 * the policy decides.
 *
 * A window begins with a key's first request and has a fixed length. A change of `requests` applies at once, in the window
 * under way; a change of `windowSeconds` begins another window, because the old one may last up to a day.
 */

import type { Known } from '../facts/load.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { Log } from '../log.ts';
import { gauge, type Metric } from '../metric.ts';
import { isActive } from '../policy/decide.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { type Count, memoryCounter } from './memory.ts';
import { type RedisOptions, redisCounter } from './redis.ts';

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
   * Never rejects, and waits for Redis no longer than `waitMs`.
   */
  readonly consume: (known: readonly Counted[]) => Promise<(RateLimitState | undefined)[]>;
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
}

export async function createLimits({ fallback, redis: options }: Options, log: Log): Promise<Limits> {
  const addLocally = memoryCounter();
  const redis = options && (await redisCounter(options, log));
  let countedLocally = 0;

  const add = async ({ name, points, seconds }: Window): Promise<Count> => {
    const asked = performance.now();
    const shared = await redis?.add(name, points, seconds);
    if (redis && !shared) countedLocally += 1;
    // INVARIANT: every point is counted in memory too, so that a process allows no more than one limit in a window even
    // if Redis fails within it or comes back empty. The local window ends no later than the shared one, so it cannot deny
    // requests of the next.
    const lastsMs = shared ? shared.endsInMs - (performance.now() - asked) : seconds * 1000;
    const own = await addLocally(name, points, lastsMs);
    return shared && shared.total >= own.total ? shared : own;
  };

  return {
    consume: async (known) => {
      const { windows, places } = windowsOf(known, fallback);
      const counts = new Map<Window, Count>();
      await Promise.all([...windows.values()].map(async (window) => counts.set(window, await add(window))));
      return places.map((place) => place && stateOf(place, counts.get(place.window)));
    },
    stats: () => ({ redisUp: redis?.up(), countedLocally }),
    close: () => redis?.close(),
  };
}

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
  readonly requests: number;
}

/** The windows of the questions, and the place of each question in its window: a batch adds once to each window. */
function windowsOf(known: readonly Counted[], fallback: RateLimit) {
  const windows = new Map<string, Window>();
  const places = known.map(({ key, user, limit = fallback }): Place | undefined => {
    if (!isActive({ key, user })) return undefined;
    // Unambiguous, whatever the id: the length comes first and holds no colon.
    const name = `${limit.windowSeconds}:${key.id}`;
    const window = windows.get(name) ?? { name, seconds: limit.windowSeconds, points: 0 };
    windows.set(name, window);
    window.points += 1;
    return { window, number: window.points, requests: limit.requests };
  });
  return { windows, places };
}

function stateOf({ window, number, requests }: Place, count: Count | undefined): RateLimitState {
  if (!count) throw new Error('a window was not counted');
  const used = count.total - window.points + number;
  return {
    exceeded: used > requests,
    limit: requests,
    remaining: Math.max(0, requests - used),
    // Capped, because the end is computed from the wall clock, which may be set back.
    resetSeconds: Math.min(window.seconds, Math.max(1, Math.ceil(count.endsInMs / 1000))),
  };
}

const EXCEEDED: Facts['limit'] = closed({ exceeded: true });

/** The facts, with `limit.exceeded` where it is. */
export const withLimit = (facts: Facts, state: RateLimitState | undefined): Facts =>
  state?.exceeded ? closed({ ...facts, limit: EXCEEDED }) : facts;

export const limitMetrics = (stats: () => LimitStats): Metric[] => [
  gauge('rate_limit_insurance', '1 while Redis is lost and limits are local.', () => Number(stats().redisUp === false)),
];
