/**
 * Prefixes that nest and repeat, made into ranges that do neither. Two prefixes are either apart or one inside the other, so a
 * stack of those that are open says at every address in which ones it lies.
 */

import { type Address, lastOf, type Prefix } from './prefix.ts';

/** Prefixes of one family, in columns: as objects they would take ten times the memory. */
export interface Prefixes {
  /** How many words an address has. */
  readonly width: 1 | 4;
  count: number;
  /** Their first addresses, word by word. */
  readonly words: Uint32Array;
  readonly lengths: Uint8Array;
  /** A number that says whose each is. */
  readonly owners: Uint16Array;
}

/** Every address of a family is in exactly one range: that of the last start that is not behind it. */
export interface Ranges {
  readonly width: 1 | 4;
  /** Sorted; the first is 0. */
  readonly starts: Uint32Array;
  /** Neighbours differ. */
  readonly values: Uint16Array;
}

/** How many prefixes are worked on between two yields: some 0.1 ms. */
const PIECE = 256;

/** Room for `most` prefixes; what is not used takes no memory. Nothing here grows: a copy of it all would hold up the event loop. */
export const roomFor = (most: number, width: 1 | 4): Prefixes => ({
  width,
  count: 0,
  words: new Uint32Array(most * width),
  lengths: new Uint8Array(most),
  owners: new Uint16Array(most),
});

export function addPrefix(prefixes: Prefixes, { first, length }: Prefix, owner: number): void {
  prefixes.words.set(first, prefixes.count * prefixes.width);
  prefixes.lengths[prefixes.count] = length;
  prefixes.owners[prefixes.count] = owner;
  prefixes.count += 1;
}

/**
 * The ranges of prefixes. Outside of all the value is `none`; inside of one it is `join` of the value around it and its owner,
 * which must not depend on the order in which owners are joined.
 */
export function* rangesOf(
  prefixes: Prefixes,
  none: number,
  join: (value: number, owner: number) => number,
): Generator<void, Ranges> {
  const { width, count, words, lengths, owners } = prefixes;
  const order = yield* sorted(count, (a, b) => compare(words, a, words, b, width) || at(lengths, a) - at(lengths, b));
  const cut = cutter(width, count, none);
  const open: { readonly last: Address; readonly value: number }[] = [];
  const around = (): number => open.at(-1)?.value ?? none;
  /** Ends all that end before an address, or all. */
  const closeBefore = (first: Address | undefined): void => {
    for (let top = open.at(-1); top && (!first || compare(top.last, 0, first, 0, width) < 0); top = open.at(-1)) {
      open.pop();
      cut.at(after(top.last), around());
    }
  };
  for (const [done, index] of order.entries()) {
    if (done % PIECE === 0) yield;
    const first = [...words.subarray(index * width, (index + 1) * width)];
    closeBefore(first);
    const value = join(around(), at(owners, index));
    // A million prefixes that say nothing new, such as one that is repeated, must not all be open: they would be closed at once.
    if (value === around()) continue;
    open.push({ last: lastOf({ first, length: at(lengths, index) }), value });
    cut.at(first, value);
  }
  closeBefore(undefined);
  return cut.ranges();
}

type Words = ArrayLike<number>;

const at = (list: Words, index: number): number => list[index] as number;

/** The order of the `a`th and the `b`th address of two lists. */
function compare(ofA: Words, a: number, ofB: Words, b: number, width: number): number {
  for (let word = 0; word < width; word += 1) {
    const difference = (ofA[a * width + word] as number) - (ofB[b * width + word] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** The next address; undefined behind the last one. */
function after(address: Address): Address | undefined {
  const next = [...address];
  for (let word = next.length - 1; word >= 0; word -= 1) {
    if (at(next, word) !== 2 ** 32 - 1) {
      next[word] = at(next, word) + 1;
      return next;
    }
    next[word] = 0;
  }
  return undefined;
}

/** Collects where values change, from the lowest address to the highest; what is said last of an address holds. */
function cutter(width: 1 | 4, prefixes: number, none: number) {
  // A prefix begins a range, and ends one.
  const starts = new Uint32Array((2 * prefixes + 1) * width);
  const values = new Uint16Array(2 * prefixes + 1);
  values[0] = none;
  let count = 1;
  return {
    at: (start: Address | undefined, value: number): void => {
      if (!start) return;
      if (compare(starts, count - 1, start, 0, width) === 0) count -= 1;
      if (count > 0 && values[count - 1] === value) return;
      starts.set(start, count * width);
      values[count] = value;
      count += 1;
    },
    ranges: (): Ranges => ({ width, starts: starts.slice(0, count * width), values: values.slice(0, count) }),
  };
}

/** The numbers from 0 in the order of `compare`: a merge sort, because `sort` of a million would hold up the event loop. */
function* sorted(count: number, compare: (a: number, b: number) => number): Generator<void, Uint32Array> {
  let from = new Uint32Array(count);
  for (let start = 0; start < count; start += PIECE) {
    const run = from.subarray(start, start + PIECE);
    for (const index of run.keys()) run[index] = start + index;
    run.sort(compare);
    yield;
  }
  let to = new Uint32Array(count);
  for (let run = PIECE; run < count; run *= 2) {
    for (let start = 0; start < count; start += 2 * run) {
      const [middle, end] = [Math.min(start + run, count), Math.min(start + 2 * run, count)];
      let [left, right] = [start, middle];
      for (let index = start; index < end; index += 1) {
        if (index % PIECE === 0) yield;
        const takeLeft = right >= end || (left < middle && compare(from[left] as number, from[right] as number) <= 0);
        to[index] = from[takeLeft ? left++ : right++] as number;
      }
    }
    [from, to] = [to, from];
  }
  return from;
}

/** Which range an address is in. Not by `compare`, which serves several kinds of lists and so is slower. */
export function rangeAt({ width, starts, values }: Ranges, address: Address): number {
  let [low, high] = [0, values.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >>> 1;
    let word = 0;
    while (word < width - 1 && starts[middle * width + word] === address[word]) word += 1;
    if ((starts[middle * width + word] as number) <= (address[word] as number)) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Whether a range begins at `first`, and the next one at `next`. */
export function isRange(ranges: Ranges, range: number, first: Address, next: Address): boolean {
  const { width, starts, values } = ranges;
  if (range + 1 >= values.length) return false;
  return compare(starts, range, first, 0, width) === 0 && compare(starts, range + 1, next, 0, width) === 0;
}
