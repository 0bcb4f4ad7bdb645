/** Counting within this process: all there is without Redis, and what still holds when Redis is lost. */

import { RateLimiterMemory } from 'rate-limiter-flexible';

/** A window as it stands after points were added to it. */
export interface Count {
  /** Points since it began, those just added included. */
  readonly total: number;
  /** Milliseconds until it ends. */
  readonly endsInMs: number;
}

/** Adds points to the window `name`. One that is not there, or has ended, begins, and lasts `lastsMs` from now. */
export type AddLocally = (name: string, points: number, lastsMs: number) => Promise<Count>;

/**
 * Holds the windows under way and no others: each is removed by a timer when it ends. About 400 bytes a window.
 * The limiter counts only; how many points a key may use is known to whoever asks, so that it can change in mid-window.
 */
export function memoryCounter(): AddLocally {
  const limiter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: 1, keyPrefix: '' });
  return async (name, points, lastsMs) => {
    // INVARIANT: never 0, which the limiter takes for a window without end.
    const customDuration = Math.max(1, lastsMs) / 1000;
    const { consumedPoints, msBeforeNext } = await limiter.consume(name, points, { customDuration });
    return { total: consumedPoints, endsInMs: msBeforeNext };
  };
}
