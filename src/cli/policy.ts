/** `authz policy ...`: what a policy says, and what an edit of it does, before it is live. */

import type { Command } from 'commander';
import { addCheckVerb } from './policy-check.ts';
import { addDiffVerb } from './policy-diff.ts';
import { addExplainVerb } from './policy-explain.ts';
import { addTableVerb } from './policy-table.ts';
import { addTestVerb } from './policy-test.ts';

export function addPolicyVerbs(program: Command): void {
  const policy = program
    .command('policy')
    .description('what the policy says, whether it may go live, and what an edit changes');
  addCheckVerb(policy);
  addTestVerb(policy);
  addExplainVerb(policy);
  addTableVerb(policy);
  addDiffVerb(policy);
}
