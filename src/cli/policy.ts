/** `authz policy ...`: what a policy says, what an edit changes, and what runs where. */

import type { Command } from 'commander';
import { addCheckVerb } from './policy-check.ts';
import { addDiffVerb } from './policy-diff.ts';
import { addExplainVerb } from './policy-explain.ts';
import { addReplayVerbs } from './policy-replay.ts';
import { addReviewVerb } from './policy-review.ts';
import { addRolloutVerbs } from './policy-rollout.ts';
import { addTableVerb } from './policy-table.ts';
import { addTestVerb } from './policy-test.ts';

export function addPolicyVerbs(program: Command): void {
  const policy = program.command('policy').description('what a policy says, what an edit changes, and what runs where');
  addCheckVerb(policy);
  addTestVerb(policy);
  addExplainVerb(policy);
  addTableVerb(policy);
  addDiffVerb(policy);
  addReplayVerbs(policy);
  addReviewVerb(policy);
  addRolloutVerbs(policy);
}
