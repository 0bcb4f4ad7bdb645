/** The figures of a report: what was asked, what was denied, who changed what, who read the log, in one snapshot of the database. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import type { AdminRecord } from '../admin-events.ts';
import { raw } from '../query/conditions.ts';
import type { By } from '../query/dimensions.ts';
import { type Labels, labelsOf } from '../query/labels.ts';
import { countIn, type Group, SNAPSHOT } from '../query/stats.ts';

/** RFC 3339 in UTC; the end exclusive. */
export interface Span {
  readonly from: string;
  readonly to: string;
}

/** The largest groups, and how many there are. */
export interface Counts {
  readonly groups: readonly Group[];
  readonly distinct: number;
}

export interface PolicyUse {
  readonly policy: string;
  readonly firstSeenAt: string | null;
  readonly firstAt: string;
  readonly lastAt: string;
  readonly decisions: number;
}

export interface Figures extends Span {
  readonly total: number;
  /** Of the time before, of the same length. */
  readonly totalBefore: number;
  readonly days: readonly { readonly day: string; readonly allowed: number; readonly denied: number }[];
  /** Each with what it was in the time before. */
  readonly codes: readonly { readonly code: string; readonly count: number; readonly before: number }[];
  readonly hours: readonly Group[];
  readonly largest: Readonly<Record<(typeof ASKED)[number], Counts>>;
  readonly denied: Readonly<Record<(typeof DENIED)[number], Counts>>;
  readonly policies: readonly PolicyUse[];
  /** The first so many, the oldest first. */
  readonly changes: readonly AdminRecord[];
  readonly changed: number;
  readonly reads: readonly {
    readonly login: string;
    readonly actor: string;
    readonly action: string;
    readonly count: number;
  }[];
  readonly freezes: readonly {
    readonly id: string;
    readonly scope: string;
    readonly reason: string;
    readonly createdAt: string;
    readonly endedAt: string;
    readonly lifted: boolean;
  }[];
}

/** What is asked, and what is denied, by which a table is made. */
const ASKED = ['action', 'caller', 'business', 'user', 'key'] as const;
const DENIED = ['rule', 'key', 'user', 'network'] as const;
const SHOWN = 15;
export const MOST_CHANGES = 1000;

export type Step = (name: string, share: number) => void;

/** @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export const gatherFigures = (db: Knex, span: Span, step: Step): Promise<Figures> =>
  orFailure(db.transaction((trx) => gatherIn(trx, span, step), SNAPSHOT));

async function gatherIn(trx: Knex, { from, to }: Span, step: Step): Promise<Figures> {
  const length = Date.parse(to) - Date.parse(from);
  const before = { from: new Date(Date.parse(from) - length).toISOString(), to: from };
  const counted = async (
    by: readonly [By] | readonly [By, By],
    filter: object,
    limit = SHOWN,
  ): Promise<Counts & { total: number }> => {
    step(by.join(' and '), done / STEPS);
    done += 1;
    const { groups, distinct, total } = await countIn(trx, by, { from, to, ...filter }, limit);
    return { groups, distinct, total };
  };
  let done = 0;
  const all = await counted(['code'], {}, 200);
  const earlier = await counted(['code'], before, 200);
  const denials = await counted(['day'], { effect: 'deny' });
  const days = await counted(['day'], {});
  const hours = await counted(['weekday', 'hourOfDay'], {});
  const largest = {} as Record<(typeof ASKED)[number], Counts>;
  for (const by of ASKED) largest[by] = withoutTotal(await counted([by], {}));
  const denied = {} as Record<(typeof DENIED)[number], Counts>;
  for (const by of DENIED) denied[by] = withoutTotal(await counted([by], { effect: 'deny' }));
  const labels = await labelsOf(trx, {
    keys: [...largest.key.groups, ...denied.key.groups].map(({ value }) => value),
    callers: largest.caller.groups.map(({ value }) => value),
  });
  const countBefore = new Map(earlier.groups.map(({ value, count }) => [value, count]));
  step('administration', 1);
  return {
    from,
    to,
    total: all.total,
    totalBefore: earlier.total,
    days: days.groups
      .map(({ value, count }, index) => {
        const deniedOnes = denials.groups[index]?.count ?? 0;
        return { day: value?.slice(0, 10) ?? '', allowed: count - deniedOnes, denied: deniedOnes };
      })
      .reverse(),
    codes: all.groups.map(({ value, count }) => ({ code: value ?? '', count, before: countBefore.get(value) ?? 0 })),
    hours: hours.groups,
    largest: labelled(largest, labels),
    denied: labelled(denied, labels),
    policies: await policiesOf(trx, { from, to }),
    ...(await administrationOf(trx, { from, to })),
    freezes: await freezesOf(trx, { from, to }),
  };
}

/** How often something is counted. */
const STEPS = 5 + ASKED.length + DENIED.length;

