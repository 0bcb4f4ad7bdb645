/** Hashes that are made piece by piece are those of the whole text. */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import { hashOf } from '../../../src/policy/folder/digest.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';

describe('the hash of a text', () => {
  it('is that of the whole, wherever a character of two halves stands', () => {
    for (const before of [0, 1, 65_533, 65_534, 65_535, 65_536, 131_070, 131_071]) {
      const text = `${'x'.repeat(before)}\u{1f512}${'ä'.repeat(70_000)}`;
      expect(runToEnd(hashOf(text)), String(before)).to.equal(createHash('sha256').update(text).digest('hex'));
    }
    expect(runToEnd(hashOf(''))).to.equal(createHash('sha256').digest('hex'));
  });
});
