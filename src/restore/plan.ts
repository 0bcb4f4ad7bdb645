/**
 * Holds what lost events ask for against a database: the steps that take away again what it must not allow, each an ordinary change, and
 * what it lacks besides, which nobody gets back by a step.
 */

import type { Knex } from 'knex';
import type { EventLine } from '../audit/format/event-line.ts';
import { orFailure } from '../db/failure.ts';
import { deleteBusiness, getBusiness } from '../directory/businesses.ts';
import { listCallers } from '../directory/callers.ts';
import { deleteUser, getUser } from '../directory/users.ts';
import { deleteKey, getKey } from '../keys/keys.ts';
import type { Duties } from './duties.ts';
import {
  BUSINESS,
  type Context,
  type Lacking,
  planCaller,
  planDeletion,
  planFreeze,
  planKey,
  planKeysOf,
  planMember,
  planMembersEnd,
  planNarrower,
  type Step,
  USER,
} from './subjects.ts';

export interface Plan {
  readonly steps: readonly Step[];
  readonly lacking: readonly Lacking[];
}

/** `lost`: the ids of all lost events. `fork`: the last event that the database has in common with the lost ones. `onProgress`: how many subjects of how many. */
export async function planReconcile(
  db: Knex,
  duties: Duties,
  fork: number,
  lost: readonly string[],
  onProgress: (done: number, of: number) => void = () => undefined,
): Promise<Plan> {
  const madeSince = await subjectsMadeSince(db, fork);
  const context: Context = { db, duties, madeSince, ownOf: await ownChanges(db, fork, lost), steps: [], lacking: [] };
  const { deleted, state, keysRevoked } = duties;
  const callers = new Map((await listCallers(db)).map((caller) => [caller.id, caller]));
  const works = [
    ...[...state.caller.values()].map((asked) => () => planCaller(context, callers, asked)),
    ...[...state.freeze.values()].map((asked) => () => planFreeze(context, asked)),
    ...[...deleted.key.values()].map((asked) => () => planDeletion(context, 'key', asked, getKey, deleteKey)),
    ...[...state.key.values()].map((asked) => () => planKey(context, asked)),
    ...[...keysRevoked.values()].map((asked) => () => planKeysOf(context, asked)),
    ...[...state.user.values()].map((asked) => () => planNarrower(context, USER, asked)),
    ...[...state.business.values()].map((asked) => () => planNarrower(context, BUSINESS, asked)),
    ...[...deleted.member.values()].map((asked) => () => planMembersEnd(context, asked)),
    ...[...state.member.values()].map((asked) => () => planMember(context, asked)),
    // Last: with a user or business goes what the steps above change.
    ...[...deleted.business.values()].map(
      (asked) => () => planDeletion(context, 'business', asked, getBusiness, deleteBusiness),
    ),
    ...[...deleted.user.values()].map((asked) => () => planDeletion(context, 'user', asked, getUser, deleteUser)),
  ];
  for (const [index, work] of works.entries()) {
    onProgress(index, works.length);
    await work();
  }
  return context;
}

async function subjectsMadeSince(db: Knex, fork: number): Promise<Context['madeSince']> {
  const made = db('admin_events')
    .where('seq', '>', fork)
    .whereIn('action', [
      'user.create',
      'business.create',
      'member.create',
      'key.create',
      'caller.create',
      'freeze.create',
    ])
    .distinct<{ subject_kind: string; subject_id: string }[]>('subject_kind', 'subject_id');
  const subjects = new Set(
    (await orFailure(made)).map(({ subject_kind, subject_id }) => `${subject_kind} ${subject_id}`),
  );
  return (kind, id) => subjects.has(`${kind} ${id}`);
}

/** Not of changes that a run before has made, which are as late as the lost events that they go by. */
const OWN_CHANGES = `
  select distinct subject_kind || ' ' || subject_id as subject, field
  from admin_events, unnest(array['attributes', 'environment', 'rateLimit', 'role']) as field
  where seq > ? and subject_kind in ('user', 'business', 'member', 'key')
    and after is not null and before -> field is distinct from after -> field
    and (request_id is null or request_id <> all (?::text[]))`;

async function ownChanges(db: Knex, fork: number, lost: readonly string[]): Promise<Context['ownOf']> {
  const asked = [fork, lost.map((id) => requestIdOf({ id }))] as never[];
  const { rows } = await orFailure(db.raw<{ rows: { subject: string; field: string }[] }>(OWN_CHANGES, asked));
  const fields = new Map<string, Set<string>>();
  for (const { subject, field } of rows) fields.set(subject, (fields.get(subject) ?? new Set()).add(field));
  return (kind, id) => fields.get(`${kind} ${id}`) ?? new Set();
}

/** The request id of a change that a lost event asks for. */
export const requestIdOf = ({ id }: Pick<EventLine, 'id'>): string => `reconcile:${id}`;
