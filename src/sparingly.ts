/** Bounds what work may cost that anybody may ask for: all who ask meanwhile share a run, and most of the time there is none. */

import { setTimeout as sleep } from 'node:timers/promises';

/** Milliseconds of rest that follow a run of so many: nine times its length, so that runs take a tenth of the time at most. */
const restOf = (tookMs: number): number => Math.min(9 * tookMs, LONGEST_REST_MS);
const LONGEST_REST_MS = 1000;

/**
 * Returns a function that resolves with the outcome of a run of `work` that begins after the call; calls before it begins share
 * it. At most one run is under way. The first one of a while begins at once.
 */
export function sparingly<T>(work: () => Promise<T>, restAfter = restOf): () => Promise<T> {
  let next: Promise<T> | undefined;
  let rested: Promise<unknown> = Promise.resolve();
  return () => {
    next ??= rested.then(() => {
      next = undefined;
      const since = performance.now();
      const run = work();
      const rest = (): Promise<void> => sleep(restAfter(performance.now() - since), undefined, UNREF);
      rested = run.then(rest, rest);
      return run;
    });
    return next;
  };
}

/** Nobody may be waiting for the end of a rest. */
const UNREF = { ref: false };
