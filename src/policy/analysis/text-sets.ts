/**
 * Sets of texts as unions of boxes (products of finite or cofinite sets, one a fact). With all enumerated facts fixed, a rule
 * holds of the texts in its boxes. There are infinitely many texts and boxes name few, so whether some boxes cover another
 * is decided by search over the named texts and one that none names.
 */

import { unnamedWord } from '../action-patterns.ts';
import { type Budget, spend } from './budget.ts';

/** A set of texts: one text, or all but some. */
export type Limit = { readonly is: string } | { readonly noneOf: ReadonlySet<string> };

/** Limits by fact path; a fact without one may be any text. */
export type Box = ReadonlyMap<string, Limit>;

export const EVERYTHING: Box = new Map();

const admits = (limit: Limit | undefined, text: string): boolean =>
  limit === undefined || ('is' in limit ? limit.is === text : !limit.noneOf.has(text));

/** undefined: it is empty. */
export function intersection(a: Box, b: Box): Box | undefined {
  const both = new Map(a);
  for (const [path, limit] of b) {
    const other = both.get(path);
    if (other === undefined) both.set(path, limit);
    else if ('is' in limit) {
      if (!admits(other, limit.is)) return undefined;
      both.set(path, limit);
    } else if ('is' in other) {
      if (!admits(limit, other.is)) return undefined;
    } else both.set(path, { noneOf: new Set([...other.noneOf, ...limit.noneOf]) });
  }
  return both;
}

/** What is in a box of the one and in a box of the other. */
export const overlaps = (a: readonly Box[], b: readonly Box[]): Box[] =>
  a.flatMap((one) => b.flatMap((other) => intersection(one, other) ?? []));

/** Texts for `paths` that are in `want` and in none of `avoid`; undefined: there are none, which is a proof. */
export function pointIn(
  want: Box,
  avoid: readonly Box[],
  paths: readonly string[],
  budget: Budget,
): ReadonlyMap<string, string> | undefined {
  spend(budget, 10 + 20 * avoid.length);
  const [path, ...rest] = paths;
  if (path === undefined) return avoid.length === 0 ? new Map() : undefined;
  for (const text of textsWorthTrying(path, want, avoid)) {
    spend(budget, avoid.length);
    const left = avoid.filter((box) => admits(box.get(path), text));
    // A box without a limit on any later path contains every point from here on.
    if (left.some((box) => rest.every((later) => !box.has(later)))) continue;
    const point = pointIn(want, left, rest, budget);
    if (point) return new Map([...point, [path, text]]);
  }
  return undefined;
}

/** One text of each class that the boxes tell apart; first the one that no box names, since it is the likeliest to be in none. */
function textsWorthTrying(path: string, want: Box, avoid: readonly Box[]): readonly string[] {
  const limit = want.get(path);
  if (limit && 'is' in limit) return [limit.is];
  const named = new Set<string>();
  for (const box of avoid) {
    const other = box.get(path);
    if (other && 'is' in other) named.add(other.is);
    else if (other) for (const text of other.noneOf) named.add(text);
  }
  const word = unnamedWord([...named, ...(limit?.noneOf ?? [])]);
  return [word, ...[...named].filter((text) => admits(limit, text))];
}
