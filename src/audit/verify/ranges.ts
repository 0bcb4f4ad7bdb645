/** In which order a verification reads the records: day by day, whole chains one after the other. */

import type { Readable } from 'node:stream';
import type { Knex } from 'knex';
import { COLUMNS, type Row } from './row.ts';

export interface Range {
  /** What `at` must fulfil. */
  readonly where: string;
  readonly values: readonly string[];
  /** Undefined between the days that have heads: there should be no records. */
  readonly day?: string;
}

/** Every day that has heads, and whatever lies before, between and after them, in the order of time. */
export function rangesOf(days: readonly string[], from: string | undefined, to: string | undefined): Range[] {
  const ranges: Range[] = [];
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

const BATCH = 2000;

/** In the order of their chains, as PostgreSQL's texts, unparsed. */
export const rowsOf = (db: Knex, { where, values, day }: Range): AsyncIterable<Row> =>
  db
    .raw(
      `select ${COLUMNS.join(', ')} from decisions where ${where}
       order by ${day === undefined ? `(at at time zone 'UTC')::date, ` : ''}boot, seq, id`,
      [...values],
    )
    .stream({
      batchSize: BATCH,
      rowMode: 'array',
      types: { getTypeParser: () => (text: string) => text },
    } as object) as Readable;
