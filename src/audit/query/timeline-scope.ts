/** What concerns a subject besides its decisions: which events of administration, and which freezes, as conditions in SQL. */

import type { Knex } from 'knex';
import { orFailure } from '../../db/failure.ts';
import { all, type BoundSql } from './conditions.ts';

/** Exactly one of them. */
export interface Subject {
  readonly apiKeyId?: string | undefined;
  readonly userId?: string | undefined;
  readonly businessId?: string | undefined;
}

/** A subject with what it belongs to, today or as the events of administration tell. */
export interface Scope {
  /** The key, or all keys of the user; undefined: a business. */
  readonly keys: readonly string[] | undefined;
  /** The user, or the owner of the key; undefined: unknown, or a business. */
  readonly user: string | undefined;
  readonly business: string | undefined;
}

/** @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function scopeOf(db: Knex, { apiKeyId, userId, businessId }: Subject): Promise<Scope> {
  if (businessId !== undefined) return { keys: undefined, user: undefined, business: businessId };
  const { rows } = await orFailure(
    db.raw<{ rows: { id: string; owner: string }[] }>(
      apiKeyId === undefined ? KEYS_OF_USER : OWNER_OF_KEY,
      apiKeyId === undefined ? [userId ?? '', userId ?? ''] : [apiKeyId, apiKeyId],
    ),
  );
  if (apiKeyId !== undefined) return { keys: [apiKeyId], user: rows[0]?.owner, business: undefined };
  return { keys: rows.map(({ id }) => id), user: userId, business: undefined };
}

const OWNER_IN_EVENT = `coalesce(after, before) ->> 'userId'`;

/** A key that is gone is known by the events of its life. */
const KEYS_OF_USER = `
  select id, user_id as owner from audited_keys where user_id = ?
  union select subject_id, '' from admin_events where subject_kind = 'key' and ${OWNER_IN_EVENT} = ?`;

const OWNER_OF_KEY = `
  select id, user_id as owner from audited_keys where id = ?
  union all select subject_id, ${OWNER_IN_EVENT} from admin_events where subject_kind = 'key' and subject_id = ?
  limit 1`;

/**
 * The events that concern it: of itself, of what it belongs to and of what belongs to it; imports, which may have changed it; and
 * freezes that may cover it. Those of a business are also of the keys that were restricted to it.
 */
export function eventsOf({ keys, user, business }: Scope): BoundSql {
  const ofFreezes = freezeCondition({ keys, user, business }, (field) => `coalesce(after, before) ->> '${field}'`);
  const parts: BoundSql[] = [
    { sql: `subject_kind = 'directory'`, bindings: [] },
    { sql: `subject_kind = 'freeze' and ${ofFreezes.sql}`, bindings: ofFreezes.bindings },
  ];
  if (keys) parts.push({ sql: `subject_kind = 'key' and subject_id = any(?::text[])`, bindings: [keys] });
  if (user !== undefined)
    parts.push(
      { sql: `subject_kind = 'user' and subject_id = ?`, bindings: [user] },
      { sql: `subject_kind = 'member' and split_part(subject_id, '/', 2) = ?`, bindings: [user] },
    );
  if (business !== undefined) {
    const restriction = JSON.stringify({ restrictedBusinessIds: [business] });
    parts.push(
      { sql: `subject_kind = 'business' and subject_id = ?`, bindings: [business] },
      { sql: `subject_kind = 'member' and split_part(subject_id, '/', 1) = ?`, bindings: [business] },
      {
        sql: `subject_kind = 'key' and (before @> ?::jsonb or after @> ?::jsonb)`,
        bindings: [restriction, restriction],
      },
    );
  }
  return { sql: `(${parts.map(({ sql }) => sql).join(' or ')})`, bindings: parts.flatMap(({ bindings }) => bindings) };
}

const COLUMN_OF = { apiKeyId: 'key_id', userId: 'user_id', businessId: 'business_id' } as const;

/** The freezes that may cover it, of the table. */
export const freezesOf = (scope: Scope): BoundSql => freezeCondition(scope, (field) => COLUMN_OF[field]);

/** A freeze that names another one than this does not cover it; one that names what is not known of it may. */
function freezeCondition({ keys, user, business }: Scope, stored: (field: keyof typeof COLUMN_OF) => string): BoundSql {
  const fits = (field: keyof typeof COLUMN_OF, ids: readonly string[] | undefined): BoundSql[] =>
    ids === undefined ? [] : [{ sql: `coalesce(${stored(field)} = any(?::text[]), true)`, bindings: [ids] }];
  const conditions = [
    ...fits('apiKeyId', keys),
    ...fits('userId', user === undefined ? undefined : [user]),
    ...fits('businessId', business === undefined ? undefined : [business]),
  ];
  return conditions.length === 0 ? { sql: 'true', bindings: [] } : all(conditions);
}
