/**
 * Mocha's settings. `*.alone.test.ts` depend on how fast they run: they come after the others, one by one (ALONE=1). The others
 * run in three processes on two cores, because many of them wait for other processes. Files that are named on the command line
 * stand in place of the globs, to which mocha would add them.
 */
const { statfsSync } = require('node:fs');

/** Databases are many and short-lived: in memory (tmpfs), creating one costs a third of what it does on a disk. */
const MEMORY = '/dev/shm';
const NEEDED_BYTES = 6 * 2 ** 30;

function isRoomy(folder) {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= NEEDED_BYTES;
  } catch {
    return false;
  }
}
if (process.env.TMPDIR === undefined && isRoomy(MEMORY)) process.env.TMPDIR = MEMORY;

const alone = process.env.ALONE === '1';
const named = process.argv.slice(2).some((word) => word.endsWith('.test.ts'));
/** In their order: the roll of replicas takes longer than any other file, and would be left alone at the end. */
const PARALLEL = ['test/upgrade/**/*.test.ts', 'test/!(upgrade)/**/*.test.ts', 'test/*.test.ts'];
const all = alone ? { spec: ['test/**/*.alone.test.ts'] } : { spec: PARALLEL, ignore: ['test/**/*.alone.test.ts'] };

module.exports = {
  // ES modules alone: with `tsx`, mocha would load tests as CommonJS, and what they `import()` a second time as ES modules.
  'node-option': ['import=tsx/esm'],
  ...(!named && { ...all, parallel: !alone, jobs: 3 }),
  require: ['test/support/fixtures.ts'],
  reporter: 'test/support/reporter.mjs',
  'forbid-only': true,
  // Ends what hangs; no test measures by it.
  timeout: 180_000,
  exit: true,
};
