/**
 * The decision log as chains: a partition for each UTC day, the head of each chain, and the signed checkpoints.
 *
 * The two functions run with the rights of the tables' owner, so that the role of the service can make tomorrow's
 * partition without being able to make tables, and move the head of a chain forwards without being able to change it.
 *
 * Records that were written before there were chains stay in `decisions_unchained`; without any it is not made.
 */

import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await setOldRecordsAside(knex);
  await knex.schema.raw(`
    create table decisions (
      id uuid not null,
      at timestamptz(3) not null,
      boot uuid not null,
      seq bigint not null,
      caller_id text collate "C" not null,
      api_key_id text collate "C",
      user_id text collate "C",
      business_id text collate "C",
      action text collate "C" not null,
      effect text collate "C" not null check (effect in ('allow', 'deny')),
      code text collate "C" not null,
      rule text collate "C" not null,
      policy text collate "C" not null,
      facts jsonb not null,
      ip text,
      user_agent text,
      personal_salt bytea,
      personal_digest bytea not null check (octet_length(personal_digest) = 32),
      request_id text collate "C",
      duration_us integer,
      fingerprint text collate "C",
      shadow_policy text collate "C",
      shadow_code text collate "C",
      shadow_rule text collate "C",
      hash bytea not null check (octet_length(hash) = 32),
      -- In this order it also serves the newest first, one partition after the other. Whoever looks for an id knows its
      -- time as well: they are its first 48 bits.
      unique (at, id)
    ) partition by range (at);

    -- What auditors page by, newest first. Most decisions are allows, so what only concerns the others costs little.
    create index decisions_by_key on decisions (api_key_id, at, id) where api_key_id is not null;
    create index decisions_by_user on decisions (user_id, at, id) where user_id is not null;
    create index decisions_by_business on decisions (business_id, at, id) where business_id is not null;
    create index decisions_by_code on decisions (code, at, id) where code <> 'OK';
    create index decisions_by_business_and_code on decisions (business_id, code, at, id)
      where business_id is not null and code <> 'OK';

    create table chain_heads (
      boot uuid not null,
      day date not null,
      opening bytea not null check (octet_length(opening) = 32),
      records bigint not null check (records > 0),
      hash bytea not null check (octet_length(hash) = 32),
      primary key (boot, day)
    ) with (fillfactor = 50);

    create table checkpoints (
      number bigint primary key,
      at timestamptz(3) not null,
      writer uuid not null,
      size integer not null,
      root bytea not null check (octet_length(root) = 32),
      heads jsonb not null,
      public_key bytea not null,
      signature bytea not null
    );
    create index checkpoints_by_writer on checkpoints (writer, number);
  `);
  const { rows } = await knex.raw<{ rows: { schema: string }[] }>('select quote_ident(current_schema()) as schema');
  // A search path of the caller's choosing would let it put tables of its own in the place of ours.
  const path = `${rows[0]?.schema}, pg_temp`;
  await knex.schema.raw(MAKE_PARTITION(path));
  await knex.schema.raw(ADVANCE_HEADS(path));
  await knex.schema.raw(`
    revoke all on function authz_make_partition, authz_advance_heads from public;
    select authz_make_partition((now() at time zone 'UTC')::date + ahead) from generate_series(0, 3) as ahead;
  `);
}

/**
 * Makes the partition of a day, unless there is one. It is made beside the table and attached, because that waits for
 * nobody who reads or writes the log, and lets nobody wait: CREATE TABLE .. PARTITION OF would do both.
 */
const MAKE_PARTITION = (path: string): string => `
  create function authz_make_partition(day date) returns void
  language plpgsql security definer set search_path = ${path} as $$
  declare
    today constant date := (now() at time zone 'UTC')::date;
    name constant text := 'decisions_' || to_char(day, 'YYYYMMDD');
  begin
    if day is null or day not between today - 3 and today + 10 then
      raise exception 'the day % is not near today, the %; set the clock of the service or of the database', day, today;
    end if;
    perform pg_advisory_xact_lock(hashtext('authz_make_partition'));
    if to_regclass(name) is not null then return; end if;
    execute format('create table %I (like decisions including all)', name);
    execute format('alter table decisions attach partition %I for values from (%L) to (%L)',
      name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
  end $$;`;

/**
 * Moves heads from what they were (\`before\` records) to what they are, for a batch of which \`inserted\` rows were new: all
 * of them, or, where the batch had been committed already and is sent again, none, and then the heads stand there.
 * INVARIANT: whatever else there is raises, and so undoes the inserts of the same statement: an insert that a rule or a
 * trigger swallowed, or (AU001) a process whose chain does not end where it knows it to, as in a database that was restored.
 */
const ADVANCE_HEADS = (path: string): string => `
  create function authz_advance_heads(heads jsonb, inserted bigint) returns void
  language plpgsql security definer set search_path = ${path} as $$
  declare
    head record;
    expected bigint := 0;
    again boolean := inserted = 0;
  begin
    for head in
      select * from jsonb_to_recordset(heads)
        as h (boot uuid, day date, opening bytea, before bigint, records bigint, hash bytea)
    loop
      -- Heads go forwards only, whoever calls.
      if head.before < 0 or head.records <= head.before or inserted < 0 then
        raise exception 'the head of the chain % of % would not go forwards', head.boot, head.day
          using errcode = 'integrity_constraint_violation';
      end if;
      expected := expected + head.records - head.before;
      if again then
        perform from chain_heads h where h.boot = head.boot and h.day = head.day
          and h.opening = head.opening and h.records = head.records and h.hash = head.hash;
      elsif head.before = 0 then
        insert into chain_heads (boot, day, opening, records, hash)
        values (head.boot, head.day, head.opening, head.records, head.hash) on conflict do nothing;
      else
        update chain_heads h set records = head.records, hash = head.hash
        where h.boot = head.boot and h.day = head.day and h.opening = head.opening and h.records = head.before;
      end if;
      if not found and again then
        raise exception 'a batch of the chain % was not inserted', head.boot using errcode = 'integrity_constraint_violation';
      elsif not found then
        raise exception 'the chain % of % does not end where this batch begins', head.boot, head.day using errcode = 'AU001';
      end if;
    end loop;
    if not again and inserted <> expected then
      raise exception 'of % decisions % were inserted', expected, inserted
        using errcode = 'integrity_constraint_violation';
    end if;
  end $$;`;

const setOldRecordsAside = (knex: Knex): Knex.SchemaBuilder =>
  knex.schema.raw(`
    do $$ begin
      if exists (select from decisions) then
        alter table decisions rename to decisions_unchained;
        alter table decisions_unchained rename constraint decisions_id_at_key to decisions_unchained_id_at_key;
      else
        drop table decisions;
      end if;
    end $$`);

export async function down(knex: Knex): Promise<void> {
  await knex.schema.raw(`
    drop function authz_make_partition, authz_advance_heads;
    drop table checkpoints, chain_heads, decisions;
    create table if not exists decisions_unchained (
      id uuid not null,
      at timestamptz(3) not null,
      caller_id text collate "C" not null,
      api_key_id text collate "C",
      user_id text collate "C",
      business_id text collate "C",
      action text collate "C" not null,
      effect text not null check (effect in ('allow', 'deny')),
      code text not null,
      rule text not null,
      policy text not null,
      facts jsonb not null,
      ip text,
      user_agent text,
      request_id text,
      constraint decisions_unchained_id_at_key unique (id, at)
    );
    alter table decisions_unchained rename constraint decisions_unchained_id_at_key to decisions_id_at_key;
    alter table decisions_unchained rename to decisions;
  `);
}
