/**
 * Holds what lost events ask for against a database: the steps that take away again what it must not allow, each an ordinary change, and
 * what it lacks besides, which nobody gets back by a step.
 */

import type { Knex } from 'knex';
import type { EventLine } from '../audit/format/event-line.ts';
import { orFailure } from '../db/failure.ts';
import type { Actor } from '../db/mutate.ts';
import { deleteBusiness, deleteMember, getBusiness, updateBusiness, updateMember } from '../directory/businesses.ts';
import { endCaller, listCallers, revokeCaller } from '../directory/callers.ts';
import { deleteUser, getUser, updateUser } from '../directory/users.ts';
import { Failure } from '../errors.ts';
import { createFreeze, extendFreeze, type FreezeRecord, getFreeze } from '../freezes/freezes.ts';
import { deleteKey, getKey, revokeKey, updateKey } from '../keys/keys.ts';
import { operatorRights } from '../keys/rights.ts';
import type { Duties, Kind, StateOf } from './duties.ts';
import { narrowerBusiness, narrowerGrants, narrowerRole, narrowerUser, type Own } from './narrower.ts';

/** One change that is to be made. */
export interface Step {
  /** The event that asks for it. */
  readonly event: EventLine;
  /** As the event of the change will be called, such as `key.revoke`. */
  readonly action: string;
  readonly kind: Kind;
  readonly id: string;
  readonly run: (db: Knex, actor: Actor) => Promise<unknown>;
}

/** What the lost events gave and the database has not: not done by any step. */
export interface Lacking {
  readonly event: EventLine;
  readonly kind: Kind;
  readonly id: string;
  readonly what: string;
}

export interface Plan {
  readonly steps: readonly Step[];
  readonly lacking: readonly Lacking[];
}

