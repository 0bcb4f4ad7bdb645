/** Moves the clock of one database of the tests: what its functions and statements read of it, those of the service among them. */

import type { Knex } from 'knex';

// A superuser may put a function in the place of a built-in one, of which each database has its own. PostgreSQL knows built-in ones by
// heart, and so would call the old one all the same; but it replaces a call by what the new one says, where that is one expression.
const INSTALL = `
  create function public.real_clock() returns timestamptz language internal volatile as 'clock_timestamp';
  create table public.moved_clock (fixed timestamptz, shift interval not null);
  insert into public.moved_clock values (null, '0');
  grant select on public.moved_clock to public;
  create function public.clock_as_moved() returns timestamptz language sql volatile
    as 'select coalesce(fixed, public.real_clock()) + shift from public.moved_clock';
  create or replace function pg_catalog.clock_timestamp() returns timestamptz language sql volatile
    as 'select public.clock_as_moved()'`;

export interface DatabaseClock {
  /** Lets it stand still at a moment (ISO 8601). */
  readonly stopAt: (moment: string) => Promise<void>;
  /** Lets it go, that many milliseconds ahead of the true one (negative: behind). */
  readonly shiftBy: (milliseconds: number) => Promise<void>;
}

/** `db` is that of a superuser. To be called once for a database. */
export async function databaseClock(db: Knex): Promise<DatabaseClock> {
  await db.raw(INSTALL);
  const set = async (fixed: string | null, milliseconds: number): Promise<void> => {
    await db.raw(`update public.moved_clock set fixed = ?, shift = make_interval(secs => ?)`, [
      fixed,
      milliseconds / 1000,
    ]);
  };
  return { stopAt: (moment) => set(moment, 0), shiftBy: (milliseconds) => set(null, milliseconds) };
}
