/** Bounds what work may cost that anybody may ask for: all who ask meanwhile share a run, and most of the time there is none. */

import { setTimeout as sleep } from 'node:timers/promises';

/** A run is followed by a rest of so many times its length, so that runs take a tenth of the time at most. */
const REST = 9;
const LONGEST_REST_MS = 1000;

/**
 * Returns a function that resolves with the outcome of a run of `work` that begins after the call; calls before it begins share
 * it. At most one run is under way. The first one of a while begins at once.
 */
export function sparingly<T>(work: () => Promise<T>): () => Promise<T> {
  let next: Promise<T> | undefined;
  let rested: Promise<unknown> = Promise.resolve();
  return () => {
    next ??= rested.then(() => {
      next = undefined;
      const since = performance.now();
      const run = work();
      const rest = (): Promise<void> =>
        sleep(Math.min(REST * (performance.now() - since), LONGEST_REST_MS), undefined, UNREF);
      rested = run.then(rest, rest);
      return run;
    });
    return next;
  };
}

/** Nobody may be waiting for the end of a rest. */
const UNREF = { ref: false };
