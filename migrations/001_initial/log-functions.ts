/**
 * Functions of the decision log. The first is SECURITY DEFINER: with the rights of the tables' owner, so that the role
 * of the service can make tomorrow's partition without being able to make tables.
 */

import { LATE } from './record-functions.ts';

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const LOG_FUNCTIONS = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${MAKE_PARTITION(path)}
    ${BY_INDEX}
    revoke all on function authz_make_partition from public;
    select authz_make_partition((now() at time zone 'UTC')::date + ahead) from generate_series(0, 3) as ahead;`;
};

export const DROP_LOG_FUNCTIONS = 'drop function authz_by_index, authz_make_partition;';

/**
 * Makes the partition of a day, unless there is one: of today, around midnight yesterday, and of days to come. It is made beside the table and attached, which takes no lock that
 * reads or writes of the log wait for; CREATE TABLE .. PARTITION OF takes ACCESS EXCLUSIVE.
 */
const MAKE_PARTITION = (path: string): string => `
  create function authz_make_partition(day date) returns void
  language plpgsql security definer set search_path = ${path} as $$
  declare
    today constant date := (clock_timestamp() at time zone 'UTC')::date;
    first constant date := ((clock_timestamp() - ${LATE}) at time zone 'UTC')::date;
    name constant text := 'decisions_' || to_char(day, 'YYYYMMDD');
  begin
    if day is null or day not between first and today + 10 then
      raise exception 'the day % is not today, the %, nor one of the next; see to the clock of the database', day, today;
    end if;
    -- One at a time, by the lock that attaching takes anyway. Who may read the log cannot hold it, as it could an advisory lock.
    lock table only decision_records in share update exclusive mode;
    if to_regclass(name) is not null then return; end if;
    execute format('create table %I (like decision_records including all)', name);
    execute format('alter table decision_records attach partition %I for values from (%L) to (%L)',
      name, day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
  end $$;`;

/**
 * Always true, at a cost that the planner charges for each row that it would filter: so it takes the index that leads to
 * the fewest rows. Otherwise, for a value that its statistics call frequent, it would walk the log backwards and count on
 * meeting it soon; and what was frequent last week may be met nowhere today.
 */
const BY_INDEX = `
  create function authz_by_index(at timestamptz) returns boolean
  language plpgsql stable parallel safe cost 10000 as 'begin return true; end';`;
