/** `authz policy review`: check, guards, coverage, difference and replay of an edit, as one Markdown report for its reviewer. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { type CaseReport, runCases } from '../../policy/analysis/coverage.ts';
import type { Difference } from '../../policy/analysis/diff.ts';
import type { Policy } from '../../policy/decide.ts';
import { type Finding, printFinding } from '../../policy/folder/findings.ts';
import { caseChanges, type GuardChanges, invariantChanges } from '../../policy/folder/guard-changes.ts';
import { buildPolicy, compilePolicy } from '../../policy/policy.ts';
import { type ReplayReport, replay } from '../../rollout/replay.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { readWholePeriod } from '../terminal/moment.ts';
import { type JsonOption, verb } from '../terminal/options.ts';
import { escaped, escapedLines, plural } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { compare, markdown } from './diff.ts';
import { assumptionText, withProgress } from './replay.ts';
import { shiftMarkdown } from './shifts.ts';
import { folderOf, readNamed, readNamedTexts } from './source.ts';

interface Options extends JsonOption {
  readonly policy?: string;
  readonly replay?: string;
}

/** Adds the verb `review`. */
export function addReviewVerb(policy: Command, terminal: Terminal): void {
  verb(
    policy,
    'review <old> <new>',
    'write a report on an edit, in Markdown',
    'review main policies --replay 7d > review.md',
  )
    .option('--policy <dir>', 'the folder whose revisions are meant; default: POLICY_DIR')
    .option('--replay <since>', 'run recorded decisions through the new policy too: since when, such as 7d or tuesday')
    .action((older: string, newer: string, options: Options) => reviewVerb(terminal, older, newer, options));
}

interface Review {
  readonly old: string;
  /** Digest of the new policy; null where its rows cannot be read. */
  readonly new: string | null;
  /** Why the new policy could not go live. */
  readonly findings: readonly Finding[];
  readonly invariants: GuardChanges;
  readonly caseChanges: GuardChanges;
  /** These three are null where the rows cannot be read, and `replay` also where it was not asked for. */
  readonly cases: CaseReport | null;
  readonly difference: Difference | null;
  readonly replay: ReplayReport | null;
}

async function reviewVerb(
  terminal: Terminal,
  older: string,
  newer: string,
  { policy, replay: since, json }: Options,
): Promise<void> {
  const folder = folderOf(terminal, policy);
  const before = await readNamed(terminal, older, folder);
  const texts = await readNamedTexts(terminal, newer, folder);
  const { policy: after } = compilePolicy(texts);
  const review: Review = {
    old: before.policy.digest,
    new: after?.digest ?? null,
    findings: (await buildPolicy(texts)).findings,
    invariants: invariantChanges(before.texts, texts),
    caseChanges: caseChanges(before.texts, texts),
    cases: after ? runCases(after, texts) : null,
    difference: after ? compare(terminal, before, { policy: after, texts }) : null,
    replay: after && since !== undefined ? await replayed(terminal, after, since) : null,
  };
  if (json) terminal.printJson(review);
  else terminal.print(escapedLines(reportOf(review)));
  terminal.exitUnless(review.findings.length === 0);
}

async function replayed(terminal: Terminal, policy: Policy, since: string): Promise<ReplayReport> {
  const { period } = readWholePeriod({ from: since }, terminal.env);
  return withPresentDatabase(terminal, async ({ db, actor }) => {
    await recordAccess(db, actor, 'replay', { ...period, policy: policy.digest });
    return withProgress(terminal, db, period, (show) => replay(db, policy, period, show));
  });
}

const NOT_READ = 'The rows cannot be read; see the findings.';

const reportOf = (review: Review): string =>
  [
    `# Policy review\n\nFrom \`${review.old}\` to ${review.new ? `\`${review.new}\`` : 'what cannot be read'}.`,
    `## Findings\n\n${findingsOf(review)}`,
    `## Invariants\n\n${guardsOf(review.invariants)}`,
    `## Cases\n\n${[review.cases ? casesOf(review.cases) : NOT_READ, guardsOf(review.caseChanges)].join('\n\n')}`,
    `## Difference\n\n${review.difference ? markdown(review.difference) : NOT_READ}`,
    ...(review.replay ? [`## Replay\n\n${replayMarkdown(review.replay)}`] : []),
  ].join('\n\n');

/** Removed guards come first: nothing else in the report shows that one is missing. */
function guardsOf({ now, ...changes }: GuardChanges): string {
  const lines = (['removed', 'changed', 'added'] as const)
    .filter((kind) => changes[kind].length > 0)
    .map((kind) => `- **${kind}**: ${changes[kind].map((name) => escaped(JSON.stringify(name))).join(', ')}`);
  return [`${now} in all${lines.length === 0 ? ', as before.' : ':'}`, ...lines].join('\n');
}

const findingsOf = ({ findings }: Review): string =>
  findings.length === 0 ? 'None: it may go live.' : findings.map((finding) => `- ${printFinding(finding)}`).join('\n');

function casesOf({ cases, percent, rows }: CaseReport): string {
  const failed = cases.filter(({ holds }) => !holds).length;
  const open = rows.filter(({ matched, passed }) => matched === 0 || passed === 0).map(({ rule }) => `\`${rule}\``);
  const gap = open.length === 0 ? '' : ` Rows of which a side is stated by no case: ${open.join(', ')}.`;
  return `${plural(cases.length, 'case')}, ${failed === 1 ? '1 of them fails' : `${failed} of them fail`}; they state ${percent.toFixed(1)} % of the sides of the rows.${gap}`;
}

/** The section on a replay. */
export function replayMarkdown({
  from,
  replayed,
  changed,
  ruleChanged,
  reasons,
  assumed,
  shifts,
}: ReplayReport): string {
  const head = `${plural(replayed, 'decision')} since ${from}: ${changed} would get another code, ${ruleChanged} the same code by another row.`;
  const why = reasons.map((reason) => `Failure: ${escaped(reason)}`);
  const parts = [head, ...why, ...assumptionText(assumed), shiftMarkdown(shifts)];
  return parts.filter((part) => part !== '').join('\n\n');
}
