/**
 * How many decisions, by one or two of their properties. Counted anew each time, so always exact: what can be counted by is in an index
 * wherever that is asked for often, and read instead of the log where no filter needs more.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { orFailure } from '../../db/failure.ts';
import { pageQuery } from '../../input/resources.ts';
import { COLUMNS, type ColumnName } from '../columns.ts';
import { type BoundSql, raw, whereOf } from './conditions.ts';
import { type By, bySchema, type Dimension, dimensionOf, MOST_BUCKETS } from './dimensions.ts';
import {
  type DecisionFilter,
  decisionFilter,
  isInOrder,
  noteOf,
  notInOrder,
  rangeOf,
  type TimeRange,
} from './filters.ts';

export const statsQuery = z
  .strictObject({ by: bySchema, limit: pageQuery.limit, ...decisionFilter })
  .refine(isInOrder, notInOrder);

export interface Group {
  /** What is counted by; of a time bucket its beginning, RFC 3339; null for the decisions that have none. */
  readonly value: string | null;
  /** The same of the second, where there is one. */
  readonly second?: string | null;
  readonly count: number;
}

export interface Stats extends TimeRange {
  /** `code`, or of two `code,hour`. */
  readonly by: string;
  /** All decisions that the filter finds. */
  readonly total: number;
  /** How many groups have decisions, without those of null. */
  readonly distinct: number;
  /**
   * Of one: the largest, at most as many as were asked for, and after them that of null; or all buckets of time, also those without a
   * decision. Of two: so of the first, and within each so of the second.
   */
  readonly groups: readonly Group[];
  readonly note: string | null;
}

/** One snapshot, so that the sums agree. */
export const SNAPSHOT = { readOnly: true, isolationLevel: 'repeatable read' } as const;

/** @throws Failure INVALID_REQUEST: too many buckets; UNAVAILABLE or DEADLINE_EXCEEDED */
export const countDecisions = (
  db: Knex,
  by: readonly [By] | readonly [By, By],
  filter: DecisionFilter,
  limit: number,
): Promise<Stats> => orFailure(db.transaction((trx) => countIn(trx, by, filter, limit), SNAPSHOT));

/** As countDecisions, in a transaction that is a `SNAPSHOT` of its own. */
export async function countIn(
  trx: Knex,
  by: readonly [By] | readonly [By, By],
  filter: DecisionFilter,
  limit: number,
): Promise<Stats> {
  const range = rangeOf(filter);
  const span = { from: Date.parse(range.from), to: range.to === null ? Date.now() : Date.parse(range.to) };
  const axes = by.map((name) => ({ ...dimensionOf(name), known: dimensionOf(name).values?.(span) }));
  const where = whereOf(filter, range);
  const [first, ...more] = axes;
  const { sums, rows } = await countGroups(trx, axes, where);
  const groups = more.length === 0 ? ofOne(rows, first?.known, limit) : ofTwo(rows, axes, limit);
  const cut = sums.groups > MOST_GROUPS && more.length > 0;
  const notes = [
    noteOf(filter, range),
    cut ? `Only the ${MOST_GROUPS} largest pairs of ${sums.groups} were taken.` : null,
  ];
  return {
    by: by.join(','),
    ...range,
    total: sums.total,
    distinct: sums.distinct,
    groups,
    note: notes.filter((note) => note !== null).join(' ') || null,
  };
}

interface Row {
  readonly value: string | null;
  readonly second: string | null;
  readonly count: number;
}

/** More are not handed over: nobody reads them, and they would be held in memory. */
const MOST_GROUPS = 10_000;

interface Counted {
  readonly rows: readonly Row[];
  readonly sums: { readonly total: number; readonly groups: number; readonly distinct: number };
}

