/** Mocha's settings. It adds its `spec` to files that are named on the command line; here those stand in its place. */
const named = process.argv.slice(2).some((word) => word.endsWith('.test.ts'));

module.exports = {
  'node-option': ['import=tsx'],
  ...(!named && { spec: ['test/**/*.test.ts'] }),
  require: ['test/support/fixtures.ts'],
  reporter: 'test/support/reporter.mjs',
  'forbid-only': true,
  timeout: 30_000,
  exit: true,
};
