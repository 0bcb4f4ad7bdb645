/** Tables of a report, in HTML. */

import { html } from './charts.ts';

export type Cell = string | { readonly html: string };

export const count = (value: number): string => value.toLocaleString('en');

/** To the second, in UTC. */
export const moment = (at: string): string => html(at.replace('T', ' ').replace(/(?:\.\d+)?Z$/, ''));

export const section = (title: string, body: string): string => `<section><h2>${html(title)}</h2>\n${body}\n</section>`;

/** Texts are escaped; what is longer than people read is cut. */
export function table(name: string, headings: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const caption = `<caption>${html(name)}</caption>`;
  if (rows.length === 0) return `<table>${caption}<tbody><tr><td>none</td></tr></tbody></table>`;
  const head = headings.some((text) => text !== '')
    ? `<thead><tr>${headings.map((text, column) => `<th scope="col"${isNumber(rows, column) ? ' class="number"' : ''}>${html(text)}</th>`).join('')}</tr></thead>`
    : '';
  const body = rows.map((row) => `<tr>${row.map(cellOf).join('')}</tr>`);
  return `<table>${caption}${head}<tbody>${body.join('\n')}</tbody></table>`;
}

const MOST = 300;
const NUMBER = /^[\d,]+$/;

const isNumber = (rows: readonly (readonly Cell[])[], column: number): boolean =>
  rows.every((row) => typeof row[column] === 'string' && NUMBER.test(row[column]));

function cellOf(cell: Cell): string {
  if (typeof cell !== 'string') return `<td>${cell.html}</td>`;
  // As it is spelled, and not as a direction character would turn it.
  const text = html(cell.length > MOST ? `${cell.slice(0, MOST)}…` : cell);
  return NUMBER.test(cell) ? `<td class="number">${text}</td>` : `<td><bdi>${text}</bdi></td>`;
}
