/**
 * Where a rule holds, as evaluated by Casbin: only the facts that a rule reads can change its value, so Casbin evaluates it
 * once for each combination of those, and the results are kept as boxes of texts. Nothing here interprets a rule.
 */

import { unnamedWord } from '../action-patterns.ts';
import { evaluationOf, type Matcher } from '../casbin/matcher.ts';
import { ACTION_PATH } from '../facts.ts';
import type { Row } from '../row.ts';
import { alikeFor, combinationsIn } from './alike.ts';
import { type Budget, spend } from './budget.ts';
import { type Choice, choiceIn, factorsReading, type Part, partsOf, type Region } from './regions.ts';
import type { Cell, Space } from './situations.ts';
import { type Box, EVERYTHING, type Limit } from './text-sets.ts';

export interface RuleExtent {
  /** Whether the rule holds of all texts. */
  readonly always: boolean;
  /** It holds of exactly the texts in any of these; without any it never holds. */
  readonly boxes: readonly Box[];
}

const ALWAYS: RuleExtent = { always: true, boxes: [EVERYTHING] };
const NEVER: RuleExtent = { always: false, boxes: [] };

/** Where a row would match in a space if it were the only row. */
export interface ExtentIn {
  /** The parts of a region of a cell in each of which it matches the same texts. Equal extents are the same object. */
  readonly partsOf: (cell: Cell, region: Region) => readonly Part<RuleExtent>[];
}

/** A row, or an invariant, with where it holds in the space at hand. */
export interface WithExtent<T> {
  readonly of: T;
  readonly extentIn: ExtentIn;
}

/** A part of a region, by what is open there of the factors that a row reads. */
interface Split {
  readonly open: readonly (readonly number[])[];
  readonly value: RuleExtent;
}

/**
 * Memoized across spaces, unless the rule reads the action; and how a region is split, within a space, since most cells ask the same:
 * what a row reads is much less than what tells cells apart.
 */
export function ruleExtents(matcher: Matcher, budget: Budget): (row: Row, space: Space<Row>) => ExtentIn {
  const known = new Map<Row, Map<number | string, RuleExtent>>();
  const interned = new Map<string, RuleExtent>();
  const nameOf = listNames();
  return (row, space) => {
    spend(budget, 50 + 10 * space.paths.length);
    const before = known.get(row) ?? new Map<number | string, RuleExtent>();
    if (!row.when.facts.has(ACTION_PATH)) known.set(row, before);
    const reads = factorsReading(space.factors, row.when.facts);
    const keyOf = cellKey(row, space);
    const alike = alikeFor(row, space.factors, matcher.schema, 0);
    const at = (cell: Cell, choice: Choice): RuleExtent => {
      const key =
        reads.length === 0
          ? keyOf(cell)
          : `${keyOf(cell)}|${reads.map((index) => alike(index, choice[index] ?? 0)).join()}`;
      const extent = before.get(key) ?? intern(interned, evaluate(matcher, budget, row, space, cell, choice));
      before.set(key, extent);
      return extent;
    };
    const splitOf = (cell: Cell, region: Region): readonly Split[] => {
      spend(budget, EXTENT * combinationsIn(row, region, reads, alike), row);
      return partsOf(region, reads, (choice) => at(cell, choice), alike).map(
        (part): Split => ({ open: reads.map((index) => part.region[index] ?? []), value: part.value }),
      );
    };
    const splits = new Map<string, readonly Split[]>();
    return {
      partsOf: (cell, region) => {
        spend(budget, SPLIT, row);
        if (reads.length === 0) return [{ region, value: at(cell, choiceIn(region)) }];
        const key = `${keyOf(cell)}|${reads.map((index) => nameOf(region[index] ?? [])).join()}`;
        const split = splits.get(key) ?? splitOf(cell, region);
        splits.set(key, split);
        spend(budget, SPLIT * (split.length - 1), row);
        if (split.length === 1) return split.map(({ value }) => ({ region, value }));
        return split.map(({ open, value }) => ({ region: withAll(region, reads, open), value }));
      },
    };
  };
}

