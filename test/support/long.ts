/**
 * How much a randomised or exhaustive test does: by default what fits into every run, with LONG=1 what fits into each run of CI, with
 * LONG=2 all of it, which takes an hour.
 */

const LEVEL = Number(process.env['LONG'] ?? 0);

export const amount = <T = number>(usual: T, long: T, all = long): T => (LEVEL >= 2 ? all : LEVEL === 1 ? long : usual);
