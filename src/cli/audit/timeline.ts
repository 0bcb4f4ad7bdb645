/** `authz audit timeline`: what happened to one key, user or business, in one order, oldest first. */

import type { Command } from 'commander';
import type { Knex } from 'knex';
import { recordAccess } from '../../audit/access-log.ts';
import { changesOf } from '../../audit/changed-fields.ts';
import { rangeOf } from '../../audit/query/filters.ts';
import { requireKnown } from '../../audit/query/known-names.ts';
import { type Labels, labelsOf } from '../../audit/query/labels.ts';
import {
  type Placed,
  readTimeline,
  type TimelineItem,
  timelineList,
  timelineQuery,
} from '../../audit/query/timeline.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { cutTo } from '../terminal/fit.ts';
import { type PeriodOptions, periodOptions, periodText, readPeriod } from '../terminal/moment.ts';
import { type TableOptions, verb, wideOption } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import type { Screen } from '../terminal/screen.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type Clock, printMoment } from '../terminal/zone.ts';

interface Options extends TableOptions, PeriodOptions {
  readonly key?: string;
  readonly user?: string;
  readonly business?: string;
  readonly cursor?: string;
}

/** Adds the verb to `authz audit`. */
export function addTimelineVerb(audit: Command, terminal: Terminal): void {
  periodOptions(
    wideOption(
      verb(
        audit,
        'timeline',
        'what happened to one key, user or business: decisions, administration, policies, freezes; oldest first',
        'timeline --key ada-main --from 7d',
      )
        .option('--key <id>', 'of this API key, its user and memberships')
        .option('--user <id>', 'of this user, their keys and memberships')
        .option('--business <id>', 'of this business, its members, and the keys that are restricted to it')
        .option('--cursor <cursor>', 'go on behind a line of --json, by its cursor'),
    ),
    '24 hours before --to',
  ).action((options: Options) => timeline(terminal, options));
}

const timeline = (terminal: Terminal, options: Options): Promise<void> =>
  withPresentDatabase(terminal, async ({ db, actor, cursors }) => {
    const period = readPeriod(options, terminal.env);
    const { key: apiKeyId, user: userId, business: businessId } = options;
    const { from, to, cursor, ...subject } = validate(timelineQuery, {
      apiKeyId,
      userId,
      businessId,
      from: period.from,
      to: period.to,
      cursor: options.cursor,
    });
    const range = rangeOf({ from, to });
    const list = timelineList(subject);
    const after = cursors.read(list, cursor);
    await requireKnown(db, actor, 'timeline', { ...subject, from, to });
    await recordAccess(db, actor, 'timeline', { ...subject, ...range });
    let told = 0;
    for await (const part of readTimeline(db, subject, range, after)) {
      told += part.length;
      if (options.json)
        terminal.print(part.map(({ item, place }) => jsonLine(item, cursors.make(list, place))).join('\n'));
      else terminal.print(await textOf(part, db, terminal.screen(), period.clock, options));
    }
    if (!options.json) terminal.print(`\n${plural(told, 'entry', 'entries')} ${periodText(range, period.clock)}`);
  });

const jsonLine = (item: TimelineItem, cursor: string): string => JSON.stringify({ ...item, cursor });

/** Lines for people: with names beside ids, and on a terminal no longer than it is wide. */
async function textOf(
  part: readonly Placed[],
  db: Knex,
  { columns, ellipsis }: Screen,
  clock: Clock,
  { wide }: Options,
): Promise<string> {
  const decisions = part.flatMap(({ item }) => (item.type === 'decision' ? [item.decision] : []));
  const labels = await labelsOf(db, {
    keys: decisions.map(({ apiKeyId }) => apiKeyId),
    callers: decisions.map(({ callerId }) => callerId),
  });
  return part
    .flatMap(({ item }) => linesOf(item, clock, labels))
    .map(escaped)
    .map((line) => (columns === undefined || wide ? line : cutTo(line, columns, ellipsis)))
    .join('\n');
}

/** One, and of a decision under another policy than the one before it two. */
function linesOf(item: TimelineItem, clock: Clock, { key, caller }: Labels): string[] {
  const at = printMoment(item.at, clock);
  if (item.type === 'policy') return [`${at}  policy    ${item.policy.digest} was stored`];
  if (item.type === 'freeze-end') return [`${at}  freeze    ${item.freeze.id} ended: ${item.freeze.reason}`];
  if (item.type === 'event') {
    const { actor, login, action, kind, subject, before, after } = item.event;
    const changes = changesOf(before, after);
    return [`${at}  admin     ${action} ${kind} ${subject} by ${actor} (${login})${changes && `: ${changes}`}`];
  }
  const { effect, code, action, apiKeyId, userId, businessId, ip, callerId, id, policy } = item.decision;
  const who = `${key(apiKeyId) ?? '-'} of ${userId ?? '-'}`;
  const where = `${businessId === null ? '' : ` on ${businessId}`}${ip === null ? '' : ` from ${ip}`}`;
  const line = `${at}  ${effect.padEnd(8)}  ${code} ${action}${where} with ${who}, asked by ${caller(callerId)}  ${id}`;
  if (item.policyBefore === null) return [line];
  return [`${at}  policy    ${policy} decides from here on, before ${item.policyBefore}`, line];
}
