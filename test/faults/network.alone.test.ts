/** The network between the service and PostgreSQL fails: answers are late, lost, or cut at any byte. */

import { expect } from 'chai';
import { expectRecovery, failuresOf } from './promises.ts';
import { POOL, theWorld, UNKNOWN_KEY, type World } from './world.ts';

const BURST = 100;
/** How often a question is asked of which work in the background may take the bytes. */
const ATTEMPTS = 25;

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
    // One or two fail before a loss is noticed, a few more on a slow machine; then all idle connections are closed, not one per
    // question.
    expect(lost).to.be.below(POOL / 2);
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
    const whole = await bytesOfAnAnswer(world);
    // The last bytes answer the insert: cut at each. The earlier ones carry facts: cut at about every 50th.
    const last = Array.from({ length: 40 }, (_, index) => whole - 40 + index);
    const before = Array.from({ length: 20 }, (_, index) => 1 + Math.floor((index * (whole - 40)) / 20));
    for (const bytes of [...before, ...last]) {
      let lost = 0;
      // What PostgreSQL sends to the change feed or the registry of replicas may draw the cut; then the question gets through.
      for (let attempt = 0; lost === 0 && attempt < ATTEMPTS; attempt += 1) {
        world.proxy.cutAfter(bytes);
        lost = failuresOf(await world.ask(1, undefined, UNKNOWN_KEY)).length;
        await world.proxy.heal();
        // Successes in between keep the breaker closed, so that each cut takes effect.
        await world.ask(2);
      }
      expect(lost, `cut after ${bytes} of ${whole} bytes`).to.equal(1);
    }
    await expectRecovery(world);
  });
});

/** What PostgreSQL sends for one question that is in no cache. The least of some: work in the background adds to others. */
async function bytesOfAnAnswer({ proxy, ask }: World): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    proxy.cutAfter(Number.POSITIVE_INFINITY);
    if (failuresOf(await ask(1, undefined, UNKNOWN_KEY)).length === 0) least = Math.min(least, proxy.passed());
  }
  expect(least, 'bytes of an answer').to.be.below(10_000);
  return least;
}
