/** `authz policy replay | shadow`: which recorded decisions another policy would have decided otherwise. */

import type { Command } from 'commander';
import type { Knex } from 'knex';
import { recordAccess } from '../../audit/access-log.ts';
import { compileFolder } from '../../rollout/folder.ts';
import {
  estimateDecisions,
  type Period,
  type ReplayReport,
  replay,
  selfCheck,
  shadowShifts,
} from '../../rollout/replay.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { type PeriodOptions, periodOptions, periodText, readWholePeriod } from '../terminal/moment.ts';
import { type JsonOption, verb } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';

import { createProgress } from '../terminal/progress.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { UTC } from '../terminal/zone.ts';
import { shiftText } from './shifts.ts';

export function addReplayVerbs(policy: Command, terminal: Terminal): void {
  periodOptions(
    verb(policy, 'replay', 'run recorded decisions through another policy', 'replay --policy policies --from 7d'),
    '24 hours before --to',
  )
    .option('--policy <dir>', 'the folder of the other policy')
    .option('--self-check', 'run each decision through the policy that made it, which must change nothing')
    .option('--fail-on-change', 'exit 1 when any decision would get another code')
    .action((options: ReplayOptions, command: Command) => {
      if ((options.policy === undefined) === (options.selfCheck === undefined))
        command.error('error: give --policy DIR, or --self-check');
      return replayVerb(terminal, options);
    });
  periodOptions(
    verb(policy, 'shadow', 'what the shadow policy would have decided otherwise', 'shadow --from 7d'),
    '24 hours before --to',
  ).action((options: JsonOption & PeriodOptions) => shadowVerb(terminal, options));
}

interface ReplayOptions extends JsonOption, PeriodOptions {
  readonly policy?: string;
  readonly selfCheck?: true;
  readonly failOnChange?: true;
}

async function replayVerb(
  terminal: Terminal,
  { policy: folder, selfCheck: own, failOnChange, json, ...moments }: ReplayOptions,
): Promise<void> {
  const { period, clock } = readWholePeriod(moments, terminal.env);
  const policy = folder === undefined ? undefined : await compileFolder(folder);
  const report = await withPresentDatabase(terminal, async ({ db, actor }) => {
    await recordAccess(db, actor, 'replay', { ...period, policy: policy?.digest ?? 'of each decision' });
    return withProgress(terminal, db, period, (show) =>
      policy ? replay(db, policy, period, show) : selfCheck(db, period, show),
    );
  });
  if (json) terminal.printJson(report);
  else terminal.print(replayText(report, clock));
  if (failOnChange || own) terminal.exitUnless(report.changed === 0);
  if (own) terminal.exitUnless(report.ruleChanged === 0);
}

/** Runs a replay with progress. */
export async function withProgress<T>(
  { stderr }: Terminal,
  db: Knex,
  period: Period,
  run: (show: (replayed: number) => void) => Promise<T>,
): Promise<T> {
  const progress = createProgress(stderr);
  const expected = Math.max(1, await estimateDecisions(db, period));
  const show = (replayed: number): void =>
    progress.show(
      `${replayed.toLocaleString('en')} of about ${expected.toLocaleString('en')} decisions`,
      replayed / expected,
    );
  return run(show).finally(progress.clear);
}

/** The report for a terminal. */
export function replayText(report: ReplayReport, clock = UTC): string {
  const { replayed, changed, ruleChanged, shifts, reasons, assumed } = report;
  const n = (value: number): string => value.toLocaleString('en');
  const head = [
    `${plural(replayed, 'decision')} ${periodText(report, clock)}`,
    `${n(changed)} would get another code, ${n(ruleChanged)} the same code by another rule`,
  ];
  const why = reasons.map((reason) => `failure: ${escaped(reason)}`);
  return [head.join('\n'), [...why, ...assumptionText(assumed)].join('\n'), shiftText(shifts)]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** A line, where there is something to say. */
export const assumptionText = (assumed: ReplayReport['assumed']): string[] =>
  assumed.length > 0
    ? [`some records have no ${assumed.join(', ')}, or a value that is not declared: the defaults were assumed`]
    : [];

async function shadowVerb(terminal: Terminal, { json, ...moments }: JsonOption & PeriodOptions): Promise<void> {
  const { period, clock } = readWholePeriod(moments, terminal.env);
  const policies = await withPresentDatabase(terminal, async ({ db, actor }) => {
    await recordAccess(db, actor, 'shadow', period);
    return shadowShifts(db, period);
  });
  if (json) return terminal.printJson({ ...period, policies });
  if (policies.length === 0) {
    const { SHADOW_POLICY_DIR } = terminal.config();
    const hint = SHADOW_POLICY_DIR === undefined ? '; SHADOW_POLICY_DIR names the folder of one' : '';
    return terminal.print(
      `no disagreement is recorded ${periodText(period, clock)}${hint}; GET /policy says how many decisions were ` +
        'compared, and how many skipped or failed',
    );
  }
  for (const { policy, shifts } of policies) terminal.print(`${escaped(policy)}\n\n${shiftText(shifts)}\n`);
}
