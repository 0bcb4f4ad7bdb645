/** `authz policy test`: runs the cases, and prints their branch coverage of the rows. */

import { type Command, InvalidArgumentError } from 'commander';
import { type CaseReport, type Outcome, type RowCoverage, runCases } from '../../policy/analysis/coverage.ts';
import { outcomeText } from '../../policy/analysis/run-cases.ts';
import { printFinding } from '../../policy/folder/findings.ts';
import { verb } from '../terminal/options.ts';
import { escaped, plural, table } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type FormatOptions, folderOf, formatOption, printAs, readSource } from './source.ts';

interface Options extends FormatOptions {
  readonly minCoverage: number;
}

/** Adds the verb `test`. */
export function addTestVerb(policy: Command, terminal: Terminal): void {
  const command = verb(
    policy,
    'test [dir]',
    'run the cases, and show which rows they cover',
    'test --min-coverage 100',
  );
  formatOption(command, ['text', 'json'])
    .option('--min-coverage <percent>', 'fail below this share of covered sides of rows', percent, 0)
    .action(async (dir: string | undefined, options: Options) => {
      const { policy, texts } = await readSource(folderOf(terminal, dir));
      const report = runCases(policy, texts);
      printAs(terminal, report, options, () => reportText(report, options.minCoverage));
      const holds = report.findings.length === 0 && report.cases.length > 0 && report.cases.every((one) => one.holds);
      terminal.exitUnless(holds && report.percent >= options.minCoverage);
    });
}

function percent(text: string): number {
  const value = Number(text);
  if (!/^\d{1,3}(\.\d+)?$/.test(text) || value > 100) throw new InvalidArgumentError('It is a number from 0 to 100.');
  return value;
}

function reportText({ findings, cases, rows, proved, sides, percent: reached }: CaseReport, wanted: number): string {
  const failed = cases.filter(({ holds }) => !holds);
  const count = `${plural(cases.length, 'case')}: ${cases.length - failed.length} hold, ${failed.length} fail`;
  const coverage = `row coverage: ${sides.covered} of ${sides.all} sides, ${reached.toFixed(1)} %`;
  return [
    ...findings.map(printFinding),
    ...failed.map(failureText),
    table(rows.map(cellsOf)),
    '',
    ...(proved ? [] : ['There are too many situations to prove which sides are unreachable; all sides count.']),
    ...(cases.length === 0 ? ['There is no case; write what must hold into cases/name.yaml.'] : []),
    count,
    reached < wanted ? `${coverage}, which is less than ${wanted} %: add a case for each 0 above` : coverage,
  ].join('\n');
}

const failureText = ({ name, file, line, column, want, got, facts }: Outcome): string =>
  [
    escaped(`${file}:${line}:${column}: ${name}`),
    escaped(`  - wanted ${outcomeText(want)}`),
    escaped(`  + got    ${outcomeText(got)}`),
    ...facts.map(({ fact, base, given }) => `    ${fact} is ${JSON.stringify(given)} (base: ${JSON.stringify(base)})`),
    '',
  ].join('\n');

/** `cannot`: an unreachable side, which coverage does not count. */
const side = (count: number | null): string => (count === null ? 'cannot' : String(count));

const cellsOf = ({ rule, file, line, matched, passed }: RowCoverage): Record<string, string> => ({
  row: rule,
  place: `${file}:${line}`,
  matched: side(matched),
  'not matched': side(passed),
});
