/** What a lost event asks of its subject, as steps: of a key, a user, a business, a membership, a caller, a freeze. */

import type { Knex } from 'knex';
import type { EventLine } from '../audit/format/event-line.ts';
import { readClock } from '../db/clock.ts';
import { orFailure } from '../db/failure.ts';
import type { Actor } from '../db/mutate.ts';
import { deleteMember, getBusiness, updateBusiness, updateMember } from '../directory/businesses.ts';
import { type CallerRecord, endCaller, revokeCaller } from '../directory/callers.ts';
import { getUser, updateUser } from '../directory/users.ts';
import { Failure } from '../errors.ts';
import { createFreeze, extendFreeze, type FreezeRecord, getFreeze } from '../freezes/freezes.ts';
import { getKey, revokeKey, updateKey } from '../keys/keys.ts';
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

/** What the steps are planned from, and where they go. */
export interface Context {
  readonly db: Knex;
  readonly duties: Duties;
  /** Whether the subject was made by an event of the database's own, since: then it is not the one that lost events speak of. */
  readonly madeSince: (kind: Kind, id: string) => boolean;
  /** The fields of the subject that have no order, and that the database has changed itself since. */
  readonly ownOf: (kind: Kind, id: string) => Own;
  readonly steps: Step[];
  readonly lacking: Lacking[];
}

interface Asked {
  readonly event: EventLine;
  readonly id: string;
}
type WithState<K extends Kind> = Asked & { readonly state: StateOf<K> };

export async function planDeletion(
  context: Context,
  kind: 'key' | 'user' | 'business',
  { event, id }: Asked,
  get: (db: Knex, id: string) => Promise<unknown>,
  remove: (db: Knex, actor: Actor, id: string) => Promise<void>,
): Promise<void> {
  if (context.madeSince(kind, id) || !(await found(get(context.db, id)))) return;
  context.steps.push({ event, action: `${kind}.delete`, kind, id, run: (db, actor) => remove(db, actor, id) });
}

export async function planKey(context: Context, { event, id, state }: WithState<'key'>): Promise<void> {
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
export async function planKeysOf(
  context: Context,
  { event, id, reason }: Asked & { reason: string | null },
): Promise<void> {
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

/** What has a state that is put as a whole: it becomes the narrower of both. */
interface Narrowing<K extends 'user' | 'business', Held extends State, State extends object> {
  readonly kind: K;
  readonly get: (db: Knex, id: string) => Promise<Held>;
  readonly narrower: (held: Held, later: StateOf<K>, own: Own) => State;
  readonly update: (db: Knex, actor: Actor, id: string, change: (before: Held) => State) => Promise<unknown>;
}

export const USER = { kind: 'user', get: getUser, narrower: narrowerUser, update: updateUser } as const;
export const BUSINESS = {
  kind: 'business',
  get: getBusiness,
  narrower: narrowerBusiness,
  update: updateBusiness,
} as const;

export async function planNarrower<K extends 'user' | 'business', Held extends State, State extends object>(
  context: Context,
  { kind, get, narrower, update }: Narrowing<K, Held, State>,
  { event, id, state }: WithState<K>,
): Promise<void> {
  const held = await found(get(context.db, id));
  if (held === undefined) return lack(context, event, kind, id, `the ${kind}; make it again`);
  const own = context.ownOf(kind, id);
  const wanted = narrower(held, state, own);
  if (changes(held, wanted)) {
    const run: Step['run'] = (db, actor) => update(db, actor, id, (before) => narrower(before, state, own));
    context.steps.push({ event, action: `${kind}.update`, kind, id, run });
  }
  lackRest(context, event, kind, id, wanted, state);
}

const roleOf = async (db: Knex, businessId: string, userId: string): Promise<string | undefined> =>
  (
    await orFailure(
      db('business_members')
        .where({ business_id: businessId, user_id: userId })
        .first<{ role: string } | undefined>('role'),
    )
  )?.role;

export async function planMembersEnd(context: Context, { event, id }: Asked): Promise<void> {
  const [businessId = '', userId = ''] = id.split('/');
  if (context.madeSince('member', id) || (await roleOf(context.db, businessId, userId)) === undefined) return;
  const run: Step['run'] = (db, actor) => deleteMember(db, actor, businessId, userId);
  context.steps.push({ event, action: 'member.delete', kind: 'member', id, run });
}

export async function planMember(context: Context, { event, id, state }: WithState<'member'>): Promise<void> {
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

export function planCaller(
  context: Context,
  callers: ReadonlyMap<string, CallerRecord>,
  { event, id, state }: WithState<'caller'>,
): void {
  const held = callers.get(id);
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

export async function planFreeze(context: Context, { event, id, state }: WithState<'freeze'>): Promise<void> {
  const { db, steps } = context;
  const held = await found(getFreeze(db, id));
  if (state.liftedAt !== null) {
    if (held?.status === 'in force') lack(context, event, 'freeze', id, 'its end: lift it, where that still holds');
    return;
  }
  if (held?.status === 'lifted' || Date.parse(state.until) <= (await orFailure(readClock(db)))) return;
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
