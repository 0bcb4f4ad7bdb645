/**
 * Whatever a superuser does to the log is found, and found at its place, with a file of checkpoints outside the database.
 * Every kind of change is made at least once, at drawn places; MUTATION_ROUNDS makes more (each round is one change), and
 * MUTATION_SEED repeats a run.
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey } from '../../../src/audit/format/signatures.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { createWriter, makeDays, type WrittenRecord } from '../written-log.ts';
import { verifyIndependently } from './independent.ts';
import { drawer, MUTATIONS, type Place } from './mutations.ts';

const ROUNDS = Number(process.env['MUTATION_ROUNDS'] ?? MUTATIONS.length);
const SEED = Number(process.env['MUTATION_SEED'] ?? Date.now() % 1_000_000);
const TABLES = ['decision_records', 'situations', 'chain_heads', 'checkpoints', 'admin_events', 'change_counter'];

describe('a superuser', () => {
  let db: Knex;
  let folder: string;
  let file: string;
  let publicKey: string;
  let records: WrittenRecord[];
  let checkpoints: number;
  let dirty = false;

  const keep = async (schema: string): Promise<void> => {
    await db.raw(`create schema ${schema}`);
    for (const table of TABLES) await db.raw(`create table ${schema}.${table} as table public.${table}`);
  };

  const restore = async (): Promise<void> => {
    if (dirty)
      await db.raw(
        TABLES.map((table) => `truncate ${table}; insert into ${table} select * from whole.${table}`).join(';'),
      );
    dirty = false;
  };

  before(async function () {
    this.timeout(60_000);
    db = connect({ url: await newDatabase(), poolSize: 2 });
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    const signer = await loadSigner(makeSigningKey());
    publicKey = signer.publicKey;
    const loops = [1, 2].map(() =>
      createCheckpoints({
        db,
        log: createLog('silent'),
        writer: randomUUID(),
        signer,
        file,
        seconds: 86_400,
      }),
    );
    const writers = [1, 2, 3].map(() => createWriter(db));
    const days = await makeDays(db, 2);
    const clock = await databaseClock(db);
    records = [];
    for (const [index, day] of days.entries()) {
      await clock.stopAt(`${day}T00:01:00Z`);
      for (const count of [4, 1, 6]) {
        for (const writer of writers.slice(index === 0 ? 1 : 0)) records.push(...(await writer.append(day, count)));
        await loops[count % 2]?.make();
      }
      if (index === 1) await keep('older');
    }
    await Promise.all(loops.map((loop) => loop.close()));
    records.sort((a, b) => (a.day + a.boot).localeCompare(b.day + b.boot) || a.seq - b.seq);
    checkpoints = Number((await db('checkpoints').max('number as last').first())?.['last']);
    // What no checkpoint covers yet.
    await createWriter(db).append(days[2] ?? '', 5);
    await keep('whole');
  });

  after(async () => {
    await db?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  beforeEach(restore);

  it('who leaves the log alone raises no alarm, and neither does any range of days', async () => {
    const report = await verifyLog(db, { files: [file] });
    expect(report).to.deep.include({ clean: true, found: 0, records: records.length + 5, chains: 9, erased: 0 });
    expect(report.uncovered).to.equal(5);
    expect(report.clockSteps).to.deep.equal([]);
    expect(report.checkpoints).to.deep.include({ count: checkpoints, keysFrom: 'file', publicKeys: [publicKey] });
    expect(report.checkpoints.external?.number).to.equal(checkpoints);
    expect(await verifyIndependently(db, file, publicKey)).to.equal(undefined);
    for (const day of new Set(records.map((record) => record.day))) {
      const part = await verifyLog(db, { files: [file], from: day, to: day, publicKeys: new Set([publicKey]) });
      expect(part.findings).to.deep.equal([]);
      expect(part.records).to.be.within(1, records.length);
    }
    expect((await verifyLog(db, {})).clean).to.equal(true);
  });

  const draw = drawer(SEED);
  for (let round = 0; round < ROUNDS; round += 1) {
    const [name, mutate] = MUTATIONS[round % MUTATIONS.length] ?? MUTATIONS[0] ?? [];
    if (name === undefined || mutate === undefined) throw new Error('there are no mutations');
    it(`${name} (seed ${SEED}, round ${round})`, async () => {
      dirty = true;
      const place = await mutate({ db, records, checkpoints }, draw);
      const report = await verifyLog(db, { files: [file], publicKeys: new Set([publicKey]) });
      expect(report.clean).to.equal(false);
      const found = report.findings.some((finding) =>
        (Object.entries(place) as [keyof Place, unknown][]).every(([key, value]) => finding[key] === value),
      );
      expect(found, JSON.stringify({ place, findings: report.findings }, null, 1)).to.equal(true);
      expect(await verifyIndependently(db, file, publicKey)).to.be.a('string');
    });
  }
});
