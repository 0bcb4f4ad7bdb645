/** How long a reload of a large policy keeps requests waiting: the longest pause of the event loop, under load. */

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../../src/log.ts';
import { situations } from '../../src/policy/analysis/situations.ts';
import { decide } from '../../src/policy/decide.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { assemblePolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { followFolder } from '../../src/rollout/live.ts';
import { largePolicy } from '../policy/large.ts';
import { shippedPolicy, shippedTexts } from '../policy/texts.ts';
import { type Bench, median } from './report.ts';

const SIZE = { rows: 1000, actions: 30 };

export async function benchRollout({ short, figure, progress }: Bench): Promise<void> {
  const reloads = short ? 2 : 8;
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
  const texts = largePolicy(await shippedTexts(), SIZE);
  await write(folder, texts);
  const live = followFolder({
    folder,
    times: { pollMs: 50, settleMs: 50 },
    first: { policy: await assemblePolicy(texts), content: { texts } },
    beforeLive: async () => undefined,
    log: createLog('silent'),
  });
  const load = keepBusy(await shippedPolicy());
  const delay = monitorEventLoopDelay({ resolution: 1 });
  const longest = async (work: () => Promise<unknown>): Promise<number> => {
    delay.reset();
    delay.enable();
    await work();
    delay.disable();
    return delay.max / 1e6;
  };
  try {
    const quiet: number[] = [];
    const reloading: number[] = [];
    for (let n = 1; n <= reloads; n += 1) {
      progress(`reload ${n} of ${reloads}`);
      quiet.push(await longest(() => sleep(1000)));
      const before = live.policy();
      await writeFile(path.join(folder, '99-comment.csv'), `# ${n}\n`);
      reloading.push(
        await longest(async () => {
          while (live.policy() === before) await sleep(20);
        }),
      );
    }
    const { rows } = SIZE;
    figure({ name: 'longest pause without a reload', value: median(quiet), unit: 'ms' });
    figure({
      name: `longest pause of a reload of ${rows} rows`,
      value: median(reloading),
      unit: 'ms',
      want: { atMost: 50 },
    });
  } finally {
    load.stop();
    await live.close();
    await rm(folder, { recursive: true });
  }
}

async function write(folder: string, texts: PolicyTexts): Promise<void> {
  await mkdir(path.join(folder, 'cases'));
  for (const [name, text] of texts) await writeFile(path.join(folder, name), text);
}

/** Decides in every turn of the event loop, as a service under load does. */
function keepBusy(policy: Awaited<ReturnType<typeof shippedPolicy>>): { readonly stop: () => void } {
  const facts = [...situations(policy.rows, BUILT_IN)];
  let stopped = false;
  let next = 0;
  const work = (): void => {
    for (let n = 0; n < 10; n += 1) {
      next += 1;
      const asked = facts[next % facts.length];
      if (asked) decide(policy, asked);
    }
    if (!stopped) setImmediate(work);
  };
  setImmediate(work);
  return {
    stop: () => {
      stopped = true;
    },
  };
}
