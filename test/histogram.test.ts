/** The histogram, against prom-client's own. */

import { expect } from 'chai';
import fc from 'fast-check';
import { Histogram, Registry } from 'prom-client';
import { createTimes } from '../src/histogram.ts';

describe('a histogram', () => {
  const bounds = [0.5, 1, 2.5];
  const options = { name: 'times', help: 'Times.' };

  it("tells what prom-client's own tells of the same times", () =>
    fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.tuple(
            fc.constantFrom('/a', '/b'),
            fc.oneof(fc.constantFrom(...bounds), fc.double({ min: 0, max: 3, noNaN: true })),
          ),
        ),
        async (times) => {
          const [ours, theirs] = [new Registry(), new Registry()];
          const { observe, of, metric } = createTimes({ ...options, label: 'route', values: ['/a', '/b'], bounds });
          ours.registerMetric(metric as Histogram);
          const histogram = new Histogram({ ...options, labelNames: ['route'], buckets: bounds, registers: [theirs] });
          for (const [route, seconds] of times) {
            const observed = of.get(route);
            if (observed) observe(observed, seconds);
            histogram.observe({ route }, seconds);
          }
          expect(await linesOf(ours)).to.deep.equal(await linesOf(theirs));
        },
      ),
    ));
});

/** In any order: that of the labels is the order of what came first. */
const linesOf = async (registry: Registry): Promise<readonly string[]> => (await registry.metrics()).split('\n').sort();
