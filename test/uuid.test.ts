/** Monotonic UUIDv7: format, timestamp, order and uniqueness. */

import { expect } from 'chai';
import { uuidv7 } from '../src/uuid.ts';

const timeOf = (id: string): number => Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16);

describe('an id of a decision', () => {
  it('is a UUID of version 7 with the time in milliseconds', () => {
    const since = Date.now();
    const ids = Array.from({ length: 100_000 }, () => uuidv7());
    for (const id of ids) {
      if (!/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)) expect.fail(id);
    }
    expect(timeOf(ids[0] ?? '')).to.be.within(since, Date.now());
    expect(timeOf(ids.at(-1) ?? '')).to.be.within(since, Date.now());
    expect(ids.every((id, at) => at === 0 || id > (ids[at - 1] ?? ''))).to.equal(true);
  });

  it('stays in order when the clock stands still or goes back a little', () => {
    const now = Date.now() + 10_000;
    const ids = [now, now, now - 4999, now + 1, now - 1, now + 1].map((at) => uuidv7(at));
    expect([...ids].sort()).to.deep.equal(ids);
    expect(ids.map(timeOf)).to.deep.equal([now, now, now, now + 1, now + 1, now + 1]);
  });

  it('follows a clock that was stepped back', () => {
    const now = Date.now();
    expect(timeOf(uuidv7(now + 86_400_000))).to.equal(now + 86_400_000);
    expect(timeOf(uuidv7(now))).to.equal(now);
  });

  it('differs in its random part from other ids, within a millisecond and across', () => {
    const now = Date.now() + 20_000;
    const ids = Array.from({ length: 20_000 }, (_, n) => uuidv7(now + (n >> 4)));
    expect(new Set(ids.map((id) => id.slice(24))).size).to.equal(ids.length);
    const starts = ids.filter((_, n) => n % 16 === 0).map((id) => id.slice(15, 23));
    expect(new Set(starts).size).to.be.above(starts.length * 0.99);
  });
});
