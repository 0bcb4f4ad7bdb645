/** The kinds of hygiene findings: the query that finds each, and its text. */

import { nearestTo } from '../nearest.ts';

/** Thresholds of the queries, in days, hours, minutes or counts, as the names say. */
export const THRESHOLDS = {
  unusedDays: { default: 90, help: 'days without a use after which a key counts as unused' },
  rotateDays: { default: 365, help: 'days after which a key should have been rotated' },
  expiringDays: { default: 14, help: 'days before its expiry at which a key counts as expiring' },
  useDays: { default: 90, help: 'days of the log that are searched for what a key is used for' },
  fewBusinesses: { default: 3, help: 'businesses that are few enough to restrict a key to' },
  burstDenials: { default: 50, help: 'denials of one key that make a burst' },
  burstMinutes: { default: 10, help: 'minutes within which the denials of a burst fall' },
  watchHours: {
    default: 24,
    help: 'hours of the log that are searched for bursts, bad credentials and unregistered actions',
  },
  credentialUses: { default: 100, help: 'uses of one bad credential that make a finding' },
  addressCredentials: { default: 20, help: 'different bad credentials from one address that make a finding' },
} as const;

export type Threshold = keyof typeof THRESHOLDS;
export type Thresholds = Readonly<Record<Threshold, number>>;

/** A row of a kind's query: the subject, and the evidence. */
export interface HygieneRow {
  readonly subject: string;
  readonly [evidence: string]: unknown;
}

interface Description {
  readonly says: string;
  readonly advice: string;
  readonly commands: readonly string[];
}

/** What a kind is found by, and says. */
export interface Kind {
  /** The thresholds that the query binds. */
  readonly needs: readonly Threshold[];
  /** Whether it binds `:register`. */
  readonly needsRegister?: true;
  /** Selects `subject`, unique among the rows, and the evidence under the names of the API. */
  readonly sql: string;
  readonly describe: (row: HygieneRow, thresholds: Thresholds, register: Register) => Description;
}

/** The actions of the register in `facts.yaml`. Empty: there is no register. */
export type Register = readonly string[];

const LIVE = 'k.revoked_at is null and (k.expires_at is null or k.expires_at > now())';
const UNSUCCEEDED = 'not exists (select from audited_keys s where s.rotated_from = k.id)';
const KEY = 'k.id::text as subject, k.user_id as "userId", k.friendly_name as "friendlyName"';
const DENIED = "d.code <> 'OK'";

const keyOf = ({ subject, friendlyName, userId }: HygieneRow): string =>
  `The key ${subject} (${JSON.stringify(friendlyName)}) of the user ${userId}`;
const count = (number: unknown, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`;
const dayOf = (moment: unknown): string => (moment as Date).toISOString().slice(0, 10);
const listOf = (values: unknown): readonly string[] => values as readonly string[];

/** A table, and so over a screen: no kind depends on another. */
export const HYGIENE_KINDS = {
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
  'denial-burst': {
    needs: ['watchHours', 'burstDenials', 'burstMinutes'],
    // Sliding window: a denial ends a burst if the one `burstDenials - 1` before it is at most `burstMinutes` older.
    sql: `
      select api_key_id::text as subject, min(began) as "began", max(at) as "ended", count(*)::integer as "runs",
        mode() within group (order by code) as "code", mode() within group (order by user_id) as "userId"
      from (
        select d.api_key_id, d.user_id, d.code, d.at,
          lag(d.at, greatest(:burstDenials - 1, 0)) over (partition by d.api_key_id order by d.at, d.id) as began
        from decisions d
        where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.api_key_id is not null
      ) denials
      where at - began <= make_interval(mins => :burstMinutes) group by api_key_id`,
    describe: (row, { burstDenials, burstMinutes }) => ({
      says: `The key ${row.subject} of the user ${row['userId']} was denied ${burstDenials} times or more within ${burstMinutes} minutes, mostly ${row['code']}, from ${instantOf(row['began'])}.`,
      advice: 'Look at what was asked with it; revoke it if that was not its user.',
      commands: [
        `authz audit query --key ${row.subject} --effect deny --from ${instantOf(row['began'])}`,
        `authz key revoke ${row.subject} --reason "suspicious use" --yes`,
      ],
    }),
  },
  'credential-repeated': {
    needs: ['watchHours', 'credentialUses'],
    sql: `
      select d.fingerprint as subject, count(*)::integer as "uses", min(d.at) as "firstAt", max(d.at) as "lastAt",
        (array_agg(distinct d.ip) filter (where d.ip is not null))[1:5] as "addresses"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.fingerprint is not null
      group by d.fingerprint having count(*) >= :credentialUses`,
    describe: (row) => ({
      says: `One bad credential (fingerprint ${row.subject}) was used ${row['uses']} times, last at ${instantOf(row['lastAt'])}.`,
      advice: 'A client still uses a deleted key, or somebody tries a leaked one: find out who.',
      commands: addressesOf(row).map((ip) => `authz audit query --ip ${ip} --from ${instantOf(row['firstAt'])}`),
    }),
  },
  'address-many-credentials': {
    needs: ['watchHours', 'addressCredentials'],
    sql: `
      select d.ip as subject, count(distinct d.fingerprint)::integer as "credentials", count(*)::integer as "uses",
        min(d.at) as "firstAt", max(d.at) as "lastAt"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and ${DENIED} and d.fingerprint is not null
        and d.ip is not null
      group by d.ip having count(distinct d.fingerprint) >= :addressCredentials`,
    describe: (row) => ({
      says: `${row['credentials']} different bad credentials came from ${row.subject}, last at ${instantOf(row['lastAt'])}.`,
      advice: 'Somebody is guessing, or tries leaked credentials: block the address at your edge.',
      commands: [`authz audit query --ip ${row.subject} --from ${instantOf(row['firstAt'])}`],
    }),
  },
  'action-unregistered': {
    needs: ['watchHours'],
    needsRegister: true,
    sql: `
      select d.action as subject, count(*)::integer as "uses", count(distinct d.api_key_id)::integer as "keys",
        (array_agg(distinct d.caller_id))[1:5] as "callerIds", min(d.at) as "firstAt", max(d.at) as "lastAt"
      from decisions d
      where d.at > now() - make_interval(hours => :watchHours) and d.api_key_id is not null
        and cardinality(:register::text[]) > 0 and d.action <> all(:register::text[])
      group by d.action`,
    describe: (row, _, register) => {
      const nearest = nearestTo(row.subject, register);
      return {
        says: `${count(row['uses'], 'question')} with ${count(row['keys'], 'key')} asked for ${row.subject}, which is not in the register of facts.yaml, last at ${instantOf(row['lastAt'])}, by ${listOf(row['callerIds']).join(', ')}.`,
        advice:
          nearest === undefined
            ? 'Correct the service that asks, or add it to actions.known.'
            : `Did it mean ${nearest}? Correct the service that asks, or add it to actions.known.`,
        commands: [`authz audit query --action ${row.subject} --from ${instantOf(row['firstAt'])}`],
      };
    },
  },
} as const satisfies Record<string, Kind>;

export type HygieneName = keyof typeof HYGIENE_KINDS;

const instantOf = (moment: unknown): string => (moment as Date).toISOString();
const addressesOf = (row: HygieneRow): readonly string[] => listOf(row['addresses'] ?? []);
