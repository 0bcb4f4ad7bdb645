/**
 * What happened to one key, user or business: its decisions, the events of administration, the ends of freezes and the policies that
 * were stored, merged in one order. Each of them is read in pages, so that memory stays flat and no statement takes long.
 */

import type { Knex } from 'knex';
import { z } from 'zod';
import { orFailure } from '../../db/failure.ts';
import { idSchema, momentSchema } from '../../input/scalars.ts';
import type { AdminRecord } from '../admin-events.ts';
import type { DecisionRecord } from '../columns.ts';
import { all, alternativesOf, type BoundSql, raw } from './conditions.ts';
import { IN_ORDER, pageStatement, SELECTED } from './decisions.ts';
import { isInOrder, notInOrder, type TimeRange } from './filters.ts';
import { eventsOf, freezesOf, type Scope, type Subject, scopeOf } from './timeline-scope.ts';

const SUBJECTS = ['apiKeyId', 'userId', 'businessId'] as const;

/** Whose timeline, and of which time: exactly one of the three; behind which place, as a cursor. */
export const timelineQuery = z
  .strictObject({
    apiKeyId: idSchema.optional(),
    userId: idSchema.optional(),
    businessId: idSchema.optional(),
    from: momentSchema.optional(),
    to: momentSchema.optional(),
    cursor: z.string().optional(),
  })
  .refine((asked) => SUBJECTS.filter((name) => asked[name] !== undefined).length === 1, {
    path: ['apiKeyId'],
    message: 'name one whose timeline it is: apiKeyId, userId or businessId',
  })
  .refine(isInOrder, notInOrder);

/** What its cursors are made for. */
export const timelineList = (subject: Subject): string => `timeline ${JSON.stringify(subject)}`;

/** One thing that happened, at ISO text in UTC. */
export type TimelineItem = { readonly at: string } & (
  | { readonly type: 'event'; readonly event: AdminRecord }
  /** One that nobody lifted. */
  | { readonly type: 'freeze-end'; readonly freeze: { readonly id: string; readonly reason: string } }
  /** Stored for the first time, so by the first process that had it. */
  | { readonly type: 'policy'; readonly policy: { readonly digest: string } }
  /** `policyBefore`: of the decision of this subject before it, where another policy took that; else null. */
  | { readonly type: 'decision'; readonly decision: DecisionRecord; readonly policyBefore: string | null }
);

/** An item, and its place in the order of all: where to go on. */
export interface Placed {
  readonly item: TimelineItem;
  readonly place: string;
}

/**
 * The timeline in the order of time, in parts of some hundreds. What happens at one millisecond is told in the order of their types above, and
 * within each by id. `after` is a `place`; '' is the beginning.
 * @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED
 */
export async function* readTimeline(
  db: Knex,
  subject: Subject,
  range: TimeRange,
  after = '',
): AsyncGenerator<readonly Placed[]> {
  const scope = await scopeOf(db, subject);
  const sources = [eventSource(db, scope), freezeSource(db, scope), policySource(db), decisionSource(db, subject)].map(
    (read, rank) => ({ read, rank, ahead: [] as Placed[], place: after, ended: false }),
  );
  for (;;) {
    for (const source of sources) {
      if (source.ended || source.ahead.length > 0) continue;
      const items = await orFailure(source.read(boundsOf(source.place, source.rank, range)));
      source.ahead = items.map(([id, item]) => ({ item, place: `${item.at} ${source.rank} ${id}` }));
      source.ended = items.length < PAGE;
      source.place = source.ahead.at(-1)?.place ?? source.place;
    }
    // As far as all are known: behind the last one of a source that has more, that one may have the next.
    const known = sources.filter(({ ended }) => !ended).map(({ place }) => place);
    const until = known.length === 0 ? undefined : known.reduce((a, b) => (a < b ? a : b));
    const part = sources.flatMap((source) => {
      const count = source.ahead.findIndex(({ place }) => until !== undefined && place > until);
      return source.ahead.splice(0, count === -1 ? source.ahead.length : count);
    });
    part.sort((a, b) => (a.place < b.place ? -1 : 1));
    if (part.length > 0) yield part;
    if (sources.every(({ ended, ahead }) => ended && ahead.length === 0)) return;
  }
}

/** Of one source. */
const PAGE = 500;

type Source = (bounds: Bounds) => Promise<(readonly [id: string, item: TimelineItem])[]>;

/** Which of a source are behind a place: the part of the range that is left, and, at its first moment, ids behind this one. */
interface Bounds {
  readonly from: string;
  /** undefined: at `from` none is told yet. */
  readonly afterId: string | undefined;
  readonly to: string | null;
}

