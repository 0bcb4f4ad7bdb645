/**
 * Work that is done at once where all that it needs is known, and awaited where it is not. A promise for what is known already costs a
 * decision as much as deciding; and what runs in one go cannot be overtaken.
 */

import { asFailure, type Failure } from './errors.ts';

/** A value, or a promise of it. Of promises only JavaScript's own count: any other object with a `then` is a value. */
export type Awaitable<T> = T | Promise<T>;

/** What `next` makes of the value: in this call where it is here, else once it is. */
export const after = <T, R>(value: Awaitable<T>, next: (value: T) => Awaitable<R>): Awaitable<R> =>
  value instanceof Promise ? value.then(next) : next(value);

/** Is told what came of a piece of work: the first time counts. */
export type Settle<T> = (outcome: T | Failure) => void;

/**
 * Calls `next` with what `work` comes to, in this call where it is here, and `failed` with what either of them throws, so that whatever
 * calls it (an event, a timer) has nothing to catch.
 */
export function attempt<T>(
  work: () => Awaitable<T>,
  next: (value: T) => void,
  failed: (failure: Failure) => void,
): void {
  const fail = (thrown: unknown): void => failed(asFailure(thrown));
  try {
    const value = work();
    if (value instanceof Promise) value.then(next).catch(fail);
    else next(value);
  } catch (thrown) {
    fail(thrown);
  }
}
