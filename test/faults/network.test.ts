/** What lies between the service and PostgreSQL fails: answers that are late, lost, or cut short at any byte. */

import { expect } from 'chai';
import { expectRecovery, failuresOf } from './promises.ts';
import { theWorld, type World } from './world.ts';

const BURST = 100;

describe('the network to PostgreSQL', () => {
  let world: World;

  before(async function () {
    this.timeout(60_000);
    world = await theWorld();
    await expectRecovery(world);
  });

  it('swallows what is sent, and then takes connections that it never answers', async () => {
    const { proxy, ask } = world;
    await ask(BURST, proxy.swallow);
    expect(failuresOf(await ask(BURST))).to.have.length(BURST);
    await proxy.heal();
    await expectRecovery(world);
  });

  it('forgets all connections of an idle pool, and one client notices', async () => {
    world.proxy.swallow();
    await world.proxy.heal();
    const since = performance.now();
    let lost = 0;
    while (failuresOf(await world.ask(1)).length > 0) lost += 1;
    console.log(`        ${lost} questions were lost, in ${(performance.now() - since).toFixed()} ms`);
    // One or two are given up before the first loss is certain; then every idle connection is dropped, not one a question.
    expect(lost).to.be.at.most(5);
    await expectRecovery(world);
  });

  for (const milliseconds of [150, 400]) {
    it(`delays each answer by ${milliseconds} ms`, async () => {
      world.proxy.delay(milliseconds);
      for (let burst = 0; burst < 2; burst++) await world.ask(BURST);
      await world.proxy.heal();
      await expectRecovery(world);
    });
  }

  it('resets a connection at any byte of the answers to a decision', async () => {
    const { proxy, ask } = world;
    proxy.cutAfter(Number.POSITIVE_INFINITY);
    await ask(1);
    const whole = proxy.passed();
    // The last bytes answer the insert, and are cut at each; the facts before them at every 50th or so.
    const last = Array.from({ length: 40 }, (_, index) => whole - 40 + index);
    const before = Array.from({ length: 20 }, (_, index) => 1 + Math.floor((index * (whole - 40)) / 20));
    for (const bytes of [...before, ...last]) {
      proxy.cutAfter(bytes);
      expect(failuresOf(await ask(1)), `cut after ${bytes} of ${whole} bytes`).to.have.length(1);
      await proxy.heal();
      // Answers in between keep the breaker closed, so that each cut is met.
      await ask(2);
    }
    await expectRecovery(world);
  });
});
