/** One deadline for all that a call does: it settles by then, whatever the network, or a `fetch` that was given, does. */

import { TimedOut } from './errors.ts';

/** How long the work may go on. */
export interface Limits {
  /** Aborted once the call is settled from outside: the deadline has passed, or somebody gave up. */
  readonly signal: AbortSignal;
  /** Milliseconds, by the monotonic clock: the wall clock may jump. */
  readonly msLeft: () => number;
  /** Settles the call now, with that error. */
  readonly end: (reason: unknown) => void;
}

/** When a call has to be settled. */
export interface Term {
  readonly requestId: string;
  /** By performance.now(), when it began. */
  readonly startedAt: number;
  readonly deadlineMs: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Does the work until its deadline.
 * @throws TimedOut; the reason of `signal`; whatever `work` throws
 */
export function within<T>(
  { requestId, startedAt, deadlineMs, signal }: Term,
  work: (limits: Limits) => Promise<T>,
): Promise<T> {
  const end = startedAt + deadlineMs;
  const msLeft = (): number => end - performance.now();
  const controller = new AbortController();
  return new Promise<T>((resolve, reject) => {
    const giveUp = (reason: unknown): void => {
      settle();
      reject(reason);
      controller.abort(reason);
    };
    const late = (): void => giveUp(new TimedOut(`No answer within ${deadlineMs} ms.`, { requestId }));
    const abandon = (): void => giveUp(signal?.reason);
    const timer = setTimeout(late, Math.max(0, msLeft()));
    const settle = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', abandon);
    };
    if (signal?.aborted) return abandon();
    signal?.addEventListener('abort', abandon);
    work({ signal: controller.signal, msLeft, end: giveUp }).then(
      (value) => {
        // A process that was suspended may read an answer long after the deadline, before its timers run.
        if (msLeft() <= 0) return late();
        settle();
        resolve(value);
      },
      (error: unknown) => {
        settle();
        reject(error);
      },
    );
  });
}

/** Resolves after so many milliseconds, or rejects when the work is to end. */
export const pause = (milliseconds: number, { signal }: Limits): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', stop);
      resolve();
    }, milliseconds);
    signal.addEventListener('abort', stop);
  });
