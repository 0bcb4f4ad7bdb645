/** The nearest name, against a search of all names without short cuts. */

import { expect } from 'chai';
import fc from 'fast-check';
import { distance } from 'fastest-levenshtein';
import { nearestTo } from '../src/nearest.ts';
import { SEED, times } from './policy/texts.ts';

const word = fc.string({ unit: fc.constantFrom('a', 'b', ':'), maxLength: 12 });

describe(`the nearest name (seed ${SEED})`, () => {
  it('is the first of those with the fewest edits, where these are few', () => {
    fc.assert(
      fc.property(word, fc.array(word, { maxLength: 8 }), (name, known) => {
        const most = Math.max(2, name.length / 3);
        const [nearest] = known
          .map((one, index) => ({ one, index, edits: distance(name, one) }))
          .filter(({ edits }) => edits <= most)
          .sort((a, b) => a.edits - b.edits || a.index - b.index);
        expect(nearestTo(name, known)).to.equal(nearest?.one);
      }),
      times(2000),
    );
  });

  it('is none of names of thousands of characters', () => {
    expect(nearestTo('a'.repeat(10_000), ['a', 'aa'])).to.equal(undefined);
  });
});
