/**
 * How many decisions, by what. Counted anew each time, so always exact: what can be counted by is in an index, which is
 * read instead of the log wherever no filter needs more.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { orFailure } from '../../db/failure.ts';
import { invalid } from '../../input/json.ts';
import { pageQuery } from '../../input/resources.ts';
import { COLUMNS, type ColumnName } from '../columns.ts';
import {
  type BoundSql,
  type DecisionFilter,
  decisionFilter,
  isInOrder,
  noteOf,
  notInOrder,
  rangeOf,
  raw,
  type TimeRange,
  whereOf,
} from './filters.ts';

const COLUMN_OF = {
  code: 'code',
  key: 'api_key_id',
  user: 'user_id',
  business: 'business_id',
  caller: 'caller_id',
  action: 'action',
} as const satisfies Readonly<Record<string, ColumnName>>;

const BUCKET_MS = { minute: 60_000, hour: 3_600_000, day: 86_400_000 } as const;

export type By = keyof typeof COLUMN_OF | keyof typeof BUCKET_MS;

/** All that decisions can be counted by. */
export const BY = [...Object.keys(COLUMN_OF), ...Object.keys(BUCKET_MS)] as readonly By[];

const CHOICES = new Intl.ListFormat('en-GB', { type: 'disjunction' }).format(BY);

export const statsQuery = z
  .strictObject({ by: z.enum(BY, `must be ${CHOICES}`), limit: pageQuery.limit, ...decisionFilter })
  .refine(isInOrder, notInOrder);

export interface Group {
  /** What is counted by; of a time bucket its beginning, RFC 3339; null for the decisions that have none. */
  readonly value: string | null;
  readonly count: number;
}

export interface Stats extends TimeRange {
  readonly by: By;
  /** All decisions that the filter finds. */
  readonly total: number;
  /** How many groups there are, without that of null. */
  readonly distinct: number;
  /** The largest groups, at most as many as were asked for, and after them that of null; or all buckets, newest first. */
  readonly groups: readonly Group[];
  readonly note: string | null;
}

/** @throws Failure INVALID_REQUEST: too many buckets; UNAVAILABLE or DEADLINE_EXCEEDED */
export async function countDecisions(db: Knex, by: By, filter: DecisionFilter, limit: number): Promise<Stats> {
  const range = rangeOf(filter);
  if (isBucket(by)) refuseTooMany(by, range);
  const where = whereOf(filter, range);
  // One snapshot for both statements, so that the sums agree.
  const counts = await orFailure(
    db.transaction(
      async (trx) => {
        const groups = await raw<GroupRow>(trx, isBucket(by) ? byTime(by, where) : byColumn(by, where, limit));
        const total = isNullable(by) ? (await raw<{ total: string }>(trx, totalOf(where))).rows[0]?.total : undefined;
        return { rows: groups.rows, total: total === undefined ? undefined : Number(total) };
      },
      { readOnly: true, isolationLevel: 'repeatable read' },
    ),
  );
  const [first] = counts.rows;
  const counted = Number(first?.counted ?? 0);
  const total = counts.total ?? counted;
  const groups: Group[] = counts.rows.map(({ value, count }) => ({ value, count: Number(count) }));
  if (total > counted) groups.push({ value: null, count: total - counted });
  return { by, ...range, total, distinct: Number(first?.distinct ?? 0), groups, note: noteOf(filter, range) };
}

const isBucket = (by: By): by is keyof typeof BUCKET_MS => by in BUCKET_MS;
const isNullable = (by: By): boolean => !isBucket(by) && COLUMNS[COLUMN_OF[by]].nullable;

interface GroupRow {
  readonly value: string;
  readonly count: string;
  /** Of all groups together, also of those that are not shown. */
  readonly counted: string;
  readonly distinct: string;
}

const SUMS = 'sum(count) over () as counted, count(*) over () as "distinct"';

/** Those without a value are left out, as they are of the index; the total has them. */
function byColumn(by: keyof typeof COLUMN_OF, { sql, bindings }: BoundSql, limit: number): BoundSql {
  const column = COLUMN_OF[by];
  return {
    sql: `select value, count, ${SUMS} from (
            select ${column} as value, count(*) as count from decisions where (${sql}) and ${column} is not null group by 1
          ) as groups order by count desc, value limit ${limit}`,
    bindings,
  };
}

const byTime = (by: keyof typeof BUCKET_MS, { sql, bindings }: BoundSql): BoundSql => ({
  sql: `select to_char(bucket at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as value, count, ${SUMS} from (
          select date_bin('1 ${by}', at, timestamptz 'epoch') as bucket, count(*) as count from decisions where ${sql} group by 1
        ) as groups order by bucket desc`,
  bindings,
});

const totalOf = ({ sql, bindings }: BoundSql): BoundSql => ({
  sql: `select count(*) as total from decisions where ${sql}`,
  bindings,
});

const MOST_BUCKETS = 1500;

function refuseTooMany(by: keyof typeof BUCKET_MS, { from, to }: TimeRange): void {
  const until = to === null ? Date.now() : Date.parse(to);
  if ((until - Date.parse(from)) / BUCKET_MS[by] <= MOST_BUCKETS) return;
  throw invalid(
    'by',
    `the range has more than ${MOST_BUCKETS} buckets of a ${by}; take larger ones or a shorter range`,
  );
}
