/** Long work in steps, as generators, so that whoever runs it can let other work go on. */

/** Lets the event loop go round once. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Milliseconds of work after which others have their turn. */
const SLICE_MS = 5;

/** Does the work, letting other work go on every few milliseconds. */
export async function inTurns<T>(work: Generator<void, T>): Promise<T> {
  let since = performance.now();
  for (let step = work.next(); ; step = work.next()) {
    if (step.done) return step.value;
    if (performance.now() - since < SLICE_MS) continue;
    await turn();
    since = performance.now();
  }
}

/** Does the work at once. */
export function drain<T>(work: Generator<void, T>): T {
  for (let step = work.next(); ; step = work.next()) if (step.done) return step.value;
}
