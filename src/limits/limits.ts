/**
 * Rate limits: how much of its limit each question uses up. Whether that denies it is the policy's business; what is
 * found here becomes the fact `limit.exceeded`.
 *
 * A window begins with a key's first request and has a fixed length. A change of `requests` holds at once, in the window
 * under way; a change of `windowSeconds` begins another window, since the old one may have a day to go.
 */

import type { Loaded } from '../facts/load.ts';
import type { RateLimit } from '../input/scalars.ts';
import type { Log } from '../log.ts';
import { gauge, type Metric } from '../metric.ts';
import { mayBeAllowed } from '../policy/decide.ts';
import { closed, type Facts } from '../policy/facts.ts';
import { type Count, memoryCounter } from './memory.ts';
import { type RedisOptions, redisCounter } from './redis.ts';

/** The state of a key's limit, once a request has been counted. */
export interface RateLimitState {
  readonly exceeded: boolean;
  /** Requests that a window lets through. */
  readonly limit: number;
  /** How many more this one will. */
  readonly remaining: number;
  /** Whole seconds, at least 1, until the next window can begin. */
  readonly resetSeconds: number;
}

export interface Limits {
  /**
   * Takes a point for each question of an active key of an active user, in their order; undefined for the others.
   * Never rejects, and never waits for Redis longer than it was told.
   */
  readonly consume: (loaded: readonly Loaded[]) => Promise<(RateLimitState | undefined)[]>;
  readonly stats: () => LimitStats;
  readonly close: () => void;
}

export interface LimitStats {
  /** Whether Redis counts; undefined when there is none to. */
  readonly redisUp: boolean | undefined;
  /** How many times this process counted on its own because Redis was lost. */
  readonly countedLocally: number;
}

interface Options {
  /** Of keys that have none, and whose users have none. */
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
    // INVARIANT: what Redis counts is counted here too, so that a process lets no more than one limit through in a window
    // even when Redis is lost in it, or comes back empty. Ours ends no later than the shared one, lest it outlive it.
    const lastsMs = shared ? shared.endsInMs - (performance.now() - asked) : seconds * 1000;
    const own = await addLocally(name, points, lastsMs);
    return shared && shared.total >= own.total ? shared : own;
  };

  return {
    consume: async (loaded) => {
      const { windows, places } = windowsOf(loaded, fallback);
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
  /** How many questions use it. */
  points: number;
}

interface Place {
  readonly window: Window;
  /** From 1: the first of these questions in its window. */
  readonly number: number;
  readonly requests: number;
}

/** The windows that the questions fall into, and the place of each in its own: a batch asks once for each window. */
function windowsOf(loaded: readonly Loaded[], fallback: RateLimit) {
  const windows = new Map<string, Window>();
  const places = loaded.map(({ facts, limit = fallback }): Place | undefined => {
    if (!mayBeAllowed(facts)) return undefined;
    // No key's id can change what comes before it.
    const name = `${limit.windowSeconds}:${facts.key.id}`;
    const window = windows.get(name) ?? { name, seconds: limit.windowSeconds, points: 0 };
    windows.set(name, window);
    window.points += 1;
    return { window, number: window.points, requests: limit.requests };
  });
  return { windows, places };
}

function stateOf({ window, number, requests }: Place, count: Count | undefined): RateLimitState {
  if (!count) throw new Error('a window was left uncounted');
  const used = count.total - window.points + number;
  return {
    exceeded: used > requests,
    limit: requests,
    remaining: Math.max(0, requests - used),
    // A clock that is set back would make a window seem longer than any.
    resetSeconds: Math.min(window.seconds, Math.max(1, Math.ceil(count.endsInMs / 1000))),
  };
}

const EXCEEDED: Facts['limit'] = closed({ exceeded: true });

/** The facts to decide on: as they were loaded, within the limit, unless it is exceeded. */
export const withLimit = (facts: Facts, state: RateLimitState | undefined): Facts =>
  state?.exceeded ? closed({ ...facts, limit: EXCEEDED }) : facts;

export const limitMetrics = (stats: () => LimitStats): Metric[] => [
  gauge('rate_limit_insurance', '1 while Redis is lost and limits are local.', () => Number(stats().redisUp === false)),
];
