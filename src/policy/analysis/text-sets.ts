/**
 * Sets of texts. Where all closed facts are fixed, a rule holds of certain texts: of those in one of its boxes. Texts
 * are endless, and boxes name few of them, so whether boxes cover another one is decided without listing combinations.
 */

import { unnamedWord } from './action-classes.ts';
import { type Effort, spend } from './budget.ts';

/** What a text must be: a certain one, or anything but some. */
export type Limit = { readonly is: string } | { readonly noneOf: ReadonlySet<string> };

/** Limits by the paths of facts; a fact without one may be any text. */
export type Box = ReadonlyMap<string, Limit>;

export const EVERYTHING: Box = new Map();

const admits = (limit: Limit | undefined, text: string): boolean =>
  limit === undefined || ('is' in limit ? limit.is === text : !limit.noneOf.has(text));

/** What is in both; undefined: nothing is. */
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

/** Texts for `paths` that are in `want` and in none of `avoid`; undefined: there are none, which is a proof. */
export function pointIn(
  want: Box,
  avoid: readonly Box[],
  paths: readonly string[],
  effort: Effort,
): ReadonlyMap<string, string> | undefined {
  spend(effort, 10 + 20 * avoid.length);
  const [path, ...rest] = paths;
  if (path === undefined) return avoid.length === 0 ? new Map() : undefined;
  for (const text of textsWorthTrying(path, want, avoid)) {
    spend(effort, avoid.length);
    const left = avoid.filter((box) => admits(box.get(path), text));
    // A box that no later fact can leave holds whatever is chosen from here on.
    if (left.some((box) => rest.every((later) => !box.has(later)))) continue;
    const point = pointIn(want, left, rest, effort);
    if (point) return new Map([...point, [path, text]]);
  }
  return undefined;
}

/** One text for each way in which boxes can tell texts apart; first the one that is named nowhere, which most leave out. */
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
