/**
 * A background job that runs every so often until it is closed. Whatever polls, reports, flushes or prunes uses this, so that
 * overlap, failure and shutdown are handled in one place.
 */

export interface Loop {
  /**
   * Starts a run, or joins the one under way (single-flight). Resolves when that run has ended, whether or not it failed. The
   * next run is due one interval after this one, as `from` counts. Once closed it starts nothing.
   */
  readonly now: () => Promise<void>;
  /** Brings the next run forward: it starts at once, or as soon as the one under way has ended. Any number of calls are one. */
  readonly wake: () => void;
  /**
   * Starts no further run, and aborts the signal of the one under way without waiting for it: for work that may hang, and that
   * a lost connection may cut short at any moment.
   */
  readonly stop: () => void;
  /** As `stop`; resolves when the run under way has ended. Idempotent. */
  readonly close: () => Promise<void>;
}

export interface FailedRun {
  /** Runs that have failed since the last one that did not, this one included: 1 is the first of a series. */
  readonly inARow: number;
  /** The loop was stopped or closed before the run failed, so that it may well have failed because of that. */
  readonly closing: boolean;
}

interface Options {
  /** `at once`, or one interval after the call. */
  readonly first: 'at once' | 'later';
  /**
   * `start` (the default): a run every interval (fixed rate); after one that took longer, the next starts at once. `end`: an
   * interval of rest after every run (fixed delay), for work that may always take longer than the interval.
   */
  readonly from?: 'start' | 'end';
  /** Told of every run that fails; the next one comes as if it had not. Must not throw. */
  readonly onError: (error: unknown, failed: FailedRun) => void;
}

/**
 * Calls `work` every `intervalMs` (at most 2 ** 31 - 1). The timer is unref'd: it does not keep the process alive. `ending` is
 * aborted by `stop`. Longer than a screen, because timer, run and wake-up are one state machine.
 *
 * INVARIANT: two runs never overlap.
 */
export function every(
  intervalMs: number,
  work: (ending: AbortSignal) => Promise<unknown>,
  { first, from = 'start', onError }: Options,
): Loop {
  const ending = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let underWay: Promise<void> | undefined;
  let woken = false;
  let inARow = 0;

  const run = async (): Promise<void> => {
    const startedAt = performance.now();
    woken = false;
    try {
      await work(ending.signal);
      inARow = 0;
    } catch (error) {
      inARow += 1;
      onError(error, { inARow, closing: ending.signal.aborted });
    }
    underWay = undefined;
    if (woken) void now();
    else schedule(from === 'end' ? intervalMs : startedAt + intervalMs - performance.now());
  };

  const schedule = (delayMs: number): void => {
    if (!ending.signal.aborted) timer = setTimeout(now, delayMs).unref();
  };

  const now = (): Promise<void> => {
    if (ending.signal.aborted) return underWay ?? Promise.resolve();
    clearTimeout(timer);
    // Not in this call: `work` may use the loop that `every` is yet to return.
    underWay ??= Promise.resolve().then(run);
    return underWay;
  };

  const stop = (): void => {
    ending.abort();
    clearTimeout(timer);
  };

  if (first === 'at once') void now();
  else schedule(intervalMs);

  return {
    now,
    wake: () => {
      woken = true;
      if (underWay === undefined) void now();
    },
    stop,
    close: () => {
      stop();
      return underWay ?? Promise.resolve();
    },
  };
}
