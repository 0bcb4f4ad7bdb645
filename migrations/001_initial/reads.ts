/** The event of a read of the log, for logins that may add nothing else to `admin_events`: auditors. */

/** Of what is read; `audit.` and one of these is the action of its event. */
export const READ_KINDS = [
  'query',
  'show',
  'stats',
  'export',
  'tail',
  'timeline',
  'report',
  'findings',
  'replay',
  'shadow',
  'admin',
] as const;

/** Events of one login in a minute. */
const MOST_A_MINUTE = 60;
/** Of what was asked for, as JSON. */
const MOST_BYTES = 4096;

/** `schema` is quoted, for the search path: see log-functions.ts. */
export const READS = (schema: string): string => `
  -- How many reads of this minute each login has left an event of.
  create table read_rates (
    login text collate "C" primary key,
    minute timestamptz not null,
    events integer not null
  );
  ${RECORD_READ(`${schema}, pg_temp`)}
  revoke all on function authz_record_read from public;`;

export const DROP_READS = 'drop function authz_record_read; drop table read_rates;';

/**
 * Adds the event of one read, and can do nothing else: of fixed kinds, of bounded size, at the database's own time, with the login of
 * the session (session_user, which neither SET ROLE nor this function's own rights change) beside the actor that the program states.
 *
 * The rate bounds those who may add events in no other way; to who may, it would be no bound. AU020: too many in this minute, with
 * the seconds until the next as its detail. An event is refused rather than counted into a summary: a summary is written after the
 * read, if at all, and until then the read would be one that nobody knows of.
 *
 * INVARIANT: it takes no lock that anybody but this login waits for. An auditor can leave its transaction open for as long as it likes,
 * and must not stop changes or decisions with that. So the event gets no place in the chain here, but by `authz_chain_reads`.
 */
const RECORD_READ = (path: string): string => `
  create function authz_record_read(access text, decision uuid, asked jsonb, stated text, request text) returns void
  language plpgsql security definer set search_path = ${path} as $$
  declare
    micros bigint;
    this_minute timestamptz;
    rate read_rates;
  begin
    if access is null or access not in
        (${READ_KINDS.map((kind) => `'${kind}'`).join(', ')})
      or (access = 'show') <> (decision is not null) then
      raise exception 'there is no such read of the log' using errcode = 'invalid_parameter_value';
    end if;
    if coalesce(char_length(stated), 0) not between 1 and 200 or coalesce(char_length(request), 0) > 128
      or coalesce(jsonb_typeof(asked), 'object') <> 'object' or coalesce(octet_length(asked::text), 0) > ${MOST_BYTES} then
      raise exception 'the event of this read is too long: name less at once' using errcode = 'program_limit_exceeded';
    end if;
    if not has_function_privilege(session_user, 'authz_record_change(jsonb, jsonb, text)', 'execute') then
      insert into read_rates (login, minute, events) values (session_user, '-infinity', 0) on conflict do nothing;
      select * into rate from read_rates where login = session_user for update;
      -- Under the lock, so that who waited for it across the turn of a minute does not set the count back.
      this_minute := date_trunc('minute', clock_timestamp());
      if rate.minute is distinct from this_minute then rate.events := 0; end if;
      if rate.events >= ${MOST_A_MINUTE} then
        raise exception 'the login % has read the log ${MOST_A_MINUTE} times in this minute', session_user
          using errcode = 'AU020', detail = ceil(extract(epoch from this_minute + interval '1 minute' - clock_timestamp()))::text;
      end if;
      update read_rates set minute = this_minute, events = rate.events + 1 where login = session_user;
    end if;
    micros := (extract(epoch from clock_timestamp()) * 1000000)::bigint;
    insert into admin_events (id, at, actor, action, subject_kind, subject_id, after, request_id)
    values (
      authz_event_id(micros),
      to_timestamp(micros / 1000 / 1000.0), stated, 'audit.' || access,
      case when access = 'show' then 'decision' else 'log' end,
      case access when 'show' then decision::text when 'admin' then 'admin_events' else 'decisions' end,
      asked, request);
  end $$;`;
