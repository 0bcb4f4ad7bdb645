/**
 * Mocha's spec reporter, with the slowest tests, the failures, and a closing line that programs can read. Where TEST_REPORT names a
 * file, they are left to run-all.mjs, for which the results are appended to it as a line of JSON.
 */

import { appendFileSync } from 'node:fs';
import path from 'node:path';
import Mocha from 'mocha';

const SLOWEST = 10;
const ERROR_LINES = 12;

/**
 * @typedef {{ title: string, ms: number }} Test
 * @typedef {{ title: string, file: string | undefined, error: string }} Failure
 * @typedef {{ passes: number, failures: number, pending: number, tests: Test[], failed: Failure[] }} Results
 */

export default class Reporter extends Mocha.reporters.Spec {
  /** @type {Test[]} */
  #tests = [];
  /** @type {Failure[]} */
  #failed = [];

  /** @param {Mocha.Runner} runner @param {Mocha.MochaOptions} options */
  constructor(runner, options) {
    super(runner, options);
    runner.on('test end', (test) => this.#tests.push({ title: test.fullTitle(), ms: test.duration ?? 0 }));
    runner.on('fail', (test, error) =>
      this.#failed.push({ title: test.fullTitle(), file: test.file, error: error.stack ?? error.message }),
    );
  }

  /** @override */
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const results = { passes, failures, pending, tests: this.#tests, failed: this.#failed };
    const file = process.env['TEST_REPORT'];
    if (file) appendFileSync(file, `${JSON.stringify(results)}\n`);
    else printResults([results]);
  }
}

/**
 * The slowest tests of all runs, then what failed, once more: of a long log, often only the end is kept; and the closing line.
 * @param {Results[]} runs
 */
export function printResults(runs) {
  const slowest = runs
    .flatMap(({ tests }) => tests)
    .sort((a, b) => b.ms - a.ms)
    .slice(0, SLOWEST);
  console.log('The slowest tests:');
  for (const { title, ms } of slowest) console.log(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${title}`);
  const failures = runs.flatMap(({ failed }) => failed);
  if (failures.length > 0) console.log('\nWhat failed:');
  for (const { title, file, error } of failures)
    console.log(
      `  ${title}\n    ${file && path.relative('', file)}\n    ${error.split('\n').slice(0, ERROR_LINES).join('\n    ')}`,
    );
  const sum = (/** @type {'passes' | 'failures' | 'pending'} */ count) =>
    runs.reduce((total, run) => total + run[count], 0);
  const skipped = sum('pending');
  console.log(`\n${sum('passes')} passed, ${sum('failures')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
}
