/**
 * How decisions are recorded. The role of the service may do it by `authz_record` alone: so it adds to no chain but those that the same
 * process began, and to none but today's, with records of now.
 */

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const RECORD_FUNCTIONS = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${ADVANCE_HEADS}
    ${RECORD(path)}
    revoke all on function authz_advance_heads, authz_record from public;`;
};

export const DROP_RECORD_FUNCTIONS = 'drop function authz_record, authz_advance_heads;';

/**
 * How far a record may be from the database's clock when it is written. Behind it by what a decision may wait (DECISION_DEADLINE_MS, 60 s at
 * most) and its time may be behind; ahead of it by what a clock that was set back is waited for (src/uuid.ts, 5 s). docs/audit.md states both.
 */
export const LATE = `interval '90 s'`;
const EARLY = `interval '10 s'`;

/** UTC days that a moment near the clock can be of: today's, and around midnight its neighbour. */
const NEAR_DAYS = `
  ((clock_timestamp() - ${LATE}) at time zone 'UTC')::date and ((clock_timestamp() + ${EARLY}) at time zone 'UTC')::date`;

/**
 * Compare-and-swap of the heads of the process \`chain\`: from \`before\` records to what a batch makes of them, of which \`inserted\` rows
 * were new. That is all of them; or none, where the batch had been committed already and is sent again, and then the heads must be as
 * it left them. All heads of a process bear \`holder\`, the digest of its secret.
 * INVARIANT: any other outcome raises, and so rolls back the inserts of the same statement: an insert that a rule or a
 * trigger swallowed, or (AU001) a chain that does not end where its process last saw it, as in a restored database, or is another's.
 * For the owner, and for authz_record, which runs as the owner and under a search path of ours.
 */
const ADVANCE_HEADS = `
  create function authz_advance_heads(chain uuid, holder bytea, heads jsonb, inserted bigint) returns void
  language plpgsql as $$
  declare
    head record;
    expected bigint := 0;
    again boolean := inserted = 0;
  begin
    for head in
      select * from jsonb_to_recordset(heads)
        as h (day date, format smallint, opening bytea, before bigint, records bigint, hash bytea)
    loop
      -- Heads go forwards only, whoever calls.
      if head.before < 0 or head.records <= head.before or inserted < 0 then
        raise exception 'the head of the chain % of % would not go forwards', chain, head.day
          using errcode = 'integrity_constraint_violation';
      end if;
      if not again and head.day not between ${NEAR_DAYS} then
        raise exception 'the chain % of % is of another day than the clock of the database', chain, head.day
          using errcode = 'check_violation';
      end if;
      expected := expected + head.records - head.before;
      if again then
        perform from chain_heads h where h.boot = chain and h.day = head.day and h.format = head.format
          and h.opening = head.opening and h.records = head.records and h.hash = head.hash and h.capability = holder;
      elsif head.before > 0 then
        update chain_heads h set records = head.records, hash = head.hash
        where h.boot = chain and h.day = head.day and h.format = head.format and h.opening = head.opening
          and h.records = head.before and h.capability = holder;
      elsif not exists (select from chain_heads h where h.boot = chain and h.capability is distinct from holder) then
        insert into chain_heads (boot, day, format, opening, records, hash, capability)
        values (chain, head.day, head.format, head.opening, head.records, head.hash, holder) on conflict do nothing;
      end if;
      if not found and again then
        raise exception 'a batch of the chain % was not inserted', chain using errcode = 'integrity_constraint_violation';
      elsif not found then
        raise exception 'the chain % of % does not end where this batch begins, or is another''s', chain, head.day
          using errcode = 'AU001';
      end if;
    end loop;
    if not again and inserted <> expected then
      raise exception 'of % decisions % were inserted', expected, inserted
        using errcode = 'integrity_constraint_violation';
    end if;
  end $$;`;

/**
 * Writes a batch of decisions, all of the process \`chain\`, whose \`secret\` (32 bytes) only that process has, and moves its heads. Idempotent:
 * the same batch, sent again, changes nothing. Rows come as JSON: as arrays they cost PostgreSQL as much, and the process more. JSON
 * has no bytes, which come as hex. \`facts\`, the longest part of a row, are JSON themselves, a line each: within JSON each of their
 * quotes would be escaped, and read one by one.
 */
const RECORD = (path: string): string => `
  create function authz_record(chain uuid, secret bytea, decisions json, facts text, heads jsonb) returns void
  language plpgsql security definer set search_path = ${path} as $$
  declare
    inserted bigint;
    earliest timestamptz;
    latest timestamptz;
  begin
    if octet_length(secret) is distinct from 32 then
      raise exception 'the secret of the chain % has not 32 bytes', chain using errcode = 'invalid_parameter_value';
    end if;
    with added as (
      insert into decisions (id, at, caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy,
        facts_version, facts, ip, user_agent, personal_salt, personal_digest, request_id, caller_request_id, duration_us,
        fingerprint, shadow_policy, shadow_code, shadow_rule, boot, seq, hash)
      select r.id, r.at, r.caller_id, r.api_key_id, r.user_id, r.business_id, r.action, r.effect, r.code, r.rule, r.policy,
        r.facts_version, r.facts::jsonb, r.ip, r.user_agent, decode(r.personal_salt, 'hex'), decode(r.personal_digest, 'hex'),
        r.request_id, r.caller_request_id, r.duration_us, r.fingerprint, r.shadow_policy, r.shadow_code, r.shadow_rule,
        chain, r.seq, decode(r.hash, 'hex')
      from rows from (
        json_to_recordset($3) as (
          id uuid, at timestamptz(3), caller_id text, api_key_id text, user_id text, business_id text, action text,
          effect text, code text, rule text, policy text, facts_version smallint, ip text, user_agent text,
          personal_salt text, personal_digest text, request_id text, caller_request_id text, duration_us integer,
          fingerprint text, shadow_policy text, shadow_code text, shadow_rule text, seq bigint, hash text),
        string_to_table($4, e'\\n')
      ) as r (id, at, caller_id, api_key_id, user_id, business_id, action, effect, code, rule, policy, facts_version, ip,
        user_agent, personal_salt, personal_digest, request_id, caller_request_id, duration_us, fingerprint, shadow_policy,
        shadow_code, shadow_rule, seq, hash, facts)
      on conflict do nothing
      returning decisions.at as written
    )
    select count(*), min(written), max(written) into inserted, earliest, latest from added;
    -- INVARIANT: by the clock after the inserts, so that it bounds how old a record is when others first see it.
    if earliest < clock_timestamp() - ${LATE} or latest > clock_timestamp() + ${EARLY} then
      raise exception 'decisions of % to % are too far from the clock of the database, %', earliest, latest, clock_timestamp()
        using errcode = 'check_violation';
    end if;
    perform authz_advance_heads(chain, sha256(secret), heads, inserted);
  end $$;`;
