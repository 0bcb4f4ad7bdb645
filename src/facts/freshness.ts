/**
 * Which numbers of the change feed this process has applied, until when its caches may be trusted, and whether the result of
 * a read that ran meanwhile may be cached. Pure state: no I/O, and no wall clock; only the monotonic clock, which goes on
 * while the process is stopped (SIGSTOP, a suspended machine), so that it wakes up unconfirmed.
 */

import type { Change, Commit } from '../db/mutate.ts';

/** Milliseconds for which cached values may be used after the last confirming poll was sent. */
export const CONFIRMED_MS = 1000;
/** Applied changes that are kept for `mayKeep`. A read whose snapshot is older than all of them is not cached. */
const RECENT = 1000;
/** A generous bound on how far the database's clock and ours drift apart between two polls. */
const DRIFT_MS = 5;

/** What a cache entry was made from, such as `key:<id>`: a change that bears one of its tags invalidates it. */
export type Tags = readonly string[];

// Joined, not added up: V8 would keep a sum as its parts, beside the whole text as soon as a map hashes it.
export const tagOf = (kind: Change['kind'], id: string): string => [kind, id].join(':');
export const digestTag = (digest: Buffer): string => ['digest', digest.toString('latin1')].join(':');

/** Of whatever is made from all callers, or from all freezes: the change of any of them bears it. */
export const CALLERS = tagOf('caller', '');
export const FREEZES = tagOf('freeze', '');

const tagsOf = ({ kind, id, digest }: Change): Tags => [
  tagOf(kind, id),
  ...(digest ? [digestTag(digest)] : []),
  ...(kind === 'caller' || kind === 'freeze' ? [tagOf(kind, '')] : []),
];

/** The result of one poll of the feed: one statement on the primary, so one snapshot. */
export interface Poll {
  /** The number after which changes were asked for; undefined at the first poll. */
  readonly after: number | undefined;
  /** Monotonic milliseconds, before the statement was sent and after its result arrived. */
  readonly sentAt: number;
  readonly receivedAt: number;
  /** Identifies the server and its timeline, so that a restored or promoted one is noticed. */
  readonly history: string;
  /** The highest committed number. */
  readonly last: number;
  /** The database's times of the changes `after` and `last`; null where the feed has no such row. */
  readonly anchor: string | null;
  readonly newest: string | null;
  /** The database's clock, in milliseconds. */
  readonly clock: number;
  /** The changes above `after`, in order. */
  readonly changes: readonly (Change & { readonly seq: number })[];
}

/** Why all was flushed: the first poll, missing numbers, another server or timeline, or a change `*`. Logged. */
export type FlushReason = 'start' | 'gap' | 'history' | 'everything';

/** Called for each invalidation, synchronously. */
export interface Listener {
  readonly drop: (tags: Tags) => void;
  readonly flush: () => void;
}

/** The state when a read began, for `mayKeep`. */
export interface ReadStart {
  /** How many flushes there had been. */
  readonly flushes: number;
}

export interface Freshness {
  /** Whether all that was committed up to a second ago has been applied. To be asked at each use of a cached value. */
  readonly confirmed: () => boolean;
  /** Whether all that was committed before `at`, a time of `performance.now()`, has been applied. */
  readonly confirmedSince: (at: number) => boolean;
  /** Milliseconds since the last confirmation; Infinity before the first. */
  readonly staleness: () => number;
  /** Bounds on the database's clock now, in milliseconds since 1970. Meaningless unless `confirmed`. */
  readonly clock: () => { readonly earliest: number; readonly latest: number };
  /** The number up to which every change is applied. */
  readonly position: () => number | undefined;
  /** To be called before a read is sent. */
  readonly startRead: () => ReadStart;
  /**
   * Whether the result of a read may be cached: its snapshot contains the changes up to `seq`, and no later change that
   * was applied meanwhile bears one of its `tags`.
   */
  readonly mayKeep: (start: ReadStart, seq: number, tags: Tags) => boolean;
  readonly subscribe: (listener: Listener) => void;
  /** Applies a commit of this process; undefined: one whose outcome is unknown, which flushes everything. */
  readonly applyCommit: (commit: Commit | undefined) => void;
  /** Applies a poll. Returns why everything was flushed, or undefined when it was not. */
  readonly applyPoll: (poll: Poll) => FlushReason | undefined;
}

/** One function over a screen, because it is one state machine: commits, polls and reads all change or read the same few variables. */
export function createFreshness(now: () => number = () => performance.now()): Freshness {
  const listeners: Listener[] = [];
  let confirmedAt = Number.NEGATIVE_INFINITY;
  let lastPoll: Poll | undefined;
  let flushes = 0;
  let recent: { readonly seq: number; readonly tags: Tags }[] = [];
  /** The highest number in `recent`, and the highest that was dropped from it. */
  let highest = 0;
  let highestDropped = 0;

  const flush = (): void => {
    flushes += 1;
    recent = [];
    highest = 0;
    highestDropped = 0;
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
    if (recent.length > RECENT) highestDropped = Math.max(highestDropped, recent.shift()?.seq ?? 0);
    for (const listener of listeners) listener.drop(tags);
  };

  const applyChanges = (poll: Poll): FlushReason | undefined => {
    const reason = discontinuity(lastPoll, poll);
    if (reason) flush();
    else for (const change of poll.changes) apply(change.seq, change);
    return reason ?? (poll.changes.some(({ kind }) => kind === '*') ? 'everything' : undefined);
  };

  return {
    confirmed: () => now() - confirmedAt < CONFIRMED_MS,
    confirmedSince: (at) => confirmedAt >= at,
    staleness: () => now() - confirmedAt,
    clock: () => {
      if (!lastPoll) return { earliest: Number.NaN, latest: Number.NaN };
      const at = now() + lastPoll.clock;
      return { earliest: at - lastPoll.receivedAt - DRIFT_MS, latest: at - lastPoll.sentAt + DRIFT_MS };
    },
    position: () => lastPoll?.last,
    startRead: () => ({ flushes }),
    mayKeep: (start, seq, tags) =>
      start.flushes === flushes &&
      seq >= highestDropped &&
      (seq >= highest || !recent.some((change) => change.seq > seq && change.tags.some((each) => tags.includes(each)))),
    subscribe: (listener) => void listeners.push(listener),
    applyCommit: (commit) => {
      if (!commit) flush();
      else for (const change of commit.changes) apply(commit.seq, change);
    },
    applyPoll: (poll) => {
      const reason = applyChanges(poll);
      lastPoll = poll;
      // INVARIANT: confirmed as of when the statement was sent, not received: only what was committed before that is in it.
      confirmedAt = poll.sentAt;
      return reason;
    },
  };
}

/** Why `poll` does not continue the one before it (`base`) without a gap; undefined when it does. */
function discontinuity(base: Poll | undefined, poll: Poll): FlushReason | undefined {
  if (!base || poll.after === undefined) return 'start';
  if (poll.history !== base.history || poll.last < base.last || poll.anchor !== base.newest) return 'history';
  const numbers = new Set(poll.changes.map(({ seq }) => seq));
  return poll.after === base.last && numbers.size === poll.last - base.last ? undefined : 'gap';
}
