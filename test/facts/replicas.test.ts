/** What a process says of itself, and the pruning of the feed, which must leave nothing that looks whole and is not. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { VERSION } from '../../src/config.ts';
import { connect } from '../../src/db/connect.ts';
import { reportReplica } from '../../src/facts/replicas.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { newDatabase } from '../support/postgres.ts';

const SOON = 10;

describe('a replica', () => {
  let db: Knex;
  let position: number | undefined;
  let replica: { close: () => void };

  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    replica = reportReplica(db, { position: () => position }, createLog('silent'), SOON);
  });
  afterEach(async () => {
    replica.close();
    await db.destroy();
  });

  it('says which change it has applied, and takes those off the table that are gone', async () => {
    await db('replicas').insert({ id: 'gone', version: '0', seen_at: '2020-01-01' });
    await eventually(async () => (await db('replicas').where({ version: VERSION }).first())?.last_applied === null);
    position = 7;
    await eventually(async () => (await db('replicas').where({ version: VERSION }).first())?.last_applied === '7');
    await eventually(async () => (await db('replicas')).length === 1);
  });

  it('prunes whole numbers that are old, and never the last', async () => {
    const rows = (seq: number, at: string) =>
      ['a', 'b', 'c'].map((id) => ({ seq, kind: 'user', id, at: db.raw(`now() - ?::interval`, [at]) }));
    await db('changes').insert([1, 2, 3].flatMap((seq) => rows(seq, '61 minutes')));
    await db('changes').insert([4, 5].flatMap((seq) => rows(seq, '59 minutes')));
    await db.raw('update change_counter set last = 5');
    const left = async () => (await db('changes').orderBy('seq')).map(({ seq }) => Number(seq));
    await eventually(async () => (await left()).length < 15);
    expect(await left()).to.deep.equal([4, 4, 4, 5, 5, 5]);
    await db('changes').update({ at: '2020-01-01' });
    await eventually(async () => (await left()).length < 6);
    expect(await left()).to.deep.equal([5, 5, 5]);
  });

  it('goes on once the database takes its word again', async () => {
    await db.raw('alter table replicas rename to hidden');
    await new Promise((resolve) => setTimeout(resolve, 10 * SOON));
    await db.raw('delete from hidden; alter table hidden rename to replicas');
    await eventually(async () => (await db('replicas')).length === 1);
  });
});
