/** Situations: what records share is stored once, within bounds, is there for as long as one names it, and is never taken for granted. */

import { createHash } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { type Batch, newChain, numberBatch, sendBatch } from '../../../src/audit/record/batch.ts';
import type { Entry } from '../../../src/audit/record/entry.ts';
import { createRecorder } from '../../../src/audit/record/recorder.ts';
import { createSharing } from '../../../src/audit/record/sharing.ts';
import { connect } from '../../../src/db/connect.ts';
import { deadlineIn } from '../../../src/deadline.ts';
import { createLog } from '../../../src/log.ts';
import { factsWith } from '../../support/facts.ts';
import { newDatabase, POSTGRES } from '../../support/postgres.ts';
import { rejection } from '../../support/rejection.ts';
import { entry } from '../entries.ts';
import { verifiedRows } from '../verify/independent.ts';

const known = (id: string, environment: string): Entry =>
  entry({
    facts: factsWith({
      key: { id, status: 'active', userManagement: false, environment },
      user: { id: `user-${id}`, status: 'active', businesses: 'active' },
    }),
  });

for (const postgres of POSTGRES)
  describe(`situations on ${postgres}`, () => {
    let db: Knex;

    beforeEach(async () => {
      db = connect({ url: await newDatabase(postgres), poolSize: 4 });
    });
    afterEach(() => db.destroy());

    const send = (batch: Batch): Promise<string> =>
      sendBatch(db, batch, () => undefined).then(
        () => 'recorded',
        (error: { code?: string }) => error.code ?? String(error),
      );
    const stored = (): Promise<{ digest: Buffer; last_day: string; facts: object }[]> =>
      db('situations').select('digest', db.raw('last_day::text as last_day'), 'facts');
    const ownRecords = async (): Promise<number> =>
      Number((await db('decision_records').whereNull('situation').count('* as n').first())?.['n']);

    it('are one for all keys that differ in their ids only, and hold none of them', async () => {
      const entries = ['ada', 'bob', 'x y"\\ü', ''].flatMap((id) => [known(id, 'production'), known(id, 'test')]);
      expect(await send(numberBatch(newChain(), entries))).to.equal('recorded');
      const situations = await stored();
      expect(situations).to.have.length(2);
      expect(JSON.stringify(situations.map(({ facts }) => facts))).to.not.match(/"id"|ada|bob/);
      const rows = await verifiedRows(db);
      expect(rows.map(({ facts }) => facts)).to.have.deep.members(entries.map(({ facts }) => facts));
      expect(await ownRecords()).to.equal(0);
    });

    it('come with the record that names them first, or not at all, whoever else brings the same', async () => {
      const names = Array.from({ length: 40 }, (_, n) => `e${n}`);
      const batches = Array.from({ length: 4 }, (_, n) =>
        numberBatch(
          newChain(),
          (n % 2 === 0 ? names : names.toReversed()).map((name) => known('ada', name)),
        ),
      );
      const bad = numberBatch(newChain(), [known('eve', 'never'), known('a\0b', 'never')]);
      const came = await Promise.all([...batches, bad].map(send));
      expect(came.slice(0, 4)).to.deep.equal(batches.map(() => 'recorded'));
      expect(came[4]).to.equal('22021');
      expect(await stored()).to.have.length(40);
      await verifiedRows(db);
    });

    it('that are gone are sent again by the process that had stored them', async () => {
      const recorder = createRecorder(db, createLog('silent'));
      await recorder.record([known('ada', 'production')], deadlineIn(5000));
      await db('situations').delete();
      // Of the first nothing is left to read, as after any loss; the next ones do not go the same way.
      for (let n = 0; n < 2; n += 1) await recorder.record([known('bob', 'production')], deadlineIn(5000));
      expect(await stored()).to.have.length(1);
      expect(await verifiedRows(db)).to.have.length(3);
      await recorder.close();
    });

    it('are refused where one is named that is not there, and its records with it', async () => {
      const batch = numberBatch(newChain(), [known('ada', 'production')]);
      expect(await send({ ...batch, added: [] })).to.equal('AU002');
      await db.raw(`create function fault() returns trigger language plpgsql as 'begin return null; end';
        create trigger fault before insert on situations for each row execute function fault()`);
      const recorder = createRecorder(db, createLog('silent'));
      expect(await rejection(recorder.record([known('ada', 'production')], deadlineIn(5000)))).to.have.property(
        'code',
        'UNAVAILABLE',
      );
      await db.raw('drop function fault cascade');
      await recorder.record([known('ada', 'production')], deadlineIn(5000));
      expect(await verifiedRows(db)).to.have.length(1);
      await recorder.close();
    });

    it('cannot be put in the place of others: each is stored under the digest of what it says', async () => {
      const batch = numberBatch(newChain(), [known('ada', 'production')]);
      const [situation] = batch.added;
      const forged = { ...(situation as object), content: situation?.content.replace('active', 'revoked') } as never;
      expect(await send({ ...batch, added: [forged] })).to.equal('AU002');
      expect(await stored()).to.deep.equal([]);
      expect(await send(batch)).to.equal('recorded');
      const digest = createHash('sha256')
        .update(situation?.content ?? '')
        .digest('hex');
      expect((await stored()).map((one) => one.digest.toString('hex'))).to.deep.equal([digest]);
    });

    it('know the last day that names them, and are not dropped under a batch of that day', async () => {
      const sharing = createSharing();
      const first = numberBatch(newChain(), [known('ada', 'production')], sharing);
      expect(await send(first)).to.equal('recorded');
      sharing.keep(first.added);
      await db.raw(`update situations set last_day = last_day - 30`);
      // A retention that is about to drop it, and a batch that names it meanwhile.
      const dropping = await db.transaction();
      await dropping.raw(`delete from situations where last_day < current_date - 7`);
      const next = numberBatch(first.chain, [known('bob', 'production')], sharing);
      expect(next.added).to.deep.equal([]);
      const came = send(next);
      await dropping.commit();
      expect(await came).to.equal('AU002');
      expect(await send(numberBatch(first.chain, [known('bob', 'production')]))).to.equal('recorded');
      await db.raw(`update situations set last_day = last_day - 30`);
      expect(await send(numberBatch(newChain(), [known('eve', 'production')]))).to.equal('recorded');
      expect((await stored()).map(({ last_day }) => last_day)).to.deep.equal([new Date().toISOString().slice(0, 10)]);
    });

    it('are bounded in length, and in how many are new; what is beyond has its facts itself, and verifies', async () => {
      let now = 0;
      const sharing = createSharing(() => now);
      const many = Array.from({ length: 4100 }, (_, n) => known('ada', `e${n}`));
      const long = known('ada', 'x'.repeat(9000));
      const first = numberBatch(newChain(), [...many, long], sharing);
      expect(first.added).to.have.length(4096);
      expect(await send(first)).to.equal('recorded');
      sharing.keep(first.added);
      expect(await ownRecords()).to.equal(5);
      now += 2000;
      const more = Array.from({ length: 5 }, (_, n) => known('ada', `later-${n}`));
      const next = numberBatch(first.chain, more, sharing);
      expect(next.added).to.have.length(2);
      expect(await send(next)).to.equal('recorded');
      expect(await verifiedRows(db)).to.have.length(4106);
    });

    it('give any facts back as they were', async () => {
      const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((one) => one.replaceAll('\0', '0'));
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.record({ id: text, environment: text, action: text, exceeded: fc.boolean() }), {
            minLength: 1,
            maxLength: 8,
          }),
          async (drawn) => {
            const entries = drawn.map(({ id, environment, action, exceeded }) =>
              entry({
                facts: factsWith({
                  key: { id, status: 'active', userManagement: false, environment },
                  target: { id: `${id}!`, status: 'active', role: 'owner', inRestriction: true },
                  limit: { exceeded },
                  request: { action },
                }),
              }),
            );
            expect(await send(numberBatch(newChain(), entries))).to.equal('recorded');
            const rows = await verifiedRows(db);
            for (const { id, facts } of entries) expect(rows.find((row) => row.id === id)?.facts).to.deep.equal(facts);
          },
        ),
        { numRuns: 15 },
      );
    });
  });
