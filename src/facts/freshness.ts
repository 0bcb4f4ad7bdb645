/**
 * Whether what this process has read is still so: which numbered changes it has applied, until when it is known that there
 * were no others, and what a read that was under way meanwhile may no longer be kept for. No I/O and no wall clock; the
 * monotonic clock only, which a stopped process finds advanced when it goes on.
 */

import type { Change, Commit } from '../db/mutate.ts';

/** What is believed may be acted on for so many milliseconds after the feed has last confirmed it. */
export const CONFIRMED_MS = 1000;
/** The changes that are remembered for the reads under way. A read that is older than all of them is not kept. */
const RECENT = 1000;
/** How far the database's clock and ours may drift apart between two polls, and more. */
const DRIFT_MS = 5;

/** The names of what something was made from, such as `key:<id>`. A change of one of them ends it. */
export type Tags = readonly string[];

export const tagOf = (kind: Change['kind'], id: string): string => `${kind}:${id}`;
export const digestTag = (digest: Buffer): string => `digest:${digest.toString('latin1')}`;

const tagsOf = ({ kind, id, digest }: Change): Tags =>
  digest ? [tagOf(kind, id), digestTag(digest)] : [tagOf(kind, id)];

/** What one statement on the primary has told of the feed. */
export interface Poll {
  /** The number that it was asked to read on from; undefined at first. */
  readonly after: number | undefined;
  /** Monotonic milliseconds, before it was sent and after the answer had come. */
  readonly sentAt: number;
  readonly receivedAt: number;
  /** What tells this database's past from another's. */
  readonly history: string;
  /** The last number taken. */
  readonly last: number;
  /** When `after` and `last` were taken, as the database has it; null where the feed has no such row. */
  readonly anchor: string | null;
  readonly newest: string | null;
  /** The database's clock, in milliseconds. */
  readonly clock: number;
  /** Those after `after`, in order. */
  readonly changes: readonly (Change & { readonly seq: number })[];
}

export type FlushReason = 'start' | 'gap' | 'history' | 'everything';

export interface Listener {
  readonly drop: (tags: Tags) => void;
  readonly flush: () => void;
}

/** A read under way. */
export interface Reading {
  readonly generation: number;
}

export interface Currency {
  /** Whether all that was committed up to a second ago has been applied. Asked at each use, never remembered. */
  readonly confirmed: () => boolean;
  /** Milliseconds since that was last confirmed; Infinity when it never was. */
  readonly staleness: () => number;
  /** The database's clock now, in milliseconds, lies between these two. Meaningless unless `confirmed`. */
  readonly clock: () => { readonly earliest: number; readonly latest: number };
  /** The last number that has been applied together with all below it. */
  readonly position: () => number | undefined;
  /** To be called before a read is sent. */
  readonly reading: () => Reading;
  /** Whether what was read, from a snapshot that has seen the changes up to `seq`, is untouched by what was applied since. */
  readonly holds: (reading: Reading, seq: number, tags: Tags) => boolean;
  readonly subscribe: (listener: Listener) => void;
  /** A commit of this process; undefined: one of which nobody knows whether it was done. */
  readonly committed: (commit: Commit | undefined) => void;
  /** Applies what a poll has told, and says why everything had to be forgotten, if it had to. */
  readonly polled: (poll: Poll) => FlushReason | undefined;
}

export function createCurrency(now: () => number = () => performance.now()): Currency {
  const listeners: Listener[] = [];
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let base: Poll | undefined;
  let generation = 0;
  let recent: { readonly seq: number; readonly tags: Tags }[] = [];
  /** Of the recent changes the highest number, and of those that are not remembered any more. */
  let highest = 0;
  let forgotten = 0;

  const flush = (): void => {
    generation += 1;
    recent = [];
    highest = 0;
    forgotten = 0;
    for (const listener of listeners) listener.flush();
  };

  const apply = (seq: number, change: Change): void => {
    if (change.kind === '*') {
      flush();
      return;
    }
    const tags = tagsOf(change);
    recent.push({ seq, tags });
    highest = Math.max(highest, seq);
    if (recent.length > RECENT) forgotten = Math.max(forgotten, recent.shift()?.seq ?? 0);
    for (const listener of listeners) listener.drop(tags);
  };

  const follow = (poll: Poll): FlushReason | undefined => {
    const fault = discontinuity(base, poll);
    if (fault) flush();
    else for (const change of poll.changes) apply(change.seq, change);
    return fault ?? (poll.changes.some(({ kind }) => kind === '*') ? 'everything' : undefined);
  };

  return {
    confirmed: () => now() - confirmedAt < CONFIRMED_MS,
    staleness: () => now() - confirmedAt,
    clock: () => {
      if (!base) return { earliest: Number.NaN, latest: Number.NaN };
      const at = now() + base.clock;
      return { earliest: at - base.receivedAt - DRIFT_MS, latest: at - base.sentAt + DRIFT_MS };
    },
    position: () => base?.last,
    reading: () => ({ generation }),
    holds: (reading, seq, tags) =>
      reading.generation === generation &&
      seq >= forgotten &&
      (seq >= highest || !recent.some((change) => change.seq > seq && change.tags.some((each) => tags.includes(each)))),
    subscribe: (listener) => void listeners.push(listener),
    committed: (commit) => {
      if (!commit) flush();
      else for (const change of commit.changes) apply(commit.seq, change);
    },
    polled: (poll) => {
      const reason = follow(poll);
      base = poll;
      // INVARIANT: the time before the statement was sent. What was committed before then was visible to it, and is applied.
      confirmedAt = poll.sentAt;
      return reason;
    },
  };
}

/** Why `poll` cannot be read as the continuation of the one before it. */
function discontinuity(base: Poll | undefined, poll: Poll): FlushReason | undefined {
  if (!base || poll.after === undefined) return 'start';
  if (poll.history !== base.history || poll.last < base.last || poll.anchor !== base.newest) return 'history';
  const numbers = new Set(poll.changes.map(({ seq }) => seq));
  return poll.after === base.last && numbers.size === poll.last - base.last ? undefined : 'gap';
}
