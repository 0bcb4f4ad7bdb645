/** How fast recorded decisions are replayed, and how much memory that takes. */

import { connect } from '../../src/db/connect.ts';
import { replay } from '../../src/rollout/replay.ts';
import { shippedPolicy } from '../policy/texts.ts';
import { generate, insertDecisions } from '../rollout/decisions.ts';
import { startMigratedCluster } from '../support/cluster.ts';
import type { Bench } from './report.ts';

export async function benchReplay({ short, figure, progress }: Bench): Promise<void> {
  const count = short ? 50_000 : 1_000_000;
  const cluster = await startMigratedCluster();
  const db = connect({ url: cluster.url, poolSize: 2 });
  const policy = await shippedPolicy();
  const at = new Date();
  progress(`writing ${count} decisions`);
  await insertDecisions(db, policy.digest, at, generate(policy, count));
  const period = { from: new Date(at.getTime() - 1).toISOString(), to: new Date(at.getTime() + 1).toISOString() };
  const before = process.memoryUsage().rss;
  let most = before;
  progress('replaying them');
  const [since, cpu] = [performance.now(), process.cpuUsage()];
  const report = await replay(db, policy, period, () => {
    most = Math.max(most, process.memoryUsage().rss);
  });
  const seconds = (performance.now() - since) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  if (report.replayed !== count || report.changed > 0)
    throw new Error(`the replay is wrong: ${JSON.stringify(report)}`);
  figure({ name: 'replayed decisions', value: count / seconds, unit: '/s', want: { atLeast: 100_000 } });
  figure({
    name: 'replayed decisions per CPU second of the command',
    value: count / ((user + system) / 1e6),
    unit: '/s',
  });
  figure({ name: 'memory that a replay adds', value: (most - before) / 2 ** 20, unit: 'MB', want: { atMost: 100 } });
  await db.destroy();
  await cluster.close();
}
