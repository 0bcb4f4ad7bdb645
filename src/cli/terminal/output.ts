/**
 * How commands lay out what they print: tables, and escaped text. Whatever comes from outside (names, ids, file names, error
 * messages) is escaped, so that it cannot drive the terminal that shows it, nor look like another line. JSON stays exact.
 */

import stringWidth from 'string-width';
import { type Cells, columnWidth, cutTo, fitTo, GAP } from './fit.ts';
import type { Screen } from './screen.ts';

/**
 * Escapes what a terminal would act on or hide, as `\u{202e}`: control characters (line ends, escape sequences), format
 * characters (bidirectional overrides), line and paragraph separators, lone surrogates. The two joiners that Persian and
 * emoji are spelled with stay: names may have them.
 */
export const escaped = (text: string): string =>
  text.replace(
    /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu,
    (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`,
  );

/** As `escaped`, of a text of several lines: line ends and tabs stay. */
export const escapedLines = (text: string): string =>
  text
    .split(/(\r?\n|\t)/)
    .map((part, index) => (index % 2 === 0 ? escaped(part) : part))
    .join('');

/** `1 finding`, `2 findings`, `1,000 findings`: a number with its noun, which takes an s in the plural unless `many` says otherwise. */
export const plural = (count: number, noun: string, many = `${noun}s`): string =>
  `${count.toLocaleString('en')} ${count === 1 ? noun : many}`;

/** JSON for people and programs, exact. */
export const jsonText = (value: unknown): string => JSON.stringify(value, null, 2);

/** Rows as columns under their headings, aligned by display width; empty cells as `-`. Cells are escaped. */
export function table(rows: readonly Readonly<Record<string, string | null>>[]): string {
  const headings = Object.keys(rows[0] ?? {});
  return aligned(headings, cellsOf(headings, rows));
}

const cellsOf = (headings: readonly string[], rows: readonly Readonly<Record<string, string | null>>[]): Cells =>
  rows.map((row) => Object.fromEntries(headings.map((heading) => [heading, escaped(row[heading] || '-')])));

/** The lines of a table; `paint` colours a cell, which takes no room. */
function aligned(headings: readonly string[], rows: Cells, paint = (_: string, cell: string): string => cell): string {
  const widths = headings.map((heading) => columnWidth(heading, rows));
  const lineOf = (cells: readonly string[], painted: readonly string[]): string =>
    painted
      .map((text, column) => text + ' '.repeat((widths[column] ?? 0) - stringWidth(cells[column] ?? '')))
      .join(GAP)
      .trimEnd();
  const cellsIn = (row: Cells[number]): string[] => headings.map((heading) => row[heading] ?? '');
  return [
    lineOf(headings, headings),
    ...rows.map((row) =>
      lineOf(
        cellsIn(row),
        headings.map((heading) => paint(heading, row[heading] ?? '')),
      ),
    ),
  ].join('\n');
}

/** Codes and states that nobody has to look at, and the headings that they stand under; all others there are red. */
const WELL: ReadonlySet<string> = new Set(['OK', 'allow', 'active', 'yes', '-']);
const JUDGED: ReadonlySet<string> = new Set(['code', 'effect', 'status', 'alive']);

/**
 * As `table`, for a screen: its lines fit, unless `wide`, and codes and states have a colour. `importance`: the headings, the most important
 * first; default: in their order. Below stands what was left out.
 */
export function tableFor(
  { columns, paint, ellipsis }: Screen,
  rows: readonly Readonly<Record<string, string | null>>[],
  {
    wide,
    importance,
  }: { readonly wide?: boolean | undefined; readonly importance?: readonly string[] | undefined } = {},
): string {
  const headings = Object.keys(rows[0] ?? {});
  const cells = cellsOf(headings, rows);
  const colour = (heading: string, cell: string): string =>
    JUDGED.has(heading) ? paint(WELL.has(cell) ? 'green' : 'red', cell) : cell;
  if (columns === undefined || wide) return aligned(headings, cells, colour);
  const { hidden, cut, ...fitted } = fitTo(headings, cells, importance ?? headings, columns, ellipsis);
  const text = aligned(fitted.headings, fitted.rows, colour);
  if (hidden.length === 0 && !cut) return text;
  const left = hidden.length > 0 ? `not shown: ${hidden.join(', ')}; ` : '';
  return `${text}\n\n${cutTo(`${left}--wide shows all of it`, columns, ellipsis)}`;
}
