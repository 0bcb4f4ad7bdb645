/**
 * Regions: for each factor the alternatives that are still open. A region is split only where what is asked of it differs, so
 * twenty attributes that twenty rows read cost twenty splits and not the product of all their values.
 */

import type { Factor } from './factors.ts';

/** For each factor the indices of its alternatives that are open: one at least. */
export type Region = readonly (readonly number[])[];

/** For each factor the index of one alternative. */
export type Choice = readonly number[];

/** A part of a region, in all of which a value is the same. */
export interface Part<T> {
  readonly region: Region;
  readonly value: T;
}

/** One point of a region. */
export const choiceIn = (region: Region): Choice => region.map(([first = 0]) => first);

/** How many choices a region has. */
export const sizeOf = (region: Region): number => region.reduce((size, { length }) => size * length, 1);

/** The factors, by index, that have one of these facts. */
export const factorsReading = (factors: readonly Factor[], facts: ReadonlySet<string>): readonly number[] =>
  factors.flatMap(({ columns }, index) => (columns.some(({ path }) => facts.has(path)) ? [index] : []));

/**
 * Splits a region into parts in each of which `valueAt` is the same (by identity). It may depend on the factors `reads` alone, and is
 * asked once for each combination of their alternatives that are not `alike`, of which it must be the same.
 */
export function partsOf<T>(
  region: Region,
  reads: readonly number[],
  valueAt: (choice: Choice) => T,
  alike: (factor: number, alternative: number) => unknown = (_, alternative) => alternative,
): readonly Part<T>[] {
  const [factor, ...rest] = reads;
  if (factor === undefined) return [{ region, value: valueAt(choiceIn(region)) }];
  const open = region[factor] ?? [];
  if (open.length === 1) return partsOf(region, rest, valueAt, alike);
  const classes = new Map<unknown, number[]>();
  for (const alternative of open) {
    const name = alike(factor, alternative);
    const known = classes.get(name);
    if (known) known.push(alternative);
    else classes.set(name, [alternative]);
  }
  // Alternatives that lead to the same parts stay together.
  const groups: { readonly parts: readonly Part<T>[]; readonly open: number[] }[] = [];
  for (const together of classes.values()) {
    const parts = partsOf(withOpen(region, factor, together.slice(0, 1)), rest, valueAt, alike);
    const known = groups.find((one) => sameParts(one.parts, parts, factor));
    if (known) known.open.push(...together);
    else groups.push({ parts, open: together });
  }
  for (const group of groups) group.open.sort((a, b) => a - b);
  return groups.flatMap(({ parts, open: together }) =>
    parts.map((part) => ({ region: withOpen(part.region, factor, together), value: part.value })),
  );
}

export const withOpen = (region: Region, factor: number, open: readonly number[]): Region => region.with(factor, open);

/** Whether two lists of parts differ in nothing but one factor. */
function sameParts<T>(a: readonly Part<T>[], b: readonly Part<T>[], factor: number): boolean {
  if (a.length !== b.length) return false;
  return a.every(({ region, value }, index) => {
    const other = b[index];
    return other?.value === value && region.every((open, at) => at === factor || same(open, other.region[at] ?? []));
  });
}

const same = (a: readonly number[], b: readonly number[]): boolean =>
  a === b || (a.length === b.length && a.every((one, index) => one === b[index]));
