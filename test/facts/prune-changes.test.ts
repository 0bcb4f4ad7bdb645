/** Pruning of the change feed, which must not leave a number with only some of its rows. */

import { expect } from 'chai';
import { connect } from '../../src/db/connect.ts';
import { pruneChanges } from '../../src/facts/prune-changes.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { newDatabase } from '../support/postgres.ts';

describe('the change feed', () => {
  it('loses old numbers with all of their rows, and never the last number', async () => {
    const db = connect({ url: await newDatabase(), poolSize: 2 });
    const pruning = pruneChanges(db, createLog('silent'), 10);
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
    pruning.close();
    await db.destroy();
  });
});
