/**
 * A bounded LRU cache of values read from the primary, invalidated by tag through the change feed, and used only while the
 * feed confirms it is up to date. Concurrent misses of one name share one read (single-flight). Absent values are cached,
 * too, as negative entries.
 */

import { LRUCache } from 'lru-cache';
import { counter, gauge, type Metric, sampleEach } from '../metric.ts';
import type { Freshness, ReadStart, Tags } from './freshness.ts';
import { createTagIndex } from './tag-index.ts';

/** The value that a read returns for one name. */
export interface Found<V> {
  readonly value: V;
  readonly tags: Tags;
  /** Memory of the value beside what every value takes, such as its attributes. */
  readonly bytes?: number;
  /** False: a negative entry. These have an LRU of their own and cannot evict positive ones. */
  readonly exists: boolean;
  /** Valid from `since`, inclusive, to `until`, exclusive: milliseconds since 1970, by the database's clock. */
  readonly since: number;
  readonly until: number;
}

export interface Read<V> {
  /** The highest change number that its snapshot contains. */
  readonly seq: number;
  /** In the order of the names. */
  readonly found: readonly Found<V>[];
}

export interface CacheStats {
  /** Names that were cached and usable. */
  readonly hits: number;
  /** Names that were not: they were read, or joined a read in flight. */
  readonly misses: number;
  /** Values that were returned but not cached, because a change of them was applied during the read. */
  readonly stale: number;
  /** Positive entries. */
  readonly size: number;
  /** Negative entries. */
  readonly unknown: number;
  /** Estimated memory of all entries. */
  readonly bytes: number;
}

export interface Cache<V> {
  /** The cached values, synchronously; undefined unless all of them are cached and usable now. */
  readonly recall: (names: readonly string[]) => V[] | undefined;
  /**
   * The cached values, and for misses those that `read` returns, which is given their indexes in `names`. A name that
   * another read is in flight for waits for that one. @throws what `read` throws
   */
  readonly load: (names: readonly string[], read: (places: readonly number[]) => Promise<Read<V>>) => Promise<V[]>;
  readonly stats: () => CacheStats;
}

interface Bounds {
  readonly count: number;
  readonly bytes: number;
  /** Memory that is made of each value outside of the cache and kept as long as it, asked when the value is stored. */
  readonly besides?: () => number;
}

/** What is stored of a value. Written out, so that all entries have one hidden class and no more than they need. */
interface Entry<V> extends Pick<Found<V>, 'value' | 'tags' | 'exists'> {
  readonly name: string;
  readonly bytes: number;
  /** Undefined: at any time. */
  readonly valid: Pick<Found<V>, 'since' | 'until'> | undefined;
}

const entryOf = <V>(name: string, { value, tags, exists, bytes = 0, since, until }: Found<V>): Entry<V> => ({
  name,
  value,
  // A copy, which has no room for more.
  tags: tags.slice(),
  exists,
  bytes,
  valid: since === Number.NEGATIVE_INFINITY && until === Number.POSITIVE_INFINITY ? undefined : { since, until },
});

/** A read in flight, as one name sees it. */
interface Flight<V> {
  readonly sentAt: number;
  readonly value: Promise<V>;
}

/** How old, in milliseconds, a read in flight may be to be joined: an older snapshot could break the one-second promise. */
const JOIN_MS = 500;
/** Measured memory of an entry (value and map slots) and of each of its tags, with ids as long as UUIDs. */
const ENTRY_BYTES = 500;
const TAG_BYTES = 100;
/** The share of the bounds that negative entries get. */
const NEGATIVE_SHARE = 0.1;

/** The stored entries: an LRU of positive and one of negative entries, and one index of the tags of both. */
function createEntries<V>({ count, bytes, besides = () => 0 }: Bounds) {
  const byTag = createTagIndex<Entry<V>>();
  const lru = (share: number) =>
    new LRUCache<string, Entry<V>>({
      max: Math.ceil(count * share),
      maxSize: Math.ceil(bytes * share),
      sizeCalculation: ({ name, tags, bytes: own }) =>
        ENTRY_BYTES + name.length + tags.length * TAG_BYTES + own + besides(),
      dispose: byTag.remove,
    });
  const positive = lru(1 - NEGATIVE_SHARE);
  const negative = lru(NEGATIVE_SHARE);
  return {
    get: (name: string): Entry<V> | undefined => positive.get(name) ?? negative.get(name),
    keep: (name: string, found: Found<V>): void => {
      const entry = entryOf(name, found);
      (found.exists ? negative : positive).delete(name);
      (found.exists ? positive : negative).set(name, entry);
      byTag.add(entry);
    },
    drop: (tags: Tags): void => {
      for (const tag of tags) {
        for (const { name, exists } of byTag.under(tag)) (exists ? positive : negative).delete(name);
      }
    },
    clear: (): void => {
      byTag.clear();
      positive.clear();
      negative.clear();
    },
    stats: () => ({
      size: positive.size,
      unknown: negative.size,
      bytes: positive.calculatedSize + negative.calculatedSize,
    }),
  };
}

