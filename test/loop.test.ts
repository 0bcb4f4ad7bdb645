/** What every part with a background job relies on: one run at a time, whatever fails, until it is closed. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { every, type FailedRun, type Loop } from '../src/loop.ts';
import { eventually } from './http/process.ts';

const SOON = 5;
const NEVER = 2 ** 31 - 1;

describe('a background job', () => {
  let loop: Loop;
  let started: number;
  let ended: number;
  let failures: FailedRun[];
  /** Ends the run under way: resolves it, or rejects it with an error. */
  let end: (error?: Error) => void;

  const onError = (_: unknown, failed: FailedRun): void => void failures.push(failed);
  /** Runs until `end`. */
  const held = (): Promise<void> => {
    started += 1;
    return new Promise<void>((resolve, reject) => {
      end = (error) => (error ? reject(error) : resolve());
    }).finally(() => {
      ended += 1;
    });
  };
  /** Whether the promise is settled by now. */
  const isSettled = (promise: Promise<unknown>): Promise<boolean> =>
    Promise.race([promise.then(() => true), sleep(10 * SOON).then(() => false)]);

  beforeEach(() => {
    [started, ended, failures] = [0, 0, []];
    end = () => undefined;
  });
  afterEach(() => loop.stop());

  it('starts at once or one interval later, as it is told, and then again and again', async () => {
    loop = every(NEVER, held, { first: 'later', onError });
    await sleep(10 * SOON);
    expect(started).to.equal(0);
    loop.stop();
    loop = every(NEVER, held, { first: 'at once', onError });
    await eventually(() => started === 1);
    loop.stop();
    let runs = 0;
    loop = every(SOON, async () => (runs += 1), { first: 'later', onError });
    await eventually(() => runs >= 5);
  });

  it('keeps its interval from start to start', async () => {
    const [starts, ends]: [number[], number[]] = [[], []];
    const work = async () => {
      starts.push(performance.now());
      await sleep(150);
      ends.push(performance.now());
    };
    loop = every(200, work, { first: 'at once', onError });
    // Counted from end to start, no machine would ever be so fast.
    await eventually(() => starts.some((at, index) => at - (ends[index - 1] ?? at - 200) < 198));
    // A timer may fire up to a millisecond early.
    for (const [index, at] of starts.entries()) expect(at).to.be.at.least((starts[0] ?? 0) + index * 198);
  });

  it('keeps its interval from end to start where it is told to, however long a run takes', async () => {
    const [starts, ends]: [number[], number[]] = [[], []];
    const work = async () => {
      starts.push(performance.now());
      await sleep(60);
      ends.push(performance.now());
    };
    loop = every(50, work, { first: 'at once', from: 'end', onError });
    await eventually(() => starts.length === 4);
    // A timer may fire up to a millisecond early.
    for (const [index, at] of starts.slice(1).entries()) expect(at - (ends[index] ?? 0)).to.be.at.least(48);
  });

  it('never runs twice at the same time, however it is started', async () => {
    loop = every(SOON, held, { first: 'at once', onError });
    await eventually(() => started === 1);
    loop.wake();
    const joined = loop.now();
    await sleep(10 * SOON);
    expect([started, ended]).to.deep.equal([1, 0]);
    end();
    await joined;
    await eventually(() => started === 2);
    await sleep(10 * SOON);
    expect([started, ended]).to.deep.equal([2, 1]);
  });

  it('goes on after a failure, and says which of a series it is', async () => {
    const outcomes = ['ok', 'fails', 'fails', 'ok', 'throws', 'ok'];
    loop = every(
      SOON,
      () => {
        const outcome = outcomes.shift();
        if (outcome === 'throws') throw new Error('without a promise');
        return outcome === 'fails' ? Promise.reject(new Error('no')) : Promise.resolve();
      },
      { first: 'later', onError },
    );
    await eventually(() => outcomes.length === 0);
    expect(failures).to.deep.equal([1, 2, 1].map((inARow) => ({ inARow, closing: false })));
  });

  it('is brought forward by wake: at once, or after the run under way, once for any number of calls', async () => {
    loop = every(NEVER, held, { first: 'later', onError });
    loop.wake();
    await eventually(() => started === 1);
    loop.wake();
    loop.wake();
    end();
    await eventually(() => started === 2);
    end();
    await sleep(10 * SOON);
    expect(started).to.equal(2);
  });

  it('can be woken by its own run and by its failure, before `every` has returned, too', async () => {
    let runs = 0;
    const work = async () => {
      runs += 1;
      if (runs === 1) loop.wake();
      if (runs === 2) throw new Error('no');
    };
    loop = every(NEVER, work, { first: 'at once', onError: () => loop.wake() });
    await eventually(() => runs === 3);
  });

  it('is started or joined by now, whose promise resolves when the run has ended, also if it failed', async () => {
    loop = every(NEVER, held, { first: 'later', onError });
    const asked = loop.now();
    await eventually(() => started === 1);
    expect(await isSettled(asked)).to.equal(false);
    const joined = loop.now();
    end(new Error('no'));
    await Promise.all([asked, joined]);
    expect([started, failures.length]).to.deep.equal([1, 1]);
  });

  it('waits on closing for the run under way, aborts its signal, and runs no more', async () => {
    let signal: AbortSignal | undefined;
    const work = (ending: AbortSignal) => {
      signal = ending;
      return held();
    };
    loop = every(SOON, work, { first: 'at once', onError });
    await eventually(() => started === 1);
    loop.wake();
    const closing = [loop.close(), loop.close(), loop.now()];
    expect(signal?.aborted).to.equal(true);
    expect(await Promise.all(closing.map(isSettled))).to.deep.equal([false, false, false]);
    end(new Error('cut short'));
    await Promise.all(closing);
    expect(failures).to.deep.equal([{ inARow: 1, closing: true }]);
    loop.wake();
    await loop.now();
    await sleep(10 * SOON);
    expect([started, ended]).to.deep.equal([1, 1]);
    await loop.close();
  });

  it('has one timer at most, whatever starts its runs, and none once it is stopped', async () => {
    const real = { setTimeout, clearTimeout };
    const pending = new Set<unknown>();
    const counting = (run: () => void, delayMs: number) => {
      const timer = real.setTimeout(() => {
        pending.delete(timer);
        run();
      }, delayMs);
      pending.add(timer);
      return timer;
    };
    const clear = (timer: NodeJS.Timeout | undefined) => {
      pending.delete(timer);
      real.clearTimeout(timer);
    };
    Object.assign(globalThis, { setTimeout: counting, clearTimeout: clear });
    try {
      loop = every(NEVER, async () => undefined, { first: 'later', onError });
      for (let run = 0; run < 3; run += 1) {
        expect(pending.size).to.equal(1);
        await loop.now();
      }
      loop.stop();
      expect(pending.size).to.equal(0);
    } finally {
      Object.assign(globalThis, real);
      for (const timer of pending) real.clearTimeout(timer as NodeJS.Timeout);
    }
  });

  it('does not keep the process alive', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    loop = every(NEVER, held, { first: 'later', onError });
    expect(timers()).to.equal(before);
  });

  it('can be stopped without waiting', async () => {
    loop = every(SOON, held, { first: 'at once', onError });
    await eventually(() => started === 1);
    loop.stop();
    end();
    await sleep(10 * SOON);
    expect([started, ended]).to.deep.equal([1, 1]);
  });
});
