/**
 * How many decisions, by one or two of their properties. Counted anew each time, so always exact: what can be counted by is in an index
 * wherever that is asked for often, and read instead of the log where no filter needs more.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { orFailure } from '../../db/failure.ts';
import { invalid } from '../../input/json.ts';
import { pageQuery } from '../../input/resources.ts';
import { withNearest } from '../../nearest.ts';
import { COLUMNS, type ColumnName } from '../columns.ts';
import { ADDRESS, type BoundSql, raw, whereOf } from './conditions.ts';
import {
  type DecisionFilter,
  decisionFilter,
  isInOrder,
  noteOf,
  notInOrder,
  rangeOf,
  type TimeRange,
} from './filters.ts';

interface Dimension {
  /** What records are grouped by, in SQL. */
  readonly sql: string;
  /** The text of such a value, where it is none: made for each group, and not for each record. */
  readonly text?: (value: string) => string;
  /** Whether an index has all that is counted, but for the records without a value. */
  readonly indexed?: true;
  /** All its values in a range of time, in their order, where they are known beforehand: so those of no decision are told, too. */
  readonly values?: (range: { readonly from: number; readonly to: number }) => readonly string[];
}

const ofColumn = (column: ColumnName): Dimension => ({ sql: column });
const inIndex = (column: ColumnName): Dimension => ({ sql: column, indexed: true });

const DAY_MS = 86_400_000;
const MOST_BUCKETS = 1500;
const UTC = `at time zone 'UTC'`;

/** Buckets of time, named by their beginnings, the newest first. */
const buckets = (name: string, length: number): Dimension => ({
  sql: `date_bin('1 ${name}', at, timestamptz 'epoch')`,
  text: (value) => `to_char(${value} ${UTC}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')`,
  values: ({ from, to }) => {
    const first = Math.floor(from / length);
    const count = Math.max(Math.ceil(to / length) - first, 0);
    if (count > MOST_BUCKETS)
      throw invalid(
        'by',
        `the range has more than ${MOST_BUCKETS} buckets of a ${name}; take larger ones or a shorter range`,
      );
    return Array.from({ length: count }, (_, index) =>
      new Date((first + count - 1 - index) * length).toISOString().replace('.000', ''),
    );
  },
});

const WEEKDAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
const HOURS = Array.from({ length: 24 }, (_, hour) => String(hour).padStart(2, '0'));

const DIMENSIONS = {
  code: inIndex('code'),
  key: inIndex('api_key_id'),
  user: inIndex('user_id'),
  business: inIndex('business_id'),
  caller: inIndex('caller_id'),
  action: inIndex('action'),
  rule: ofColumn('rule'),
  policy: ofColumn('policy'),
  ip: { sql: `host(${ADDRESS})` },
  network: { sql: `network(set_masklen(${ADDRESS}, case family(${ADDRESS}) when 4 then 24 else 48 end))::text` },
  userAgent: ofColumn('user_agent'),
  fingerprint: ofColumn('fingerprint'),
  minute: buckets('minute', 60_000),
  hour: buckets('hour', 3_600_000),
  day: buckets('day', DAY_MS),
  weekday: {
    sql: `extract(isodow from at ${UTC})::int`,
    text: (value) => `(array['${WEEKDAYS.join("','")}'])[${value}]`,
    values: () => WEEKDAYS,
  },
  hourOfDay: {
    sql: `extract(hour from at ${UTC})::int`,
    text: (value) => `lpad(${value}::text, 2, '0')`,
    values: () => HOURS,
  },
} as const satisfies Readonly<Record<string, Dimension>>;

export type By = keyof typeof DIMENSIONS;

/** All that decisions can be counted by. A network is of 24 bits, or of 48 of IPv6; all that is of time is in UTC. */
export const BY = Object.keys(DIMENSIONS) as readonly By[];
const dimensionOf = (by: By): Dimension => DIMENSIONS[by];

const CHOICES = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(BY);

const bySchema = z.string(`must be ${CHOICES}`).transform((text, context): [By] | [By, By] => {
  const named = text.split(',').map((part) => part.trim());
  const known = named.map((name) => BY.find((by) => by === name));
  const unknown = named.find((_, index) => known[index] === undefined);
  if (unknown !== undefined) context.addIssue(withNearest(`must be ${CHOICES}`, unknown, BY));
  else if (named.length > 2 || named[0] === named[1])
    context.addIssue('must be one of them, or two that differ: ip,code');
  return known as [By] | [By, By];
});

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
