/** The statements of an import. Staged rows carry `n`, their place in the document's list, for the paths of issues. */

const stage = (name: string, columns: string) => ({
  create: `create temporary table staged_${name} (${columns}) on commit drop`,
  fill: `insert into staged_${name} select * from jsonb_to_recordset(?::jsonb) as entry (${columns})`,
  analyze: `analyze staged_${name}`,
});

const RATE_LIMIT = '"requests" integer, "windowSeconds" integer';

/** Columns are named as in the document. Ids are COLLATE "C", like those that they are joined with. */
export const STAGES = {
  users: stage(
    'users',
    `n integer, id text collate "C", disabled boolean, "disabledReason" text, "businessesDisabled" boolean, ${RATE_LIMIT}`,
  ),
  businesses: stage('businesses', 'n integer, id text collate "C", disabled boolean, "disabledReason" text'),
  members: stage('members', 'n integer, "businessId" text collate "C", "userId" text collate "C", role text'),
  apiKeys: stage(
    'keys',
    `n integer, id text collate "C", "userId" text collate "C", "friendlyName" text, "allowUserManagementApiRequests" boolean,
     restricted boolean, environment text, "expiresAt" timestamptz, "revokedAt" timestamptz, "revokedReason" text,
     digest bytea, "pepperId" text, hint text, ${RATE_LIMIT}`,
  ),
  restrictions: stage('restrictions', 'n integer, position integer, "businessId" text collate "C"'),
  digests: stage('digests', 'n integer, digest bytea'),
} as const;

const unknown = (list: string, field: string, table: string): string => `
  select format('${list}[%s].${field}', s.n) as path, 'there is no such entry, neither here nor in the database' as message
  from staged_${list === 'apiKeys' ? 'keys' : list} s
  where not exists (select from staged_${table} t where t.id = s."${field}")
    and not exists (select from ${table} t where t.id = s."${field}")
  order by s.n`;

/** Each selects issues: path and message. */
export const CHECKS: readonly string[] = [
  unknown('members', 'businessId', 'businesses'),
  unknown('members', 'userId', 'users'),
  unknown('apiKeys', 'userId', 'users'),
  `select format('apiKeys[%s].restrictedBusinessIds[%s]', r.n, r.position) as path,
     'the user of this key has no access to this business; make it a member, or leave the business out' as message
   from staged_restrictions r join staged_keys k on k.n = r.n
   where not exists (select from staged_members m where m."businessId" = r."businessId" and m."userId" = k."userId")
     and not exists (select from business_members m where m.business_id = r."businessId" and m.user_id = k."userId")
   order by r.n, r.position`,
  `select distinct on (d.n) format('apiKeys[%s].apiKey', d.n) as path, 'this API key belongs to another entry of the database' as message
   from staged_digests d join staged_keys s on s.n = d.n join api_keys k on k.digest = d.digest and k.id <> s.id
   order by d.n`,
  `select format('apiKeys[%s].apiKey', s.n) as path, 'the database has another API key under this id; give the new one an id of its own' as message
   from staged_keys s join api_keys k on k.id = s.id
   where exists (select from staged_digests d where d.n = s.n)
     and not exists (select from staged_digests d where d.n = s.n and d.digest = k.digest)
   order by s.n`,
];

const SAME_DISABLED = `(t.disabled_at is not null) = s.disabled and t.disabled_reason is not distinct from s."disabledReason"`;
const SAME_LIMIT = `(t.rate_limit_requests, t.rate_limit_window_seconds) is not distinct from (s."requests", s."windowSeconds")`;

// A key that has expired, or that another key has replaced, keeps the end that it has.
const EXPIRY = `case when t.expires_at <= now() or exists (select from api_keys o where o.rotated_from = t.id)
  then t.expires_at else s."expiresAt" end`;

/**
 * In the order in which they refer to each other. `change` and `create` return a row for each entry that they touched.
 * INVARIANT: an import never brings a revoked, expired or replaced key back, whatever the document says of it.
 */
