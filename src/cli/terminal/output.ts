/**
 * How commands lay out what they print: tables, and escaped text. Whatever comes from outside (names, ids, file names, error
 * messages) is escaped, so that it cannot drive the terminal that shows it, nor look like another line. JSON stays exact.
 */

import stringWidth from 'string-width';

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
  const lines = [headings, ...rows.map((row) => headings.map((heading) => escaped(row[heading] || '-')))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => stringWidth(line[column] ?? ''))));
  const pad = (cell: string, column: number): string => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}
