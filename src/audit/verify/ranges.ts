/** In which order a verification reads the records: day by day, whole chains one after the other. */

import type { Knex } from 'knex';
import { copyOutBinary } from '../../db/copy-out.ts';
import { READ_COLUMNS } from './columns-read.ts';

export interface DayRange {
  /** What `at` must fulfil, as SQL, and what is bound in it. */
  readonly where: string;
  readonly values: readonly string[];
  /** Undefined between the days that have heads: there should be no records. */
  readonly day?: string;
}

/** Every day that has heads, and the ranges before, between and after them, in the order of time. */
export function dayRanges(days: readonly string[], from: string | undefined, to: string | undefined): DayRange[] {
  const ranges: DayRange[] = [];
  let since: string | undefined = from;
  const gap = (until: string | undefined): void => {
    if (since !== undefined && since === until) return;
    const bounds = [...(since === undefined ? [] : [['>=', since]]), ...(until === undefined ? [] : [['<', until]])];
    ranges.push({
      where: bounds.map(([operator]) => `at ${operator} ?::timestamptz`).join(' and ') || 'true',
      values: bounds.map(([, day]) => `${day} 00:00:00+00`),
    });
  };
  for (const day of days) {
    gap(day);
    since = dayAfter(day);
    ranges.push({
      day,
      where: 'at >= ?::timestamptz and at < ?::timestamptz',
      values: [`${day} 00:00:00+00`, `${since} 00:00:00+00`],
    });
  }
  gap(to === undefined ? undefined : dayAfter(to));
  return ranges;
}

export const dayAfter = (day: string): string => new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);

/** Chain after chain, in the order of `seq`. */
export const orderOf = ({ day }: DayRange): string =>
  `order by ${day === undefined ? `(at at time zone 'UTC')::date, ` : ''}boot, seq, id`;

/** READ_COLUMNS in the binary format of COPY. Of the view: what is verified is what is shown. */
export const rowsOf = (db: Knex, range: DayRange): AsyncIterable<Buffer> =>
  copyOutBinary(
    db,
    db.raw(`select ${READ_COLUMNS.join(', ')} from decisions where ${range.where} ${orderOf(range)}`, [
      ...range.values,
    ]),
  );
