/**
 * The SQL of an import: staging tables, checks and merges. Staged rows carry `n`, the index or line number of their entry.
 * No statement returns more rows than its limit, whatever the size of the import.
 */

import type { List } from './document.ts';

// Named as in the document. Ids are COLLATE "C", like those that they are joined with.
const COLUMNS = {
  part: 'text',
  n: 'bigint',
  position: 'integer',
  id: 'text collate "C"',
  businessId: 'text collate "C"',
  userId: 'text collate "C"',
  role: 'text',
  disabled: 'boolean',
  disabledReason: 'text',
  businessesDisabled: 'boolean',
  requests: 'integer',
  windowSeconds: 'integer',
  friendlyName: 'text',
  allowUserManagementApiRequests: 'boolean',
  restricted: 'boolean',
  environment: 'text',
  expiresAt: 'timestamptz',
  revokedAt: 'timestamptz',
  revokedReason: 'text',
  digest: 'bytea',
  pepperId: 'text',
  hint: 'text',
  given: 'boolean',
  attributes: 'jsonb',
} as const;

export type StagedColumn = keyof typeof COLUMNS;
export const STAGED_COLUMNS = Object.keys(COLUMNS) as readonly StagedColumn[];

/** Partition key -> partition of the staging table. Restrictions and digests belong to the API key with the same `n`. */
const PARTS = {
  users: 'staged_users',
  businesses: 'staged_businesses',
  members: 'staged_members',
  apiKeys: 'staged_keys',
  restrictions: 'staged_restrictions',
  digests: 'staged_digests',
} as const;

/** One partitioned table, so that a single COPY takes rows of every kind in any order. */
export const CREATE_STAGED: readonly string[] = [
  `create temporary table staged (${Object.entries(COLUMNS).map(([name, type]) => `"${name}" ${type}`)})
   partition by list (part) on commit drop`,
  ...Object.entries(PARTS).map(
    ([part, table]) => `create temporary table ${table} partition of staged for values in ('${part}') on commit drop`,
  ),
];

export const COPY_STAGED = `copy staged (${STAGED_COLUMNS.map((name) => `"${name}"`)}) from stdin`;

/** Gives the planner the row counts: autovacuum does not analyse temporary tables. */
export const ANALYZE_STAGED = `analyze ${Object.values(PARTS)}`;

/** Blocks writers, not readers, until the import commits: what was checked must still hold when it is merged. */
export const LOCK = 'lock table users, businesses, business_members, api_keys, api_key_businesses in exclusive mode';

/** A fault that takes more than one entry to see: of a field of an entry, or (null) of the entry. */
export interface StagedFault {
  readonly list: List;
  readonly n: number;
  readonly field: string | null;
  readonly message: string;
  /** `n` of the entry that it duplicates. */
  readonly other: number | null;
  /** How many faults the query found; it returns the first of them, up to its limit. */
  readonly total: number;
}

/** A query for faults. `rows` selects n, field, other and position, which orders several faults of one entry. */
const faultQuery = (list: List, message: string, rows: string): string => `
  select '${list}' as list, n::float8 as n, field, other::float8 as other, '${message}' as message,
    (count(*) over ())::float8 as total
  from (${rows}) faults order by faults.n, faults.position limit ?`;

const duplicates = (list: List, identity: string, field: string | null = null, where = 'true'): string =>
  faultQuery(
    list,
    field === null ? 'is the same as' : 'is the same as that of',
    `select n, 0 as position, first as other, ${field === null ? 'null::text' : `'${field}'`} as field
     from (select n, min(n) over (partition by ${identity}) as first from ${PARTS[list]} where ${where}) s where n > first`,
  );

/** Queries for duplicate entries; their parameter is a limit. */
export const DUPLICATES: readonly string[] = [
  duplicates('users', 'id'),
  duplicates('businesses', 'id'),
  duplicates('members', '"businessId", "userId"'),
  duplicates('apiKeys', 'id'),
  duplicates('apiKeys', 'digest', 'apiKey', 'given'),
];

