/** Cooperative multitasking: runs long synchronous work (a generator) in slices, yielding to the event loop in between. */

import { Failure } from '../errors.ts';

/** Resolves in the next turn of the event loop. */
export const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** The longest slice, in milliseconds. */
const SLICE_MS = 5;

/** Runs the work in slices. */
export async function runInSlices<T>(work: Generator<void, T>): Promise<T> {
  let since = performance.now();
  for (let step = work.next(); ; step = work.next()) {
    if (step.done) return step.value;
    if (performance.now() - since < SLICE_MS) continue;
    await nextTurn();
    since = performance.now();
  }
}

/** How much work may wait: each may take a second, and whoever asked does not wait for more than a minute. */
const MOST_WAITING = 60;

// For the whole process, as the event loop is.
let before: Promise<unknown> = Promise.resolve();
let waiting = 0;

/**
 * Runs the work in slices once all that was given before it is done: for what callers may ask for. However many ask, a decision waits
 * for one slice in a turn of the event loop, and not for one of each of them.
 * @throws Failure UNAVAILABLE where too much waits
 */
export async function runInTurn<T>(work: Generator<void, T>): Promise<T> {
  if (waiting === MOST_WAITING) throw new Failure('UNAVAILABLE', TOO_MANY);
  waiting += 1;
  const run = before.then(() => runInSlices(work));
  before = run.catch(() => undefined);
  try {
    return await run;
  } finally {
    waiting -= 1;
  }
}

const TOO_MANY = 'This replica is explaining as much as it can. Ask again in some seconds, for less at a time.';

/** Runs the work at once, in one slice. */
export function runToEnd<T>(work: Generator<void, T>): T {
  for (let step = work.next(); ; step = work.next()) if (step.done) return step.value;
}
