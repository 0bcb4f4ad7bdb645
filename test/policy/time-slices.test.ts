/** Work that callers ask for: one after the other, however many ask, and what fails is in nobody's way. */

import { expect } from 'chai';
import { nextTurn, runInTurn } from '../../src/policy/time-slices.ts';

describe('work that runs in turn', () => {
  it('is done one after the other, in the order in which it was given', async () => {
    const steps: string[] = [];
    function* work(name: string): Generator<void, string> {
      for (let step = 0; step < 3; step += 1) {
        steps.push(name);
        // Longer than a slice, so that another turn of the event loop follows.
        for (const until = performance.now() + 6; performance.now() < until; );
        yield;
      }
      return name;
    }
    const results = ['a', 'b', 'c'].map((name) => runInTurn(work(name)));
    await nextTurn();
    results.push(runInTurn(work('d')));
    expect(await Promise.all(results)).to.deep.equal(['a', 'b', 'c', 'd']);
    expect(steps.join('')).to.equal('aaabbbcccddd');
  });

  it('goes on after work that fails', async () => {
    function* failing(): Generator<void, never> {
      yield;
      throw new Error('this work failed');
    }
    function* fine(): Generator<void, string> {
      yield;
      return 'fine';
    }
    const [first, second] = await Promise.allSettled([runInTurn(failing()), runInTurn(fine())]);
    expect(first).to.have.nested.property('reason.message', 'this work failed');
    expect(second).to.deep.equal({ status: 'fulfilled', value: 'fine' });
  });

  it('is refused where much waits, and taken again once that is done', async () => {
    function* work(): Generator<void, string> {
      yield;
      return 'done';
    }
    const many = await Promise.allSettled(Array.from({ length: 100 }, () => runInTurn(work())));
    const refused = many.filter(({ status }) => status === 'rejected');
    expect(refused).to.have.lengthOf(40);
    expect(many.slice(60)).to.deep.equal(refused);
    expect(refused[0]).to.have.nested.property('reason.code', 'UNAVAILABLE');
    expect(await runInTurn(work())).to.equal('done');
  });
});
