/** What administration did in the time of a report, and which policies were in force. */

import type { Replica } from '../../rollout/replicas.ts';
import { changesOf } from '../changed-fields.ts';
import { html } from './charts.ts';
import { type Figures, MOST_CHANGES } from './figures.ts';
import { count, moment, section, table } from './tables.ts';

export function administrationSection({ changes, changed, freezes }: Figures): string {
  const sums = new Map<string, number>();
  for (const { action } of changes) sums.set(action, (sums.get(action) ?? 0) + 1);
  const rows = changes.map(({ at, actor, login, action, subject, before, after }) => [
    { html: moment(at) },
    `${actor} (${login})`,
    action,
    subject,
    changesOf(before, after),
  ]);
  const more =
    changed > MOST_CHANGES
      ? `<p class="more">These are the first ${count(MOST_CHANGES)} of ${count(changed)}.</p>`
      : '';
  return section(
    'Administration',
    [
      table(
        'What was done',
        ['', 'times'],
        [...sums].map(([action, times]) => [action, count(times)]),
      ),
      table('Each change', ['at', 'by', 'what', 'of', 'from and to'], rows),
      more,
      table(
        'Freezes',
        ['from', 'to', 'of', 'why', ''],
        freezes.map(({ scope, reason, createdAt, endedAt, lifted }) => [
          { html: moment(createdAt) },
          { html: moment(endedAt) },
          scope,
          reason,
          lifted ? 'lifted' : '',
        ]),
      ),
    ].join('\n'),
  );
}

export function policySection({ policies }: Figures, replicas: readonly Replica[]): string {
  const rows = policies.map(({ policy, firstSeenAt, firstAt, lastAt, decisions }) => [
    { html: `<code>${html(policy)}</code>` },
    { html: firstSeenAt === null ? 'not stored' : moment(firstSeenAt) },
    { html: moment(firstAt) },
    { html: moment(lastAt) },
    count(decisions),
  ]);
  const now = replicas.filter(({ alive }) => alive).map(({ id, version, policy }) => [id, version, policy ?? 'none']);
  return section(
    'Policies in force',
    table('By which was decided', ['policy', 'stored', 'first decision', 'last decision', 'decisions'], rows) +
      table('Replicas that are alive now', ['replica', 'version', 'policy'], now),
  );
}
