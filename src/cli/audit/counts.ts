/** Counts as people see them: a line for each, with names beside ids, and on a terminal a bar. */

import type { Knex } from 'knex';
import type { By } from '../../audit/query/dimensions.ts';
import { labelsOf } from '../../audit/query/labels.ts';
import type { Group, Stats } from '../../audit/query/stats.ts';
import type { TableOptions } from '../terminal/options.ts';
import { showList } from '../terminal/records.ts';
import type { Terminal } from '../terminal/terminal.ts';

/** Of the longest bar. */
const BAR = 24;

export async function showCounts(
  terminal: Terminal,
  db: Knex,
  by: readonly By[],
  { groups, total }: Stats,
  options: TableOptions,
): Promise<void> {
  const [first, second] = by;
  const valuesOf = (kind: By): (string | null)[] =>
    groups.flatMap((group) => [
      ...(first === kind ? [group.value] : []),
      ...(second === kind ? [group.second ?? null] : []),
    ]);
  const { key, caller } = await labelsOf(db, { keys: valuesOf('key'), callers: valuesOf('caller') });
  const labelled = (kind: By | undefined, value: string | null): string | null =>
    kind === 'key' ? key(value) : kind === 'caller' ? caller(value) : value;
  const screen = terminal.screen();
  const largest = Math.max(...groups.map(({ count }) => count), 1);
  const row = ({ value, second: other = null, count }: Group) => ({
    [String(first)]: labelled(first, value),
    ...(second && { [second]: labelled(second, other) }),
    decisions: String(count),
    share: `${((100 * count) / Math.max(total, 1)).toFixed(1)} %`,
    ...(screen.columns !== undefined && { bar: screen.bar(Math.round((8 * BAR * count) / largest)) || ' ' }),
  });
  const columns = [...by, 'decisions', 'share', ...(screen.columns === undefined ? [] : ['bar'])];
  showList<Record<string, string | null>>(terminal, groups.map(row), columns, { wide: options.wide }, columns);
}
