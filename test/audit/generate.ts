/** Very many records, made by PostgreSQL itself: as wide as real ones, without chains. For what must not grow with the log. */

import type { Knex } from 'knex';
import { type BoundSql, raw } from '../../src/audit/query/conditions.ts';
import { IN_ORDER, pageStatement } from '../../src/audit/query/decisions.ts';
import type { DecisionFilter, TimeRange } from '../../src/audit/query/filters.ts';

const DAY_MS = 86_400_000;

/** Every 4th record is of the key, user and business `hot`, every 4th has the code USER_DISABLED, every 8th is both, and another 8th has a fingerprint. */
const VALUES = `
  select n, ms, hash, case when hot then 'hot' else 'key-' || hash % 5000 end as key,
    case when hot then 'hot' else 'user-' || hash % 1000 end as owner,
    case when hot then 'hot' else 'business-' || hash % 3000 end as business,
    case when denied then 'USER_DISABLED' when hash % 50 = 0 then 'PERMISSION_DENIED' else 'OK' end as code,
    (array['call:create', 'call:read', 'business:read', 'user:usage:read'])[1 + hash % 4] as action
  from (
    select n, ?::bigint + n::bigint * ${DAY_MS} / ?::bigint as ms, abs(hashint4(n + ?)) as hash,
      n % 8 in (0, 3) as hot, n % 8 in (3, 6) as denied
    from generate_series(0, ?::int - 1) as n
  ) as numbers`;

const INSERT = (table: string): string => `
  insert into ${table} (id, at, boot, seq, caller_id, api_key_id, user_id, business_id, action, effect, code, rule,
    situation, ip, user_agent, personal_salt, personal_digest, request_id, duration_us, hash, fingerprint)
  select (lpad(to_hex(ms), 12, '0') || '7000800' || lpad(to_hex(n), 13, '0'))::uuid, to_timestamp(ms / 1000.0),
    '00000000-0000-4000-8000-000000000000', n + 1, 'caller-' || hash % 5, key, owner, business, action,
    case when code = 'OK' then 'allow' else 'deny' end, code, 'rule-of-' || code,
    sha256(convert_to(action, 'UTF8')),
    '203.0.113.' || hash % 250, 'Mozilla/5.0 (X11; Linux x86_64) agent/' || hash % 100, '\\x000102030405060708090a0b0c0d0e0f',
    sha256('x'), to_hex(hash), 300 + hash % 1000, sha256('y'),
    case when n % 8 = 5 then 'f00dfeedf00dfeed' end
  from (${VALUES}) as v`;

/** One for each action. */
const SITUATIONS = `
  insert into situations (digest, last_day, policy, facts_version, facts)
  select sha256(convert_to(action, 'UTF8')), current_date, 'sha256:' || repeat('5ed05654', 8), 1,
    ('{"key":{"status":"active","userManagement":false,"environment":"production"},"user":{"status":"active","businesses":"active"},'
      || '"target":{"status":"active","role":"owner","inRestriction":true},"limit":{"exceeded":false},"request":{"action":"' || action || '"}}')::jsonb
  from unnest(array['call:create', 'call:read', 'business:read', 'user:usage:read']) as action on conflict do nothing`;

/** Fills that many UTC days, up to the day of `end`, with that many records each. Day by day, and indexed afterwards. */
export async function generateDays(db: Knex, end: Date, days: number, perDay: number): Promise<TimeRange> {
  const today = Math.floor(end.getTime() / DAY_MS) * DAY_MS;
  const first = today - (days - 1) * DAY_MS;
  await db.raw(SITUATIONS);
  for (let day = first; day <= today; day += DAY_MS) {
    const [date, next] = [day, day + DAY_MS].map((time) => new Date(time).toISOString().slice(0, 10));
    const table = `decisions_${date?.replaceAll('-', '')}`;
    await db.raw(`drop table if exists ${table}`);
    await db.raw(`create table ${table} (like decision_records including defaults including constraints)`);
    await db.raw(INSERT(table), [day, perDay, day / DAY_MS, perDay]);
    await db.raw(
      `alter table decision_records attach partition ${table} for values from ('${date} 0:00+0') to ('${next} 0:00+0')`,
    );
    await db.raw(`vacuum analyze ${table}`);
  }
  return { from: new Date(first).toISOString(), to: new Date(today + DAY_MS).toISOString() };
}

interface Plan {
  readonly 'Node Type': string;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly 'Actual Rows': number;
  readonly 'Actual Loops': number;
  readonly Plans?: readonly Plan[];
}

export interface PageCost {
  /** Pages of tables and indexes that were read, cached or not. */
  readonly buffers: number;
  readonly rows: number;
  readonly nodes: readonly string[];
}

/** What the page after `after` costs, as the service would ask for it. */
export const costOfPage = (
  db: Knex,
  filter: DecisionFilter,
  range: TimeRange,
  after: string | undefined,
  limit: number,
): Promise<PageCost> => costInOrder(db, pageStatement(filter, range, after, limit + 1));

/** What a statement costs with the settings of pages. */
export const costInOrder = (db: Knex, { sql, bindings }: BoundSql): Promise<PageCost> =>
  db.transaction(async (trx) => {
    await trx.raw(IN_ORDER);
    const { rows } = await raw<{ 'QUERY PLAN': [{ Plan: Plan }] }>(trx, {
      sql: `explain (analyze, buffers, timing off, format json) ${sql}`,
      bindings,
    });
    const plan = rows[0]?.['QUERY PLAN'][0].Plan;
    if (!plan) throw new Error('there is no plan');
    const nodesOf = (node: Plan): string[] => [node['Node Type'], ...(node.Plans ?? []).flatMap(nodesOf)];
    return {
      buffers: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
      rows: plan['Actual Rows'],
      nodes: nodesOf(plan),
    };
  });

/** The id of the last decision of so many, newest first: where the page after them begins. */
export async function placeAfter(db: Knex, filter: DecisionFilter, range: TimeRange, count: number): Promise<string> {
  return db.transaction(async (trx) => {
    await trx.raw(IN_ORDER);
    const { sql, bindings } = pageStatement(filter, range, undefined, count);
    const { rows } = await raw<{ id: string }>(trx, {
      sql: `select id from (${sql}) as page offset ${count - 1}`,
      bindings,
    });
    const [row] = rows;
    if (!row) throw new Error(`there are no ${count} decisions of ${JSON.stringify(filter)}`);
    return row.id;
  });
}

/** The pages that are promised to cost the same whatever the length of the log. */
export const FLAT_FILTERS: Readonly<Record<string, DecisionFilter>> = {
  'no filter': {},
  key: { apiKeyId: 'hot' },
  user: { userId: 'hot' },
  business: { businessId: 'hot' },
  code: { code: 'USER_DISABLED' },
  fingerprint: { fingerprint: 'f00dfeedf00dfeed' },
  'business and code': { businessId: 'hot', code: 'USER_DISABLED' },
};
