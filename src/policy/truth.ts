/**
 * What Casbin says of one rule, remembered by the values of the facts that the rule names: no other fact can change it.
 * So a rule is evaluated once for each way in which it can come out, however many situations there are. Nothing here
 * reads a rule; each truth is Casbin's.
 */

import type { Facts } from './facts.ts';
import { evaluationOf, type Matcher } from './matcher.ts';
import type { Row } from './parse.ts';
import type { Situation, Space } from './situations.ts';

const ACTION = 'r.request.action';

/** What a proof has cost, in units of about 20 ns: deterministic, so that what is refused does not depend on the machine. */
export interface Effort {
  spent: number;
}

/** Of one proof: about 4 s. */
export const MAX_EFFORT = 200_000_000;

/** Whether a row would match a situation of a space if it stood alone. */
export type Truth = (situation: Situation) => boolean;

/** Remembers across spaces. */
export function truths(matcher: Matcher, effort: Effort): (row: Row, space: Space<Row>) => Truth {
  const known = new Map<Row, Map<number, boolean>>();
  return (row, space) => {
    // A rule that names the action may come out otherwise in each space.
    const shared = row.when.facts.has(ACTION) ? new Map<number, boolean>() : (known.get(row) ?? new Map());
    if (!row.when.facts.has(ACTION)) known.set(row, shared);
    const keyOf = projection(row, space);
    effort.spent += 20 * space.paths.length;
    const ask = (facts: Facts): boolean => {
      effort.spent += evaluationOf(row);
      return matcher.matchesAlone(row, facts);
    };
    return (situation) => {
      effort.spent += 1;
      const key = keyOf(situation.indices);
      const before = shared.get(key);
      if (before !== undefined) return before;
      const truth = ask(situation.facts());
      shared.set(key, truth);
      return truth;
    };
  };
}

/** A number that is the same for situations in which the facts that the row names are alike as far as it can tell. */
function projection(row: Row, space: Space<Row>): (indices: Uint32Array) => number {
  const places: { readonly at: number; readonly ranks: readonly number[] }[] = [];
  let stride = 1;
  for (const [at, path] of space.paths.entries()) {
    if (!row.when.facts.has(path)) continue;
    const constants = [...(row.when.constants.get(path) ?? [])];
    const values = space.values[at] ?? [];
    // Of a text a rule can tell the constants that it names; all others are alike to it.
    const isText = values[0] === '';
    const rank = (value: unknown, index: number): number => (isText ? constants.indexOf(String(value)) + 1 : index);
    const step = stride;
    places.push({ at, ranks: values.map((value, index) => step * rank(value, index)) });
    stride *= isText ? constants.length + 1 : values.length;
  }
  return (indices) => {
    let key = 0;
    for (const { at, ranks } of places) key += ranks[indices[at] ?? 0] ?? 0;
    return key;
  };
}
