/** How much a randomised or exhaustive test does: by default what fits into every run, with LONG=1 all of it. */

const LONG = process.env['LONG'] === '1';

export const amount = (usual: number, long: number): number => (LONG ? long : usual);
