/** `authz policy table`: the policy as a decision table. */

import type { Command } from 'commander';
import { type Table, type TableRow, tableOf } from '../../policy/analysis/table.ts';
import { verb } from '../terminal/options.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type FormatOptions, folderOf, formatOption, printAs, readSource } from './source.ts';

/** Adds the verb `table`. */
export function addTableVerb(policy: Command, terminal: Terminal): void {
  formatOption(
    verb(policy, 'table [dir]', 'show for each row when it really decides, after the rows above it', 'table policies'),
    ['text', 'json', 'markdown'],
  ).action(async (dir: string | undefined, options: FormatOptions) => {
    const source = await readSource(folderOf(terminal, dir));
    printAs(terminal, tableOf(source.policy), options, text, markdown);
  });
}

const shareOf = (row: TableRow, { situations }: Table): string => `${row.situations} of ${situations} situations`;
const headingOf = ({ facts, situations }: Table): string =>
  `The policy tells ${situations} classes of situations apart, by ${facts.join(', ')}.`;

function text(table: Table): string {
  const rows = table.rows.map((row) => {
    const when = row.when.length > 0 ? row.when : ['never: it decides no situation'];
    return [
      `${row.rule}: ${row.effect} ${row.code} (${shareOf(row, table)})`,
      ...when.map((condition, index) => `  ${index === 0 ? 'when' : '  or'} ${condition}`),
    ].join('\n');
  });
  return [headingOf(table), ...rows].join('\n\n');
}

/** A condition in a Markdown cell, which a bar would end. */
const cell = (condition: string): string => `\`${condition.replaceAll('|', '\\|')}\``;

function markdown(table: Table): string {
  const lines = table.rows.map((row) => {
    const when = row.when.length > 0 ? row.when.map(cell).join('<br>or ') : 'never';
    return `| ${row.rule} | ${row.effect} ${row.code} | ${when} | ${row.situations} |`;
  });
  return [headingOf(table), '', '| row | decision | when | situations |', '|---|---|---|---|', ...lines].join('\n');
}
