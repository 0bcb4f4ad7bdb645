/**
 * How events are added to `admin_events`, as one chain for the database: each is hashed with the one before. The role of the service may
 * do it by these functions alone; docs/audit.md, "The encoding", has the bytes.
 */

import { READ_KINDS } from './reads.ts';

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const ADMIN_CHAIN = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${EVENT_ID}
    ${EVENT_HASH}
    ${RECORD_CHANGE(path)}
    ${CHAIN_READS(path)}
    revoke all on function authz_field, authz_event_id, authz_event_hash, authz_record_change, authz_chain_reads from public;`;
};

export const DROP_ADMIN_CHAIN =
  'drop function authz_chain_reads, authz_record_change, authz_event_hash, authz_field, authz_event_id;';

/**
 * The UUIDv7 of an event: 48 bits of milliseconds, the version, 12 bits of the rest of the time so that ids are in its order, and random
 * ones. `micros`: microseconds since 1970.
 */
const EVENT_ID = `
  create function authz_event_id(micros bigint) returns uuid
  language sql volatile as $$
    select encode(overlay(overlay(uuid_send(gen_random_uuid())
      placing substring(int8send(micros / 1000) from 3) from 1 for 6)
      placing substring(int8send(x'7000'::int + micros % 1000 * 4096 / 1000) from 7) from 7 for 2), 'hex')::uuid $$;`;

/**
 * The hash of an event that stands after one with the hash `previous`; src/audit/format/event-hash.ts has the same in TypeScript, and a test
 * holds the two together.
 */
const EVENT_HASH = `
  -- STABLE, as convert_to is: else it is not inlined, and the hash takes three times as long.
  create function authz_field(value text) returns bytea
  language sql stable as $$
    select coalesce(int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8'), '\\xffffffff') $$;

  create function authz_event_hash(previous bytea, event admin_events) returns bytea
  language plpgsql stable as $$
  declare
    instant constant text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
  begin
    return sha256(convert_to(e'iqra-authz/event/1\\n', 'UTF8') || previous
      || authz_field(event.seq::text) || authz_field(event.id::text)
      || authz_field(to_char(event.at at time zone 'UTC', instant))
      || authz_field(to_char(event.chained_at at time zone 'UTC', instant))
      || authz_field(event.actor) || authz_field(event.login) || authz_field(event.action)
      || authz_field(event.subject_kind) || authz_field(event.subject_id)
      || authz_field(event.before::text) || authz_field(event.after::text) || authz_field(event.request_id));
  end $$;`;

/**
 * Adds the events of a change and its entries in the change feed, and says which number of the feed they have; without entries, the last.
 * Time and login of an event are those that the database knows. A process names the newest migration that it knows; who changes rows by hand need not.
 * INVARIANT: the row of `change_counter` is locked until the commit, and nothing is locked after it: so numbers of the feed and of the chain
 * become visible in their order, and no two transactions wait for each other here. It is to be the last statement of its transaction.
 */
const RECORD_CHANGE = (path: string): string => `
  create function authz_record_change(events jsonb, changes jsonb, newest_migration text default null) returns bigint
  language plpgsql security definer set search_path = ${path} as $$
  declare
    counter change_counter;
    event admin_events;
    micros bigint;
  begin
    if newest_migration is not null then perform authz_require_fit(newest_migration); end if;
    select * into strict counter from change_counter for update;
    for event in select * from jsonb_populate_recordset(null::admin_events, $1) loop
      micros := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
      event.id := authz_event_id(micros);
      event.at := to_timestamp(micros / 1000 / 1000.0);
      event.chained_at := event.at;
      event.login := session_user;
      event.seq := counter.events + 1;
      event.hash := authz_event_hash(counter.events_hash, event);
      insert into admin_events values (event.*);
      counter.events := event.seq;
      counter.events_hash := event.hash;
    end loop;
    if jsonb_array_length($2) > 0 then
      counter.last := counter.last + 1;
      insert into changes (seq, kind, id, digest)
      select counter.last, kind, id, digest
      from jsonb_to_recordset($2) as change (kind text, id text, digest bytea);
      perform pg_notify('authz_changes', counter.last::text);
    end if;
    update change_counter set last = counter.last, events = counter.events, events_hash = counter.events_hash;
    return counter.last;
  end $$;`;

/**
 * Gives the events of reads (reads.ts), which come without one, their place in the chain: `most` of them, the oldest first. Says how many.
 * What else stands outside the chain was put there past all functions, and stays there for the verification to find.
 */
const CHAIN_READS = (path: string): string => `
  create function authz_chain_reads(most integer) returns integer
  language plpgsql security definer set search_path = ${path} as $$
  declare
    counter change_counter;
    event admin_events;
    chained integer := 0;
  begin
    if not exists (select from admin_events where seq is null) then return 0; end if;
    select * into strict counter from change_counter for update;
    for event in
      select * from admin_events
      where seq is null and action in (${READ_KINDS.map((kind) => `'audit.${kind}'`).join(', ')})
      order by id limit most
    loop
      event.seq := counter.events + 1;
      event.chained_at := date_trunc('milliseconds', clock_timestamp());
      event.hash := authz_event_hash(counter.events_hash, event);
      update admin_events set seq = event.seq, chained_at = event.chained_at, hash = event.hash where id = event.id;
      counter.events := event.seq;
      counter.events_hash := event.hash;
      chained := chained + 1;
    end loop;
    update change_counter set events = counter.events, events_hash = counter.events_hash;
    return chained;
  end $$;`;
