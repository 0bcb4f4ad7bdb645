/** `authz policy ...`: what a policy says, what an edit changes, and what runs where. */

import type { Command } from 'commander';
import { addReplayVerbs } from './policy-replay.ts';
import { addRolloutVerbs } from './policy-rollout.ts';

export function addPolicyVerbs(program: Command): void {
  const policy = program.command('policy').description('what a policy says, what an edit changes, and what runs where');
  addReplayVerbs(policy);
  addRolloutVerbs(policy);
}
