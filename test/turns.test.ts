/** Turns: so many at once, in the order of those who came, and nobody waits for ever. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { Failure } from '../src/errors.ts';
import { turns } from '../src/turns.ts';
import { rejection } from './support/rejection.ts';

describe('turns', () => {
  /** Work that is under way until it is ended. */
  function makeWork() {
    const ends: (() => void)[] = [];
    const begun: number[] = [];
    return {
      begun,
      end: (index: number) => ends[index]?.(),
      of: (name: number) => () =>
        new Promise<number>((resolve) => {
          begun.push(name);
          ends[name] = () => resolve(name);
        }),
    };
  }
  const settled = () => sleep(1);

  it('are so many at once, the others in their order', async () => {
    const inTurn = turns(2, 60_000, 'busy');
    const { begun, end, of } = makeWork();
    const all = [0, 1, 2, 3].map((name) => inTurn(of(name)));
    await settled();
    expect(begun).to.deep.equal([0, 1]);
    end(1);
    await settled();
    expect(begun).to.deep.equal([0, 1, 2]);
    end(0);
    await settled();
    for (const name of [2, 3]) end(name);
    expect(await Promise.all(all)).to.deep.equal([0, 1, 2, 3]);
  });

  it('are given up by work that fails', async () => {
    const inTurn = turns(1, 60_000, 'busy');
    const failing = inTurn(() => Promise.reject(new Error('failed')));
    const next = inTurn(async () => 'done');
    expect(((await rejection(failing)) as Error).message).to.equal('failed');
    expect(await next).to.equal('done');
  });

  it('are refused to who waited too long, and then to nobody in its place', async () => {
    const inTurn = turns(1, 20, 'Other searches are under way.');
    const { begun, end, of } = makeWork();
    const first = inTurn(of(0));
    const refused = await rejection(inTurn(of(1)));
    expect(refused).to.be.instanceOf(Failure).and.include({ code: 'TOO_MANY_REQUESTS', retryAfterSeconds: 10 });
    expect((refused as Failure).message).to.equal('Other searches are under way.');
    end(0);
    await first;
    const third = inTurn(of(2));
    await settled();
    expect(begun).to.deep.equal([0, 2]);
    end(2);
    expect(await third).to.equal(2);
  });
});
