/** Splits what can occur into leaves: in each of them, each of the policies that are looked at is decided by one row, or by none. */

import type { Policy } from '../decide.ts';
import { valueAt } from '../facts.ts';
import type { Row } from '../row.ts';
import { type Alike, alikeFor, combinationsIn } from './alike.ts';
import { type Budget, spend } from './budget.ts';
import type { Factor } from './factors.ts';
import { type Choice, factorsReading, partsOf, type Region } from './regions.ts';
import { type Cell, type Space, textualCells } from './situations.ts';

/** A part of a cell, with its texts chosen, that the same rows decide. */
export interface Leaf {
  readonly cell: Cell;
  readonly texts: ReadonlyMap<string, string>;
  readonly region: Region;
}

interface Tried {
  readonly row: Row;
  readonly view: number;
  /** The factors that it depends on, by index. */
  readonly reads: readonly number[];
  readonly alike: Alike;
}

/** What it costs to look at a row, in units of the budget, as measured. */
const COMBINATION = 100;

/**
 * The leaves of a space: in each of them, each policy is decided by one row, or by none.
 * @throws BudgetExceeded
 */
export function* leavesOf(policies: readonly Policy[], space: Space<Row>, budget: Budget): Generator<Leaf> {
  const rowsOf = policies.map((policy) => new Set(policy.rows));
  const lists: readonly (readonly Tried[])[] = rowsOf.map((own, view) =>
    space.items
      .filter((row) => own.has(row))
      .map(
        (row): Tried => ({
          row,
          view,
          reads: factorsReading(space.factors, row.when.facts),
          alike: alikeFor(row, space.factors, (policies[view] as Policy).schema, view),
        }),
      ),
  );
  const matches = matcherIn(policies, space);
  function* decided(leaf: Leaf, rest: readonly (readonly Tried[])[]): Generator<Leaf> {
    const [rows, ...later] = rest;
    if (!rows) {
      yield leaf;
      return;
    }
    for (const [index, { row, view, reads, alike }] of rows.entries()) {
      spend(budget, combinationsIn(row, leaf.region, reads, alike) * COMBINATION, row);
      const parts = partsOf(leaf.region, reads, (choice) => matches(row, view, leaf, choice), alike);
      if (parts.length === 1 && parts[0]?.value === false) continue;
      for (const { region, value } of parts)
        yield* decided({ ...leaf, region }, value ? later : [rows.slice(index + 1), ...later]);
      return;
    }
    yield* decided(leaf, later);
  }
  for (const { cell, texts } of textualCells(space))
    yield* decided({ cell, texts, region: space.regionOf(cell) }, lists);
}

type Matches = (row: Row, view: number, leaf: Leaf, choice: Choice) => boolean;

/** Whether a row matches, memoized under the values of the facts that it reads. */
function matcherIn(policies: readonly Policy[], space: Space<Row>): Matches {
  const known = new Map<Row, Map<string, boolean>>();
  return (row, view, { cell, texts }, choice) => {
    const key = [...row.when.facts]
      .map((path) => texts.get(path) ?? valueIn(space.factors, path, view, choice) ?? valueAt(cell.facts, path))
      .join('\n');
    const before = known.get(row) ?? new Map<string, boolean>();
    known.set(row, before);
    const result =
      before.get(key) ?? (policies[view] as Policy).matchesAlone(row, space.factsOf(cell, choice, texts, view));
    before.set(key, result);
    return result;
  };
}

/** The value of a fact of a factor; undefined for any other. */
function valueIn(factors: readonly Factor[], path: string, view: number, choice: Choice): string | boolean | undefined {
  for (const [index, { columns, alternatives }] of factors.entries()) {
    const at = columns.findIndex((column) => column.path === path && column.views.includes(view));
    if (at !== -1) return alternatives[choice[index] ?? 0]?.values[at];
  }
  return undefined;
}
