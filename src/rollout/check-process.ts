/** The program of `checkInProcess`: receives a policy's texts, sends back the findings, and exits. */

import type { PolicyTexts } from '../policy/folder/files.ts';
import { buildPolicy } from '../policy/policy.ts';

process.once('message', async (texts: PolicyTexts) => {
  const { findings } = await buildPolicy(texts);
  process.send?.(findings, () => process.disconnect());
});
// The IPC channel was closed: the parent exited, or it aborted this check.
process.once('disconnect', () => process.exit());
