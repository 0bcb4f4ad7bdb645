/** Statements that take too long, wait too long for a connection, or are never answered. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createRecorder, type RecordEntries } from '../../src/audit/record/recorder.ts';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { deadlineIn } from '../../src/deadline.ts';
import type { Failure } from '../../src/errors.ts';
import { createLog } from '../../src/log.ts';
import { entry } from '../audit/entries.ts';
import { newDatabase } from '../support/postgres.ts';

const recorder = (db: Knex): RecordEntries => createRecorder(db, createLog('silent')).record;

const failureOf = async (promise: Promise<unknown>): Promise<Failure> => {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  expect(thrown).to.have.property('name', 'Failure');
  return thrown as Failure;
};

describe('a connection', () => {
  let url: string;
  let other: Knex;
  const opened: Knex[] = [];

  /** A pool of one connection. */
  const pool = (limitMs: number, from = url): Knex => {
    const db = connect({ url: from, poolSize: 1, limitMs });
    opened.push(db);
    return db;
  };
  const first = async (db: Knex, statement: string): Promise<unknown> => {
    const { rows } = await db.raw(statement);
    return Object.values(rows[0])[0];
  };

  before(async () => {
    url = await newDatabase();
    other = connect({ url, poolSize: 1 });
  });
  afterEach(async () => {
    for (const db of opened.splice(0)) await db.destroy();
  });
  after(() => other?.destroy());

  it('keeps synchronous_commit on, whatever the options of the URL', async () => {
    const options = '-c synchronous_commit=off -c statement_timeout=0 -c work_mem=5MB';
    const db = pool(1000, `${url}?options=${encodeURIComponent(options)}`);
    expect(await first(db, 'show synchronous_commit')).to.equal('on');
    expect(await first(db, 'show statement_timeout')).to.equal('1s');
    expect(await first(db, 'show work_mem')).to.equal('5MB');
  });

  it('has statements ended by statement_timeout before a later deadline', async () => {
    const db = pool(100);
    await other.transaction(async (trx) => {
      await trx.raw('lock table decision_records in access exclusive mode');
      const failure = await failureOf(recorder(db)([entry()], deadlineIn(10_000)));
      expect(failure).to.include({ code: 'DEADLINE_EXCEEDED', status: 504 });
      expect(failure.cause).to.have.property('code', '57014');
    });
  });

  it('sends no insert when the deadline passed while waiting for it', async () => {
    const db = pool(1000);
    const late = entry();
    const busy = db.raw('select pg_sleep(0.3)').then();
    expect((await failureOf(recorder(db)([late], deadlineIn(100)))).code).to.equal('DEADLINE_EXCEEDED');
    await busy;
    await recorder(db)([entry()], deadlineIn(1000));
    expect(await other('decisions').where({ id: late.id })).to.have.length(0);
  });

  it('is not discarded because a deadline passes: reconnecting would make a busy service busier', async () => {
    const db = pool(1000);
    const pid = await first(db, 'select pg_backend_pid()');
    const read = () => db.raw('select pg_sleep(0.2)').then();
    expect((await failureOf(createBreaker()(read, deadlineIn(50)))).code).to.equal('DEADLINE_EXCEEDED');
    expect(await first(db, 'select pg_backend_pid()')).to.equal(pid);
  });

  it('is discarded and closed at once when the server does not answer', async () => {
    const db = pool(100);
    const pid = await first(db, 'select pg_backend_pid()');
    // Longer than statement_timeout and the grace after it.
    await failureOf(
      createBreaker()(() => db.raw(`set statement_timeout = 0; select pg_sleep(0.5)`).then(), deadlineIn(2000)),
    );
    expect(await first(db, 'select pg_backend_pid()')).not.to.equal(pid);
    await sleep(300);
    const { rows } = await other.raw('select from pg_stat_activity where pid = ?', [pid as number]);
    expect(rows).to.have.length(0);
  });

  it('fails the record when PostgreSQL inserted only some of its rows', async () => {
    await other.raw(`create function fault() returns trigger language plpgsql as 'begin return null; end';
      create trigger fault before insert on decision_records for each row execute function fault()`);
    try {
      const failure = await failureOf(recorder(pool(1000))([entry()], deadlineIn(1000)));
      expect(failure.code).to.equal('UNAVAILABLE');
    } finally {
      await other.raw('drop function fault cascade');
    }
  });
});
