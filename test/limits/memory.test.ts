/** Counting in memory against a model, on a clock of the test's own, and within a bound. */

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import fc from 'fast-check';
import { memoryCounter } from '../../src/limits/memory.ts';
import { SEED, times } from '../policy/texts.ts';

/** Bytes in use, after what is not has been collected. */
function heapInUse(): number {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return process.memoryUsage().heapUsed;
}

/** What a window takes, as the source counts it. */
const WINDOW_BYTES = 220;

describe(`windows in memory (seed ${SEED})`, () => {
  it('are those of a model, in any order of beginning and ending', () => {
    const step = fc.record({
      name: fc.integer({ min: 0, max: 12 }),
      points: fc.integer({ min: 1, max: 5 }),
      lastsMs: fc.integer({ min: 1, max: 50 }),
      passMs: fc.integer({ min: 0, max: 20 }),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        let now = 1000.5;
        const add = memoryCounter({ now: () => now });
        const model = new Map<number, { total: number; endsAt: number }>();
        for (const { name, points, lastsMs, passMs } of steps) {
          now += passMs;
          const before = model.get(name);
          const window = before && before.endsAt > now ? before : { total: 0, endsAt: now + lastsMs };
          window.total += points;
          model.set(name, window);
          expect(add(String(name), points, lastsMs)).to.deep.equal({
            total: window.total,
            endsInMs: window.endsAt - now,
          });
        }
      }),
      times(200),
    );
  });

  it('beyond the bound begin anew, those that began last last', () => {
    const add = memoryCounter({ now: () => 0, bytes: 10 * WINDOW_BYTES });
    const total = (name: number): number => add(`key ${name}`, 1, 1000).total;
    for (let name = 0; name < 10; name += 1) expect(total(name)).to.equal(1);
    for (let name = 0; name < 10; name += 1) expect(total(name)).to.equal(2);
    for (let name = 10; name < 1000; name += 1) expect(total(name)).to.equal(1);
    for (let name = 995; name < 1000; name += 1) expect(total(name)).to.equal(2);
    for (let name = 0; name < 10; name += 1) expect(total(name)).to.equal(1);
  });

  it('take no more memory than the bound, and not that of windows that have ended', () => {
    let now = 0;
    const bounded = memoryCounter({ now: () => now, bytes: 1000 * WINDOW_BYTES });
    const ending = memoryCounter({ now: () => now });
    const before = heapInUse();
    // Of 200 MB, if they were all kept.
    for (let n = 0; n < 500_000; n += 1) {
      now += 1;
      bounded(`key ${n}`, 1, 1e9);
      ending(`key ${n}`, 1, 1000);
    }
    expect(heapInUse() - before).to.be.below(20 * 2 ** 20);
    expect([bounded('key 499999', 1, 1).total, ending('key 499999', 1, 1).total]).to.deep.equal([2, 2]);
  });
});
