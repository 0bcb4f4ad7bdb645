/** `authz policy review`: all that there is to know of an edit, as one report for whoever has to approve it. */

import type { Command } from 'commander';
import { runCases } from '../policy/coverage.ts';
import { printFinding } from '../policy/finding.ts';
import { buildPolicy } from '../policy/policy.ts';
import { replay } from '../rollout/replay.ts';
import { print } from './output.ts';
import { type Period, readPeriod } from './period.ts';
import { compare, markdown } from './policy-diff.ts';
import { withProgress } from './policy-replay.ts';
import { exitUnless, folderOf, readNamed, type Source } from './policy-source.ts';
import { type Format, verb, withDatabase } from './session.ts';
import { shiftMarkdown } from './shifts.ts';

interface Options extends Format {
  readonly policy?: string;
  readonly replay?: string;
}

/** Adds the verb `review`. */
export function addReviewVerb(policy: Command): void {
  verb(
    policy,
    'review <old> <new>',
    'write a report on an edit, in Markdown',
    'review main policies --replay 7d > review.md',
  )
    .option('--policy <dir>', 'the folder whose revisions are meant; default: POLICY_DIR')
    .option('--replay <since>', 'run recorded decisions through the new policy too: since when, such as 7d')
    .action(review);
}

async function review(older: string, newer: string, { policy, replay: since }: Options): Promise<void> {
  const folder = folderOf(policy);
  const [before, after] = [await readNamed(older, folder), await readNamed(newer, folder)];
  const period = since === undefined ? undefined : readPeriod({ from: since });
  const findings = (await buildPolicy(after.texts)).findings.map(printFinding);
  const parts = [
    `# Policy review\n\nFrom \`${before.policy.digest}\` (${older}) to \`${after.policy.digest}\` (${newer}).`,
    `## Findings\n\n${findings.length === 0 ? 'None: it may go live.' : list(findings)}`,
    `## Cases\n\n${casesOf(after)}`,
    `## Difference\n\n${markdown(compare(before, after))}`,
    ...(period ? [`## Replay\n\n${await replayOf(after, period)}`] : []),
  ];
  print(`${parts.join('\n\n')}\n`);
  exitUnless(findings.length === 0);
}

const list = (lines: readonly string[]): string => lines.map((line) => `- ${line}`).join('\n');

function casesOf({ policy, texts }: Source): string {
  const { cases, percent, rows } = runCases(policy, texts);
  const failed = cases.filter(({ holds }) => !holds).length;
  const open = rows.filter(({ matched, passed }) => matched === 0 || passed === 0).map(({ rule }) => `\`${rule}\``);
  const gap = open.length === 0 ? '' : ` Rows of which a side is stated by no case: ${open.join(', ')}.`;
  return `${cases.length} cases, ${failed} of them fail; they state ${percent.toFixed(1)} % of the sides of the rows.${gap}`;
}

const replayOf = (after: Source, period: Period): Promise<string> =>
  withDatabase(async ({ db }) => {
    const report = await withProgress(db, period, (show) => replay(db, after.policy, period, show));
    const head = `${report.replayed} decisions since ${period.from}: ${report.changed} would get another code, ${report.ruleChanged} the same code by another row.`;
    return [head, ...report.reasons.map((reason) => `Failure: ${reason}`), shiftMarkdown(report.shifts)]
      .filter((part) => part !== '')
      .join('\n\n');
  });
