/**
 * What has been read from the primary and is still so: bounded, found by name, ended by the changes of what it was made from,
 * and believed only while the process is known to be current. Any number of requests for one thing that is not
 * there yet are one read.
 */

import { LRUCache } from 'lru-cache';
import type { Currency, Reading, Tags } from './freshness.ts';
import { createTagged } from './tag-index.ts';

/** What a read has found under a name. */
export interface Found<V> {
  readonly value: V;
  readonly tags: Tags;
  /** False: there is nothing under the name. Such are kept apart, so that they push out nothing that there is. */
  readonly exists: boolean;
  /** By the database's clock, in milliseconds: it holds from `since` and until just before `until`. */
  readonly since: number;
  readonly until: number;
}

export interface Read<V> {
  /** The last change that was visible to it. */
  readonly seq: number;
  /** In the order of the names that were asked for. */
  readonly found: readonly Found<V>[];
}

export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
  /** Reads whose result was not kept, because what they read has changed meanwhile. */
  readonly stale: number;
  readonly size: number;
  readonly unknown: number;
  /** About how many bytes of memory all of it takes. */
  readonly bytes: number;
}

export interface Cache<V> {
  /** What is known under the names, at once; undefined unless all of it is known and may be believed now. */
  readonly recall: (names: readonly string[]) => V[] | undefined;
  /**
   * What is known under the names, or else what `read` finds, which is given the places of those that are not known.
   * A name that another read is under way for waits for that one. @throws what `read` throws
   */
  readonly load: (names: readonly string[], read: (places: readonly number[]) => Promise<Read<V>>) => Promise<V[]>;
  readonly stats: () => CacheStats;
}

interface Bounds {
  readonly count: number;
  readonly bytes: number;
}

interface Entry<V> extends Found<V> {
  readonly name: string;
}

interface Flight<V> {
  readonly sentAt: number;
  readonly value: Promise<V>;
}

/** Milliseconds. Whoever asks later than that could be told of what has ended more than a second before. */
const JOIN_MS = 500;
/** Of an entry with its facts and its places in the maps, and of each of its tags: as measured, with ids as long as UUIDs. */
const ENTRY_BYTES = 1250;
const TAG_BYTES = 150;
/** What is not there may take that share of the bounds. */
const UNKNOWN_SHARE = 0.1;

export function createCache<V>(currency: Currency, bounds: Bounds): Cache<V> {
  const byTag = createTagged<Entry<V>>();
  let flights = new Map<string, Flight<V>>();
  const counts = { hits: 0, misses: 0, stale: 0 };

  const store = ({ count, bytes }: Bounds) =>
    new LRUCache<string, Entry<V>>({
      max: Math.ceil(count),
      maxSize: Math.ceil(bytes),
      sizeCalculation: ({ name, tags }) => ENTRY_BYTES + name.length + tags.length * TAG_BYTES,
      dispose: byTag.remove,
    });
  const known = store(bounds);
  const unknown = store({ count: bounds.count * UNKNOWN_SHARE, bytes: bounds.bytes * UNKNOWN_SHARE });

  const keep = (name: string, found: Found<V>): void => {
    const entry = { name, ...found };
    (found.exists ? unknown : known).delete(name);
    (found.exists ? known : unknown).set(name, entry);
    byTag.add(entry);
  };

  // INVARIANT: whoever asks after a change has been applied joins no read that was begun before it.
  currency.subscribe({
    drop: (tags) => {
      flights = new Map();
      for (const tag of tags) {
        for (const { name, exists } of byTag.under(tag)) (exists ? known : unknown).delete(name);
      }
    },
    flush: () => {
      flights = new Map();
      byTag.clear();
      known.clear();
      unknown.clear();
    },
  });

  /** INVARIANT: nothing is answered from here that is not confirmed at this very moment. */
  const peek = (name: string): V | undefined => {
    if (!currency.confirmed()) return undefined;
    const entry = known.get(name) ?? unknown.get(name);
    if (!entry) return undefined;
    if (entry.since > Number.NEGATIVE_INFINITY && entry.since > currency.clock().earliest) return undefined;
    if (entry.until < Number.POSITIVE_INFINITY && entry.until <= currency.clock().latest) return undefined;
    return entry.value;
  };

  const settle = (name: string, reading: Reading, { seq }: Read<V>, found: Found<V> | undefined): V => {
    if (!found) throw new Error('a read did not answer all that it was asked');
    if (currency.holds(reading, seq, found.tags)) keep(name, found);
    else counts.stale += 1;
    return found.value;
  };

  /** Begins one read for all of the names, which others may join while it is under way. */
  const depart = (names: readonly string[], read: () => Promise<Read<V>>): [string, Promise<V>][] => {
    const reading = currency.reading();
    const sentAt = performance.now();
    const whole = read();
    return names.map((name, index) => {
      const value = whole.then((result) => settle(name, reading, result, result.found[index]));
      const flight = { sentAt, value };
      flights.set(name, flight);
      const land = (): void => {
        if (flights.get(name) === flight) flights.delete(name);
      };
      value.then(land, land);
      return [name, value];
    });
  };

  const underWay = (name: string): Promise<V> | undefined => {
    const flight = flights.get(name);
    return flight && performance.now() - flight.sentAt < JOIN_MS ? flight.value : undefined;
  };

  const load: Cache<V>['load'] = async (names, read) => {
    const answers = new Map<string, V | Promise<V>>();
    const cold = new Map<string, number>();
    for (const [place, name] of names.entries()) {
      if (answers.has(name) || cold.has(name)) continue;
      const known = peek(name);
      const answer = known ?? underWay(name);
      if (answer === undefined) cold.set(name, place);
      else answers.set(name, answer);
      counts[known === undefined ? 'misses' : 'hits'] += 1;
    }
    if (cold.size > 0) {
      for (const [name, value] of depart([...cold.keys()], () => read([...cold.values()]))) answers.set(name, value);
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

  return {
    recall,
    load,
    stats: () => ({
      ...counts,
      size: known.size,
      unknown: unknown.size,
      bytes: known.calculatedSize + unknown.calculatedSize,
    }),
  };
}
