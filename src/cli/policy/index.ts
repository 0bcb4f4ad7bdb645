/** `authz policy ...`: what a policy says, what an edit changes, and what runs where. */

import type { Command } from 'commander';
import type { Terminal } from '../terminal/terminal.ts';
import { addCheckVerb } from './check.ts';
import { addDiffVerb } from './diff.ts';
import { addExplainVerb } from './explain.ts';
import { addReplayVerbs } from './replay.ts';
import { addReviewVerb } from './review.ts';
import { addRolloutVerbs } from './rollout.ts';
import { addTableVerb } from './table.ts';
import { addTestVerb } from './test.ts';

export function addPolicyVerbs(policy: Command, terminal: Terminal): void {
  addCheckVerb(policy, terminal);
  addTestVerb(policy, terminal);
  addExplainVerb(policy, terminal);
  addTableVerb(policy, terminal);
  addDiffVerb(policy, terminal);
  addReplayVerbs(policy, terminal);
  addReviewVerb(policy, terminal);
  addRolloutVerbs(policy, terminal);
}
