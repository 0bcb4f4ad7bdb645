/** docs/performance.{json,md,svg}, out of what was measured. Between its two marks the page is written here, and by nobody else. */

import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { chart } from './chart.ts';
import type { Machine } from './machine.ts';
import { type Figure, formatted, holds, type LoadFigure, nameOf, wanted } from './report.ts';

/** All of a run. */
export interface Results {
  readonly machine: Machine;
  /** Fewer and shorter rounds: for CI, and no figures to quote. */
  readonly short: boolean;
  readonly minutes: number;
  readonly figures: readonly (Figure & { readonly section: string })[];
  readonly loads: readonly (LoadFigure & { readonly section: string })[];
  readonly skipped: readonly { readonly section: string; readonly name: string; readonly why: string }[];
}

/** Cores that others may take in a section that a short run judges by. */
const MOST_OTHERS = 0.3;

/**
 * What was promised and is not held. A short run is for CI, which fails for what the code does: it does not judge figures of rounds, all of
 * which depend on time, where others used the machine.
 */
export function notHeld({ short, figures, loads }: Pick<Results, 'short' | 'figures' | 'loads'>): Results['figures'] {
  const disturbed = (section: string): boolean =>
    short && loads.some((load) => load.section === section && (load.others ?? 0) > MOST_OTHERS);
  return figures.filter((figure) => holds(figure, short) === false && !(figure.spread && disturbed(figure.section)));
}

const BEGIN = '<!-- From here to the next mark: written by make bench ARGS=table. -->';
const END = '<!-- The end of what make bench ARGS=table writes. -->';
/** What a page begins as. */
const EMPTY = `${BEGIN}\n${END}\n`;
const NAME = 'performance';
const DIGITS = 5;
/** Of processes, in this order. */
const PROCESSES = ['server', 'PostgreSQL', 'Redis', 'load'];

/** Writes all three into `folder`; what stands around the marks of the page stays. Numbers are rounded: the rest is noise. */
export async function writePage(folder: string, measured: Results): Promise<void> {
  const round = (_: string, value: unknown): unknown =>
    typeof value === 'number' ? Number(value.toPrecision(DIGITS)) : value;
  const results = JSON.parse(JSON.stringify(measured, round)) as Results;
  const file = (extension: string): string => path.join(folder, `${NAME}.${extension}`);
  const before = await readFile(file('md'), 'utf8').catch(() => EMPTY);
  await writeFile(file('json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeFile(file('svg'), chart(results.figures));
  await writeFile(file('md'), withResults(before, results));
}

/** `page` with the results between its marks. */
export function withResults(page: string, results: Results): string {
  const [before, after] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (before === -1 || after < before) throw new Error(`the page lacks its marks; they are\n${EMPTY}`);
  return `${page.slice(0, before)}${BEGIN}\n\n${markdown(results)}\n\n${page.slice(after)}`;
}

function markdown(results: Results): string {
  const { machine, short, minutes, figures, loads, skipped } = results;
  const { date, commit, cores, processor, node, postgres, loadBefore } = machine;
  const made =
    `Measured on ${date} at commit ${commit}, in ${formatted(minutes)} minutes: ${cores} cores (${processor}), Node ${node}, ` +
    `PostgreSQL ${postgres}. Before it began, ${loadBefore} processes wanted a core.` +
    (short ? ' **A short run: not to be quoted.**' : '');
  return [
    made,
    `![Questions a second, where a bare Koa server answers 1](${NAME}.svg)`,
    table(['what', 'median', 'least to most', 'promised', ''], figures.map(figureRow)),
    'What each server did, the log on. For each process: microseconds on a core for each question, all of PostgreSQL together. Others: what ' +
      'had no part in it, and took so many cores meanwhile; the less, the more the rest can be believed.',
    table(['', 'a second', 'p50, ms', 'p99, ms', ...PROCESSES, 'others, cores'], loads.map(loadRow)),
    ...(skipped.length === 0 ? [] : ['Not measured:', skipped.map(({ name, why }) => `- ${name}: ${why}`).join('\n')]),
  ].join('\n\n');
}

/** Held or not is what was promised, of short runs too. */
function figureRow(figure: Figure): string[] {
  const { value, unit, spread, want } = figure;
  const held = holds(figure, false);
  const verdict = held === undefined ? '' : held ? 'held' : '**not held**';
  const shown = unit === 'x' ? formatted(value) : `${formatted(value)} ${unit}`.trim();
  return [nameOf(figure), shown, spread?.map(formatted).join(' to ') ?? '', wanted(want), verdict];
}

function loadRow({ name, rate, p50, p99, cpu, others }: LoadFigure): string[] {
  const costs = PROCESSES.map((process) => (cpu[process] === undefined ? '' : formatted(cpu[process])));
  return [name, formatted(rate), formatted(p50), formatted(p99), ...costs, others?.toFixed(1) ?? ''];
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
