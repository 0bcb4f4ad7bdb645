/** Fits a table to a terminal: ids shortened, long texts cut, and the least important columns left out, until its lines fit. */

import stringWidth from 'string-width';

/** A line for each row, a cell for each heading; cells are escaped. */
export type Cells = readonly Readonly<Record<string, string>>[];

export interface Fitted {
  readonly rows: Cells;
  /** In their order. */
  readonly headings: readonly string[];
  /** What was left out. */
  readonly hidden: readonly string[];
  /** Whether cells are not whole. */
  readonly cut: boolean;
}

export const GAP = '  ';
/** A text of which so much is seen is recognised; no cell is made shorter than the second. */
const [LONG, LEAST] = [32, 8];
const LEAST_COLUMNS = 2;

/** `importance`: the headings, the most important first. That one is left whole where it can be. */
export function fitTo(
  headings: readonly string[],
  rows: Cells,
  importance: readonly string[],
  columns: number,
  ellipsis = '…',
): Fitted {
  const [first = ''] = importance;
  let shown = headings;
  let cells = rows;
  const fits = (): boolean => widthOf(shown, cells) <= columns;
  const change = (cellOf: (cell: string, heading: string) => string): void => {
    cells = cells.map((row) =>
      Object.fromEntries(shown.map((heading) => [heading, cellOf(row[heading] ?? '', heading)])),
    );
  };
  if (!fits()) change((cell) => cell.replace(MILLISECONDS, ''));
  if (!fits()) change((cell, heading) => (heading === first ? cell : shortened(cell, ellipsis)));
  if (!fits()) change((cell, heading) => (heading === first ? cell : cutTo(cell, LONG, ellipsis)));
  for (const least of [...importance].reverse()) {
    if (fits() || shown.length <= LEAST_COLUMNS) break;
    shown = shown.filter((heading) => heading !== least);
  }
  // What is still too long loses of its widest column.
  for (let most = columns; !fits() && most >= LEAST; most -= 1) change((cell) => cutTo(cell, most, ellipsis));
  const cut = cells.some((row, index) => shown.some((heading) => row[heading] !== rows[index]?.[heading]));
  return { rows: cells, headings: shown, hidden: headings.filter((heading) => !shown.includes(heading)), cut };
}

const widthOf = (headings: readonly string[], rows: Cells): number =>
  headings.reduce((sum, heading) => sum + columnWidth(heading, rows), 0) + GAP.length * (headings.length - 1);

export const columnWidth = (heading: string, rows: Cells): number =>
  Math.max(stringWidth(heading), ...rows.map((row) => stringWidth(row[heading] ?? '')));

const UUID = /\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8}([0-9a-f]{4})\b/g;
const DIGEST = /\b([0-9a-f]{8})[0-9a-f]{56}\b/g;

const MILLISECONDS = /(?<=T\d\d:\d\d:\d\d)\.\d{3}(?=Z|[+-]\d\d:\d\d)/;
/** An id with its name. */
const NAMED = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{8}([0-9a-f]{4}) \((.*)\)$/;

/** Ids begin with their time (UUIDv7): of those of one minute the end tells them apart; with a name, that and the end. */
const shortened = (cell: string, ellipsis: string): string =>
  cell.replace(NAMED, `$2 ${ellipsis}$1`).replace(UUID, `$1${ellipsis}$2`).replace(DIGEST, `$1${ellipsis}`);

const GRAPHEMES = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** At most so wide, as a terminal counts it, with the ellipsis; cut between what is one character to people. */
export function cutTo(text: string, most: number, ellipsis: string): string {
  if (stringWidth(text) <= most) return text;
  let kept = '';
  let width = stringWidth(ellipsis);
  for (const { segment } of GRAPHEMES.segment(text)) {
    width += stringWidth(segment);
    if (width > most) break;
    kept += segment;
  }
  return kept + ellipsis;
}
