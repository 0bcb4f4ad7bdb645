/** Decisions as people see them: a table of a page, and the lines of a tail. */

import type { Knex } from 'knex';
import stringWidth from 'string-width';
import type { DecisionRecord } from '../../audit/columns.ts';
import { labelsOf } from '../../audit/query/labels.ts';
import { cutTo, GAP } from '../terminal/fit.ts';
import { escaped } from '../terminal/output.ts';
import type { Screen } from '../terminal/screen.ts';
import { type Clock, printMoment } from '../terminal/zone.ts';

export const COLUMNS = [
  ...(['at', 'code', 'action', 'businessId', 'apiKeyId', 'userId', 'ip', 'callerId', 'rule', 'id'] as const),
];
export const IMPORTANCE = [
  ...(['at', 'code', 'action', 'apiKeyId', 'businessId', 'ip', 'userId', 'id', 'rule', 'callerId'] as const),
];

export type ShownDecision = Pick<DecisionRecord, (typeof COLUMNS)[number]>;

/** With the time in the zone of the command, and names beside ids. */
export async function shownDecisions(
  db: Knex,
  records: readonly DecisionRecord[],
  clock: Clock,
): Promise<ShownDecision[]> {
  const { key, caller } = await labelsOf(db, {
    keys: records.map(({ apiKeyId }) => apiKeyId),
    callers: records.map(({ callerId }) => callerId),
  });
  return records.map((record) => ({
    ...record,
    at: printMoment(record.at, clock),
    apiKeyId: key(record.apiKeyId),
    callerId: caller(record.callerId) ?? record.callerId,
  }));
}

/** Of a tail nobody knows what is to come: so columns have a width beforehand. */
const WIDTHS: Readonly<Record<(typeof COLUMNS)[number], number>> = {
  ...{ at: 24, code: 18, action: 16, businessId: 14, apiKeyId: 20, userId: 12, ip: 15, callerId: 14, rule: 24, id: 36 },
};

/** The line of a record, or of the headings. On a terminal as many columns as have room, each as wide as it may be. */
export function tailLine(screen: Screen, record: ShownDecision | 'headings', wide: boolean | undefined): string {
  const narrow = wide ? undefined : screen.columns;
  const shown = COLUMNS.filter((column) => narrow === undefined || roomFor(column) <= narrow);
  return shown
    .map((column) => {
      const text = record === 'headings' ? column : escaped(record[column] ?? '-');
      const cell = narrow === undefined ? text : cutTo(text, WIDTHS[column], screen.ellipsis);
      const padded = cell + ' '.repeat(Math.max(WIDTHS[column] - stringWidth(cell), 0));
      if (column !== 'code' || record === 'headings') return padded;
      return screen.paint(record.code === 'OK' ? 'green' : 'red', padded);
    })
    .join(GAP)
    .trimEnd();
}

/** The width up to the end of a column, with those that are more important. */
function roomFor(column: (typeof COLUMNS)[number]): number {
  const until = IMPORTANCE.slice(0, IMPORTANCE.indexOf(column) + 1);
  return until.reduce((sum, name) => sum + WIDTHS[name] + GAP.length, -GAP.length);
}
