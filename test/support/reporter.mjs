/**
 * Mocha's spec reporter, with the slowest tests and a closing line that programs can read. Where TEST_REPORT names a file, both
 * are left to run-all.mjs, for which the results are appended to it as a line of JSON.
 */

import { appendFileSync } from 'node:fs';
import Mocha from 'mocha';

const SLOWEST = 10;

/**
 * @typedef {{ title: string, ms: number }} Test
 * @typedef {{ passes: number, failures: number, pending: number, tests: Test[] }} Results
 */

export default class Reporter extends Mocha.reporters.Spec {
  /** @type {Test[]} */
  #tests = [];

  /** @param {Mocha.Runner} runner @param {Mocha.MochaOptions} options */
  constructor(runner, options) {
    super(runner, options);
    runner.on('test end', (test) => this.#tests.push({ title: test.fullTitle(), ms: test.duration ?? 0 }));
  }

  /** @override */
  epilogue() {
    super.epilogue();
    const { passes, failures, pending } = this.stats;
    const results = { passes, failures, pending, tests: this.#tests };
    const file = process.env['TEST_REPORT'];
    if (file) appendFileSync(file, `${JSON.stringify(results)}\n`);
    else printResults([results]);
  }
}

/**
 * The slowest tests of all runs, and the closing line.
 * @param {Results[]} runs
 */
export function printResults(runs) {
  const slowest = runs
    .flatMap(({ tests }) => tests)
    .sort((a, b) => b.ms - a.ms)
    .slice(0, SLOWEST);
  console.log('The slowest tests:');
  for (const { title, ms } of slowest) console.log(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${title}`);
  const sum = (/** @type {'passes' | 'failures' | 'pending'} */ count) =>
    runs.reduce((total, run) => total + run[count], 0);
  const skipped = sum('pending');
  console.log(`\n${sum('passes')} passed, ${sum('failures')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
}
