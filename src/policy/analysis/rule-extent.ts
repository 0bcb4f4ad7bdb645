/**
 * Where a rule holds, as evaluated by Casbin: only the facts that a rule reads can change its value, so Casbin evaluates it
 * once for each combination of those, and the results are kept as boxes of texts. Nothing here interprets a rule.
 */

import { unnamedWord } from '../action-patterns.ts';
import { evaluationOf, type Matcher } from '../casbin/matcher.ts';
import { ACTION_PATH } from '../facts.ts';
import type { Row } from '../row.ts';
import { type Budget, spend } from './budget.ts';
import type { Cell, Space } from './situations.ts';
import { type Box, EVERYTHING, type Limit } from './text-sets.ts';

export interface RuleExtent {
  /** Whether the rule holds of all texts. */
  readonly always: boolean;
  /** It holds of exactly the texts in any of these; without any it never holds. */
  readonly boxes: readonly Box[];
}

const ALWAYS: RuleExtent = { always: true, boxes: [EVERYTHING] };

/** Where a row would match in a cell of a space if it were the only row. */
export type ExtentIn = (cell: Cell) => RuleExtent;

/** Memoized across spaces, unless the rule reads the action. */
export function ruleExtents(matcher: Matcher, budget: Budget): (row: Row, space: Space<Row>) => ExtentIn {
  const known = new Map<Row, Map<number, RuleExtent>>();
  return (row, space) => {
    spend(budget, 50 + 10 * space.paths.length);
    const before = known.get(row) ?? new Map<number, RuleExtent>();
    if (!row.when.facts.has(ACTION_PATH)) known.set(row, before);
    const keyOf = cellKey(row, space);
    return (cell) => {
      spend(budget, 5);
      const key = keyOf(cell);
      const extent = before.get(key) ?? evaluate(matcher, budget, row, space, cell);
      before.set(key, extent);
      return extent;
    };
  };
}

/** A memo key: equal for cells that agree in all facts that the row reads. */
function cellKey(row: Row, space: Space<Row>): (cell: Cell) => number {
  const places: { readonly at: number; readonly stride: number }[] = [];
  let stride = 1;
  for (const [at, path] of space.paths.entries()) {
    if (!row.when.facts.has(path)) continue;
    const type = space.schema.paths.get(path);
    places.push({ at, stride });
    stride *= typeof type === 'object' ? type.length + 1 : 3;
  }
  return ({ indices }) => places.reduce((key, place) => key + ((indices[place.at] ?? 0) + 1) * place.stride, 0);
}

function evaluate(matcher: Matcher, budget: Budget, row: Row, space: Space<Row>, cell: Cell): RuleExtent {
  const open = cell.open.filter((path) => row.when.facts.has(path));
  const choices = open.map((path) => limitsOf(row, path));
  const count = choices.reduce((product, { length }) => product * length, 1);
  spend(budget, count);
  const boxes: Box[] = [];
  for (let index = 0; index < count; index += 1) {
    const chosen = nth(choices, index);
    spend(budget, evaluationOf(row));
    const texts = new Map(open.map((path, at) => [path, chosen[at]?.text ?? '']));
    if (matcher.matchesAlone(row, space.factsOf(cell, texts))) {
      boxes.push(new Map(open.map((path, at) => [path, chosen[at]?.limit ?? { noneOf: new Set<string>() }])));
    }
  }
  return boxes.length === count ? ALWAYS : { always: false, boxes };
}

interface Choice {
  readonly text: string;
  readonly limit: Limit;
}

/** The classes of non-empty texts that a rule tells apart: each constant that it names, and all others. */
function limitsOf(row: Row, path: string): readonly Choice[] {
  const constants = new Set(row.when.constants.get(path));
  constants.delete('');
  return [
    ...[...constants].map((text) => ({ text, limit: { is: text } })),
    { text: unnamedWord(constants), limit: { noneOf: constants } },
  ];
}

/** Combination number `index`, in mixed radix. */
function nth(choices: readonly (readonly Choice[])[], index: number): Choice[] {
  let left = index;
  return choices.map((of) => {
    const choice = of[left % of.length] as Choice;
    left = Math.floor(left / of.length);
    return choice;
  });
}
