/**
 * Which versions the schema has been migrated past: with each applied migration, whom it breaks. A process of an older version cannot know
 * that of a migration that it has never heard of, so the database says it, and refuses what such a process writes.
 */

export const SCHEMA_MARKS = `
  -- Knex's own table: so the mark is there as soon as the migration is, and for as long. Roles may read it; only its owner writes it.
  -- Versions whose newest migration comes before the named one are broken by this one; null: none are.
  alter table knex_migrations add column breaking text collate "C";

  -- INVARIANT: from the commit of a breaking migration on, no process that it breaks records a decision or a change, whatever that process
  -- has noticed: AU003. And no answer leaves without its record. Says how many migrations broke somebody else.
  create function authz_require_fit(newest text) returns bigint
  language plpgsql as $$
  declare
    name text;
    others bigint;
  begin
    select max(m.breaking) filter (where m.breaking collate "C" > newest), count(m.breaking) into name, others from knex_migrations m;
    if name is not null then
      raise exception 'the database was migrated past this version: it takes one that knows the migration %, and this one ends with %', name, newest
        using errcode = 'AU003';
    end if;
    return others;
  end $$;
  revoke all on function authz_require_fit from public;`;

export const DROP_SCHEMA_MARKS = `
  drop function authz_require_fit;
  alter table knex_migrations drop column breaking;`;
