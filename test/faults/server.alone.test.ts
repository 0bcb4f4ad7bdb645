/**
 * PostgreSQL itself fails, each time while 200 requests are in flight: no allow without a record, every answer in time,
 * and everything works again once it is back.
 */

import { expect } from 'chai';
import { expectRecovery } from './promises.ts';
import { quantile } from './times.ts';
import { DEADLINE_MS, IN_FLIGHT, type Outcome, theWorld, type World } from './world.ts';

const MARGIN_MS = 100;

interface Fault {
  readonly name: string;
  readonly begin: (world: World) => unknown;
  readonly end?: (world: World) => unknown;
}

const FAULTS: readonly Fault[] = [
  { name: 'is killed', begin: ({ cluster }) => cluster.signal('SIGKILL') },
  { name: 'loses its postmaster', begin: ({ cluster }) => cluster.signal('SIGKILL', 'postmaster') },
  {
    name: 'is suspended',
    begin: ({ cluster }) => cluster.signal('SIGSTOP'),
    end: ({ cluster }) => cluster.signal('SIGCONT'),
  },
  { name: 'refuses connections', begin: ({ proxy }) => proxy.refuse(), end: ({ proxy }) => proxy.heal() },
];

describe('with 200 requests in flight, PostgreSQL', () => {
  let world: World;

  before(async () => {
    world = await theWorld();
    await expectRecovery(world);
  });

  for (const { name, begin, end } of FAULTS) {
    it(name, async () => {
      const outcomes = [await world.ask(IN_FLIGHT, () => begin(world)), await world.ask(IN_FLIGHT)];
      await end?.(world);
      const took = await expectRecovery(world);
      for (const outcome of outcomes) {
        console.log(`        ${describeOutcome(outcome)}`);
        expectInTime(outcome);
      }
      console.log(`        all is answered again after ${took.toFixed()} ms`);
    });
  }
});

/**
 * Checks answer times as measured inside the service, without what clients and the machine add. A timer fires only when
 * the event loop gets to it, so the longest event-loop stall is allowed for: once for nine tenths of the answers (at their
 * timer or when they are sent), twice for the slowest.
 */
function expectInTime({ replies, times }: Outcome): void {
  expect(times.milliseconds).to.have.length(replies.length);
  const limit = DEADLINE_MS + MARGIN_MS + times.stalledMs;
  expect(quantile(times, 0.9), 'the 90th percentile').to.be.at.most(limit);
  expect(quantile(times, 1), 'the slowest').to.be.at.most(limit + times.stalledMs);
}

function describeOutcome({ replies, times }: Outcome): string {
  const statuses = new Map<number, number>();
  for (const { status } of replies) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const counts = [...statuses].sort().map(([status, count]) => `${count} x ${status}`);
  const inside = [0.5, 0.9, 1].map((share) => quantile(times, share).toFixed());
  const outside = Math.max(...replies.map(({ milliseconds }) => milliseconds)).toFixed();
  return `${counts.join(', ')}; half in ${inside[0]} ms, nine tenths in ${inside[1]}, all in ${inside[2]} (stalled for up to ${times.stalledMs.toFixed()}; a client waited up to ${outside})`;
}
