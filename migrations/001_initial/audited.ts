/** What auditors may see of keys, callers, members and attributes: everything but digests, and what digests were made under. */

/**
 * Views read with the rights of their owner, who is that of the tables: a role that may read them may read nothing else of those.
 * INVARIANT: no digest and no pepper's id is a column. A digest in other hands would tell, once the pepper leaks as well, which key is
 * which. The hint is shown: an event of a key's life has it too, and more than 128 random bits stay secret.
 */
export const AUDITED = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
  create view audited_keys as
    select k.id, k.user_id, k.friendly_name, k.hint, k.allow_user_management, k.restricted, k.environment,
      k.rate_limit_requests, k.rate_limit_window_seconds, k.attributes, k.created_at, k.expires_at, k.revoked_at,
      k.revoked_reason, k.rotated_from, k.last_used_at, k.version,
      (select s.id from api_keys s where s.rotated_from = k.id) as rotated_to,
      array(select b.business_id::text from api_key_businesses b where b.key_id = k.id order by 1) as business_ids
    from api_keys k;
  create view audited_callers as
    select id, name, scopes, bound_users, bound_businesses, created_at, expires_at, revoked_at, rotated_from from callers;
  create view audited_members as select business_id, user_id, role from business_members;
  -- Whether there is one of an id, and which ids are near: of each kind the index of its table serves both.
  create view audited_ids as
    select 'key' as kind, id from api_keys union all select 'user', id from users
    union all select 'business', id from businesses union all select 'caller', id from callers;
  -- Each value of an attribute and each role, once for each that has it, and not who has it. Of a list each member, with the form array.
  create view audited_values as
    ${VALUES_OF('key', 'api_keys')} union all ${VALUES_OF('user', 'users')} union all ${VALUES_OF('business', 'businesses')}
    union all select 'member', 'role', 'string', role from business_members;
  ${FIND_KEYS(path)}
  ${PEPPER_FAULTS(path)}
  revoke all on function authz_find_keys, authz_pepper_faults from public;`;
};

export const DROP_AUDITED = `
  drop function authz_pepper_faults, authz_find_keys;
  drop view audited_values, audited_ids, audited_members, audited_callers, audited_keys;`;

/** The ids of the keys with these digests. Nothing is learnt from it without a key in clear and its pepper, which make a digest. */
const FIND_KEYS = (path: string): string => `
  create function authz_find_keys(digests bytea[]) returns setof text
  language sql stable security definer set search_path = ${path}
  as 'select id::text from api_keys where digest = any (digests)';`;

/**
 * What keeps peppers from finding every key: \`lacking\`, one of an id that is not held and that keys or callers are stored
 * under; \`other\`, one that is held with another secret than the stored proof is of.
 */
const PEPPER_FAULTS = (path: string): string => `
  create function authz_pepper_faults(ids text[], proofs bytea[]) returns table (id text, fault text)
  language sql stable security definer set search_path = ${path} as $$
    (select pepper_id, 'lacking' from api_keys where pepper_id <> all (ids) limit 1)
    union (select pepper_id, 'lacking' from callers where pepper_id <> all (ids) limit 1)
    union all (
      select p.id, 'other' from peppers p join unnest(ids, proofs) as held (id, proof) on held.id = p.id
      where p.proof <> held.proof)
  $$;`;

const VALUES_OF = (owner: string, table: string): string => `
    select '${owner}' as of, a.key as name, jsonb_typeof(a.value) as form, v.value
    from ${table} t, jsonb_each(t.attributes) a, jsonb_array_elements_text(
      case when jsonb_typeof(a.value) = 'array' then a.value else jsonb_build_array(a.value) end) v
    where t.attributes <> '{}'`;
