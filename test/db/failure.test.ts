/** Errors during database work, classified: a timeout, the database, or a defect of the code. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { orFailure } from '../../src/db/failure.ts';
import { type Commit, mutate, onCommit } from '../../src/db/mutate.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { FAILURES, type Failure } from '../../src/errors.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';

describe('a failure of database work', () => {
  let url: string;
  let db: Knex;
  before(async () => {
    url = await newDatabase();
    db = connect({ url, poolSize: 2, limitMs: 2000 });
  });
  after(() => db.destroy());

  /** The failure of a mutation that inserts a user and then does `work`; the user must have been rolled back. */
  const failureOf = async (work: (trx: Knex.Transaction) => unknown): Promise<Failure> => {
    const failure = await rejection(
      mutate(db, { id: 'test' }, async (trx) => {
        await trx('users').insert({ id: 'u1' });
        await work(trx);
        return { result: undefined, events: [], changes: [] };
      }),
    );
    expect(await db('users')).to.deep.equal([]);
    return failure as Failure;
  };

  it('is INTERNAL where the code is wrong, in a read as in a write, and keeps the error for the log', async () => {
    const user = undefined as unknown as { id: string };
    const reads = [orFailure, (read: Promise<unknown>) => createBreaker()(() => read, deadlineIn(5000))];
    for (const defect of [() => user.id, () => new Date(Number.NaN).toISOString()]) {
      const ofReads = reads.map((read) => rejection(read(Promise.resolve().then(defect))) as Promise<Failure>);
      for (const failure of await Promise.all([failureOf(defect), ...ofReads])) {
        expect(failure.code).to.equal('INTERNAL');
        expect(failure.cause).to.satisfy((cause: unknown) => cause instanceof TypeError || cause instanceof RangeError);
        expect(failure.message).to.not.match(/undefined|Invalid time/);
      }
    }
  });

  it('after the commit flushes the caches, and does not say that nothing was written', async () => {
    const other = connect({ url, poolSize: 1, limitMs: 2000 });
    const heard: (Commit | undefined)[] = [];
    onCommit(other, (commit) => {
      heard.push(commit);
      if (commit) throw new TypeError('a defect of a listener');
    });
    const failure = (await rejection(
      mutate(other, { id: 'test' }, async (trx) => {
        await trx('users').insert({ id: 'u2' });
        return { result: undefined, events: [], changes: [{ kind: 'user', id: 'u2' }] };
      }),
    )) as Failure;
    expect(await other('users').select('id')).to.deep.equal([{ id: 'u2' }]);
    await other('users').delete();
    await other.destroy();
    expect([failure.code, failure.message]).to.deep.equal(['INTERNAL', FAILURES.INTERNAL.message]);
    expect(heard.map((commit) => commit?.changes.length)).to.deep.equal([1, undefined]);
  });

  it('is UNAVAILABLE where the database refuses, ends the connection, or is not there', async () => {
    expect((await failureOf((trx) => trx.raw('select 1 / 0'))).code).to.equal('UNAVAILABLE');
    const ended = await failureOf((trx) => trx.raw('select pg_terminate_backend(pg_backend_pid())'));
    expect(ended.code).to.equal('UNAVAILABLE');
    const nowhere = connect({ url: 'postgres://authz@127.0.0.1:1/authz', poolSize: 1, limitMs: 500 });
    const failure = (await rejection(orFailure(nowhere.raw('select 1')))) as Failure;
    await nowhere.destroy();
    expect(failure.code).to.be.oneOf(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
  });

  it('is DEADLINE_EXCEEDED where a statement takes longer than it may', async () => {
    expect((await failureOf((trx) => trx.raw('select pg_sleep(10)'))).code).to.equal('DEADLINE_EXCEEDED');
  });
});
