/** The process that `checkAside` starts: checks the policy that it is sent, answers with the findings, and ends. */

import type { PolicyTexts } from '../policy/folder/files.ts';
import { buildPolicy } from '../policy/policy.ts';

process.once('message', async (texts: PolicyTexts) => {
  const { findings } = await buildPolicy(texts);
  process.send?.(findings, () => process.disconnect());
});
// Whoever asked is gone, so nobody wants to know.
process.once('disconnect', () => process.exit());