const dangling = (list: List, field: string, table: 'users' | 'businesses'): string =>
  faultQuery(
    list,
    'there is no such entry, neither here nor in the database',
    `select n, 0 as position, '${field}' as field, null as other from ${PARTS[list]} s
     where not exists (select from ${PARTS[table]} t where t.id = s."${field}")
       and not exists (select from ${table} t where t.id = s."${field}")`,
  );

/** Queries for dangling references and conflicts with the database, once there are no duplicates; their parameter is a limit. */
export const CONFLICTS: readonly string[] = [
  dangling('members', 'businessId', 'businesses'),
  dangling('members', 'userId', 'users'),
  dangling('apiKeys', 'userId', 'users'),
  faultQuery(
    'apiKeys',
    'the user of this key has no access to this business; make it a member, or leave the business out',
    `select r.n, r.position, format('restrictedBusinessIds[%s]', r.position) as field, null as other
     from staged_restrictions r join staged_keys k on k.n = r.n
     where not exists (select from staged_members m where m."businessId" = r."businessId" and m."userId" = k."userId")
       and not exists (select from business_members m where m.business_id = r."businessId" and m.user_id = k."userId")`,
  ),
  faultQuery(
    'apiKeys',
    'this API key belongs to another entry of the database',
    `select distinct d.n, 0 as position, 'apiKey' as field, null as other
     from staged_digests d join staged_keys s on s.n = d.n join api_keys k on k.digest = d.digest and k.id <> s.id`,
  ),
  faultQuery(
    'apiKeys',
    'the database has another API key under this id; give the new one an id of its own',
    `select s.n, 0 as position, 'apiKey' as field, null as other
     from staged_keys s join api_keys k on k.id = s.id
     where s.given and not exists (select from staged_digests d where d.n = s.n and d.digest = k.digest)`,
  ),
];

const SAME_DISABLED = `(t.disabled_at is not null) = s.disabled and t.disabled_reason is not distinct from s."disabledReason"`;
const SAME_LIMIT = `(t.rate_limit_requests, t.rate_limit_window_seconds) is not distinct from (s."requests", s."windowSeconds")`;

// An expired or rotated key keeps its expiry. Compared with statement_timestamp(), since now() is when the transaction began,
// which may be long ago.
const EXPIRY = `case when t.expires_at <= statement_timestamp() or exists (select from api_keys o where o.rotated_from = t.id)
  then t.expires_at else s."expiresAt" end`;

/**
 * In the order in which entries refer to each other. Rows are inserted in the order of their primary key, which is much
 * faster for the indexes. The row counts of `change` and `create` are the numbers of entries changed and created.
 * INVARIANT: an import never makes a revoked, expired or rotated key usable again.
 */
