/** What is here is worked on at once; what is thrown, wherever, reaches whoever waits. */

import { expect } from 'chai';
import { type Awaitable, attempt, after as made } from '../src/awaitable.ts';
import { Failure } from '../src/errors.ts';

const never = (): never => expect.fail('this must not be called');

describe('work on what may be here or come', () => {
  it('is done in the same call where it is here, and later where it comes', async () => {
    expect(made(2, (value) => value + 1)).to.equal(3);
    expect(await made(Promise.resolve(2), (value) => value + 1)).to.equal(3);
    expect(await made(2, (value) => Promise.resolve(value + 1))).to.equal(3);
    const told: number[] = [];
    attempt(
      () => 1,
      (value) => void told.push(value),
      never,
    );
    expect(told).to.deep.equal([1]);
    await new Promise<void>((resolve) =>
      attempt(
        () => Promise.resolve(2),
        (value) => resolve(void told.push(value)),
        never,
      ),
    );
    expect(told).to.deep.equal([1, 2]);
  });

  it('tells as a failure what the work or the next step throws, or what it is rejected with', async () => {
    const defect = new Error('a defect');
    const thrown = (): never => {
      throw defect;
    };
    const known = new Failure('UNAVAILABLE');
    const failing: readonly [work: () => Awaitable<number>, next: (value: number) => void][] = [
      [thrown, never],
      [() => Promise.reject(defect), never],
      [() => 1, thrown],
      [() => Promise.resolve(1), thrown],
    ];
    for (const [work, next] of failing) {
      const failure = await new Promise<Failure>((resolve) => attempt(work, next, resolve));
      expect(failure).to.include({ code: 'INTERNAL', cause: defect });
    }
    const failure = await new Promise<Failure>((resolve) => attempt(() => Promise.reject(known), never, resolve));
    expect(failure).to.equal(known);
  });
});