function boundsOf(place: string, rank: number, { from, to }: TimeRange): Bounds {
  if (place === '') return { from, afterId: undefined, to };
  const [at = '', placeRank = '', id = ''] = place.split(' ');
  if (rank > Number(placeRank)) return { from: at, afterId: undefined, to };
  if (rank === Number(placeRank)) return { from: at, afterId: id, to };
  return { from: new Date(Date.parse(at) + 1).toISOString(), afterId: undefined, to };
}

/** The rows of a table within bounds, the oldest first. */
function oldestFirst(
  at: string,
  id: string,
  type: string,
  { from, afterId, to }: Bounds,
): { has: BoundSql; order: string } {
  const conditions: BoundSql[] = [
    { sql: `${at} >= ?`, bindings: [from] },
    ...(afterId === undefined
      ? []
      : [{ sql: `(${at}, ${id}) > (?::timestamptz, ?::${type})`, bindings: [from, afterId] }]),
    ...(to === null ? [] : [{ sql: `${at} < ?`, bindings: [to] }]),
  ];
  return { has: all(conditions), order: `order by ${at}, ${id} limit ${PAGE}` };
}

const iso = (at: string): string => `to_char(${at} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

function eventSource(db: Knex, scope: Scope): Source {
  const concerns = eventsOf(scope);
  return async (bounds) => {
    const { has, order } = oldestFirst('at', 'id', 'uuid', bounds);
    const { rows } = await raw<AdminRecord>(db, {
      sql: `select id, ${iso('at')} as at, actor, login, action, subject_kind as kind, subject_id as subject, before, after,
              request_id as "requestId" from admin_events where ${concerns.sql} and ${has.sql} ${order}`,
      bindings: [...concerns.bindings, ...has.bindings],
    });
    return rows.map((event) => [event.id, { at: event.at, type: 'event', event }]);
  };
}

function freezeSource(db: Knex, scope: Scope): Source {
  const covers = freezesOf(scope);
  // In milliseconds, as all places are.
  const until = `date_trunc('milliseconds', until)`;
  return async (bounds) => {
    const { has, order } = oldestFirst(until, 'id::text collate "C"', 'text', bounds);
    const { rows } = await raw<{ id: string; at: string; reason: string }>(db, {
      sql: `select id, ${iso(until)} as at, reason from freezes
            where lifted_at is null and until <= now() and ${covers.sql} and ${has.sql} ${order}`,
      bindings: [...covers.bindings, ...has.bindings],
    });
    return rows.map(({ id, at, reason }) => [id, { at, type: 'freeze-end', freeze: { id, reason } }]);
  };
}

const policySource =
  (db: Knex): Source =>
  async (bounds) => {
    const { has, order } = oldestFirst('first_seen_at', 'digest', 'text', bounds);
    const { rows } = await raw<{ digest: string; at: string }>(db, {
      sql: `select digest, ${iso('first_seen_at')} as at from policies where ${has.sql} ${order}`,
      bindings: has.bindings,
    });
    return rows.map(({ digest, at }) => [digest, { at, type: 'policy', policy: { digest } }]);
  };

function decisionSource(db: Knex, { apiKeyId, userId, businessId }: Subject): Source {
  const filter = { apiKeyId, userId, businessId };
  const [conditions = []] = alternativesOf(filter);
  let policy: string | undefined;
  return (bounds) =>
    db.transaction(
      async (trx) => {
        await trx.raw(IN_ORDER);
        const { has, order } = oldestFirst('at', 'id', 'uuid', bounds);
        const indexed = { sql: 'authz_by_index(at)', bindings: [] };
        const { sql, bindings } = all([...conditions, has, indexed]);
        const { rows } = await raw<DecisionRecord>(trx, {
          sql: `select ${SELECTED} from decisions where ${sql} ${order.replace('at, id', 'decisions.at, decisions.id')}`,
          bindings,
        });
        const [first] = rows;
        if (first && policy === undefined) policy = await policyBefore(trx, filter, first);
        return rows.map((decision) => {
          const before = policy === undefined || policy === decision.policy ? null : policy;
          policy = decision.policy;
          return [decision.id, { at: decision.at, type: 'decision', decision, policyBefore: before }] as const;
        });
      },
      { readOnly: true },
    );
}

/** Of the last decision of the subject before this one, whenever that was; undefined: it is the first. */
async function policyBefore(trx: Knex, filter: Subject, { id }: DecisionRecord): Promise<string | undefined> {
  const { rows } = await raw<DecisionRecord>(trx, pageStatement(filter, { from: EVER, to: null }, id, 1));
  return rows[0]?.policy;
}

const EVER = '1970-01-01T00:00:00.000Z';
