/**
 * The digests of all callers that may ask, in memory: read as a whole from the primary, and kept by the change feed. A token
 * that nobody has so costs no read of its own, and a flood of such tokens starves nobody; it costs one shared poll of the feed,
 * which could tell of a caller that was made elsewhere a moment ago. 0.8 KB a caller.
 */

import type { Deadline } from '../deadline.ts';
import { Failure } from '../errors.ts';
import type { Changes } from '../facts/change-feed.ts';
import { CALLERS, CONFIRMED_MS, type Freshness, tagOf } from '../facts/freshness.ts';

/** What a digest in memory stands for. */
export interface Held {
  readonly id: string;
  /** When it expires: milliseconds since 1970, by the database's clock; Infinity: never. */
  readonly expires: number;
}

/** One read of all callers from the primary, in one snapshot. */
export interface AllCallers<C extends Held> {
  /** The highest change number in the snapshot. */
  readonly seq: number;
  /** The database's clock, in milliseconds since 1970. */
  readonly clock: number;
  /** Those that are neither revoked nor expired, by their digests as latin1. */
  readonly callers: Map<string, C>;
}

export interface CallerDigests<C extends Held> {
  /**
   * The caller with one of these digests, as latin1; undefined when nobody has it, or it has expired.
   * @throws Failure UNAVAILABLE where this process cannot say so, because it is not current; what `readAll` throws
   */
  readonly find: (digests: readonly string[], deadline: Deadline) => Promise<C | undefined>;
  /** The caller with one of these digests, where that is known now; undefined: `find` it. */
  readonly peek: (digests: readonly string[]) => C | undefined;
}

/**
 * Longer than a screen, because the list, the read of it under way and what the feed says of it are one state.
 *
 * INVARIANT: nobody is found by a list that may lack a change of a second ago, and nobody is refused as unknown by a list that may
 * lack a change from before the question.
 */
export function holdCallers<C extends Held>(
  readAll: () => Promise<AllCallers<C>>,
  freshness: Freshness,
  catchUp: Changes['catchUp'],
): CallerDigests<C> {
  let held = new Map<string, C>();
  /** Whether `held` is all of them, as far as the feed has told. Those whom it has are right also when others are missing. */
  let whole = false;
  let lastRead = { sentAt: Number.NEGATIVE_INFINITY, clock: Number.NaN };
  let reading: Promise<void> | undefined;

  freshness.subscribe({
    drop: (tags) => {
      if (!tags.includes(CALLERS)) return;
      whole = false;
      for (const [digest, { id }] of held) if (tags.includes(tagOf('caller', id))) held.delete(digest);
    },
    flush: () => {
      whole = false;
      held = new Map();
    },
  });

  /** Where the feed cannot be read, what was read within the last second is current all the same. */
  const current = (): boolean => freshness.confirmed() || performance.now() - lastRead.sentAt < CONFIRMED_MS;
  const provenSince = (at: number): boolean => whole && (freshness.confirmedSince(at) || lastRead.sentAt >= at);

  const peek = (digests: readonly string[]): C | undefined => {
    if (!current()) return undefined;
    for (const digest of digests) {
      const found = held.get(digest);
      if (found) return found;
    }
    return undefined;
  };

  const read = async (): Promise<void> => {
    const start = freshness.startRead();
    const sentAt = performance.now();
    const { seq, clock, callers } = await readAll();
    // A change of callers overtook it: whoever waits reads again.
    if (!freshness.mayKeep(start, seq, [CALLERS])) return;
    held = callers;
    whole = true;
    lastRead = { sentAt, clock };
  };

  /** Reads the list where it has gaps or is too old. All who need it share one read (single-flight). */
  const fill = async (deadline: Deadline): Promise<void> => {
    while (!whole || !current()) {
      deadline.check();
      reading ??= read().finally(() => {
        reading = undefined;
      });
      await deadline.race(reading);
    }
  };

  const hasExpired = ({ expires }: C): boolean => {
    if (expires === Number.POSITIVE_INFINITY) return false;
    const { sentAt, clock } = lastRead;
    return expires <= (freshness.confirmed() ? freshness.clock().latest : clock + performance.now() - sentAt);
  };

  const find = async (digests: readonly string[], since: number, deadline: Deadline): Promise<C | undefined> => {
    await fill(deadline);
    const found = peek(digests);
    if (found || provenSince(since)) return found;
    if (freshness.confirmed()) {
      await deadline.race(catchUp());
      await fill(deadline);
    }
    const foundNow = peek(digests);
    if (!foundNow && !provenSince(since))
      throw new Failure('UNAVAILABLE', undefined, {
        cause: new Error('the change feed cannot be read, so an unknown caller token may be that of a new caller'),
      });
    return foundNow;
  };

  return {
    find: async (digests, deadline) => {
      const found = peek(digests) ?? (await find(digests, performance.now(), deadline));
      return found && !hasExpired(found) ? found : undefined;
    },
    peek: (digests) => {
      const found = peek(digests);
      return found && !hasExpired(found) ? found : undefined;
    },
  };
}
