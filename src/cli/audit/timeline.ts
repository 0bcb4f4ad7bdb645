/** `authz audit timeline`: what happened to one key, user or business, in one order, oldest first. */

import type { Command } from 'commander';
import { recordAccess } from '../../audit/access-log.ts';
import { changesOf } from '../../audit/changed-fields.ts';
import { rangeOf } from '../../audit/query/filters.ts';
import { requireKnown } from '../../audit/query/known-names.ts';
import {
  type Placed,
  readTimeline,
  type TimelineItem,
  timelineList,
  timelineQuery,
} from '../../audit/query/timeline.ts';
import { validate } from '../../input/scalars.ts';
import { withPresentDatabase } from '../terminal/database.ts';
import { type PeriodOptions, periodOptions, periodText, readPeriod } from '../terminal/moment.ts';
import { type JsonOption, verb } from '../terminal/options.ts';
import { escaped, plural } from '../terminal/output.ts';
import type { Terminal } from '../terminal/terminal.ts';
import { type Clock, printMoment } from '../terminal/zone.ts';

interface Options extends JsonOption, PeriodOptions {
  readonly key?: string;
  readonly user?: string;
  readonly business?: string;
  readonly cursor?: string;
}

/** Adds the verb to `authz audit`. */
export function addTimelineVerb(audit: Command, terminal: Terminal): void {
  periodOptions(
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
      const lineOf = ({ item, place }: Placed): string =>
        options.json ? JSON.stringify({ ...item, cursor: cursors.make(list, place) }) : textOf(item, period.clock);
      terminal.print(part.map(lineOf).join('\n'));
    }
    if (!options.json) terminal.print(`\n${plural(told, 'entry', 'entries')} ${periodText(range, period.clock)}`);
  });

/** A line for a person, and of a decision under another policy than the one before a second one. */
function textOf(item: TimelineItem, clock: Clock): string {
  const at = printMoment(item.at, clock);
  if (item.type === 'policy') return `${at}  policy    ${item.policy.digest} was stored`;
  if (item.type === 'freeze-end') return escaped(`${at}  freeze    ${item.freeze.id} ended: ${item.freeze.reason}`);
  if (item.type === 'event') {
    const { actor, login, action, kind, subject, before, after } = item.event;
    const changes = changesOf(before, after);
    return escaped(`${at}  admin     ${action} ${kind} ${subject} by ${actor} (${login})${changes && `: ${changes}`}`);
  }
  const { effect, code, action, apiKeyId, userId, businessId, ip, callerId, id, policy } = item.decision;
  const who = `${apiKeyId ?? '-'} of ${userId ?? '-'}`;
  const where = `${businessId === null ? '' : ` on ${businessId}`}${ip === null ? '' : ` from ${ip}`}`;
  const line = `${at}  ${effect.padEnd(8)}  ${code} ${action}${where} with ${who}, asked by ${callerId}  ${id}`;
  const other = `${at}  policy    ${policy} decides from here on, before ${item.policyBefore}`;
  return item.policyBefore === null ? escaped(line) : `${escaped(other)}\n${escaped(line)}`;
}
