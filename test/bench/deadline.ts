/** How late answers are while PostgreSQL is suspended or killed: none should come long after DECISION_DEADLINE_MS. */

import { quantile, timesWithin } from '../faults/times.ts';
import { startCluster } from '../support/cluster.ts';
import { startService } from '../support/service.ts';
import type { Bench } from './report.ts';

const DEADLINE_MS = 250;
const IN_FLIGHT = 200;
const MOST = 1.4;

export async function benchDeadline(bench: Bench): Promise<void> {
  const cluster = await startCluster();
  const service = await startService({ DATABASE_URL: cluster.url, DECISION_DEADLINE_MS: String(DEADLINE_MS) });
  const askAll = (): Promise<unknown> =>
    Promise.all(
      Array.from({ length: IN_FLIGHT }, () => service.ask('/authorize', { apiKey: 'junk', action: 'account:read' })),
    );
  try {
    await askAll();
    for (const [fault, signal, end] of [
      ['suspended', 'SIGSTOP', 'SIGCONT'],
      ['killed', 'SIGKILL', undefined],
    ] as const) {
      bench.progress(`PostgreSQL is ${fault}`);
      await cluster.signal(signal);
      // Inside the service, from the head of a request to the end of its answer.
      const { times } = await timesWithin(askAll);
      if (end) await cluster.signal(end);
      const figure = (name: string, value: number): void =>
        bench.figure({ name: `${name} answer, PostgreSQL ${fault}`, value, unit: 'x', want: { atMost: MOST } });
      figure('median', quantile(times, 0.5) / DEADLINE_MS);
      figure('slowest', quantile(times, 1) / DEADLINE_MS);
      await askAll();
    }
  } finally {
    await service.close();
    await cluster.close();
  }
}
