/** What checking a policy costs: the shipped one, and one of 1,000 rows over 30 actions, with cases and invariants. */

import path from 'node:path';
import { situations } from '../../src/policy/analysis/situations.ts';
import { decide } from '../../src/policy/decide.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { largePolicy } from '../policy/large.ts';
import { factsWith } from '../support/facts.ts';
import { type Bench, median } from './report.ts';

const SHIPPED = path.join(import.meta.dirname, '..', '..', 'policies');

export async function benchPolicy({ short, figure, progress }: Bench): Promise<void> {
  const shipped = await readPolicyFolder(SHIPPED);
  const rounds = short ? 1 : 5;
  progress('checking the shipped policy');
  const small = await cpuOfCheck(shipped, rounds);
  figure({ name: 'check the shipped policy, CPU', value: small, unit: 's', want: { atMost: 1 } });

  progress('checking 1,000 rows over 30 actions');
  const large = largePolicy(shipped, { rows: 1000, actions: 30 });
  figure({
    name: 'check 1,000 rows over 30 actions, CPU',
    value: await cpuOfCheck(large, short ? 1 : 3),
    unit: 's',
    want: { atMost: 10 },
  });

  progress('deciding by them');
  figure({ name: 'decide, shipped policy', value: await microsOfDecision(shipped, shipped), unit: 'µs' });
  figure({ name: 'decide, 1,000 rows over 30 actions', value: await microsOfDecision(large, shipped), unit: 'µs' });
}

/** Median CPU seconds of a whole check, reading of the folder aside. */
async function cpuOfCheck(texts: PolicyTexts, rounds: number): Promise<number> {
  const seconds: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const before = process.cpuUsage();
    const { findings } = await buildPolicy(texts);
    const { user, system } = process.cpuUsage(before);
    if (findings.length > 0) throw new Error(`the policy is refused: ${findings[0]?.message}`);
    seconds.push((user + system) / 1_000_000);
  }
  return median(seconds);
}

/** Mean over the situations of the shipped rows, as questions about one of the actions that have rows of their own. */
async function microsOfDecision(texts: PolicyTexts, shipped: PolicyTexts): Promise<number> {
  const { policy } = await buildPolicy(texts);
  const { policy: known } = await buildPolicy(shipped);
  if (!policy || !known) throw new Error('the policy is refused');
  const some = [...situations(known.rows, BUILT_IN)].map((facts) =>
    factsWith({ request: { action: 'noun0:create' } }, facts),
  );
  const before = process.cpuUsage();
  for (const facts of some) decide(policy, facts);
  return process.cpuUsage(before).user / some.length;
}
