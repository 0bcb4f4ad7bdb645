/** What commands print: tables for people, JSON for programs. */

import stringWidth from 'string-width';

/**
 * Escapes what a terminal would act on or hide: control characters (so line ends and escape sequences), format characters
 * (so bidirectional overrides), line and paragraph separators, and lone surrogates; as `\u{202e}`.
 */
export const escaped = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);

/** As `escaped`, of text that is meant to have several lines. */
export const escapedLines = (text: string): string => text.split('\n').map(escaped).join('\n');

/** Rows as columns under their headings, aligned by display width; empty cells as `-`. Cells are escaped. */
export function table(rows: readonly Readonly<Record<string, string | null>>[]): string {
  const headings = Object.keys(rows[0] ?? {});
  const lines = [headings, ...rows.map((row) => headings.map((heading) => escaped(row[heading] || '-')))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => stringWidth(line[column] ?? ''))));
  const pad = (cell: string, column: number): string => cell + ' '.repeat((widths[column] ?? 0) - stringWidth(cell));
  return lines.map((line) => line.map(pad).join('  ').trimEnd()).join('\n');
}

/** Writes text and a line end. Text from outside must have passed `escaped`, or a table. */
export const print = (text: string): void => void process.stdout.write(`${text}\n`);

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));
