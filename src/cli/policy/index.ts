/** `authz policy ...`: what a policy says, what an edit changes, and what runs where. */

import type { Command } from 'commander';
import { addCheckVerb } from './check.ts';
import { addDiffVerb } from './diff.ts';
import { addExplainVerb } from './explain.ts';
import { addReplayVerbs } from './replay.ts';
import { addReviewVerb } from './review.ts';
import { addRolloutVerbs } from './rollout.ts';
import { addTableVerb } from './table.ts';
import { addTestVerb } from './test.ts';

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
