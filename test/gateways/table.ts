/** The table of docs/gateways.md that says what each gateway shows its client: what the tests of gateways expect. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../support/cli.ts';

const COLUMNS = ['nginx', 'caddy', 'haproxy', 'traefik', 'envoy', 'kong'] as const;
export type Column = (typeof COLUMNS)[number];

/** Row -> gateway -> cell. */
export type Table = ReadonlyMap<string, ReadonlyMap<Column, string>>;

/** @throws Error where the page has no such table */
export function readTable(): Table {
  const page = readFileSync(path.join(ROOT, 'docs', 'gateways.md'), 'utf8');
  const [, body] = /\n\| what happened \|.*\n\|[-| ]+\|\n((?:\|.*\n)+)/.exec(page) ?? [];
  if (body === undefined) throw new Error('docs/gateways.md has no table "what happened"');
  return new Map(
    body
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [row = '', ...cells] = line
          .split('|')
          .slice(1, -1)
          .map((cell) => cell.trim().replaceAll('`', ''));
        return [row, new Map(COLUMNS.map((column, index) => [column, cells[index] ?? ''] as const))] as const;
      }),
  );
}
