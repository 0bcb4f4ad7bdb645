/** Mocha's spec reporter, the slowest tests, and a closing line that programs can read. */

import Mocha from 'mocha';

const SLOWEST = 10;

export default class Reporter extends Mocha.reporters.Spec {
  #tests = [];

  constructor(runner, options) {
    super(runner, options);
    runner.on('test end', (test) =>
      this.#tests.push({ title: test.fullTitle(), file: test.file, ms: test.duration ?? 0 }),
    );
  }

  epilogue() {
    super.epilogue();
    const slowest = this.#tests.sort((a, b) => b.ms - a.ms).slice(0, SLOWEST);
    console.log('The slowest tests:');
    for (const { title, ms } of slowest) console.log(`  ${(ms / 1000).toFixed(1).padStart(6)} s  ${title}`);
    const { passes, failures, pending } = this.stats;
    console.log(`\n${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`);
  }
}
