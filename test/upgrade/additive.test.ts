/** What a migration says of itself, held against what it does. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { MIGRATIONS } from '../../migrations/index.ts';
import { daysFrom, makePartitions } from '../../src/audit/record/partitions.ts';
import { connect } from '../../src/db/connect.ts';
import { newDatabase } from '../support/postgres.ts';
import { hindrances } from './effects.ts';
import { MIGRATIONS_AFTER } from './successor.ts';

/** The first one is of an empty database, which nobody serves. */
const later = [...MIGRATIONS_AFTER].slice(1);

describe('a migration', () => {
  let db: Knex;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
    await makePartitions(db, daysFrom(Date.now(), 0));
    await db('users').insert({ id: 'ada' });
  });
  after(() => db.destroy());

  it('says of itself whether it breaks older versions, and which', () => {
    const names = [...MIGRATIONS_AFTER.keys()];
    expect(names).to.deep.equal(names.toSorted());
    expect(names).to.satisfy((all: string[]) => all.every((name) => /^\d{3}_[a-z0-9_]+$/.test(name)));
    expect([...MIGRATIONS][0]?.[1].breaking).to.equal(null);
    for (const [name, { breaking }] of MIGRATIONS_AFTER)
      expect(breaking, name).to.satisfy((mark: unknown) => mark === null || names.indexOf(String(mark)) > 0);
    for (const [name, { breaking }] of later)
      if (breaking !== null) expect(names.indexOf(breaking), name).to.be.at.most(names.indexOf(name));
  });

  it('is additive where it says so', async () => {
    const trx = await db.transaction();
    try {
      for (const [name, { breaking, up }] of later) {
        const found = await hindrances(trx, up);
        if (breaking === null) expect(found, name).to.deep.equal([]);
        else expect(found, `${name} is additive, and says that it breaks versions before ${breaking}`).to.not.equal([]);
        await up(trx);
      }
    } finally {
      await trx.rollback();
    }
  });

  const HINDERING: readonly (readonly [sql: string, why: string])[] = [
    ['drop table freezes', 'table freezes is gone'],
    ['alter table api_keys drop column friendly_name cascade', 'column api_keys.friendly_name is gone'],
    ['alter table users rename column disabled_at to ended_at', 'column users.disabled_at is gone'],
    ['alter table callers rename to services', 'table callers is gone'],
    ['alter table freezes add column locale text not null', 'column freezes.locale is new'],
    [`alter table users add column number float default random()`, 'table users is gone or changed'],
    ['alter table freezes alter column action set not null', 'column freezes.action is gone or changed'],
    ['alter table changes alter column seq type integer', 'column changes.seq is gone or changed'],
    ['alter table users alter column created_at drop default', 'column users.created_at is gone or changed'],
    [`alter table users add check (id <> 'root')`, 'is new on a table that there was'],
    ['alter table users add constraint one unique (disabled_reason)', 'index one is new'],
    ['create index concurrent_writers_wait on decision_records (rule)', 'index concurrent_writers_wait is new'],
    ['create table notes (user_id text references users)', 'is new on a table that there was'],
    ['drop index decisions_by_key', 'index decisions_by_key is gone'],
    ['drop trigger authz_batch on decision_records', 'trigger authz_batch on decision_records is gone'],
    ['alter table decision_records disable trigger authz_batch', 'trigger authz_batch on decision_records is gone or'],
    [
      `create function stop() returns trigger language plpgsql as 'begin return null; end';
       create trigger stop before insert on changes for each row execute function stop()`,
      'trigger stop on changes is new',
    ],
    ['alter function authz_record_change rename to other', 'function authz_record_change'],
    [
      `create function authz_record_change(text) returns text language sql as 'select $1'`,
      'name authz_record_change of functions is gone or changed',
    ],
    ['alter function authz_record_batch security invoker', 'function authz_record_batch() is gone or changed'],
    [
      'revoke insert on decision_records from authz_service',
      'right INSERT on table decision_records of authz_service is',
    ],
    [
      'revoke execute on function authz_make_partition from authz_service',
      'right EXECUTE on function authz_make_partition',
    ],
    ['alter table users enable row level security', 'table users is gone or changed'],
    ['update users set disabled_at = now()', 'rows of users are changed'],
    ['delete from users', 'rows of users are changed or deleted'],
    ['truncate peppers', 'table peppers is gone or changed'],
    [
      `create or replace view audited_members as select * from (select * from business_members where role <> 'owner') m`,
      'the view audited_members shows something else',
    ],
  ];

  it('cannot call itself additive where it drops, renames, narrows, rewrites or holds up', async () => {
    for (const [sql, why] of HINDERING) {
      const found = await hindrances(db, (knex) => knex.raw(sql));
      expect(found.join('\n'), sql).to.include(why);
    }
  });
});
