/**
 * PostgreSQL itself fails, each time while 200 requests are in flight: no allow without a record, every answer while the fault
 * lasts (the times are printed; the bench compares them with the deadline), and everything works again once it is back.
 */

import { expect } from 'chai';
import { expectRecovery } from './promises.ts';
import { quantile } from './times.ts';
import { IN_FLIGHT, type Outcome, theWorld, type World } from './world.ts';

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
      // Each comes to an end while the fault lasts: no answer waits for PostgreSQL.
      const outcomes = [await world.ask(IN_FLIGHT, () => begin(world)), await world.ask(IN_FLIGHT)];
      await end?.(world);
      const took = await expectRecovery(world);
      for (const outcome of outcomes) {
        console.log(`        ${describeOutcome(outcome)}`);
        expect(outcome.times.milliseconds).to.have.length(outcome.replies.length);
      }
      console.log(`        all is answered again after ${took.toFixed()} ms`);
    });
  }
});

function describeOutcome({ replies, times }: Outcome): string {
  const statuses = new Map<number, number>();
  for (const { status } of replies) statuses.set(status, (statuses.get(status) ?? 0) + 1);
  const counts = [...statuses].sort().map(([status, count]) => `${count} x ${status}`);
  const inside = [0.5, 0.9, 1].map((share) => quantile(times, share).toFixed());
  const outside = Math.max(...replies.map(({ milliseconds }) => milliseconds)).toFixed();
  return `${counts.join(', ')}; half in ${inside[0]} ms, nine tenths in ${inside[1]}, all in ${inside[2]} (stalled for up to ${times.stalledMs.toFixed()}; a client waited up to ${outside})`;
}
