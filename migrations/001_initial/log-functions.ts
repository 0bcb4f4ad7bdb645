/**
 * Functions of the decision log. The first two are SECURITY DEFINER: with the rights of the tables' owner, so that the role
 * of the service can make tomorrow's partition without being able to make tables, and move the head of a chain forwards
 * without being able to change it.
 */

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const LOG_FUNCTIONS = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${MAKE_PARTITION(path)}
    ${ADVANCE_HEADS(path)}
    ${BY_INDEX}
    revoke all on function authz_make_partition, authz_advance_heads from public;
    select authz_make_partition((now() at time zone 'UTC')::date + ahead) from generate_series(0, 3) as ahead;`;
};

export const DROP_LOG_FUNCTIONS = 'drop function authz_by_index, authz_advance_heads, authz_make_partition;';

/**
 * Makes the partition of a day, unless there is one. It is made beside the table and attached, which takes no lock that
 * reads or writes of the log wait for; CREATE TABLE .. PARTITION OF takes ACCESS EXCLUSIVE.
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
 * Compare-and-swap of chain heads: from \`before\` records to what a batch makes of them, of which \`inserted\` rows were
 * new. That is all of them; or none, where the batch had been committed already and is sent again, and then the heads must
 * be as it left them.
 * INVARIANT: any other outcome raises, and so rolls back the inserts of the same statement: an insert that a rule or a
 * trigger swallowed, or (AU001) a chain that does not end where its process last saw it, as in a restored database.
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
        as h (boot uuid, day date, format smallint, opening bytea, before bigint, records bigint, hash bytea)
    loop
      -- Heads go forwards only, whoever calls.
      if head.before < 0 or head.records <= head.before or inserted < 0 then
        raise exception 'the head of the chain % of % would not go forwards', head.boot, head.day
          using errcode = 'integrity_constraint_violation';
      end if;
      expected := expected + head.records - head.before;
      if again then
        perform from chain_heads h where h.boot = head.boot and h.day = head.day and h.format = head.format
          and h.opening = head.opening and h.records = head.records and h.hash = head.hash;
      elsif head.before = 0 then
        insert into chain_heads (boot, day, format, opening, records, hash)
        values (head.boot, head.day, head.format, head.opening, head.records, head.hash) on conflict do nothing;
      else
        update chain_heads h set records = head.records, hash = head.hash
        where h.boot = head.boot and h.day = head.day and h.format = head.format and h.opening = head.opening
          and h.records = head.before;
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

/**
 * Always true, at a cost that the planner charges for each row that it would filter: so it takes the index that leads to
 * the fewest rows. Otherwise, for a value that its statistics call frequent, it would walk the log backwards and count on
 * meeting it soon; and what was frequent last week may be met nowhere today.
 */
const BY_INDEX = `
  create function authz_by_index(at timestamptz) returns boolean
  language plpgsql stable parallel safe cost 10000 as 'begin return true; end';`;
