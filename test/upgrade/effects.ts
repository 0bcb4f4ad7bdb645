/**
 * What a migration does to a schema, read from PostgreSQL's own catalogue before and after, and from what its transaction did to rows and
 * files: an oracle of whether it is additive that goes by no text of it.
 */

import type { Knex } from 'knex';

/** By `kind name`: the table that it belongs to, where it does, and all of its definition that older versions rely on. */
type Catalogue = ReadonlyMap<string, { readonly table: string; readonly is: string }>;

/** Nothing of it is named after partitions, which are made as days go by; they are there by their files. */
const CATALOGUE = `
  with own as (
    select *, oid::regclass::text as name from pg_class where relnamespace = 'public'::regnamespace and relname !~ '^knex_'
  ), grants as (
    select 'table ' || name as thing, name as of_table, (aclexplode(coalesce(relacl, acldefault('r', relowner)))).* from own where relkind in ('r', 'p', 'v')
    union all
    select 'function ' || oid::regprocedure, '', (aclexplode(coalesce(proacl, acldefault('f', proowner)))).* from pg_proc
    where pronamespace = 'public'::regnamespace
  )
  select 'table ' || name as key, name as of_table, concat_ws(' ', relkind, relrowsecurity, relforcerowsecurity, relfilenode) as is
  from own where relkind in ('r', 'p', 'v')
  union all
  select 'column ' || name || '.' || attname, name, concat_ws(' ', format_type(atttypid, atttypmod), attcollation::regcollation,
    case when attnotnull and not atthasdef and attidentity = '' then 'required' when attnotnull then 'not null' end,
    pg_get_expr(adbin, adrelid), attgenerated)
  from own join pg_attribute a on a.attrelid = own.oid and attnum > 0 and not attisdropped
    left join pg_attrdef d on d.adrelid = attrelid and d.adnum = attnum
  where relkind in ('r', 'p', 'v')
  union all
  select 'constraint ' || conname || ' on ' || name, name, pg_get_constraintdef(c.oid)
  from pg_constraint c join own on own.oid in (conrelid, confrelid) where relkind in ('r', 'p') and contype <> 'n'
  union all
  select 'index ' || i.indexrelid::regclass, name, pg_get_indexdef(i.indexrelid) from pg_index i join own on own.oid = i.indrelid
  union all
  select 'trigger ' || tgname || ' on ' || name, name, concat_ws(' ', pg_get_triggerdef(t.oid), tgenabled)
  from pg_trigger t join own on own.oid = tgrelid where not tgisinternal
  union all
  select 'function ' || oid::regprocedure, '', concat_ws(' ', pg_get_function_arguments(oid), pg_get_function_result(oid), prosecdef, proconfig, prokind)
  from pg_proc where pronamespace = 'public'::regnamespace
  union all
  select 'name ' || proname || ' of functions', '', count(*)::text from pg_proc where pronamespace = 'public'::regnamespace group by proname
  union all
  select 'label ' || enumlabel || ' of ' || enumtypid::regtype, '', '' from pg_enum
  union all
  select 'domain ' || t.typname, '', concat_ws(' ', format_type(t.typbasetype, t.typtypmod), t.typnotnull, string_agg(pg_get_constraintdef(c.oid), ' '))
  from pg_type t left join pg_constraint c on contypid = t.oid
  where typnamespace = 'public'::regnamespace and typtype = 'd' group by t.oid
  union all
  select 'right ' || privilege_type || ' on ' || thing || ' of ' || coalesce(nullif(grantee, 0)::regrole::text, 'public'), of_table, '' from grants`;

/** Rows of each table that the transaction has changed or deleted. */
const TOUCHED = `
  select relid::regclass::text as name, n_tup_upd + n_tup_del as touched from pg_stat_xact_user_tables
  where schemaname = 'public' and relname !~ '^knex_' and n_tup_upd + n_tup_del > 0`;

async function catalogueOf(trx: Knex.Transaction): Promise<Catalogue> {
  const { rows } = await trx.raw<{ rows: { key: string; of_table: string; is: string }[] }>(CATALOGUE);
  return new Map(rows.map(({ key, of_table, is }) => [key, { table: of_table, is }]));
}

/** Of each view, what shows the columns that it has now: as a plan, since its text differs as soon as a column is appended. */
function viewsOf(catalogue: Catalogue): ReadonlyMap<string, string> {
  const views = new Map<string, string>();
  for (const [key, { table, is }] of catalogue) {
    if (key !== `table ${table}` || !is.startsWith('v')) continue;
    const start = `column ${table}.`;
    const columns = [...catalogue.keys()].flatMap((each) => (each.startsWith(start) ? [each.slice(start.length)] : []));
    views.set(table, `explain (verbose, costs off) select ${columns.map((name) => `"${name}"`)} from ${table}`);
  }
  return views;
}

/** What a scan puts out is all that its table has, where that costs nothing: only what the view itself puts out is held on to. */
const withoutScans = (lines: readonly string[]): readonly string[] =>
  lines.filter(
    (line, index) => !line.includes('Output: ') || lines.findIndex((each) => each.includes('Output: ')) === index,
  );

/** By view. One that can no longer be read so has no plan; the catalogue says why. */
async function plansOf(
  trx: Knex.Transaction,
  views: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, string>> {
  const plans = new Map<string, string>();
  for (const [view, sql] of views) {
    const lines = await trx
      .transaction((nested) => nested.raw<{ rows: { 'QUERY PLAN': string }[] }>(sql))
      .then(({ rows }) => rows.map((row) => row['QUERY PLAN']))
      .catch(() => []);
    plans.set(view, withoutScans(lines).join('\n'));
  }
  return plans;
}

/** Kinds that hold up or refuse what older versions write to a table that there was. A column does so only where it is required. */
const HINDERS = /^(?:constraint|index|trigger) /;

/**
 * Why the migration `up` isn't additive for whoever serves the database that `db` leads to; empty: it is. Nothing of it stays.
 * What it can't tell: whether a function whose body was replaced still does what it did.
 */
export async function hindrances(db: Knex, up: (knex: Knex) => PromiseLike<unknown>): Promise<string[]> {
  const trx = await db.transaction();
  try {
    const before = await catalogueOf(trx);
    const views = viewsOf(before);
    const shown = await plansOf(trx, views);
    await up(trx);
    const after = await catalogueOf(trx);
    const { rows } = await trx.raw<{ rows: { name: string }[] }>(TOUCHED);
    const stood = (table: string): boolean => before.has(`table ${table}`);
    return [
      ...[...before].flatMap(([key, { is }]) => (after.get(key)?.is === is ? [] : [`${key} is gone or changed`])),
      ...[...after].flatMap(([key, { table, is }]) => {
        if (before.has(key) || !stood(table)) return [];
        const hinders = HINDERS.test(key) || (key.startsWith('column ') && is.split(' ').includes('required'));
        return hinders ? [`${key} is new on a table that there was`] : [];
      }),
      ...rows.flatMap(({ name }) => (stood(name) ? [`rows of ${name} are changed or deleted`] : [])),
      ...[...(await plansOf(trx, views))].flatMap(([view, plan]) =>
        plan === shown.get(view) ? [] : [`the view ${view} shows something else`],
      ),
    ];
  } finally {
    await trx.rollback();
  }
}
