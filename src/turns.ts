/** Takes work in turns (a counting semaphore, first come, first served): for what would take the cores from all else if it ran at once. */

import { Failure } from './errors.ts';

/** Runs the work when it is its turn. @throws Failure TOO_MANY_REQUESTS: that took too long; and what the work throws */
export type InTurn = <T>(work: () => Promise<T>) => Promise<T>;

const RETRY_SECONDS = 10;

/** At most `most` at once; who waits does so for at most `waitMs` milliseconds. `refusal` says what is too busy. */
export function turns(most: number, waitMs: number, refusal: string): InTurn {
  const waiting: (() => void)[] = [];
  let running = 0;
  const turn = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        waiting.splice(waiting.indexOf(begin), 1);
        reject(new Failure('TOO_MANY_REQUESTS', refusal, { retryAfterSeconds: RETRY_SECONDS }));
      }, waitMs);
      const begin = (): void => {
        clearTimeout(late);
        running += 1;
        resolve();
      };
      if (running < most) begin();
      else waiting.push(begin);
    });
  return async (work) => {
    await turn();
    try {
      return await work();
    } finally {
      running -= 1;
      waiting.shift()?.();
    }
  };
}
