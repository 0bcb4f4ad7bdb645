/**
 * Which situations a process's records name, rather than have themselves: all that it has stored before, and new ones within a bound. Values that
 * callers state are part of situations, so without a bound a caller could fill a table that no partition's end empties.
 */

import type { Entry } from './entry.ts';
import { type Situation, situationOf } from './situation.ts';

/** New ones at once, and on average afterwards: 86,400 a day, some 60 MB. Records beyond it are as long as if nothing was shared. */
const BURST = 4096;
const NEW_PER_SECOND = 1;
/** Digests of which a process remembers that they are stored; at the bound it forgets them, and sends them anew. */
const KNOWN = 16_384;

/** The situations of one batch. */
export interface Shared {
  /** That of an entry, where its record is to name it. */
  readonly of: (entry: Entry) => Situation | undefined;
  /** Those that may not be stored yet. */
  readonly added: () => readonly Situation[];
}

export interface Sharing {
  readonly begin: () => Shared;
  /** They are stored: to be called once their batch is committed. */
  readonly keep: (added: readonly Situation[]) => void;
  /** Takes none for stored any more, as somebody has removed one. Whether it took any for that. */
  readonly forget: () => boolean;
}

/** `now`: milliseconds, by a clock that nobody sets. */
export function createSharing(now: () => number = () => performance.now()): Sharing {
  const known = new Set<string>();
  let left = BURST;
  let since = now();
  return {
    begin: () => {
      const moment = now();
      left = Math.min(BURST, left + ((moment - since) / 1000) * NEW_PER_SECOND);
      since = moment;
      const added = new Map<string, Situation>();
      return {
        of: ({ facts, policy }) => {
          const situation = situationOf(facts, policy);
          if (situation === undefined || known.has(situation.digest) || added.has(situation.digest)) return situation;
          if (added.size + 1 > left) return undefined;
          added.set(situation.digest, situation);
          return situation;
        },
        added: () => [...added.values()],
      };
    },
    keep: (added) => {
      left = Math.max(0, left - added.length);
      if (known.size + added.length > KNOWN) known.clear();
      for (const { digest } of added) known.add(digest);
    },
    forget: () => {
      const some = known.size > 0;
      known.clear();
      return some;
    },
  };
}
