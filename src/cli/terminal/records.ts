/** Prints records: a table for a person, with `--json` all of each record for a program. */

import type { Page } from '../../db/page.ts';
import type { JsonOption, TableOptions } from './options.ts';
import { table, tableFor } from './output.ts';
import type { Terminal } from './terminal.ts';

/** One record, a line for each field. */
export function show({ print, printJson }: Terminal, record: object, { json }: JsonOption): void {
  if (json) printJson(record);
  else print(table(Object.entries(record).map(([field, value]) => ({ field, value: cellOf(value) }))));
}

/** A line for each record, with the named columns; `importance` says which of them stay where the terminal is narrow. */
export function showList<T extends object>(
  { print, printJson, screen }: Terminal,
  records: readonly T[],
  columns: readonly (keyof T & string)[],
  { json, wide }: TableOptions,
  importance?: readonly (keyof T & string)[],
): void {
  if (json) printJson(records);
  else if (records.length === 0) print('none');
  else {
    const rows = records.map((one) => Object.fromEntries(columns.map((column) => [column, cellOf(one[column])])));
    print(tableFor(screen(), rows, { wide, importance }));
  }
}

/** As `showList`, and how to get the next page; `again` are the options that must be repeated in other words. */
export function showPage<T extends object>(
  terminal: Terminal,
  page: Page<T>,
  columns: readonly (keyof T & string)[],
  format: TableOptions,
  { again = '', importance }: { readonly again?: string; readonly importance?: readonly (keyof T & string)[] } = {},
): void {
  if (format.json) terminal.printJson(page);
  else {
    showList(terminal, page.items, columns, format, importance);
    if (page.nextCursor) terminal.print(`\nMore: add --cursor ${page.nextCursor}${again}`);
  }
}

const objectCell = (value: object): string | null => (Object.keys(value).length === 0 ? null : JSON.stringify(value));

/** Of a longer list a cell says how many more there are. */
const MOST_IN_A_CELL = 5;

function cellOf(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  if (!Array.isArray(value)) return typeof value === 'object' ? objectCell(value) : String(value);
  const more = value.length - MOST_IN_A_CELL;
  const named = value.slice(0, MOST_IN_A_CELL).join(', ') || '(none)';
  return more > 0 ? `${named} and ${more} more` : named;
}
