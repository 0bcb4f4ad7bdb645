/** Runs every test: those that can share the machine in parallel, then those that must be alone (see .mocharc.cjs). */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { printResults } from './reporter.mjs';

const MOCHA = path.join(import.meta.dirname, '..', '..', 'node_modules', '.bin', 'mocha');
const folder = mkdtempSync(path.join(tmpdir(), 'authz-test-report-'));
const report = path.join(folder, 'results.jsonl');

const failed = ['0', '1'].filter((alone) => {
  const since = performance.now();
  const { status } = spawnSync(MOCHA, [], {
    stdio: 'inherit',
    env: { ...process.env, ALONE: alone, TEST_REPORT: report },
  });
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
process.exit(failed.length > 0 || runs.length < 2 ? 1 : 0);
