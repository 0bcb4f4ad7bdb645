/** Cooperative multitasking: runs long synchronous work (a generator) in slices, yielding to the event loop in between. */

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

// For the whole process, as the event loop is.
let before: Promise<unknown> = Promise.resolve();

/**
 * Runs the work in slices once all that was given before it is done: for what callers may ask for. However many ask, a decision waits
 * for one slice in a turn of the event loop, and not for one of each of them.
 */
export function runInTurn<T>(work: Generator<void, T>): Promise<T> {
  const run = before.then(() => runInSlices(work));
  before = run.catch(() => undefined);
  return run;
}

/** Runs the work at once, in one slice. */
export function runToEnd<T>(work: Generator<void, T>): T {
  for (let step = work.next(); ; step = work.next()) if (step.done) return step.value;
}
