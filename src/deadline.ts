/** How long an answer may still take. One is made for each request and handed down to whatever waits. */

import { Failure } from './errors.ts';

export interface Deadline {
  /** @throws Failure DEADLINE_EXCEEDED once it has passed. For what should not be begun any more. */
  readonly check: () => void;
  /** The promise's outcome, or Failure DEADLINE_EXCEEDED when that comes first. What was asked goes on, unheard. */
  readonly race: <T>(promise: Promise<T>) => Promise<T>;
  /** The promise's outcome; the time that it takes is the client's, not ours, and is added to the deadline. */
  readonly excuse: <T>(promise: Promise<T>) => Promise<T>;
}

export function deadlineIn(milliseconds: number): Deadline {
  let at = performance.now() + milliseconds;
  return {
    check: () => {
      if (performance.now() >= at) throw new Failure('DEADLINE_EXCEEDED');
    },
    race: (promise) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Failure('DEADLINE_EXCEEDED')), at - performance.now());
        promise.then(
          (value) => {
            clearTimeout(timer);
            resolve(value);
          },
          (error: unknown) => {
            clearTimeout(timer);
            reject(error);
          },
        );
      }),
    excuse: async (promise) => {
      const since = performance.now();
      try {
        return await promise;
      } finally {
        at += performance.now() - since;
      }
    },
  };
}
