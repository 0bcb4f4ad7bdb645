/**
 * Promise 4 of freezes: no allow in the process that froze after its reply, and none anywhere that started more than a second after the
 * commit, nor after a process was stopped. LONG=2: 300 freezes and lifts, and a stop of 30 s.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { startWorld, type World } from '../faults/revocation-world.ts';
import { killProcesses } from '../http/process.ts';
import { amount } from '../support/long.ts';
import { BOUND_MS, bound, faultsOf, latenessOf, type Observed, type Observer, observe, PROCESSES } from './observed.ts';

const FREEZES = amount(60, 60, 300);
const STOP_MS = 1000 * amount(4, 4, 30);
/** Subjects that are frozen and lifted at the same time. */
const SUBJECTS = 20;
const SPREAD_MS = 40;

describe('a freeze, with three processes under load', function () {
  this.timeout(amount(180_000, 180_000, 900_000));
  let world: World;
  before(async () => {
    world = await startWorld();
  });
  after(async () => {
    await world?.close();
    killProcesses();
  });

  it(`holds in each, through whichever it is made: ${FREEZES} freezes and lifts`, async () => {
    const observer = await observe(world, SUBJECTS);
    await Promise.all(
      observer.all.map(async (observed, index) => {
        await sleep(index * SPREAD_MS);
        for (let time = 0; time < FREEZES / SUBJECTS; time += 1) await freezeAndLift(observer, observed, index + time);
      }),
    );
    await judge(observer, FREEZES);
  });

  it(`holds in one that was stopped for ${STOP_MS} ms when it was made`, async () => {
    const observer = await observe(world, SUBJECTS);
    for (const observed of observer.all) await observer.seen(observed, 'OK', () => 0);
    await world.connect(STOPPED);
    observer.spare(STOPPED, true);
    const child = world.processes[STOPPED]?.child;
    child?.kill('SIGSTOP');
    const stoppedAt = performance.now();
    await Promise.all(observer.all.map((observed, index) => freezeMeanwhile(observer, observed, index)));
    // Whatever it reads first when it goes on was asked more than a second after the commit.
    await sleep(BOUND_MS + 1);
    observer.spare(STOPPED, false);
    await sleep(Math.max(BOUND_MS, stoppedAt + STOP_MS - performance.now()));
    child?.kill('SIGCONT');
    for (const observed of observer.all) {
      const last = lastFreeze(observed);
      await observer.seen(observed, 'FROZEN', (process) => bound(last, process));
      await observer.lift(last, STOPPED);
      await observer.seen(observed, 'OK', () => last.liftedAt);
    }
    await judge(observer, SUBJECTS * 1.5);
  });
});

/** The process that is stopped, and those through which is frozen meanwhile. */
const STOPPED = 1;
const OTHERS = [0, 2] as const;

/** One freeze, seen by each process before and after, and its lift, by another process. */
async function freezeAndLift(observer: Observer, observed: Observed, turn: number): Promise<void> {
  const before = observed.freezes.at(-1)?.liftedAt ?? 0;
  await observer.seen(observed, 'OK', () => before);
  const freeze = await observer.freeze(observed, turn % PROCESSES.length);
  await observer.seen(observed, 'FROZEN', (process) => bound(freeze, process));
  await observer.lift(freeze, (turn + 1) % PROCESSES.length);
}

/** A freeze, of every other subject after one that is lifted again. */
async function freezeMeanwhile(observer: Observer, observed: Observed, index: number): Promise<void> {
  await sleep(index * SPREAD_MS);
  if (index % 2 === 0) await observer.lift(await observer.freeze(observed, OTHERS[0]), OTHERS[1]);
  await observer.freeze(observed, OTHERS[(index >> 1) % 2] ?? OTHERS[0]);
}

function lastFreeze({ freezes }: Observed) {
  const last = freezes.at(-1);
  if (!last) throw new Error('the subject was not frozen');
  return last;
}

async function judge(observer: Observer, expected: number): Promise<void> {
  await observer.stop();
  const { all } = observer;
  const answers = all.flatMap((observed) => observed.answers);
  const late = all.flatMap(latenessOf).sort((a, b) => a - b);
  const at = (share: number) => late[Math.min(late.length - 1, Math.floor(share * late.length))]?.toFixed();
  console.log(
    `        ${all.flatMap(({ freezes }) => freezes).length} freezes, ${answers.length} answers; milliseconds from the reply until ` +
      `the last allow started in another process: half ${at(0.5)}, nine tenths ${at(0.9)}, 99 of 100 ${at(0.99)}, all ${at(1)}`,
  );
  expect(all.flatMap(({ freezes }) => freezes)).to.have.length(expected);
  expect(all.flatMap(faultsOf)).to.deep.equal([]);
}
