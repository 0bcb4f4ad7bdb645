/** The network between the service and PostgreSQL fails: answers are late, lost, or cut at any byte. */

import { expect } from 'chai';
import { expectRecovery, failuresOf } from './promises.ts';
import { theWorld, UNKNOWN_KEY, type World } from './world.ts';

const BURST = 100;

describe('the network to PostgreSQL', () => {
  let world: World;

  before(async () => {
    world = await theWorld();
    await expectRecovery(world);
  });

  it('drops all packets, then accepts connections and never answers', async () => {
    const { proxy, ask } = world;
    await ask(BURST, proxy.swallow);
    expect(failuresOf(await ask(BURST))).to.have.length(BURST);
    await proxy.heal();
    await expectRecovery(world);
  });

  it('drops all connections of an idle pool, which costs few requests', async () => {
    world.proxy.swallow();
    await world.proxy.heal();
    const since = performance.now();
    let lost = 0;
    while (failuresOf(await world.ask(1)).length > 0) lost += 1;
    console.log(`        ${lost} questions were lost, in ${(performance.now() - since).toFixed()} ms`);
    // One or two fail before a loss is noticed; then all idle connections are closed, not one per question.
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
    await ask(1, undefined, UNKNOWN_KEY);
    const whole = proxy.passed();
    // The last bytes answer the insert: cut at each. The earlier ones carry facts: cut at about every 50th.
    const last = Array.from({ length: 40 }, (_, index) => whole - 40 + index);
    const before = Array.from({ length: 20 }, (_, index) => 1 + Math.floor((index * (whole - 40)) / 20));
    for (const bytes of [...before, ...last]) {
      let lost = 0;
      // Work in the background (the change feed, the registry of replicas) may draw the cut; then the question gets through.
      for (let attempt = 0; lost === 0 && attempt < 5; attempt += 1) {
        proxy.cutAfter(bytes);
        lost = failuresOf(await ask(1, undefined, UNKNOWN_KEY)).length;
        await proxy.heal();
        // Successes in between keep the breaker closed, so that each cut takes effect.
        await ask(2);
      }
      expect(lost, `cut after ${bytes} of ${whole} bytes`).to.equal(1);
    }
    await expectRecovery(world);
  });
});
