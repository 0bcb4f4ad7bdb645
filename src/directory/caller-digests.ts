/**
 * The digests of all callers that may ask, in memory: read as a whole from the primary, and kept by the change feed. A token
 * that nobody has so costs no read of its own, and a flood of such tokens starves nobody; it costs one shared poll of the feed,
 * which could tell of a caller that was made elsewhere a moment ago. 0.8 KB a caller.
 */

import type { Deadline } from '../deadline.ts';
import { Failure } from '../errors.ts';
import type { Changes } from '../facts/change-feed.ts';
import { CALLERS, type Freshness, tagOf } from '../facts/freshness.ts';
import { holdWhole, type Snapshot } from '../facts/held.ts';

/** What a digest in memory stands for. */
export interface Held {
  readonly id: string;
  /** When it expires: milliseconds since 1970, by the database's clock; Infinity: never. */
  readonly expires: number;
}

export interface CallerDigests<C extends Held> {
  /**
   * The caller with one of these digests; undefined when nobody has it, or it has expired.
   * @throws Failure UNAVAILABLE where this process cannot say so, because it is not current; what `readAll` throws
   */
  readonly find: (digests: readonly Buffer[], deadline: Deadline) => Promise<C | undefined>;
}

/**
 * Holds all callers, and proves of a token that nobody has that nobody has it now.
 *
 * INVARIANT: nobody is found by a list that may lack a change of a second ago, and nobody is refused as unknown by a list that may
 * lack a change from before the question.
 */
export function holdCallers<C extends Held>(
  readAll: () => Promise<Snapshot<Map<string, C>>>,
  freshness: Freshness,
  catchUp: Changes['catchUp'],
): CallerDigests<C> {
  const all = holdWhole(readAll, freshness, CALLERS);

  // Those whom a change is not about are right also while others are missing, so they are still found meanwhile.
  freshness.subscribe({
    drop: (tags) => {
      if (!tags.includes(CALLERS)) return;
      for (const [digest, { id }] of all.latest() ?? [])
        if (tags.includes(tagOf('caller', id))) all.latest()?.delete(digest);
    },
    flush: () => all.latest()?.clear(),
  });

  const peek = (digests: readonly Buffer[]): C | undefined => {
    if (!all.isCurrent()) return undefined;
    for (const digest of digests) {
      const found = all.latest()?.get(digest.toString('latin1'));
      if (found) return found;
    }
    return undefined;
  };

  const hasExpired = ({ expires }: C): boolean => {
    if (expires === Number.POSITIVE_INFINITY) return false;
    const { sentAt, clock } = all.lastRead();
    return expires <= (freshness.confirmed() ? freshness.clock().latest : clock + performance.now() - sentAt);
  };

  const find = async (digests: readonly Buffer[], since: number, deadline: Deadline): Promise<C | undefined> => {
    await all.load(deadline);
    const found = peek(digests);
    if (found || all.provenSince(since)) return found;
    if (freshness.confirmed()) {
      await deadline.race(catchUp());
      await all.load(deadline);
    }
    const foundNow = peek(digests);
    if (!foundNow && !all.provenSince(since))
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
  };
}