interface Context {
  readonly db: Knex;
  readonly duties: Duties;
  /** Whether the subject was made by an event of the database's own, since: then it is not the one that lost events speak of. */
  readonly madeSince: (kind: Kind, id: string) => boolean;
  /** The fields of the subject that have no order, and that the database has changed itself since. */
  readonly ownOf: (kind: Kind, id: string) => Own;
  readonly steps: Step[];
  readonly lacking: Lacking[];
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
  const works = [
    ...[...state.caller.values()].map((asked) => () => planCaller(context, asked)),
    ...[...state.freeze.values()].map((asked) => () => planFreeze(context, asked)),
    ...[...deleted.key.values()].map((asked) => () => planDeletion(context, 'key', asked, getKey, deleteKey)),
    ...[...state.key.values()].map((asked) => () => planKey(context, asked)),
    ...[...keysRevoked.values()].map((asked) => () => planKeysOf(context, asked)),
    ...[...state.user.values()].map((asked) => () => planUser(context, asked)),
    ...[...state.business.values()].map((asked) => () => planBusiness(context, asked)),
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

interface Asked {
  readonly event: EventLine;
  readonly id: string;
}
type WithState<K extends Kind> = Asked & { readonly state: StateOf<K> };

async function planDeletion(
  context: Context,
  kind: 'key' | 'user' | 'business',
  { event, id }: Asked,
  get: (db: Knex, id: string) => Promise<unknown>,
  remove: (db: Knex, actor: Actor, id: string) => Promise<void>,
): Promise<void> {
  if (context.madeSince(kind, id) || !(await found(get(context.db, id)))) return;
  context.steps.push({ event, action: `${kind}.delete`, kind, id, run: (db, actor) => remove(db, actor, id) });
}

async function planKey(context: Context, { event, id, state }: WithState<'key'>): Promise<void> {
  const { db, steps, duties } = context;
  const held = await found(getKey(db, id));
  if (held === undefined) {
    if (state.revokedAt === null && !duties.deleted.user.has(state.userId))
      lack(context, event, 'key', id, `a key of ${state.userId}; its digest is gone, so make another`);
    return;
  }
  // What has ended stays so: no expiry is moved to a later time.
  if (held.status !== 'active') return;
  if (state.revokedAt !== null) {
    const run: Step['run'] = (on, actor) => revokeKey(on, actor, id, state.revokedReason);
    steps.push({ event, action: 'key.revoke', kind: 'key', id, run });
    return;
  }
  const grants = narrowerGrants(held, state, await businessesOf(db, held.userId), context.ownOf('key', id));
  if (Object.keys(grants).length > 0)
    steps.push({
      event,
      action: 'key.update',
      kind: 'key',
      id,
      run: (on, actor) =>
        updateKey(on, actor, operatorRights(undefined), id, grants, (version) => version === held.version),
    });
  lackRest(context, event, 'key', id, { ...held, ...grants }, state);
}

async function businessesOf(db: Knex, userId: string): Promise<ReadonlySet<string>> {
  const rows = await orFailure(
    db('business_members').where({ user_id: userId }).select<{ business_id: string }[]>('business_id'),
  );
  return new Set(rows.map((row) => row.business_id));
}

/** An event of the user alone: which keys there were then is not in it, so all are meant that the database had. */
async function planKeysOf(context: Context, { event, id, reason }: Asked & { reason: string | null }): Promise<void> {
  const { db, steps, madeSince } = context;
  const rows = await orFailure(
    db('api_keys').where({ user_id: id }).whereNull('revoked_at').orderBy('id').select<{ id: string }[]>('id'),
  );
  for (const { id: key } of rows) {
    if (madeSince('key', key) || steps.some((step) => step.action === 'key.revoke' && step.id === key)) continue;
    const run: Step['run'] = (on, actor) => revokeKey(on, actor, key, reason);
    steps.push({ event, action: 'key.revoke', kind: 'key', id: key, run });
  }
}

async function planUser(context: Context, { event, id, state }: WithState<'user'>): Promise<void> {
  const held = await found(getUser(context.db, id));
  if (held === undefined) return lack(context, event, 'user', id, 'the user; make it again');
  const own = context.ownOf('user', id);
  const wanted = narrowerUser(held, state, own);
  if (changes(held, wanted))
    context.steps.push({
      event,
      action: 'user.update',
      kind: 'user',
      id,
      run: (db, actor) => updateUser(db, actor, id, (before) => narrowerUser(before, state, own)),
    });
  lackRest(context, event, 'user', id, wanted, state);
}

async function planBusiness(context: Context, { event, id, state }: WithState<'business'>): Promise<void> {
  const held = await found(getBusiness(context.db, id));
  if (held === undefined) return lack(context, event, 'business', id, 'the business; make it again');
  const own = context.ownOf('business', id);
  const wanted = narrowerBusiness(held, state, own);
  if (changes(held, wanted))
    context.steps.push({
      event,
      action: 'business.update',
      kind: 'business',
      id,
      run: (db, actor) => updateBusiness(db, actor, id, (before) => narrowerBusiness(before, state, own)),
    });
  lackRest(context, event, 'business', id, wanted, state);
}

const roleOf = async (db: Knex, businessId: string, userId: string): Promise<string | undefined> =>
  (
    await orFailure(
      db('business_members')
        .where({ business_id: businessId, user_id: userId })
        .first<{ role: string } | undefined>('role'),
    )
  )?.role;

async function planMembersEnd(context: Context, { event, id }: Asked): Promise<void> {
  const [businessId = '', userId = ''] = id.split('/');
  if (context.madeSince('member', id) || (await roleOf(context.db, businessId, userId)) === undefined) return;
  const run: Step['run'] = (db, actor) => deleteMember(db, actor, businessId, userId);
  context.steps.push({ event, action: 'member.delete', kind: 'member', id, run });
}

async function planMember(context: Context, { event, id, state }: WithState<'member'>): Promise<void> {
  const { businessId, userId } = state;
  const held = await roleOf(context.db, businessId, userId);
  // One that ended and was made anew ends by a step, and is not made anew by another.
  const ends = context.duties.deleted.member.has(id) && !context.madeSince('member', id);
  if (held === undefined || ends) return lack(context, event, 'member', id, `the membership as ${state.role}`);
  const role = narrowerRole(held, state.role, context.ownOf('member', id));
  if (role !== held) {
    const run: Step['run'] = (db, actor) => updateMember(db, actor, { businessId, userId, role }, held);
    context.steps.push({ event, action: 'member.update', kind: 'member', id, run });
  }
  if (role !== state.role) lack(context, event, 'member', id, `the role ${state.role}`);
}

async function planCaller(context: Context, { event, id, state }: WithState<'caller'>): Promise<void> {
  const held = (await listCallers(context.db)).find((caller) => caller.id === id);
  const { revokedAt, expiresAt } = state;
  if (held === undefined) {
    if (revokedAt === null)
      lack(context, event, 'caller', id, `the caller ${state.name}; its token is gone, so make another`);
    return;
  }
  if (held.status !== 'active') return;
  const push = (action: string, run: Step['run']): void =>
    void context.steps.push({ event, action, kind: 'caller', id, run });
  if (revokedAt !== null) push('caller.revoke', (db, actor) => revokeCaller(db, actor, id));
  else if (expiresAt !== null && (held.expiresAt === null || Date.parse(expiresAt) < Date.parse(held.expiresAt)))
    push('caller.update', (db, actor) => endCaller(db, actor, id, expiresAt));
}

async function planFreeze(context: Context, { event, id, state }: WithState<'freeze'>): Promise<void> {
  const { db, steps } = context;
  const held = await found(getFreeze(db, id));
  if (state.liftedAt !== null) {
    if (held?.status === 'in force') lack(context, event, 'freeze', id, 'its end: lift it, where that still holds');
    return;
  }
  if (held?.status === 'lifted' || Date.parse(state.until) <= (await now(db))) return;
  const end = { until: state.until };
  if (held?.status === 'in force') {
    if (Date.parse(held.until) < Date.parse(state.until))
      steps.push({
        event,
        action: 'freeze.extend',
        kind: 'freeze',
        id,
        run: (on, actor) => extendFreeze(on, actor, id, end),
      });
    return;
  }
  if (await isFrozen(db, state)) return;
  const missing = await missingOf(db, state);
  if (missing !== undefined)
    return lack(context, event, 'freeze', id, `a freeze of the ${missing}, which is not there; freeze it once it is`);
  const { action, apiKeyId, userId, businessId, reason } = state;
  const run: Step['run'] = (on, actor) =>
    createFreeze(on, actor, { action, apiKeyId, userId, businessId }, reason, end);
  steps.push({ event, action: 'freeze.create', kind: 'freeze', id, run });
}

/** Whether another freeze of the same is in force for as long: one that was made again has an id of its own. */
async function isFrozen(
  db: Knex,
  { action, apiKeyId, userId, businessId, until }: StateOf<'freeze'>,
): Promise<boolean> {
  const { rows } = await orFailure(
    db.raw<{ rows: Pick<FreezeRecord, 'id'>[] }>(
      `select id from freezes where lifted_at is null and until >= ?::timestamptz and action is not distinct from ?
         and key_id is not distinct from ? and user_id is not distinct from ? and business_id is not distinct from ? limit 1`,
      [until, action, apiKeyId, userId, businessId] as string[],
    ),
  );
  return rows.length > 0;
}

/** What a freeze names and there is not: a freeze of it would be refused. */
async function missingOf(db: Knex, { apiKeyId, userId, businessId }: StateOf<'freeze'>): Promise<string | undefined> {
  if (apiKeyId !== null && !(await found(getKey(db, apiKeyId)))) return `key ${apiKeyId}`;
  if (userId !== null && !(await found(getUser(db, userId)))) return `user ${userId}`;
  if (businessId !== null && !(await found(getBusiness(db, businessId)))) return `business ${businessId}`;
  return undefined;
}

/** Of the database, in milliseconds since 1970. */
async function now(db: Knex): Promise<number> {
  const { rows } = await orFailure(
    db.raw<{ rows: [{ at: number }] }>('select extract(epoch from now())::float8 * 1000 as at'),
  );
  return rows[0].at;
}

const lack = ({ lacking }: Context, event: EventLine, kind: Kind, id: string, what: string): void =>
  void lacking.push({ event, kind, id, what });

/** Names the fields that the last state has otherwise, and wider. */
function lackRest(context: Context, event: EventLine, kind: Kind, id: string, wanted: object, state: object): void {
  const ours = wanted as Readonly<Record<string, unknown>>;
  const fields = Object.entries(state)
    .filter(([name, value]) => !name.startsWith('revoked') && JSON.stringify(ours[name]) !== JSON.stringify(value))
    // The order of names is that of jsonb there.
    .map(([name]) => name)
    .filter((name) => name !== 'attributes' && name !== 'disabledReason');
  if (fields.length > 0) lack(context, event, kind, id, `its ${fields.join(', ')}, as the event says`);
}

const changes = (held: object, wanted: object): boolean =>
  Object.entries(wanted).some(
    ([name, value]) => JSON.stringify((held as Record<string, unknown>)[name]) !== JSON.stringify(value),
  );

async function found<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof Failure && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}
