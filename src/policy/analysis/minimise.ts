/**
 * Two-level logic minimisation (expand, then irredundant, as in Espresso) for facts of more than two values: turns the value
 * sets of many classes into few conditions that hold of exactly those classes.
 */

import type { ValueSets } from './classes.ts';

/** A product of value sets: for each dimension the admitted indices; undefined: all. */
export type Cube = readonly (ReadonlySet<number> | undefined)[];

/** A cube at its largest, and the smallest that would do. */
export interface Cover {
  /** As large as possible without touching an off-set term. It may hold what cannot occur (don't-cares). */
  readonly widest: Cube;
  /** As small as possible while it still holds the same terms. */
  readonly needed: Cube;
  /** How many terms it holds. */
  readonly count: number;
}

/** The bound of the result: beyond it nobody would read it, and finding it takes too long. */
export const MAX_CUBES = 500;

/**
 * Cubes that together hold all of `terms` and touch none of `others`. `sizes`: how many values each dimension has.
 * Undefined: it takes more than MAX_CUBES.
 *
 * Greedy, so not always the fewest cubes that there are; what they hold is exact whatever it picks.
 */
export function minimise(
  terms: readonly ValueSets[],
  others: readonly ValueSets[],
  sizes: readonly number[],
): Cover[] | undefined {
  const left = new Set(terms);
  const picked: Candidate[] = [];
  for (const seed of terms) {
    if (!left.has(seed)) continue;
    if (picked.length === MAX_CUBES) return undefined;
    const candidates = ordersOf(sizes.length).map((order) => {
      const cube = expand(seed, others, sizes, order);
      return { cube, held: terms.filter((term) => holds(cube, term)) };
    });
    const best = candidates.reduce((a, b) => (better(b, a) ? b : a));
    picked.push(best);
    for (const term of best.held) left.delete(term);
  }
  return irredundant(picked).map(({ cube, held }) => ({
    widest: cube,
    needed: cube.map((values, d) => values && new Set(held.flatMap((term) => term[d] ?? []))),
    count: held.length,
  }));
}

/** Orders in which to expand the dimensions. The cube depends on it, so several are tried and the simplest is kept. */
function ordersOf(count: number): number[][] {
  const forwards = [...Array(count).keys()];
  const halfway = [...forwards.slice(count / 2), ...forwards.slice(0, count / 2)];
  return [forwards.toReversed(), forwards, halfway.toReversed(), halfway];
}

interface Candidate {
  readonly cube: Cube;
  readonly held: readonly ValueSets[];
}

const restrictions = (cube: Cube): number => cube.filter((values) => values !== undefined).length;

const better = (a: Candidate, b: Candidate): boolean =>
  restrictions(a.cube) < restrictions(b.cube) ||
  (restrictions(a.cube) === restrictions(b.cube) && a.held.length > b.held.length);

const holds = (cube: Cube, term: ValueSets): boolean =>
  cube.every((values, d) => values === undefined || (term[d]?.every((value) => values.has(value)) ?? false));

/** Expands the seed by one dimension after the other: first those that need no limit at all, then the rest as far as possible. */
function expand(
  seed: ValueSets,
  others: readonly ValueSets[],
  sizes: readonly number[],
  order: readonly number[],
): Cube {
  const cube = seed.map((values) => values && new Set(values)) as (Set<number> | undefined)[];
  const outside = (inside: ReadonlySet<number>, values: readonly number[] | undefined): boolean =>
    values !== undefined && !values.some((value) => inside.has(value));
  // How many dimensions exclude each off-set term. Where only one does, that one must go on excluding it.
  const apart = Uint8Array.from(others, (other) =>
    cube.reduce((sum, inside, d) => sum + Number(inside !== undefined && outside(inside, other[d])), 0),
  );
  const widen = (d: number, onlyWhole: boolean): void => {
    const inside = cube[d];
    if (!inside) return;
    const blocked = new Set<number>();
    for (const [index, other] of others.entries()) {
      if (apart[index] !== 1 || !outside(inside, other[d])) continue;
      for (const value of other[d] ?? []) blocked.add(value);
    }
    if (blocked.size > 0 && onlyWhole) return;
    const admitted = new Set([...Array(sizes[d]).keys()].filter((value) => !blocked.has(value)));
    for (const [index, other] of others.entries()) {
      if (outside(inside, other[d]) && !outside(admitted, other[d])) apart[index] = (apart[index] as number) - 1;
    }
    cube[d] = blocked.size === 0 ? undefined : admitted;
  };
  for (const d of order) widen(d, true);
  for (const d of order) widen(d, false);
  return cube;
}

/** Drops cubes whose terms are all held by others too; the smallest first. */
function irredundant(candidates: readonly Candidate[]): Candidate[] {
  const times = new Map<ValueSets, number>();
  for (const { held } of candidates) for (const term of held) times.set(term, (times.get(term) ?? 0) + 1);
  const dropped = new Set<Candidate>();
  for (const candidate of [...candidates].sort((a, b) => a.held.length - b.held.length)) {
    if (!candidate.held.every((term) => (times.get(term) ?? 0) > 1)) continue;
    dropped.add(candidate);
    for (const term of candidate.held) times.set(term, (times.get(term) ?? 0) - 1);
  }
  return candidates.filter((candidate) => !dropped.has(candidate));
}
