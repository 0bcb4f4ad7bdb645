/** A record of the log as auditors see it, and the reading of single ones and of pages. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import { type Cursors, type PageRequest, readPage } from '../../db/page.ts';
import { Failure } from '../../errors.ts';
import { timeOf } from '../record/entry.ts';
import {
  all,
  alternativesOf,
  type Condition,
  type DecisionFilter,
  indexedParts,
  noteOf,
  type Range,
  rangeConditions,
  rangeOf,
  raw,
} from './filters.ts';

/** Times are ISO text in UTC. `ip` and `userAgent` are null where nothing was told or where they were erased. */
export interface DecisionRecord {
  readonly id: string;
  readonly at: string;
  readonly callerId: string;
  readonly apiKeyId: string | null;
  readonly userId: string | null;
  readonly businessId: string | null;
  readonly action: string;
  readonly effect: 'allow' | 'deny';
  readonly code: string;
  readonly rule: string;
  readonly policy: string;
  readonly facts: object;
  readonly ip: string | null;
  readonly userAgent: string | null;
  readonly requestId: string | null;
  readonly durationUs: number | null;
  /** Of a credential that no key was found for. */
  readonly fingerprint: string | null;
  readonly shadowPolicy: string | null;
  readonly shadowCode: string | null;
  readonly shadowRule: string | null;
  /** Its place in the log: the chain of this process on the day of `at`, and the number in it. */
  readonly boot: string;
  readonly seq: number;
  /** Lower-case hex of SHA-256. */
  readonly hash: string;
}

/** Name of a record's field -> the column or expression that it is selected by. In the order in which fields are shown. */
export const FIELDS: Readonly<Record<keyof DecisionRecord, string>> = {
  id: 'id',
  at: `to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`,
  callerId: 'caller_id',
  apiKeyId: 'api_key_id',
  userId: 'user_id',
  businessId: 'business_id',
  action: 'action',
  effect: 'effect',
  code: 'code',
  rule: 'rule',
  policy: 'policy',
  facts: 'facts',
  ip: 'ip',
  userAgent: 'user_agent',
  requestId: 'request_id',
  durationUs: 'duration_us',
  fingerprint: 'fingerprint',
  shadowPolicy: 'shadow_policy',
  shadowCode: 'shadow_code',
  shadowRule: 'shadow_rule',
  boot: 'boot',
  seq: 'seq',
  hash: `encode(hash, 'hex')`,
};

const SELECTED = Object.entries(FIELDS)
  .map(([name, expression]) => `${expression} as "${name}"`)
  .join(', ');

type Row = Omit<DecisionRecord, 'seq'> & { readonly seq: string };
const present = (row: Row): DecisionRecord => ({ ...row, seq: Number(row.seq) });

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

/** @throws Failure NOT_FOUND, UNAVAILABLE or DEADLINE_EXCEEDED */
export async function getDecision(db: Knex, id: string): Promise<DecisionRecord> {
  const found = UUID_V7.test(id) ? await findByIds(db, [id]) : [];
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
    raw<Row>(db, {
      // The times lead to the partitions, and to the index, which no id alone does.
      sql: `select ${SELECTED} from decisions
            where (at, id) in (select unnest(?::timestamptz[]), unnest(?::uuid[])) and at between ? and ? order by id`,
      bindings: [ids.map(timeOf), ids, times[0] ?? '', times.at(-1) ?? ''],
    }),
  );
  return rows.map(present);
}

export interface DecisionPage extends Range {
  readonly items: readonly DecisionRecord[];
  readonly nextCursor: string | null;
  /** How far the search went, where no index leads straight to what is asked for. */
  readonly note: string | null;
}

/**
 * A page of decisions, newest first. A cursor keeps the range of the first page, also where that was `the last 24 hours`.
 * @throws Failure INVALID_REQUEST (the cursor), UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function listDecisions(
  db: Knex,
  filter: DecisionFilter,
  request: PageRequest,
  cursors: Cursors,
): Promise<DecisionPage> {
  let range = rangeOf(filter);
  const page = await readPage(
    request,
    cursors,
    `decisions ${JSON.stringify(Object.entries(filter).sort())}`,
    (place, limit) => {
      const [from, after] = place === '' ? [range.from] : place.split(' ');
      range = { ...range, from: from ?? range.from };
      return rowsOf(db, pageQuery(filter, range, after, limit));
    },
    ({ id }) => `${range.from} ${id}`,
    present,
  );
  return { ...page, ...range, note: noteOf(filter, range) };
}

/** The statement for at most `limit` decisions that are older than the one with the id `after`, newest first. */
export function pageQuery(filter: DecisionFilter, range: Range, after: string | undefined, limit: number): Condition {
  const place: Condition[] =
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

const rowsOf = (db: Knex, query: Condition): Promise<Row[]> =>
  db.transaction(
    async (trx) => {
      await trx.raw(IN_ORDER);
      return (await raw<Row>(trx, query)).rows;
    },
    { readOnly: true },
  );