const withoutTotal = ({ groups, distinct }: Counts): Counts => ({ groups, distinct });

function labelled<K extends string>(tables: Readonly<Record<K, Counts>>, { key, caller }: Labels): Record<K, Counts> {
  const entries = Object.entries<Counts>(tables).map(([by, { groups, distinct }]) => {
    const label = by === 'key' ? key : by === 'caller' ? caller : (id: string | null) => id;
    return [by, { distinct, groups: groups.map(({ value, count }) => ({ value: label(value), count })) }];
  });
  return Object.fromEntries(entries);
}

const iso = (column: string): string => `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

async function policiesOf(trx: Knex, { from, to }: Span): Promise<PolicyUse[]> {
  const { rows } = await raw<PolicyUse & { decisions: string }>(trx, {
    sql: `select d.policy, ${iso('p.first_seen_at')} as "firstSeenAt", ${iso('first')} as "firstAt", ${iso('last')} as "lastAt", decisions
          from (select policy, min(at) as first, max(at) as last, count(*) as decisions from decisions
                where at >= ? and at < ? group by policy) as d
          left join policies p on p.digest = d.policy order by first, d.policy`,
    bindings: [from, to],
  });
  return rows.map((row) => ({ ...row, decisions: Number(row.decisions) }));
}

async function administrationOf(
  trx: Knex,
  { from, to }: Span,
): Promise<Pick<Figures, 'changes' | 'changed' | 'reads'>> {
  const within = { sql: 'at >= ? and at < ?', bindings: [from, to] };
  const isRead = `subject_kind in ('log', 'decision')`;
  const changes = await raw<AdminRecord>(trx, {
    sql: `select id, ${iso('at')} as at, actor, login, action, subject_kind as kind, subject_id as subject, before, after,
            request_id as "requestId"
          from admin_events where ${within.sql} and not ${isRead} order by admin_events.id limit ${MOST_CHANGES}`,
    bindings: within.bindings,
  });
  const sums = await raw<{ changed: string }>(trx, {
    sql: `select count(*) as changed from admin_events where ${within.sql} and not ${isRead}`,
    bindings: within.bindings,
  });
  const reads = await raw<Figures['reads'][number]>(trx, {
    sql: `select login, actor, action, count(*)::int as count from admin_events where ${within.sql} and ${isRead}
          group by 1, 2, 3 order by 4 desc, 1, 2, 3 limit 200`,
    bindings: within.bindings,
  });
  return { changes: changes.rows, changed: Number(sums.rows[0]?.changed), reads: reads.rows };
}

async function freezesOf(trx: Knex, { from, to }: Span): Promise<Figures['freezes']> {
  const { rows } = await raw<Figures['freezes'][number]>(trx, {
    sql: `select id, coalesce(nullif(concat_ws(', ', action, 'key ' || key_id, 'user ' || user_id, 'business ' || business_id), ''), 'everything') as scope,
            reason, ${iso('created_at')} as "createdAt", ${iso('coalesce(lifted_at, until)')} as "endedAt", lifted_at is not null as lifted
          from freezes where created_at < ? and coalesce(lifted_at, until) >= ? order by created_at, id limit 200`,
    bindings: [to, from],
  });
  return rows;
}
