/** Work that anybody may ask for is shared, and takes little of the time. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { sparingly } from '../src/sparingly.ts';

describe('work that is done sparingly', () => {
  it('is shared by all who ask before it begins, and begins after each of them asked', async () => {
    let state = 0;
    const look = sparingly(async () => {
      await sleep(5);
      return state;
    });
    const asked = Array.from({ length: 100 }, look);
    expect(new Set(await Promise.all(asked))).to.deep.equal(new Set([0]));
    const first = look();
    state = 1;
    expect(await first).to.equal(1);
    const running = look();
    await sleep(0);
    const later = look();
    expect(await Promise.all([running, later])).to.deep.equal([1, 1]);
  });

  it('takes a tenth of the time at most, one run at a time, however often it is asked for', async () => {
    const runs: { readonly from: number; to: number }[] = [];
    const work = sparingly(async () => {
      const run = { from: performance.now(), to: 0 };
      expect(runs.at(-1)?.to ?? 1, 'two runs overlap').to.be.above(0);
      runs.push(run);
      await sleep(3);
      run.to = performance.now();
    });
    for (let round = 0; round < 5; round += 1) await Promise.all(Array.from({ length: 20 }, work));
    expect(runs).to.have.length(5);
    for (const [at, { from, to }] of runs.entries()) {
      const next = runs[at + 1];
      // Timers fire up to a millisecond early.
      if (next) expect(next.from - to).to.be.above(8 * (to - from) - 1);
    }
  });

  it('fails for those who share a run that fails, and goes on', async () => {
    let runs = 0;
    const work = sparingly(async () => {
      runs += 1;
      if (runs === 1) throw new Error('a defect');
      return runs;
    });
    const outcomes = await Promise.allSettled([work(), work()]);
    expect(outcomes.map(({ status }) => status)).to.deep.equal(['rejected', 'rejected']);
    expect(await work()).to.equal(2);
  });
});
