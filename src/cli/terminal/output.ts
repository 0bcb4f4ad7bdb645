/** What commands print: tables for people, JSON for programs. */

import { stripVTControlCharacters } from 'node:util';

/** Rows as aligned columns under their headings; empty cells as `-`. */
export function table(rows: readonly Readonly<Record<string, string | null>>[]): string {
  const headings = Object.keys(rows[0] ?? {});
  const lines = [headings, ...rows.map((row) => headings.map((heading) => row[heading] || '-'))];
  const widths = headings.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .map(stripVTControlCharacters)
    .join('\n');
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`);

export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2));
