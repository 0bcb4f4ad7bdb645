/** PostgreSQL as a second implementation of schedules: its own time zones, and the meaning of a schedule written out in SQL. */

import type { Knex } from 'knex';
import type { DeclaredSchedule } from '../../../src/policy/declared/declaration.ts';

const IS_IN = `
  select array_agg(exists (
    select from (values (here::date), (here::date - 1)) period (day)
    where extract(dow from day)::int = any (days) and not day::text = any (except_days)
      and here >= day + make_interval(mins => from_minute)
      and here < day + make_interval(mins => to_minute) + case when to_minute < from_minute then interval '1 day' else '0' end
  ) order by place) as held
  from unnest(?::float8[]) with ordinality asked (ms, number)
  cross join json_to_recordset(?::json) schedule
    (place int, zone text, days int[], from_minute int, to_minute int, except_days text[])
  cross join lateral (select (timestamptz 'epoch' + ms * interval '1 millisecond') at time zone zone as here) local
  group by number order by number`;

/** For each moment, in milliseconds since 1970: which of the schedules it lies in, in their order. */
export async function heldByPostgres(
  db: Knex,
  schedules: readonly DeclaredSchedule[],
  moments: readonly number[],
): Promise<boolean[][]> {
  const rows = schedules.map(({ zone, days, from, to, except }, place) => ({
    place,
    zone,
    days,
    from_minute: from,
    to_minute: to,
    except_days: except,
  }));
  const result = await db.raw<{ rows: { held: boolean[] }[] }>(IS_IN, [moments as number[], JSON.stringify(rows)]);
  return result.rows.map(({ held }) => held);
}

/** How far the clocks of a zone are ahead of UTC at each moment, in milliseconds. */
export async function offsetsByPostgres(db: Knex, zone: string, moments: readonly number[]): Promise<number[]> {
  const { rows } = await db.raw<{ rows: { ahead: number }[] }>(
    `select 1000 * extract(epoch from (at at time zone :zone) - (at at time zone 'UTC'))::float8 as ahead
     from unnest(:moments::float8[]) with ordinality asked (ms, number)
     cross join lateral (select timestamptz 'epoch' + ms * interval '1 millisecond' as at) each order by number`,
    { zone, moments: moments as number[] },
  );
  return rows.map(({ ahead }) => ahead);
}

/** When a zone changes its offset, looked for every half hour: milliseconds since 1970, and the new offset. */
export async function changesByPostgres(
  db: Knex,
  zone: string,
  from: number,
  until: number,
): Promise<[number, number][]> {
  const { rows } = await db.raw<{ rows: { ms: number; ahead: number }[] }>(
    `select 1000 * extract(epoch from at)::float8 as ms, 1000 * extract(epoch from ahead)::float8 as ahead from (
       select at, ahead, lag(ahead) over (order by at) as before
       from generate_series(to_timestamp(:from), to_timestamp(:until), interval '30 minutes') at
       cross join lateral (select (at at time zone :zone) - (at at time zone 'UTC') as ahead) each
     ) each where ahead <> before order by at`,
    { zone, from: from / 1000, until: until / 1000 - 1 },
  );
  return rows.map(({ ms, ahead }) => [ms, ahead]);
}
