/**
 * A whole table in memory, read as one from the primary and kept by the change feed: for what is small, and needed for every
 * decision. Whoever asks while it is held reads nothing.
 */

import type { Deadline } from '../deadline.ts';
import { CONFIRMED_MS, type Freshness } from './freshness.ts';

/** One read of all of it, in one snapshot. */
export interface Snapshot<T> {
  /** The highest change number in the snapshot. */
  readonly seq: number;
  /** The database's clock, in milliseconds since 1970. */
  readonly clock: number;
  readonly value: T;
}

export interface Held<T> {
  /** The value, while it is proved to hold all that was committed up to a second ago; undefined: `load` it. */
  readonly peek: () => T | undefined;
  /**
   * The value, read anew where it is not held. All who wait share one read.
   * @throws Failure DEADLINE_EXCEEDED, or what the read throws
   */
  readonly load: (deadline: Deadline) => Promise<T>;
  /** The value of the last read, current or not: to be looked at, and not to be decided by. */
  readonly latest: () => T | undefined;
  /** A time by the database's clock, in milliseconds since 1970, as of which the value is known to be complete. */
  readonly knownAt: () => number;
}

/** Holds what `readAll` reads until a change bears `tag`. */
export function holdWhole<T>(readAll: () => Promise<Snapshot<T>>, freshness: Freshness, tag: string): Held<T> {
  let value: T | undefined;
  let isWhole = false;
  let lastRead = { sentAt: Number.NEGATIVE_INFINITY, clock: Number.NaN };
  let reading: Promise<void> | undefined;

  const forget = (): void => {
    isWhole = false;
  };
  freshness.subscribe({ drop: (tags) => void (tags.includes(tag) && forget()), flush: forget });

  /** Where the feed cannot be read, what was read within the last second is current all the same. */
  const isCurrent = (): boolean => freshness.confirmed() || performance.now() - lastRead.sentAt < CONFIRMED_MS;
  const peek = (): T | undefined => (isWhole && isCurrent() ? value : undefined);

  const read = async (): Promise<void> => {
    const start = freshness.startRead();
    const sentAt = performance.now();
    const { seq, clock, value: all } = await readAll();
    // A change overtook it: whoever waits reads again.
    if (!freshness.mayKeep(start, seq, [tag])) return;
    value = all;
    isWhole = true;
    lastRead = { sentAt, clock };
  };

  return {
    peek,
    load: async (deadline) => {
      for (;;) {
        const held = peek();
        if (held !== undefined) return held;
        deadline.check();
        reading ??= read().finally(() => {
          reading = undefined;
        });
        await deadline.race(reading);
      }
    },
    latest: () => value,
    knownAt: () =>
      Math.max(
        lastRead.clock,
        freshness.confirmed() ? freshness.clock().earliest - freshness.staleness() : lastRead.clock,
      ),
  };
}
