/** Kinds of findings about keys that should not be as they are. */

import { KEY, type Kind, keyOf, LIVE, listOf } from './kind.ts';

const UNSUCCEEDED = 'not exists (select from audited_keys s where s.rotated_from = k.id)';
const dayOf = (moment: unknown): string => (moment as Date).toISOString().slice(0, 10);

/** A table, and so over a screen: no kind depends on another. */
export const KEY_KINDS = {
  'key-unused': {
    needs: ['unusedDays'],
    sql: `
      select ${KEY}, k.last_used_at as "lastUsedAt", k.created_at as "createdAt" from audited_keys k
      where ${LIVE} and coalesce(k.last_used_at, k.created_at) < now() - make_interval(days => :unusedDays)`,
    describe: (row) => ({
      says: row['lastUsedAt']
        ? `${keyOf(row)} was last used on ${dayOf(row['lastUsedAt'])}.`
        : `${keyOf(row)} was never used since it was made on ${dayOf(row['createdAt'])}.`,
      advice: 'Ask its user, and delete it.',
      commands: [`authz key delete ${row.subject} --yes`],
    }),
  },
  'key-not-rotated': {
    needs: ['rotateDays'],
    sql: `
      select ${KEY}, k.created_at as "createdAt" from audited_keys k
      where ${LIVE} and ${UNSUCCEEDED} and k.created_at < now() - make_interval(days => :rotateDays)`,
    describe: (row) => ({
      says: `${keyOf(row)} was made on ${dayOf(row['createdAt'])}.`,
      advice: 'Rotate it; both keys work during the overlap.',
      commands: [`authz key rotate ${row.subject} --overlap-seconds 604800`],
    }),
  },
  'key-expiring': {
    needs: ['expiringDays'],
    sql: `
      select ${KEY}, k.expires_at as "expiresAt", k.last_used_at as "lastUsedAt" from audited_keys k
      where ${LIVE} and ${UNSUCCEEDED} and k.expires_at < now() + make_interval(days => :expiringDays)`,
    describe: (row) => ({
      says: `${keyOf(row)} expires on ${dayOf(row['expiresAt'])}.`,
      advice: 'If it is still needed, make another for its user before that day.',
      commands: [`authz key show ${row.subject}`],
    }),
  },
  'permission-unused': {
    needs: ['useDays'],
    sql: `
      select ${KEY}, k.last_used_at as "lastUsedAt" from audited_keys k
      where ${LIVE} and k.allow_user_management and k.created_at < now() - make_interval(days => :useDays)
        and k.last_used_at > now() - make_interval(days => :useDays)
        and k.id not in (
          select d.api_key_id from decisions d
          where d.at > now() - make_interval(days => :useDays) and d.action like 'user:%' and d.api_key_id is not null)`,
    describe: (row, { useDays }) => ({
      says: `${keyOf(row)} may use the user-management endpoints, and has not in ${useDays} days.`,
      advice: 'Take the permission away.',
      commands: [`authz key update ${row.subject} --no-allow-user-management`],
    }),
  },
  'key-unrestricted': {
    needs: ['useDays', 'fewBusinesses'],
    sql: `
      select ${KEY}, used.businesses as "businessIds" from audited_keys k
      join (
        select d.api_key_id, array_agg(distinct d.business_id order by d.business_id) as businesses from decisions d
        where d.at > now() - make_interval(days => :useDays) and d.code = 'OK' and d.business_id is not null
        group by d.api_key_id
      ) used on used.api_key_id = k.id
      where ${LIVE} and not k.restricted and k.created_at < now() - make_interval(days => :useDays)
        and cardinality(used.businesses) <= :fewBusinesses
        and cardinality(used.businesses) < (select count(*) from audited_members m where m.user_id = k.user_id)`,
    describe: (row, { useDays }) => ({
      says: `${keyOf(row)} may reach every business of its user, and was used for ${listOf(row['businessIds']).join(', ')} alone in ${useDays} days.`,
      advice: 'Restrict it to those.',
      commands: [`authz key update ${row.subject} --restrict ${listOf(row['businessIds']).join(',')}`],
    }),
  },
} as const satisfies Record<string, Kind>;
