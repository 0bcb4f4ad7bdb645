/** The chain of administration as it comes about: whatever happens to those who add to it, an untouched log raises no alarm. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { type Checkpoints, createCheckpoints } from '../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../src/audit/format/signatures.ts';
import { type VerifyReport, verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { type DatabaseClock, databaseClock } from '../support/database-clock.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { verifyIndependently } from './verify/independent.ts';
import { appendEvents, chainedEvents, readLog } from './written-events.ts';

const HOUR_MS = 3_600_000;

for (const postgres of POSTGRES)
  describe(`the chain of administration, on ${postgres}`, () => {
    let url: string;
    let db: Knex;
    let folder: string;
    let file: string;
    let signer: Signer;
    let clock: DatabaseClock;
    let loop: Checkpoints;

    const checkpoints = (using: Knex): Checkpoints =>
      createCheckpoints({ db: using, log: createLog('silent'), writer: randomUUID(), signer, file, seconds: 86_400 });
    const expectClean = async (): Promise<VerifyReport> => {
      const report = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
      expect(report.findings).to.deep.equal([]);
      expect(await verifyIndependently(db, file, signer.publicKey)).to.equal(undefined);
      return report;
    };

    beforeEach(async () => {
      url = await newDatabase(postgres);
      db = connect({ url, poolSize: 8 });
      folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
      file = path.join(folder, 'checkpoints.jsonl');
      signer = await loadSigner(makeSigningKey());
      clock = await databaseClock(db);
      loop = checkpoints(db);
      await appendEvents(db, 2);
      await loop.make();
    });
    afterEach(async () => {
      await loop.close();
      await db.destroy();
      await rm(folder, { recursive: true, force: true });
    });

    it('is one, however many add to it and make checkpoints of it at the same time', async () => {
      await createRoles(db);
      const replicas = await Promise.all(
        [1, 2].map(async () => connect({ url: await loginOf(db, url, 'authz_service'), poolSize: 5 })),
      );
      const loops = replicas.map(checkpoints);
      await Promise.all([
        ...replicas.flatMap((replica) => [1, 2, 3, 4].map(() => appendEvents(replica, 10))),
        ...loops.map(async (one) => {
          for (let round = 0; round < 8; round += 1) await one.make();
        }),
      ]);
      for (const one of loops) await one.close();
      const { rows } = await db.raw('select deadlocks::int from pg_stat_database where datname = current_database()');
      expect(rows[0].deadlocks).to.equal(0);
      expect((await expectClean()).administration).to.deep.equal({ events: 4 + 8 * 12, unchained: 0, uncovered: 0 });
      for (const replica of replicas) await replica.destroy();
    });

    it('has the time, the login and the place that the database knows, whatever the service states', async () => {
      await createRoles(db);
      const address = await loginOf(db, url, 'authz_service');
      const service = connect({ url: address, poolSize: 1 });
      const old = {
        id: randomUUID(),
        at: '2020-01-01T00:00:00Z',
        chained_at: '2020-01-01T00:00:00Z',
        login: 'mallory',
      };
      const what = { actor: 'cli:ann', action: 'user.create', subject_kind: 'user', subject_id: 'ada' };
      const event = { ...old, ...what, seq: 1, hash: `\\x${'00'.repeat(32)}` };
      const before = Date.now();
      await service.raw('select authz_record_change(?, ?)', [JSON.stringify([event]), '[]']);
      await service.destroy();
      await loop.make();
      const added = (await chainedEvents(db)).at(-1) as unknown as typeof event & { at: Date };
      expect(added).to.include({ ...what, login: new URL(address).username, seq: '5' });
      expect(added.at.getTime()).to.be.within(before - 1000, Date.now() + 1000);
      await expectClean();
    });

    it('takes reads that were left open for hours, at the time of their place', async () => {
      const trx = await db.transaction();
      await readLog(trx);
      await clock.shiftBy(5 * HOUR_MS);
      await appendEvents(db, 1);
      await loop.make();
      await trx.commit();
      expect((await expectClean()).administration).to.deep.include({ unchained: 1 });
      await loop.make();
      expect((await expectClean()).administration).to.deep.include({ unchained: 0, uncovered: 0 });
      const last = (await chainedEvents(db)).at(-1) as unknown as { at: Date; chained_at: Date };
      expect(last.chained_at.getTime() - last.at.getTime()).to.be.above(4 * HOUR_MS);
    });

    it('goes on where the clock of the database was set back, which is told', async () => {
      await clock.shiftBy(HOUR_MS);
      await appendEvents(db, 3);
      await loop.make();
      await readLog(db);
      await clock.shiftBy(0);
      loop.soon();
      await loop.make();
      await appendEvents(db, 2);
      await loop.make();
      expect((await expectClean()).clockSteps).to.have.length(1);
    });

    it('loses nothing to who is killed, and leaves no gap', async () => {
      const other = connect({ url, poolSize: 1 });
      const trx = await other.transaction();
      const { rows } = await trx.raw('select pg_backend_pid() as pid');
      await trx.raw(
        `select authz_record_change('[{"actor":"x","action":"user.create","subject_kind":"user","subject_id":"x"}]', '[]')`,
      );
      const waiting = appendEvents(db, 1);
      await db.raw('select pg_terminate_backend(?)', [rows[0].pid]);
      await waiting;
      await trx.rollback().catch(() => undefined);
      await other.destroy();
      await loop.make();
      expect((await expectClean()).administration.events).to.equal(4 + 3);
    });

    it('has the places of more reads than one statement gives', async () => {
      await db.raw(`select authz_record_read('query', null, '{}', 'cli:jane', null) from generate_series(1, 1203)`);
      await loop.make();
      expect((await expectClean()).administration).to.deep.equal({ events: 4 + 1203, unchained: 0, uncovered: 0 });
    });

    it('takes in nothing but reads, so that what was slipped in beside it is found for ever', async () => {
      await db.raw(`insert into admin_events (id, at, actor, action, subject_kind, subject_id)
        values (gen_random_uuid(), now(), 'mallory', 'audit.erase', 'user', 'ada')`);
      await readLog(db);
      await loop.make();
      const { findings, administration } = await verifyLog(db, { files: [file] });
      expect(findings.map(({ code }) => code)).to.deep.equal(['inserted']);
      expect(administration.unchained).to.equal(1);
    });
  });