export const MERGES = [
  {
    list: 'users',
    change: `
      update users t set
        disabled_at = case when s.disabled then coalesce(t.disabled_at, now()) end, disabled_reason = s."disabledReason",
        businesses_disabled_at = case when s."businessesDisabled" then coalesce(t.businesses_disabled_at, now()) end,
        rate_limit_requests = s."requests", rate_limit_window_seconds = s."windowSeconds"
      from staged_users s
      where t.id = s.id
        and not (${SAME_DISABLED} and (t.businesses_disabled_at is not null) = s."businessesDisabled" and ${SAME_LIMIT})
      returning t.id`,
    create: `
      insert into users (id, disabled_at, disabled_reason, businesses_disabled_at, rate_limit_requests, rate_limit_window_seconds)
      select id, case when disabled then now() end, "disabledReason", case when "businessesDisabled" then now() end, "requests", "windowSeconds"
      from staged_users s where not exists (select from users t where t.id = s.id)
      returning id`,
  },
  {
    list: 'businesses',
    change: `
      update businesses t set
        disabled_at = case when s.disabled then coalesce(t.disabled_at, now()) end, disabled_reason = s."disabledReason"
      from staged_businesses s where t.id = s.id and not (${SAME_DISABLED})
      returning t.id`,
    create: `
      insert into businesses (id, disabled_at, disabled_reason)
      select id, case when disabled then now() end, "disabledReason"
      from staged_businesses s where not exists (select from businesses t where t.id = s.id)
      returning id`,
  },
  {
    list: 'members',
    change: `
      update business_members t set role = s.role from staged_members s
      where t.business_id = s."businessId" and t.user_id = s."userId" and t.role <> s.role
      returning t.user_id as id`,
    create: `
      insert into business_members (business_id, user_id, role)
      select "businessId", "userId", role from staged_members s
      where not exists (select from business_members t where t.business_id = s."businessId" and t.user_id = s."userId")
      returning user_id as id`,
  },
  {
    list: 'apiKeys',
    change: `
      with wanted as (
        select s.*, ${EXPIRY} as expires_at, coalesce(t.revoked_at, s."revokedAt") as revoked_at,
          case when t.revoked_at is null then s."revokedReason" else t.revoked_reason end as revoked_reason,
          array(select r."businessId" from staged_restrictions r where r.n = s.n order by 1) as business_ids
        from staged_keys s join api_keys t on t.id = s.id
      ), dropped as (
        delete from api_key_businesses b using wanted s where b.key_id = s.id and b.business_id <> all (s.business_ids)
      ), added as (
        insert into api_key_businesses (key_id, business_id) select s.id, unnest(s.business_ids) from wanted s
        on conflict do nothing
      )
      update api_keys t set
        user_id = s."userId", friendly_name = s."friendlyName", allow_user_management = s."allowUserManagementApiRequests",
        restricted = s.restricted, environment = s.environment, rate_limit_requests = s."requests",
        rate_limit_window_seconds = s."windowSeconds", expires_at = s.expires_at, revoked_at = s.revoked_at,
        revoked_reason = s.revoked_reason, version = t.version + 1
      from wanted s
      where t.id = s.id and not (
        (t.user_id::text, t.friendly_name, t.allow_user_management, t.restricted, t.environment)
          = (s."userId", s."friendlyName", s."allowUserManagementApiRequests", s.restricted, s.environment)
        and ${SAME_LIMIT}
        and (t.expires_at, t.revoked_at, t.revoked_reason) is not distinct from (s.expires_at, s.revoked_at, s.revoked_reason)
        and array(select b.business_id::text from api_key_businesses b where b.key_id = t.id order by 1) = s.business_ids)
      returning t.id`,
    create: `
      with created as (
        insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment,
          rate_limit_requests, rate_limit_window_seconds, expires_at, revoked_at, revoked_reason)
        select id, "userId", "friendlyName", digest, "pepperId", hint, "allowUserManagementApiRequests", restricted, environment,
          "requests", "windowSeconds", "expiresAt", "revokedAt", "revokedReason"
        from staged_keys s where not exists (select from api_keys t where t.id = s.id)
        returning id
      ), restrictions as (
        insert into api_key_businesses (key_id, business_id)
        select s.id, r."businessId" from staged_restrictions r join staged_keys s on s.n = r.n join created c on c.id = s.id
      )
      select id from created`,
  },
] as const;