export const MERGES: readonly { readonly list: List; readonly change: string; readonly create: string }[] = [
  {
    list: 'users',
    change: `
      update users t set
        disabled_at = case when s.disabled then coalesce(t.disabled_at, now()) end, disabled_reason = s."disabledReason",
        businesses_disabled_at = case when s."businessesDisabled" then coalesce(t.businesses_disabled_at, now()) end,
        rate_limit_requests = s."requests", rate_limit_window_seconds = s."windowSeconds", attributes = s.attributes
      from staged_users s
      where t.id = s.id
        and not (${SAME_DISABLED} and (t.businesses_disabled_at is not null) = s."businessesDisabled" and ${SAME_LIMIT}
          and t.attributes = s.attributes)`,
    create: `
      insert into users (id, disabled_at, disabled_reason, businesses_disabled_at, rate_limit_requests, rate_limit_window_seconds,
        attributes)
      select id, case when disabled then now() end, "disabledReason", case when "businessesDisabled" then now() end, "requests", "windowSeconds",
        attributes
      from staged_users s where not exists (select from users t where t.id = s.id) order by id`,
  },
  {
    list: 'businesses',
    change: `
      update businesses t set
        disabled_at = case when s.disabled then coalesce(t.disabled_at, now()) end, disabled_reason = s."disabledReason",
        attributes = s.attributes
      from staged_businesses s where t.id = s.id and not (${SAME_DISABLED} and t.attributes = s.attributes)`,
    create: `
      insert into businesses (id, disabled_at, disabled_reason, attributes)
      select id, case when disabled then now() end, "disabledReason", attributes
      from staged_businesses s where not exists (select from businesses t where t.id = s.id) order by id`,
  },
  {
    list: 'members',
    change: `
      update business_members t set role = s.role from staged_members s
      where t.business_id = s."businessId" and t.user_id = s."userId" and t.role <> s.role`,
    create: `
      insert into business_members (business_id, user_id, role)
      select "businessId", "userId", role from staged_members s
      where not exists (select from business_members t where t.business_id = s."businessId" and t.user_id = s."userId")
      order by "businessId", "userId"`,
  },
  {
    list: 'apiKeys',
    change: `
      with restrictions as (
        select n, array_agg("businessId" order by "businessId") as business_ids from staged_restrictions group by n
      ), wanted as (
        select s.*, ${EXPIRY} as expires_at, coalesce(t.revoked_at, s."revokedAt") as revoked_at,
          case when t.revoked_at is null then s."revokedReason" else t.revoked_reason end as revoked_reason,
          coalesce(r.business_ids, '{}') as business_ids
        from staged_keys s join api_keys t on t.id = s.id left join restrictions r on r.n = s.n
      ), dropped as (
        delete from api_key_businesses b using staged_keys s
        where b.key_id = s.id
          and not exists (select from staged_restrictions r where r.n = s.n and r."businessId" = b.business_id)
      )
      update api_keys t set
        user_id = s."userId", friendly_name = s."friendlyName", allow_user_management = s."allowUserManagementApiRequests",
        restricted = s.restricted, environment = s.environment, rate_limit_requests = s."requests",
        rate_limit_window_seconds = s."windowSeconds", expires_at = s.expires_at, revoked_at = s.revoked_at,
        revoked_reason = s.revoked_reason, attributes = s.attributes, version = t.version + 1
      from wanted s
      where t.id = s.id and not (
        (t.user_id::text, t.friendly_name, t.allow_user_management, t.restricted, t.environment)
          = (s."userId", s."friendlyName", s."allowUserManagementApiRequests", s.restricted, s.environment)
        and ${SAME_LIMIT} and t.attributes = s.attributes
        and (t.expires_at, t.revoked_at, t.revoked_reason) is not distinct from (s.expires_at, s.revoked_at, s.revoked_reason)
        and array(select b.business_id::text from api_key_businesses b where b.key_id = t.id order by 1) = s.business_ids)`,
    create: `
      insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment,
        rate_limit_requests, rate_limit_window_seconds, expires_at, revoked_at, revoked_reason, attributes)
      select id, "userId", "friendlyName", digest, "pepperId", hint, "allowUserManagementApiRequests", restricted, environment,
        "requests", "windowSeconds", "expiresAt", "revokedAt", "revokedReason", attributes
      from staged_keys s where not exists (select from api_keys t where t.id = s.id) order by id`,
  },
];

/** The last merge: the businesses that keys, new ones and old, are restricted to. */
export const RESTRICT = `
  insert into api_key_businesses (key_id, business_id)
  select s.id, r."businessId" from staged_restrictions r join staged_keys s on s.n = r.n
  where not exists (select from api_key_businesses b where b.key_id = s.id and b.business_id = r."businessId")
  order by s.id, r."businessId"`;

/** The time of this transaction, and how many keys it generated. */
export const GENERATED = `
  select to_json(now()) #>> '{}' as at, count(*)::int as count
  from staged_keys s join api_keys k on k.id = s.id and k.digest = s.digest where not s.given`;