/**
 * A cache that is invalidated and confirmed by `freshness`. One function over a screen, because all of it shares the reads
 * in flight: what invalidates them, what they store, and who joins them.
 */
export function createCache<V>(freshness: Freshness, bounds: Bounds): Cache<V> {
  const entries = createEntries<V>(bounds);
  let flights = new Map<string, Flight<V>>();
  const counts = { hits: 0, misses: 0, stale: 0 };

  // INVARIANT: a request that starts after a change was applied does not join a read that began before it.
  freshness.subscribe({
    drop: (tags) => {
      flights = new Map();
      entries.drop(tags);
    },
    flush: () => {
      flights = new Map();
      entries.clear();
    },
  });

  /** False, too, where the clock is not known. */
  const isValid = ({ since, until }: NonNullable<Entry<V>['valid']>): boolean => {
    const { earliest, latest } = freshness.clock();
    return earliest >= since && latest < until;
  };

  /** INVARIANT: freshness is checked at each use, so nothing is served from an unconfirmed cache. */
  const peek = (name: string): V | undefined => {
    if (!freshness.confirmed()) return undefined;
    const entry = entries.get(name);
    if (!entry) return undefined;
    return entry.valid === undefined || isValid(entry.valid) ? entry.value : undefined;
  };

  const arrived = (name: string, start: ReadStart, { seq }: Read<V>, found: Found<V> | undefined): V => {
    if (!found) throw new Error('a read returned fewer values than names');
    if (freshness.mayKeep(start, seq, found.tags)) entries.keep(name, found);
    else counts.stale += 1;
    return found.value;
  };

  /** Starts one read for all of the names and registers it in flight under each. */
  const startFlight = (names: readonly string[], read: () => Promise<Read<V>>): [string, Promise<V>][] => {
    const start = freshness.startRead();
    const sentAt = performance.now();
    const whole = read();
    return names.map((name, index) => {
      const unregister = (): void => {
        if (flights.get(name) === flight) flights.delete(name);
      };
      const value = whole.then(
        (result) => {
          unregister();
          return arrived(name, start, result, result.found[index]);
        },
        (error: unknown) => {
          unregister();
          throw error;
        },
      );
      const flight = { sentAt, value };
      flights.set(name, flight);
      return [name, value];
    });
  };

  const joinable = (name: string): Promise<V> | undefined => {
    const flight = flights.get(name);
    return flight && performance.now() - flight.sentAt < JOIN_MS ? flight.value : undefined;
  };

  const load: Cache<V>['load'] = async (names, read) => {
    const answers = new Map<string, V | Promise<V>>();
    const misses = new Map<string, number>();
    for (const [place, name] of names.entries()) {
      if (answers.has(name) || misses.has(name)) continue;
      const cached = peek(name);
      const answer = cached ?? joinable(name);
      if (answer === undefined) misses.set(name, place);
      else answers.set(name, answer);
      counts[cached === undefined ? 'misses' : 'hits'] += 1;
    }
    if (misses.size > 0) {
      for (const [name, value] of startFlight([...misses.keys()], () => read([...misses.values()])))
        answers.set(name, value);
    }
    return Promise.all(names.map((name) => answers.get(name) as V | Promise<V>));
  };

  const recall: Cache<V>['recall'] = (names) => {
    const values: V[] = [];
    for (const name of names) {
      const value = peek(name);
      if (value === undefined) return undefined;
      values.push(value);
    }
    counts.hits += names.length;
    return values;
  };

  return { recall, load, stats: () => ({ ...counts, ...entries.stats() }) };
}

/** Of `caches`, each under its name. */
export function cacheMetrics(caches: Readonly<Record<string, Pick<Cache<never>, 'stats'>>>): Metric[] {
  const each = (value: (stats: CacheStats) => number) => () => sampleEach(caches, (cache) => value(cache.stats()));
  const labels = ['cache'];
  return [
    counter(
      'cache_hits_total',
      'Names that were served from a cache, by cache.',
      each(({ hits }) => hits),
      labels,
    ),
    counter(
      'cache_misses_total',
      'Names that a cache had not, which were read or joined a read in flight (single-flight), by cache.',
      each(({ misses }) => misses),
      labels,
    ),
    counter(
      'cache_stale_fills_total',
      'Reads thrown away because a change overtook them, by cache.',
      each(({ stale }) => stale),
      labels,
    ),
    gauge(
      'cache_entries',
      'Entries in a cache.',
      each(({ size, unknown }) => size + unknown),
      labels,
    ),
    gauge(
      'cache_bytes',
      'Bytes that a cache counts.',
      each(({ bytes }) => bytes),
      labels,
    ),
  ];
}
