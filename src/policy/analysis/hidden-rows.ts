/** Why a row decides nothing: which rows above it decide wherever it would match. */

import type { Row } from '../row.ts';
import { type Budget, isPauseDue, spend } from './budget.ts';
import type { Region } from './regions.ts';
import type { RuleExtent, WithExtent } from './rule-extent.ts';
import type { Cell } from './situations.ts';
import { type Box, overlaps, pointIn } from './text-sets.ts';

interface Scene {
  readonly cell: Cell;
  readonly budget: Budget;
  /** Rows that are known to decide some situation. */
  readonly deciding: ReadonlySet<Row>;
  /** For each other row the rows that decide where it would match: added to. */
  readonly hiders: Map<Row, Set<Row>>;
}

interface Above {
  readonly row: Row;
  readonly extent: RuleExtent;
  /** How many boxes come before it. */
  readonly before: number;
}

/** For each row that decides nothing, which rows decide where it would match, in a region of a cell. */
export function* noteHidden(
  scene: Scene,
  region: Region,
  rows: readonly WithExtent<Row>[],
  from = 0,
  aboveThem: readonly Above[] = [],
  given: readonly Box[] = [],
): Generator<void> {
  const { deciding, budget } = scene;
  if (isPauseDue(budget)) yield;
  const [above, before] = [[...aboveThem], [...given]];
  for (let index = from; index < rows.length; index += 1) {
    const { of: row, extentIn } = rows[index] as WithExtent<Row>;
    if (above.at(-1)?.extent.always && deciding.has(row)) continue;
    const parts = extentIn.partsOf(scene.cell, region);
    if (parts.length > 1) {
      for (const part of parts) yield* noteHidden(scene, part.region, rows, index, above, before);
      return;
    }
    const extent = parts[0]?.value;
    if (!extent || extent.boxes.length === 0) continue;
    if (deciding.has(row)) {
      above.push({ row, extent, before: before.length });
      before.push(...extent.boxes);
    } else noteHiders(scene, row, extent, above, before);
  }
}

function noteHiders(
  { hiders, budget, cell }: Scene,
  row: Row,
  { boxes }: RuleExtent,
  above: readonly Above[],
  before: readonly Box[],
): void {
  const known = hiders.get(row) ?? new Set<Row>();
  for (const hider of above) {
    spend(budget, 1);
    if (known.has(hider.row)) continue;
    const wanted = overlaps(boxes, hider.extent.boxes);
    const earlier = before.slice(0, hider.before);
    if (wanted.some((want) => pointIn(want, earlier, cell.open, budget))) known.add(hider.row);
  }
  hiders.set(row, known);
}
