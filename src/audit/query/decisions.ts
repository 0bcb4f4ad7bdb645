/** The decisions as auditors see them: single ones by id, and pages, newest first. */

import type { Knex } from 'knex';
import { z } from 'zod';
import { orFailure } from '../../db/failure.ts';
import { type Cursors, type PageRequest, readPage } from '../../db/page.ts';
import { Failure } from '../../errors.ts';
import { pageQuery } from '../../input/resources.ts';
import { type ColumnType, type DecisionRecord, SHOWN_COLUMNS } from '../columns.ts';
import { timeOf } from '../record/entry.ts';
import { all, alternativesOf, type BoundSql, rangeConditions, raw } from './conditions.ts';
import {
  type DecisionFilter,
  decisionFilter,
  indexedParts,
  isInOrder,
  noteOf,
  notInOrder,
  rangeOf,
  type TimeRange,
} from './filters.ts';

export const decisionQuery = z.strictObject({ ...pageQuery, ...decisionFilter }).refine(isInOrder, notInOrder);

/** How a column is selected where the driver would make something else of its type than the API shows. */
const SELECT_AS: Partial<Record<ColumnType, (column: string) => string>> = {
  'timestamptz(3)': (column) => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
  bigint: (column) => `${column}::float8`,
  bytea: (column) => `encode(${column}, 'hex')`,
};

/** The columns of `decisions` as they are shown: a DecisionRecord. */
export const SELECTED = SHOWN_COLUMNS.map(
  ({ column, type, api }) => `${SELECT_AS[type]?.(column) ?? column} as "${api}"`,
).join(', ');

export const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** By its id, in upper or lower case, and the time that is its first 48 bits. @throws Failure NOT_FOUND, UNAVAILABLE or DEADLINE_EXCEEDED */
export async function getDecision(db: Knex, id: string): Promise<DecisionRecord> {
  const stored = id.toLowerCase();
  const found = UUID_V7.test(stored) ? await findByIds(db, [stored]) : [];
  const [record] = found;
  if (!record)
    throw new Failure('NOT_FOUND', `There is no decision ${id} in the log. It may have been pruned, or not be ours.`);
  return record;
}

/** Those of the decisions that there are, in the order of their ids. */
export async function findByIds(db: Knex, ids: readonly string[]): Promise<DecisionRecord[]> {
  if (ids.length === 0) return [];
  const times = ids.map(timeOf).sort();
  const { rows } = await orFailure(
    raw<DecisionRecord>(db, {
      // The index is of (at, id), in partitions by at: an id alone would search every partition.
      sql: `select ${SELECTED} from decisions
            where (at, id) in (select unnest(?::timestamptz[]), unnest(?::uuid[])) and at between ? and ? order by id`,
      bindings: [ids.map(timeOf), ids, times[0] ?? '', times.at(-1) ?? ''],
    }),
  );
  return rows;
}

export interface DecisionPage extends TimeRange {
  readonly items: readonly DecisionRecord[];
  readonly nextCursor: string | null;
  /** How far the search went, where no index leads straight to what is asked for. */
  readonly note: string | null;
}

/** How far a search has come: all that is newer than `at` was searched. */
export type OnSearched = (at: string, found: number) => void;

/**
 * A page of decisions, newest first. A cursor keeps the range of the first page, also where that was `the last 24 hours`. With `onSearched`, what no
 * index serves is searched in slices of time: for whoever waits and would know how far it is.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function listDecisions(
  db: Knex,
  filter: DecisionFilter,
  request: PageRequest,
  cursors: Cursors,
  onSearched?: OnSearched,
): Promise<DecisionPage> {
  let range = rangeOf(filter);
  const page = await readPage(
    request,
    cursors,
    `decisions ${JSON.stringify(Object.entries(filter).sort())}`,
    (place, limit) => {
      const [from, after] = place === '' ? [range.from] : place.split(' ');
      range = { ...range, from: from ?? range.from };
      return onSearched && noteOf(filter, range) !== null
        ? rowsInSlices(db, filter, range, after, limit, onSearched)
        : rowsOf(db, pageStatement(filter, range, after, limit));
    },
    ({ id }) => `${range.from} ${id}`,
    (record) => record,
  );
  return { ...page, ...range, note: noteOf(filter, range) };
}

const HOUR_MS = 3_600_000;
const SHORT_MS = 500;

/** As one statement would find them, slice after slice of the range, the newest first; each is twice as long as the one before while that took no half second. */
async function rowsInSlices(
  db: Knex,
  filter: DecisionFilter,
  range: TimeRange,
  after: string | undefined,
  limit: number,
  onSearched: OnSearched,
): Promise<DecisionRecord[]> {
  const rows: DecisionRecord[] = [];
  const begin = Date.parse(range.from);
  let end = after === undefined ? range.to : timeOf(after);
  let place = after;
  for (let window = HOUR_MS; rows.length < limit; ) {
    const from = new Date(Math.max((end === null ? Date.now() : Date.parse(end)) - window, begin)).toISOString();
    const since = performance.now();
    rows.push(...(await rowsOf(db, pageStatement(filter, { from, to: end }, place, limit - rows.length))));
    onSearched(from, rows.length);
    if (Date.parse(from) <= begin) break;
    end = from;
    place = undefined;
    window = performance.now() - since < SHORT_MS ? 2 * window : Math.max(window / 2, HOUR_MS / 60);
  }
  return rows;
}

/** The statement for at most `limit` decisions that are older than the one with the id `after`, newest first. */
export function pageStatement(
  filter: DecisionFilter,
  range: TimeRange,
  after: string | undefined,
  limit: number,
): BoundSql {
  const place: BoundSql[] =
    after === undefined
      ? rangeConditions(range)
      : [
          // Without the end of the range, which lies above the place: PostgreSQL would begin there, and walk to the place.
          ...rangeConditions({ ...range, to: null }),
          // Implied by the next; but it is for this one alone that younger partitions are left out.
          { sql: 'at <= ?', bindings: [timeOf(after)] },
          { sql: '(at, id) < (?::timestamptz, ?::uuid)', bindings: [timeOf(after), after] },
        ];
  const indexed = indexedParts(filter).length > 0 ? [{ sql: 'authz_by_index(at)', bindings: [] }] : [];
  const newest = (table: string) => `order by ${table}.at desc, ${table}.id desc limit ${limit}`;
  const parts = alternativesOf(filter).map((conditions) => {
    const { sql, bindings } = all([...conditions, ...place, ...indexed]);
    return { sql: `(select * from decisions where ${sql} ${newest('decisions')})`, bindings };
  });
  return {
    sql: `select ${SELECTED} from (${parts.map(({ sql }) => sql).join(' union all ')}) as d ${newest('d')}`,
    bindings: parts.flatMap(({ bindings }) => bindings),
  };
}

/**
 * Where there is an index in the order of the page, it is walked and left as soon as the page is full. What the planner
 * takes to be few it would rather collect and sort, and a day whose statistics are behind looks like few.
 */
export const IN_ORDER = `select set_config('enable_sort', 'off', true), set_config('enable_bitmapscan', 'off', true),
  set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)`;

const rowsOf = (db: Knex, query: BoundSql): Promise<DecisionRecord[]> =>
  db.transaction(
    async (trx) => {
      await trx.raw(IN_ORDER);
      return (await raw<DecisionRecord>(trx, query)).rows;
    },
    { readOnly: true },
  );
