/**
 * Whatever a superuser does to the events of administration is found, and found at its place, with a file of checkpoints outside the
 * database. Every kind of change is made at least once, at drawn places; LONG=1 makes 300, MUTATION_SEED repeats a run.
 */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { type Checkpoints, createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey } from '../../../src/audit/format/signatures.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { newDatabase } from '../../support/postgres.ts';
import { appendEvents, chainedEvents, readLog, type WrittenEvent } from '../written-events.ts';
import { createWriter, makeDays } from '../written-log.ts';
import { EVENT_MUTATIONS } from './event-mutations.ts';
import { verifyIndependently } from './independent.ts';
import { drawer } from './mutations.ts';

const ROUNDS = process.env['LONG'] ? 300 : EVENT_MUTATIONS.length;
const SEED = Number(process.env['MUTATION_SEED'] ?? Date.now() % 1_000_000);
const TABLES = ['admin_events', 'change_counter'];

describe('a superuser, with the events of administration,', () => {
  let db: Knex;
  let folder: string;
  let file: string;
  let publicKey: string;
  let events: WrittenEvent[];
  let loop: Checkpoints;
  let dirty = false;

  const keep = async (schema: string): Promise<void> => {
    await db.raw(`create schema ${schema}`);
    for (const table of TABLES) await db.raw(`create table ${schema}.${table} as table public.${table}`);
  };
  const restore = async (): Promise<void> => {
    for (const table of dirty ? TABLES : [])
      await db.raw(`truncate ${table}; insert into ${table} select * from whole.${table}`);
    dirty = false;
  };

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    const signer = await loadSigner(makeSigningKey());
    publicKey = signer.publicKey;
    loop = createCheckpoints({ db, log: createLog('silent'), writer: randomUUID(), signer, file, seconds: 86_400 });
    const [day = ''] = await makeDays(db, 0);
    await createWriter(db).append(day, 2);
    for (const count of [4, 1, 6]) {
      await appendEvents(db, count);
      await loop.make();
      if (count === 1) await keep('older');
    }
    events = await chainedEvents(db);
    await keep('whole');
  });
  after(async () => {
    await loop?.close();
    await db?.destroy();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(restore);

  it('who leaves them alone raises no alarm, with reads that have no place yet and without', async () => {
    const verified = async () => (await verifyLog(db, { files: [file] })).administration;
    expect(await verified()).to.deep.equal({ events: 17, unchained: 0, uncovered: 0 });
    expect((await verifyLog(db, { files: [file], from: '2020-01-01', to: '2020-01-01' })).findings).to.deep.equal([]);
    await readLog(db);
    await appendEvents(db, 1);
    dirty = true;
    const report = await verifyLog(db, { files: [file] });
    expect(report.findings).to.deep.equal([]);
    expect(report.administration).to.deep.equal({ events: 18, unchained: 3, uncovered: 4 });
    expect(await verifyIndependently(db, file, publicKey)).to.equal(undefined);
  });

  const draw = drawer(SEED);
  for (let round = 0; round < ROUNDS; round += 1) {
    const [name, mutate] = EVENT_MUTATIONS[round % EVENT_MUTATIONS.length] ?? [];
    if (name === undefined || mutate === undefined) throw new Error('there are no mutations');
    it(`${name} (seed ${SEED}, round ${round})`, async () => {
      dirty = true;
      const place = await mutate({ db, events }, draw);
      const { findings, clean } = await verifyLog(db, { files: [file], publicKeys: new Set([publicKey]) });
      expect(clean).to.equal(false);
      const found = findings.some((finding) =>
        Object.entries(place).every(([key, value]) => finding[key as keyof typeof finding] === value),
      );
      expect(found, JSON.stringify({ place, findings }, null, 1)).to.equal(true);
      expect(await verifyIndependently(db, file, publicKey)).to.be.a('string');
    });
  }
});
