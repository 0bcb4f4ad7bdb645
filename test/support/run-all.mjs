/**
 * Runs every test: those that can share the machine in parallel, then those that must be alone (see .mocharc.cjs). COVERAGE=1
 * measures what the former cover, in their own processes and in those that they start, and fails below the floor of .c8rc.json; the
 * latter would run otherwise, being slowed down by it.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { printResults } from './reporter.mjs';

const BIN = path.join(import.meta.dirname, '..', '..', 'node_modules', '.bin');
const folder = mkdtempSync(path.join(tmpdir(), 'authz-test-report-'));
const report = path.join(folder, 'results.jsonl');

const measured = process.env['COVERAGE'] === '1';
// With source maps, by which what the processes of the build ran is counted in src/ too.
if (measured) spawnSync(path.join(BIN, 'tsc'), ['-p', 'tsconfig.build.json', '--sourceMap'], { stdio: 'inherit' });

const failed = ['0', '1'].filter((alone) => {
  const since = performance.now();
  const [program = '', ...args] = [...(alone === '0' && measured ? ['c8'] : []), 'mocha'].map((name) =>
    path.join(BIN, name),
  );
  const { status, signal } = spawnSync(program, args, {
    stdio: 'inherit',
    env: { ...process.env, ALONE: alone, TEST_REPORT: report },
  });
  // It was told to end, and so is the run.
  if (signal) process.exit(1);
  console.log(`${alone === '1' ? 'Alone' : 'In parallel'}: ${((performance.now() - since) / 1000).toFixed(0)} s`);
  return status !== 0;
});
const runs = readFileSync(report, { encoding: 'utf8', flag: 'a+' })
  .split('\n')
  .filter((line) => line !== '')
  .map((line) => JSON.parse(line));
rmSync(folder, { recursive: true });
printResults(runs);
// A run that ended without results has failed, whatever the others say.
const isGood = failed.length === 0 && runs.length === 2;
if (!isGood && runs.every(({ failures }) => failures === 0))
  console.log('But a run broke off, or covers less than .c8rc.json asks for: it says so at its end, above.');
process.exit(isGood ? 0 : 1);
