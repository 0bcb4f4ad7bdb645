/** Counts rate limits in the memory of this process: alone without Redis, and as its insurance. */

import { RateLimiterMemory } from 'rate-limiter-flexible';

/** A window after points were added to it. */
export interface Count {
  /** Points since it began, including those just added. */
  readonly total: number;
  /** Milliseconds until it ends. */
  readonly endsInMs: number;
}

/** Adds points to the window `name`; where there is none, or it has ended, begins one that lasts `lastsMs`. */
export type AddLocally = (name: string, points: number, lastsMs: number) => Promise<Count>;

/**
 * A timer removes each window when it ends; a window takes about 400 bytes. The limiter only counts, without a cap of its
 * own: the cap is compared by the caller, so that it can change within a window.
 */
export function memoryCounter(): AddLocally {
  const limiter = new RateLimiterMemory({ points: Number.MAX_SAFE_INTEGER, duration: 1, keyPrefix: '' });
  return async (name, points, lastsMs) => {
    // INVARIANT: at least 1 ms; the limiter takes 0 for a window without end.
    const customDuration = Math.max(1, lastsMs) / 1000;
    const { consumedPoints, msBeforeNext } = await limiter.consume(name, points, { customDuration });
    return { total: consumedPoints, endsInMs: msBeforeNext };
  };
}
