/**
 * How decisions are recorded. Who may insert them does so batch by batch: a trigger holds each statement's rows against the batch that the
 * transaction has named, and moves its heads. So the role of the service adds to no chain but those that the same process began, and to none
 * but today's, with records of now.
 */

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const RECORD_FUNCTIONS = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${ADVANCE_HEADS}
    ${ADD_SITUATIONS}
    ${RECORD_BATCH(path)}
    ${REQUIRE_RECORDED}
    revoke all on function authz_advance_heads, authz_add_situations, authz_record_batch from public;
    create trigger authz_batch after insert on decision_records referencing new table as added
      for each statement execute function authz_record_batch();`;
};

export const DROP_RECORD_FUNCTIONS = `
  drop trigger authz_batch on decision_records;
  drop function authz_require_recorded, authz_record_batch, authz_add_situations, authz_advance_heads;`;

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
 * are in the table: all of them. All heads of a process bear \`holder\`, the digest of its secret.
 * INVARIANT: any other outcome raises, and so rolls back the inserts of the same statement: an insert that a trigger swallowed, or
 * (AU001) a chain that does not end where its process last saw it, as in a restored database, or is another's. Returns by how many
 * records the heads have moved.
 * For the owner, and for authz_record_batch, which runs as the owner and under a search path of ours.
 */
const ADVANCE_HEADS = `
  create function authz_advance_heads(chain uuid, holder bytea, heads jsonb, inserted bigint) returns bigint
  language plpgsql as $$
  declare
    head jsonb;
    day_of date;
    before bigint;
    after bigint;
    expected bigint := 0;
  begin
    for n in 0 .. jsonb_array_length(heads) - 1 loop
      head := heads->n;
      day_of := head->>'day';
      before := head->>'before';
      after := head->>'records';
      -- Heads go forwards only, whoever calls.
      if before is null or after is null or before < 0 or after <= before then
        raise exception 'the head of the chain % of % would not go forwards', chain, day_of
          using errcode = 'integrity_constraint_violation';
      end if;
      if day_of is null or day_of not between ${NEAR_DAYS} then
        raise exception 'the chain % of % is of another day than the clock of the database', chain, day_of
          using errcode = 'check_violation';
      end if;
      expected := expected + after - before;
      if before > 0 then
        update chain_heads h set records = after, hash = (head->>'hash')::bytea
        where h.boot = chain and h.day = day_of and h.format = (head->>'format')::smallint
          and h.opening = (head->>'opening')::bytea and h.records = before and h.capability = holder;
      else
        insert into chain_heads (boot, day, format, opening, records, hash, capability)
        select chain, day_of, (head->>'format')::smallint, (head->>'opening')::bytea, after, (head->>'hash')::bytea, holder
        where not exists (select from chain_heads h where h.boot = chain and h.capability is distinct from holder)
        on conflict do nothing;
      end if;
      if not found then
        raise exception 'the chain % of % does not end where this batch begins, or is another''s', chain, day_of
          using errcode = 'AU001';
      end if;
    end loop;
    if inserted is distinct from expected then
      raise exception 'of % decisions % were inserted', expected, inserted
        using errcode = 'integrity_constraint_violation';
    end if;
    return expected;
  end $$;`;

/**
 * Adds the situations \`added\` (texts) that are not there, and takes \`day\` for the last on which those with the digests \`named\` are named.
 * INVARIANT: each of them is there in the end, and stays for as long as the records of that day: AU002 where one is not. So no record
 * is without its facts, whatever a process believes to have sent before. What is added is named by its own digest, so nobody can put
 * another in its place. Locks are taken in the order of digests, so that two batches that take the same ones do not deadlock.
 * Returns how many are named.
 */
const ADD_SITUATIONS = `
  create function authz_add_situations(added jsonb, named bytea[], day date) returns bigint
  language plpgsql as $$
  declare
    known bigint;
  begin
    if jsonb_array_length(added) > 0 then
      insert into situations (digest, last_day, policy, facts_version, facts)
      select digest, day, content->>'policy', (content->>'factsVersion')::smallint, content->'facts'
      from (
        select sha256(convert_to(text, 'UTF8')) as digest, text::jsonb as content from jsonb_array_elements_text(added) as text
      ) as texts
      order by digest on conflict do nothing;
    end if;
    select count(*) into known from situations s where s.digest = any (named) and s.last_day >= day;
    if known < cardinality(array_remove(named, null)) then
      perform from situations s where s.digest = any (named) and s.last_day < day order by s.digest for update;
      update situations s set last_day = day where s.digest = any (named) and s.last_day < day;
      select count(*) into known from situations s where s.digest = any (named) and s.last_day >= day;
      if known < cardinality(array_remove(named, null)) then
        raise exception 'a situation that decisions name is not there' using errcode = 'AU002';
      end if;
    end if;
    return known;
  end $$;`;

/**
 * After each statement that inserts decisions, whoever runs it and by whichever command: its rows must be those of the batch that
 * the transaction has named in the setting \`authz.batch\`: JSON of chain, secret (32 bytes in hex, which only the process of the chain has),
 * heads, those of their situations that may be new, and the newest migration that the process knows. A statement without a batch is for the owner of the table alone, who restores a backup so.
 * INVARIANT: the rows are counted as they are in the table (a transition table), so what another trigger swallowed is missed. And they are
 * held against the clock after the inserts, so that it bounds how old a record is when others first see it.
 *
 * It runs for each batch, so what it costs is kept low. Plans are made once for each session (by itself PostgreSQL would plan the look-up of
 * situations anew each time), and by index alone, since a plan that is made while a table is empty also serves when it is large.
 */
const RECORD_BATCH = (path: string): string => `
  create function authz_record_batch() returns trigger
  language plpgsql security definer
  set search_path = ${path} set plan_cache_mode = force_generic_plan set enable_seqscan = off as $$
  declare
    named text := nullif(current_setting('authz.batch', true), '');
    batch jsonb;
    process uuid;
    secret bytea;
    inserted bigint;
    strange bigint;
    earliest timestamptz;
    latest timestamptz;
    situations bytea[];
    checked bigint;
  begin
    if named is null then
      if pg_has_role(session_user, (select relowner from pg_class where oid = tg_relid), 'member') then return null; end if;
      raise exception 'decisions are recorded in batches that name their chain' using errcode = 'insufficient_privilege';
    end if;
    batch := named::jsonb;
    process := batch->>'chain';
    secret := decode(batch->>'secret', 'hex');
    if octet_length(secret) is distinct from 32 then
      raise exception 'the secret of the chain % has not 32 bytes', process using errcode = 'invalid_parameter_value';
    end if;
    select count(*), count(*) filter (where boot is distinct from process), min(at), max(at), array_agg(distinct situation)
      into inserted, strange, earliest, latest, situations from added;
    if strange > 0 then
      raise exception '% decisions are of another chain than their batch', strange using errcode = 'check_violation';
    end if;
    if earliest < clock_timestamp() - ${LATE} or latest > clock_timestamp() + ${EARLY} then
      raise exception 'decisions of % to % are too far from the clock of the database, %', earliest, latest, clock_timestamp()
        using errcode = 'check_violation';
    end if;
    -- Assigned: an expression costs a fraction of PERFORM, which runs a statement.
    checked := authz_require_fit(coalesce(batch->>'newestMigration', ''));
    checked := authz_add_situations(batch->'situations', situations, (latest at time zone 'UTC')::date);
    checked := authz_advance_heads(process, sha256(secret), batch->'heads', inserted);
    -- One statement for a batch; authz_require_recorded looks for it.
    named := set_config('authz.batch', 'recorded', true);
    return null;
  end $$;`;

/** Raises where decisions were inserted and nothing held them against their batch: the trigger is gone, or is disabled. */
const REQUIRE_RECORDED = `
  create function authz_require_recorded() returns void
  language plpgsql as $$
  begin
    if current_setting('authz.batch', true) is distinct from 'recorded' then
      raise exception 'the trigger authz_batch did not run on decision_records; create it anew, or enable it'
        using errcode = 'object_not_in_prerequisite_state';
    end if;
  end $$;`;
