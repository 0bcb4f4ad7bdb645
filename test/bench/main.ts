/** `make bench`: measures what we promise of speed and memory, as ratios within one run, and exits 1 where it fails. */

import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { auditBench } from './audit.ts';
import { benchChanges } from './changes.ts';
import { benchDeadline } from './deadline.ts';
import { benchDeclared } from './declared.ts';
import { benchHostile } from './hostile.ts';
import { http } from './http.ts';
import { benchLog } from './log.ts';
import { benchPolicy } from './policy.ts';
import { benchReplay } from './replay.ts';
import { type Bench, type Figure, holds, printFigure } from './report.ts';
import { benchRollout } from './rollout.ts';
import { benchVerify } from './verify.ts';

/** By name, in the order in which they run. */
const SECTIONS: Readonly<Record<string, (bench: Bench) => Promise<void>>> = {
  log: benchLog,
  verify: benchVerify,
  audit: auditBench,
  changes: benchChanges,
  replay: benchReplay,
  rollout: benchRollout,
  policy: benchPolicy,
  declared: benchDeclared,
  deadline: benchDeadline,
  http,
  hostile: benchHostile,
};

const HELP = `Usage: make bench [ARGS="[--short] [--json FILE] [SECTION..]"]

Measures against a database and servers of its own, on loopback.
Sections: ${Object.keys(SECTIONS).join(', ')} (default: all)

Example:
  make bench ARGS="--short --json bench.json policy"`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { short: { type: 'boolean', default: false }, json: { type: 'string' }, help: { type: 'boolean' } },
});
const unknown = positionals.filter((name) => !(name in SECTIONS));
if (values.help || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`there is no section ${unknown.join(', ')}\n`);
  process.stdout.write(`${HELP}\n`);
  process.exit(unknown.length > 0 ? 2 : 0);
}

const figures: (Figure & { readonly section: string; readonly held: boolean | null })[] = [];
for (const [section, run] of Object.entries(SECTIONS)) {
  if (positionals.length > 0 && !positionals.includes(section)) continue;
  process.stdout.write(`\n${section}\n`);
  await run({
    short: values.short,
    figure: (figure) => {
      figures.push({ section, ...figure, held: holds(figure, values.short) ?? null });
      process.stdout.write(`  ${printFigure(figure, values.short)}\n`);
    },
    progress: (text) => process.stderr.write(`  .. ${text}\n`),
  });
}
if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify(figures, null, 2)}\n`);
process.exitCode = figures.some(({ held }) => held === false) ? 1 : 0;
