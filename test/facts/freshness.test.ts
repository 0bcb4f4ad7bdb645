/** What may be cached of a read that changes overtook, and which of two entries of one name counts; on a clock of its own. */

import { expect } from 'chai';
import { createCache, type Read } from '../../src/facts/cache.ts';
import { createFreshness, type Poll } from '../../src/facts/freshness.ts';

const FOREVER = { since: Number.NEGATIVE_INFINITY, until: Number.POSITIVE_INFINITY };

/** A poll that finds nothing new. */
const quietPoll = (at: number, after: number | undefined): Poll => ({
  after,
  sentAt: at,
  receivedAt: at,
  history: 'h',
  last: 0,
  anchor: null,
  newest: null,
  clock: 0,
  changes: [],
});

describe('a read that changes overtook', () => {
  const changed = (count: number) => {
    const freshness = createFreshness(() => 0);
    const start = freshness.startRead();
    for (let seq = 1; seq <= count; seq += 1) freshness.applyCommit({ seq, changes: [{ kind: 'key', id: `k${seq}` }] });
    return (seq: number, ...tags: string[]) => freshness.mayKeep(start, seq, tags);
  };

  it('is kept where they have nothing to do with it, or are in its snapshot', () => {
    const mayKeep = changed(3);
    expect(mayKeep(0, 'key:other')).to.equal(true);
    expect(mayKeep(1, 'key:k1')).to.equal(true);
    expect(mayKeep(1, 'key:k2')).to.equal(false);
  });

  it('is not kept where they are too many to be remembered, whatever they have to do with it', () => {
    const mayKeep = changed(1001);
    expect(mayKeep(0, 'key:k1')).to.equal(false);
    expect(mayKeep(0, 'key:other')).to.equal(false);
    expect(mayKeep(1, 'key:other')).to.equal(true);
  });
});

describe('a cached name that is read again, because nothing confirmed it', () => {
  const read = (value: string, exists: boolean) => async (): Promise<Read<string>> => ({
    seq: 0,
    found: [{ value, exists, tags: [`key:${value}`], ...FOREVER }],
  });

  for (const [before, after] of [
    [true, false],
    [false, true],
  ] as const) {
    it(`has one entry: ${after ? 'positive in place of a negative' : 'negative in place of a positive'} one`, async () => {
      let now = 0;
      const freshness = createFreshness(() => now);
      const cache = createCache<string>(freshness, { count: 10, bytes: 2 ** 20 });
      freshness.applyPoll(quietPoll(now, undefined));
      await cache.load(['name'], read('before', before));
      expect(cache.recall(['name'])).to.deep.equal(['before']);
      now = 5000;
      expect(cache.recall(['name'])).to.equal(undefined);
      await cache.load(['name'], read('after', after));
      freshness.applyPoll(quietPoll(now, 0));
      expect(cache.recall(['name'])).to.deep.equal(['after']);
      expect(cache.stats()).to.include({ size: Number(after), unknown: Number(before) });
    });
  }
});
