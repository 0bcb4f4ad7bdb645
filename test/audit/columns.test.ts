/** The table of the decision log's columns is that of the database, and what is derived from it lacks none. */

import { expect } from 'chai';
import { COLUMN_NAMES, COLUMNS, type Column, SHOWN_COLUMNS } from '../../src/audit/columns.ts';
import { decisionFilter } from '../../src/audit/query/filters.ts';
import { ROW_COLUMNS } from '../../src/audit/record/row.ts';
import { connect } from '../../src/db/connect.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';

/** As PostgreSQL names them. */
const TYPES: Readonly<Record<string, string>> = { 'timestamptz(3)': 'timestamp(3) with time zone' };

/** Of the view; whether a column may be null, and what it may hold, as the tables say that it is of. */
const READ = `
  select v.attname as name, format_type(v.atttypid, v.atttypmod) as type, not coalesce(s.attnotnull, r.attnotnull) as nullable,
    (select string_agg(pg_get_constraintdef(c.oid), ' ') from pg_constraint c
     where conrelid = r.attrelid and contype = 'c' and conkey = array[r.attnum]) as checks
  from pg_attribute v
  join pg_attribute r on r.attrelid = 'decision_records'::regclass and r.attname = v.attname
  left join pg_attribute s on s.attrelid = 'situations'::regclass and s.attname = v.attname
  where v.attrelid = 'decisions'::regclass and v.attnum > 0`;

/** Each index of the log: the column that it begins with, and the decisions that it is of. */
const INDEXES = `
  select attname as name, pg_get_expr(indpred, indrelid) as predicate
  from pg_index join pg_attribute on attrelid = indrelid and attnum = indkey[0] where indrelid = 'decision_records'::regclass`;

/** What `indexed` should be of a column that an index with this predicate begins with; undefined: it leads to some of them only. */
function indexedBy({
  name,
  predicate,
}: {
  readonly name: string;
  readonly predicate: string | null;
}): Column['indexed'] {
  if (predicate === null || predicate === `(${name} IS NOT NULL)`) return true;
  const except = new RegExp(`^\\(${name} <> '([^']*)'::text\\)$`).exec(predicate)?.[1];
  return except === undefined ? undefined : { except };
}

interface Stored {
  readonly name: string;
  readonly type: string;
  readonly nullable: boolean;
  readonly checks: string | null;
}

describe('the columns of the decision log', () => {
  for (const postgres of POSTGRES) {
    it(`are those of the table, on ${postgres}`, async () => {
      const db = connect({ url: await newDatabase(postgres), poolSize: 1 });
      const { rows } = await db.raw<{ rows: Stored[] }>(READ);
      await db.destroy();
      expect(rows.map(({ name, type, nullable }) => ({ name, type, nullable }))).to.have.deep.members(
        COLUMN_NAMES.map((name) => {
          const { type, nullable } = COLUMNS[name];
          return { name, type: TYPES[type] ?? type, nullable };
        }),
      );
      for (const name of COLUMN_NAMES) {
        const { values }: Column = COLUMNS[name];
        if (values === undefined) continue;
        const checks = rows.find((row) => row.name === name)?.checks ?? '';
        expect([...checks.matchAll(/'([^']+)'/g)].map((match) => match[1]).sort(), name).to.deep.equal(
          [...values].sort(),
        );
      }
    });
  }

  for (const postgres of POSTGRES) {
    it(`say which filters an index serves, on ${postgres}`, async () => {
      const db = connect({ url: await newDatabase(postgres), poolSize: 1 });
      const { rows } = await db.raw<{ rows: { name: string; predicate: string | null }[] }>(INDEXES);
      await db.destroy();
      const stored = new Map<string, Column['indexed']>();
      for (const row of rows) if (stored.get(row.name) === undefined) stored.set(row.name, indexedBy(row));
      const filters = COLUMN_NAMES.filter((name) => COLUMNS[name].filter);
      const said = filters.map((name): [string, Column['indexed']] => [name, (COLUMNS[name] as Column).indexed]);
      expect(said).to.deep.equal(filters.map((name) => [name, stored.get(name)]));
    });
  }

  it('are all written', () => {
    expect(ROW_COLUMNS).to.have.members([...COLUMN_NAMES, 'situation']);
  });

  it('are shown under one name each, and filtered by under that name', () => {
    const shown = SHOWN_COLUMNS.map(({ api }) => api);
    expect(new Set(shown).size).to.equal(shown.length);
    const hidden = COLUMN_NAMES.filter((name) => COLUMNS[name].api === null);
    expect(hidden).to.deep.equal(['personal_salt', 'personal_digest']);
    const filtered = SHOWN_COLUMNS.filter(({ filter }) => filter).map(({ api }) => api as string);
    expect(Object.keys(decisionFilter)).to.have.members([
      ...filtered,
      ...['action', 'policy', 'ip', 'userAgent', 'withoutCredential', 'not', 'from', 'to'],
    ]);
  });
});
