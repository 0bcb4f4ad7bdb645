/** `make bench`: measures what we promise of speed and memory, as ratios within one run, and exits 1 where it fails. */

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from '../../src/release.ts';
import { describeMachine } from './machine.ts';
import { notHeld, type Results, writePage } from './page.ts';
import { holds, printFigure, printLoad } from './report.ts';
import { SECTIONS, TABLE } from './sections.ts';

const PAGES = path.join(ROOT, 'docs');

const HELP = `Usage: make bench [ARGS="[OPTION..] [SECTION..]"]

Measures against a database and servers of its own, on loopback, and exits with 1 where a promise is not held.

Sections (default: all):
${Object.entries(SECTIONS)
  .map(([name, { about, inTable }]) => `  ${name.padEnd(10)} ${inTable ? '*' : ' '} ${about}`)
  .join('\n')}
  ${TABLE.padEnd(10)}   those with *, and writes docs/performance.md, its .json and its .svg. Takes up to 15 minutes

Options:
  --short        fewer and shorter rounds, promises held within generous bounds; writes no documents
  --json FILE    writes all figures as JSON, too
  --out FOLDER   writes performance.md, .json and .svg there instead
  --build FOLDER measures the build of that checkout; writes no documents

Examples:
  make bench ARGS=${TABLE}
  make bench ARGS="--short --json bench.json speed"`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    short: { type: 'boolean', default: false },
    json: { type: 'string' },
    out: { type: 'string' },
    build: { type: 'string' },
    help: { type: 'boolean' },
  },
});
const unknown = positionals.filter((name) => !(name in SECTIONS) && name !== TABLE);
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`there is no section ${unknown.join(', ')}\n`);
  process.stdout.write(`${HELP}\n`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

const chosen = Object.entries(SECTIONS).filter(
  ([name, { inTable }]) =>
    positionals.length === 0 || positionals.includes(name) || (inTable && positionals.includes(TABLE)),
);
const results = await measure(chosen);
const outputs = path.resolve(values.out ?? PAGES);
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(results, null, 2)}\n`);
if (values.out !== undefined || (positionals.includes(TABLE) && !values.short && values.build === undefined)) {
  await mkdir(outputs, { recursive: true });
  await writePage(outputs, results);
  process.stdout.write(`\nwritten: performance.md, .json and .svg in ${outputs}\n`);
}
const failed = results.figures.filter((figure) => holds(figure, values.short) === false);
const broken = notHeld(results);
if (failed.length > 0) process.stdout.write(`\nnot held: ${failed.length} of ${results.figures.length} figures\n`);
if (failed.length > broken.length)
  process.stdout.write(`${failed.length - broken.length} of these are not judged: others used the machine meanwhile\n`);
process.exitCode ||= broken.length > 0 ? 1 : 0;

/** A section that fails is told of, and the others are measured all the same: a run is long. */
async function measure(sections: readonly (typeof chosen)[number][]): Promise<Results> {
  const since = performance.now();
  const minutes = (): number => (performance.now() - since) / 60_000;
  const build = path.resolve(values.build ?? ROOT);
  const machine = describeMachine(build);
  const { short } = values;
  const figures: Results['figures'][number][] = [];
  const loads: Results['loads'][number][] = [];
  const skipped: Results['skipped'][number][] = [];
  if (machine.loadBefore > 0.5 && !short)
    process.stderr.write(`others use this machine (load ${machine.loadBefore}): figures to quote need a quiet one\n`);
  for (const [index, [section, { run }]] of sections.entries()) {
    process.stdout.write(`\n${section}\n`);
    process.stderr.write(`  .. section ${index + 1} of ${sections.length}, after ${minutes().toFixed(1)} minutes\n`);
    const skip = (name: string, why: string): void => {
      skipped.push({ section, name, why });
      process.stdout.write(`  ${name}: not measured: ${why}\n`);
    };
    await run({
      short,
      build,
      figure: (figure) => {
        figures.push({ section, ...figure });
        process.stdout.write(`  ${printFigure(figure, short)}\n`);
      },
      load: (figure) => {
        loads.push({ section, ...figure });
        process.stdout.write(`  ${printLoad(figure)}\n`);
      },
      skip,
      progress: (text) => process.stderr.write(`  .. ${text}\n`),
    }).catch((error: Error) => {
      process.exitCode = 1;
      process.stderr.write(`${error.stack}\n`);
      skip(section, `it failed: ${error.message.split('\n')[0]}`);
    });
  }
  return { machine, short, minutes: minutes(), figures, loads, skipped };
}
