/**
 * How checkpoints are appended. The role of the service may do it by these functions alone: one inserted number at the end of all numbers
 * would leave none for the next.
 */

/** `schema` is quoted. A search path of the caller's choosing would let it put tables of its own in the place of ours. */
export const CHECKPOINT_FUNCTIONS = (schema: string): string => {
  const path = `${schema}, pg_temp`;
  return `
    ${NEXT(path)}
    ${APPEND(path)}
    revoke all on function authz_append_checkpoint from public;`;
};

export const DROP_CHECKPOINT_FUNCTIONS = 'drop function authz_append_checkpoint, authz_next_checkpoint;';

/**
 * The number of the next checkpoint: behind the greatest one that follows another. So a number far out, which a superuser has inserted,
 * ends nothing. Of the snapshot of the statement that calls it; none is beyond what a JSON reader holds exactly.
 */
const NEXT = (path: string): string => `
  create function authz_next_checkpoint() returns bigint
  language sql stable set search_path = ${path} as $$
    select coalesce((
      select c.number + 1 from checkpoints c
      where c.number between 1 and 9007199254740990
        and (c.number = 1 or exists (select from checkpoints before where before.number = c.number - 1))
      order by c.number desc limit 1), 1) $$;`;

/**
 * Appends a checkpoint if its number is the next. True: it is in the table, now or from an earlier attempt whose answer was lost. False: the
 * number is another's, or the table was set back; look again. A time ahead of the database's clock is refused: the
 * verification holds later records against it. So it may be at most 10 s ahead, as that of a record.
 */
const APPEND = (path: string): string => `
  create function authz_append_checkpoint(number bigint, at timestamptz, writer uuid, size integer, root bytea, heads jsonb,
    public_key bytea, signature bytea) returns boolean
  language plpgsql security definer set search_path = ${path} as $$
  #variable_conflict use_column
  begin
    if exists (select from checkpoints where number = $1 and writer = $3 and signature = $8) then return true; end if;
    if $1 is distinct from authz_next_checkpoint() then return false; end if;
    if $2 > clock_timestamp() + interval '10 s' then
      raise exception 'checkpoint % is of %, which the clock of the database has not reached', $1, $2
        using errcode = 'check_violation';
    end if;
    insert into checkpoints (number, at, writer, size, root, heads, public_key, signature)
    values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict (number) do nothing;
    return found;
  end $$;`;