/** What it costs to look up an extent, and a part of a region: in units of the budget, as measured. */
const EXTENT = 40;
const SPLIT = 40;

const withAll = (region: Region, factors: readonly number[], open: readonly (readonly number[])[]): Region => {
  const copy = [...region];
  for (const [at, index] of factors.entries()) copy[index] = open[at] ?? [];
  return copy;
};

/** Names lists of numbers: equal ones alike. Most are asked for again as the same object, so that is looked up first. */
function listNames(): (list: readonly number[]) => number {
  const byList = new WeakMap<readonly number[], number>();
  const byText = new Map<string, number>();
  return (list) => {
    const before = byList.get(list);
    if (before !== undefined) return before;
    const text = list.join();
    const name = byText.get(text) ?? byText.size;
    byText.set(text, name);
    byList.set(list, name);
    return name;
  };
}

/** One object for extents that are alike. */
function intern(known: Map<string, RuleExtent>, extent: RuleExtent): RuleExtent {
  if (extent === ALWAYS || extent === NEVER) return extent;
  const key = JSON.stringify(
    extent.boxes.map((box) => [...box].map(([path, limit]) => [path, 'is' in limit ? limit.is : [...limit.noneOf]])),
  );
  const before = known.get(key) ?? extent;
  known.set(key, before);
  return before;
}

/** A memo key: equal for cells that agree in all facts that the row reads. */
function cellKey(row: Row, space: Space<Row>): (cell: Cell) => number {
  const places: { readonly at: number; readonly stride: number }[] = [];
  let stride = 1;
  for (const [at, path] of space.paths.entries()) {
    if (!row.when.facts.has(path)) continue;
    const type = space.schemas[0]?.paths.get(path);
    places.push({ at, stride });
    stride *= typeof type === 'object' ? type.length + 1 : 3;
  }
  return ({ indices }) => places.reduce((key, place) => key + ((indices[place.at] ?? 0) + 1) * place.stride, 0);
}

function evaluate(
  matcher: Matcher,
  budget: Budget,
  row: Row,
  space: Space<Row>,
  cell: Cell,
  chosen: Choice,
): RuleExtent {
  const open = cell.open.filter((path) => row.when.facts.has(path));
  const choices = open.map((path) => limitsOf(row, path));
  const count = choices.reduce((product, { length }) => product * length, 1);
  spend(budget, count);
  const boxes: Box[] = [];
  for (let index = 0; index < count; index += 1) {
    const texted = nth(choices, index);
    spend(budget, evaluationOf(row), row);
    const texts = new Map(open.map((path, at) => [path, texted[at]?.text ?? '']));
    if (matcher.matchesAlone(row, space.factsOf(cell, chosen, texts))) {
      boxes.push(new Map(open.map((path, at) => [path, texted[at]?.limit ?? { noneOf: new Set<string>() }])));
    }
  }
  if (boxes.length === 0) return NEVER;
  return boxes.length === count ? ALWAYS : { always: false, boxes };
}

interface TextChoice {
  readonly text: string;
  readonly limit: Limit;
}

/** The classes of non-empty texts that a rule tells apart: each constant that it names, and all others. */
function limitsOf(row: Row, path: string): readonly TextChoice[] {
  const constants = new Set(row.when.constants.get(path));
  constants.delete('');
  return [
    ...[...constants].map((text) => ({ text, limit: { is: text } })),
    { text: unnamedWord(constants), limit: { noneOf: constants } },
  ];
}

/** Combination number `index`, in mixed radix. */
function nth(choices: readonly (readonly TextChoice[])[], index: number): TextChoice[] {
  let left = index;
  return choices.map((of) => {
    const choice = of[left % of.length] as TextChoice;
    left = Math.floor(left / of.length);
    return choice;
  });
}