/** The largest groups, and sums of all of them. */
async function countGroups(trx: Knex, axes: readonly Dimension[], where: BoundSql): Promise<Counted> {
  const [first, second] = axes;
  if (!first) throw new Error('decisions are counted by something');
  // Those without a value are left out, as they are of the index; the total has them.
  const apart = first.indexed && !second && COLUMNS[first.sql as ColumnName].nullable;
  const has = [`(${where.sql})`, ...(apart ? [`${first.sql} is not null`] : [])].join(' and ');
  const groups = `select ${first.sql} as value, ${second?.sql ?? 'null::text'} as second, count(*) as count
    from decisions where ${has} group by 1, 2`;
  const textOf = (axis: Dimension | undefined, value: string): string => `${axis?.text?.(value) ?? value} as ${value}`;
  const counted: BoundSql = {
    sql: `select ${textOf(first, 'value')}, ${textOf(second, 'second')}, count, row_number() over (order by value is null or (${second ? 'second is null' : 'false'}), count desc, value, second) as place,
            sum(count) over () as total, count(*) over () as groups,
            count(*) filter (where value is not null ${second ? 'and second is not null' : ''}) over () as "distinct"
          from (${groups}) as groups`,
    bindings: where.bindings,
  };
  const { rows } = await raw<CountedRow>(trx, {
    sql: `select * from (${counted.sql}) as counted where place <= ${MOST_GROUPS} or value is null order by place`,
    bindings: counted.bindings,
  });
  const all = apart ? Number((await raw<{ total: string }>(trx, totalOf(where))).rows[0]?.total) : undefined;
  return { rows: withRest(rows, all), sums: sumsOf(rows[0], all) };
}

interface CountedRow {
  readonly value: string | null;
  readonly second: string | null;
  readonly count: string;
  /** Of all groups together, also of those that are not handed over. */
  readonly total: string;
  readonly groups: string;
  readonly distinct: string;
}

const sumsOf = (row: CountedRow | undefined, all = Number(row?.total ?? 0)) => ({
  total: all,
  groups: Number(row?.groups ?? 0),
  distinct: Number(row?.distinct ?? 0),
});

function withRest(rows: readonly CountedRow[], all: number | undefined): Row[] {
  const groups: Row[] = rows.map(({ value, second, count }) => ({ value, second, count: Number(count) }));
  const rest = all === undefined ? 0 : all - Number(rows[0]?.total ?? 0);
  if (rest > 0) groups.push({ value: null, second: null, count: rest });
  return groups;
}

const totalOf = ({ sql, bindings }: BoundSql): BoundSql => ({
  sql: `select count(*) as total from decisions where ${sql}`,
  bindings,
});

function ofOne(rows: readonly Row[], known: readonly string[] | undefined, limit: number): Group[] {
  const groups = rows.map(({ value, count }) => ({ value, count }));
  if (known) return inOrder(groups, known);
  const named = groups.filter(({ value }) => value !== null).slice(0, limit);
  return [...named, ...groups.filter(({ value }) => value === null)];
}

/** All that are known, with 0 for those of no decision; what else was counted, after them: a record of the last moment. */
function inOrder(groups: readonly { value: string | null; count: number }[], known: readonly string[]): Group[] {
  const counts = new Map(groups.map(({ value, count }) => [value, count]));
  const all = known.map((value) => ({ value, count: counts.get(value) ?? 0 }));
  return [...groups.filter(({ value }) => value !== null && !known.includes(value)), ...all];
}

/** A grid of so many cells is told whole; of a larger one the cells that have decisions. */
const MOST_CELLS = MOST_BUCKETS;

function ofTwo(
  rows: readonly Row[],
  axes: readonly { known: readonly string[] | undefined }[],
  limit: number,
): Group[] {
  const [firsts = [], seconds = []] = (['value', 'second'] as const).map((side, index) => {
    const sums = new Map<string | null, number>();
    for (const row of rows) sums.set(row[side], (sums.get(row[side]) ?? 0) + row.count);
    const groups = [...sums].map(([value, count]) => ({ value, second: null, count }));
    groups.sort((a, b) => Number(a.value === null) - Number(b.value === null) || b.count - a.count);
    return ofOne(groups, axes[index]?.known, limit).map(({ value }) => value);
  });
  const counts = new Map(rows.map(({ value, second, count }) => [JSON.stringify([value, second]), count]));
  const isWhole = axes.some(({ known }) => known) && firsts.length * seconds.length <= MOST_CELLS;
  return firsts.flatMap((value) =>
    seconds.flatMap((second) => {
      const count = counts.get(JSON.stringify([value, second])) ?? 0;
      return count > 0 || isWhole ? [{ value, second, count }] : [];
    }),
  );
}
