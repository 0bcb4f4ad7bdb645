/**
 * The deadline of a request, passed down to everything that waits. Not an AbortSignal.timeout, which cannot be extended by
 * the time that the client takes to send its body.
 */

import { Failure } from './errors.ts';

export interface Deadline {
  /** When it passes, as of `performance.now()`: for who looks after many at once. */
  readonly at: () => number;
  /** @throws Failure DEADLINE_EXCEEDED once it has passed. To be called before work that would be wasted then. */
  readonly check: () => void;
  /** Settles as the promise, or rejects with Failure DEADLINE_EXCEEDED if that comes first; the work itself goes on. */
  readonly race: <T>(promise: Promise<T>) => Promise<T>;
  /** Puts it off by so many milliseconds: those that were spent waiting for the client. */
  readonly extend: (milliseconds: number) => void;
}

export function deadlineIn(milliseconds: number): Deadline {
  let at = performance.now() + milliseconds;
  return {
    at: () => at,
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
    extend: (milliseconds) => {
      at += milliseconds;
    },
  };
}
