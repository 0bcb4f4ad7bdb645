/** `authz policy review`: all that there is to know of an edit, as one report for whoever has to approve it. */

import type { Command } from 'commander';
import { type CaseReport, runCases } from '../policy/coverage.ts';
import type { Difference } from '../policy/diff.ts';
import { type Finding, printFinding } from '../policy/finding.ts';
import { buildPolicy } from '../policy/policy.ts';
import { type ReplayReport, replay } from '../rollout/replay.ts';
import { print, printJson } from './output.ts';
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
    .action(reviewVerb);
}

/** What there is to know of an edit. */
interface Review {
  readonly old: string;
  readonly new: string;
  /** Why the new policy could not go live. */
  readonly findings: readonly Finding[];
  readonly cases: CaseReport;
  readonly difference: Difference;
  /** null where it was not asked for. */
  readonly replay: ReplayReport | null;
}

async function reviewVerb(older: string, newer: string, { policy, replay: since, json }: Options): Promise<void> {
  const folder = folderOf(policy);
  const [before, after] = [await readNamed(older, folder), await readNamed(newer, folder)];
  const review: Review = {
    old: before.policy.digest,
    new: after.policy.digest,
    findings: (await buildPolicy(after.texts)).findings,
    cases: runCases(after.policy, after.texts),
    difference: compare(before, after),
    replay: since === undefined ? null : await replayed(after, readPeriod({ from: since })),
  };
  if (json) printJson(review);
  else print(reportOf(review));
  exitUnless(review.findings.length === 0);
}

const replayed = ({ policy }: Source, period: Period): Promise<ReplayReport> =>
  withDatabase(({ db }) => withProgress(db, period, (show) => replay(db, policy, period, show)));

const reportOf = (review: Review): string =>
  [
    `# Policy review\n\nFrom \`${review.old}\` to \`${review.new}\`.`,
    `## Findings\n\n${findingsOf(review)}`,
    `## Cases\n\n${casesOf(review)}`,
    `## Difference\n\n${markdown(review.difference)}`,
    ...(review.replay ? [`## Replay\n\n${replayOf(review.replay)}`] : []),
  ].join('\n\n');

const findingsOf = ({ findings }: Review): string =>
  findings.length === 0 ? 'None: it may go live.' : findings.map((finding) => `- ${printFinding(finding)}`).join('\n');

function casesOf({ cases: { cases, percent, rows } }: Review): string {
  const failed = cases.filter(({ holds }) => !holds).length;
  const open = rows.filter(({ matched, passed }) => matched === 0 || passed === 0).map(({ rule }) => `\`${rule}\``);
  const gap = open.length === 0 ? '' : ` Rows of which a side is stated by no case: ${open.join(', ')}.`;
  return `${cases.length} cases, ${failed} of them fail; they state ${percent.toFixed(1)} % of the sides of the rows.${gap}`;
}

function replayOf({ from, replayed, changed, ruleChanged, reasons, shifts }: ReplayReport): string {
  const head = `${replayed} decisions since ${from}: ${changed} would get another code, ${ruleChanged} the same code by another row.`;
  const parts = [head, ...reasons.map((reason) => `Failure: ${reason}`), shiftMarkdown(shifts)];
  return parts.filter((part) => part !== '').join('\n\n');
}
