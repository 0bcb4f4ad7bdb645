/**
 * Where a rule holds, as Casbin says it: of a rule only the facts that it names can change what it says, so Casbin is
 * asked once for each combination of those, and the answers are kept as boxes of texts. Nothing here reads a rule.
 */

import { evaluationOf, type Matcher } from '../casbin/matcher.ts';
import { ACTION_PATH } from '../casbin/rule.ts';
import { FACT_PATHS } from '../facts.ts';
import type { Row } from '../folder/rows.ts';
import { unnamedWord } from './action-classes.ts';
import { type Effort, spend } from './budget.ts';
import type { Cell, Space } from './situations.ts';
import { type Box, EVERYTHING, type Limit } from './text-sets.ts';

export interface Shape {
  /** Whether the rule holds whatever the texts. */
  readonly always: boolean;
  /** It holds of the texts in any of these; none: it never holds. */
  readonly boxes: readonly Box[];
}

const ALWAYS: Shape = { always: true, boxes: [EVERYTHING] };

/** The shape of a row in each cell of a space, as if it stood alone. */
export type ShapeIn = (cell: Cell) => Shape;

/** Remembers across spaces, unless the rule names the action. */
export function shapes(matcher: Matcher, effort: Effort): (row: Row, space: Space<Row>) => ShapeIn {
  const known = new Map<Row, Map<number, Shape>>();
  return (row, space) => {
    spend(effort, 50 + 10 * space.paths.length);
    const before = known.get(row) ?? new Map<number, Shape>();
    if (!row.when.facts.has(ACTION_PATH)) known.set(row, before);
    const keyOf = cellKey(row, space);
    return (cell) => {
      spend(effort, 5);
      const key = keyOf(cell);
      const shape = before.get(key) ?? evaluate(matcher, effort, row, space, cell);
      before.set(key, shape);
      return shape;
    };
  };
}

/** A number that is the same for cells that are alike in all facts that the row names. */
function cellKey(row: Row, space: Space<Row>): (cell: Cell) => number {
  const places: { readonly at: number; readonly stride: number }[] = [];
  let stride = 1;
  for (const [at, path] of space.paths.entries()) {
    if (!row.when.facts.has(path)) continue;
    const type = FACT_PATHS.get(path);
    places.push({ at, stride });
    stride *= typeof type === 'object' ? type.length + 1 : 3;
  }
  return ({ indices }) => places.reduce((key, place) => key + ((indices[place.at] ?? 0) + 1) * place.stride, 0);
}

function evaluate(matcher: Matcher, effort: Effort, row: Row, space: Space<Row>, cell: Cell): Shape {
  const open = cell.open.filter((path) => row.when.facts.has(path));
  const choices = open.map((path) => limitsOf(row, path));
  const count = choices.reduce((product, { length }) => product * length, 1);
  spend(effort, count);
  const boxes: Box[] = [];
  for (let index = 0; index < count; index += 1) {
    const chosen = nth(choices, index);
    spend(effort, evaluationOf(row));
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

/** What a rule can tell apart of a text that there is: each constant that it names, and all others. */
function limitsOf(row: Row, path: string): readonly Choice[] {
  const constants = new Set(row.when.constants.get(path));
  constants.delete('');
  return [
    ...[...constants].map((text) => ({ text, limit: { is: text } })),
    { text: unnamedWord(constants), limit: { noneOf: constants } },
  ];
}

/** The combination number `index`, counting as a clock does. */
function nth(choices: readonly (readonly Choice[])[], index: number): Choice[] {
  let left = index;
  return choices.map((of) => {
    const choice = of[left % of.length] as Choice;
    left = Math.floor(left / of.length);
    return choice;
  });
}
