/**
 * What lost events ask for: for each subject the last state that it had and what ended it. Only the last state counts: who was disabled and
 * enabled again is not disabled once more.
 */

import { z } from 'zod';
import { READ_ACTIONS } from '../audit/access-log.ts';
import type { EventLine } from '../audit/format/event-line.ts';
import { Refusal } from '../errors.ts';

const rateLimit = z.object({ requests: z.int(), windowSeconds: z.int() }).nullable();
const attributes = z.record(z.string(), z.union([z.string(), z.boolean(), z.array(z.string())]));
const time = z.iso.datetime({ offset: true });

// Events of imports have fewer fields than those of single changes: these are what both have.
const userState = z.object({
  disabled: z.boolean(),
  disabledReason: z.string().nullable(),
  businessesDisabled: z.boolean(),
  rateLimit,
  attributes,
});
const businessState = z.object({ disabled: z.boolean(), disabledReason: z.string().nullable(), attributes });
const memberState = z.object({ businessId: z.string(), userId: z.string(), role: z.string() });
const keyState = z.object({
  userId: z.string(),
  allowUserManagementApiRequests: z.boolean(),
  restrictedBusinessIds: z.array(z.string()).nullable(),
  environment: z.string(),
  rateLimit,
  attributes,
  expiresAt: time.nullable(),
  revokedAt: time.nullable(),
  revokedReason: z.string().nullable(),
});
const callerState = z.object({ name: z.string(), expiresAt: time.nullable(), revokedAt: time.nullable() });
const freezeState = z.object({
  action: z.string().nullable(),
  apiKeyId: z.string().nullable(),
  userId: z.string().nullable(),
  businessId: z.string().nullable(),
  reason: z.string(),
  until: time,
  liftedAt: time.nullable(),
});

const STATES = {
  user: userState,
  business: businessState,
  member: memberState,
  key: keyState,
  caller: callerState,
  freeze: freezeState,
} as const;
export type Kind = keyof typeof STATES;
export type StateOf<K extends Kind> = z.output<(typeof STATES)[K]>;

/** The event that asks for it; of several the last. */
interface Asked {
  readonly event: EventLine;
  readonly id: string;
}

export interface Duties {
  /** What was deleted: it may exist again, but not as what it was. */
  readonly deleted: { readonly [K in 'user' | 'business' | 'member' | 'key']: ReadonlyMap<string, Asked> };
  /** The last state of what was made or changed, and not deleted since. */
  readonly state: { readonly [K in Kind]: ReadonlyMap<string, Asked & { readonly state: StateOf<K> }> };
  /** Users all of whose keys were revoked. */
  readonly keysRevoked: ReadonlyMap<string, Asked & { readonly reason: string | null }>;
  /** What no change here can do again: `do` says who is to do what. */
  readonly byHand: readonly (Asked & { readonly do: string })[];
}

const ENDINGS = ['user.delete', 'business.delete', 'member.delete', 'key.delete'];
const CHANGES = [
  ...['user.create', 'user.update', 'business.create', 'business.update', 'member.create', 'member.update'],
  ...['key.create', 'key.update', 'key.rotate', 'key.revoke', 'caller.create', 'caller.rotate', 'caller.update'],
  ...['caller.revoke', 'freeze.create', 'freeze.extend', 'freeze.lift'],
];
/** Events of what changed nothing that is decided on. */
const HARMLESS = ['policy.explain', 'access.search', 'access.refused', 'restore.reconcile'];

/** @throws Refusal: an event says what none of this version says */
export function dutiesOf(events: readonly EventLine[]): Duties {
  const deleted = { user: newMap(), business: newMap(), member: newMap(), key: newMap() };
  const state = {
    user: newMap(),
    business: newMap(),
    member: newMap(),
    key: newMap(),
    caller: newMap(),
    freeze: newMap(),
  };
  const keysRevoked = new Map<string, Asked & { reason: string | null }>();
  const byHand: (Asked & { do: string })[] = [];
  for (const event of events) {
    const { action, subject_kind: kind, subject_id: id } = event;
    if (READ_ACTIONS.has(action) || HARMLESS.includes(action)) continue;
    if (ENDINGS.includes(action)) {
      deleted[kind as keyof typeof deleted]?.set(id, { event, id });
      state[kind as Kind]?.delete(id);
    } else if (CHANGES.includes(action)) {
      // Behind the others: the order is that of the last events.
      state[kind as Kind]?.delete(id);
      state[kind as Kind]?.set(id, { event, id, state: stateOf(kind as Kind, event) });
    } else if (action === 'user.revoke-keys') {
      const { reason = null } = parsed(z.object({ reason: z.string().nullish() }), event);
      keysRevoked.set(id, { event, id, reason });
    } else {
      const todo = byHandOf(event);
      if (todo !== undefined) byHand.push({ event, id, do: todo });
    }
  }
  // INVARIANT: each state was parsed by the schema of the map that it is in.
  return { deleted, state: state as unknown as Duties['state'], keysRevoked, byHand };
}

const newMap = () => new Map<string, Asked & { state?: unknown }>();

const stateOf = (kind: Kind, event: EventLine): unknown => parsed<unknown>(STATES[kind] ?? z.never(), event);

function parsed<T>(schema: { readonly safeParse: z.ZodType<T>['safeParse'] }, event: EventLine): T {
  const result = schema.safeParse(JSON.parse(event.after ?? 'null'));
  if (result.success) return result.data;
  throw new Refusal(
    `event ${event.seq} (${event.action}) does not say what events of this version say (${z.prettifyError(result.error).split('\n')[0]}); ` +
      'reconcile with the version of authz that wrote it',
  );
}

/** Undefined: nothing is to be done. */
function byHandOf(event: EventLine): string | undefined {
  const { action, subject_kind: kind, subject_id: id } = event;
  if (action === 'directory.import') {
    const rest = z.object({ rest: z.object({ count: z.int() }).optional() }).safeParse(JSON.parse(event.after ?? '{}'));
    if (rest.success && rest.data.rest === undefined) return undefined;
    return `an import changed more entries than it left events: import ${id} again, or hold its --changes file against the directory`;
  }
  if (action === 'audit.erase')
    return `personal data of the ${kind} ${id} were erased, and are back: authz audit erase --${kind} ${id}`;
  if (action === 'audit.prune') return 'days were pruned, and are back: run authz audit prune again';
  return `this version does not know ${action}: look at the event, and do what it asks for`;
}
