/** A record of an earlier time than it was made at is found; a clock of the database that was set is told, and no fault. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { type Checkpoints, createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../../src/audit/format/signatures.ts';
import { type VerifyReport, verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { type DatabaseClock, databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { createWriter, makeDays, uuidv7At, type Writer } from '../written-log.ts';
import { verifyIndependently } from './independent.ts';

describe('a log whose records have times', () => {
  let db: Knex;
  let clock: DatabaseClock;
  let folder: string;
  let file: string;
  let signer: Signer;
  let loops: Checkpoints[];
  let days: string[];

  before(async () => {
    signer = await loadSigner(makeSigningKey());
  });
  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    clock = await databaseClock(db);
    days = await makeDays(db, 3);
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    loops = [];
    for (let n = 0; n < 2; n += 1)
      loops.push(
        createCheckpoints({ db, log: createLog('silent'), writer: randomUUID(), signer, file, seconds: 86_400 }),
      );
  });
  afterEach(async () => {
    await db.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const noon = (day: string): number => Date.parse(`${day}T12:00:00Z`);
  /** A record of that moment. */
  const append = (writer: Writer, moment: number) => {
    const at = new Date(moment).toISOString();
    return writer.append(at.slice(0, 10), 1, { at, id: uuidv7At(moment) });
  };
  const checkpointAt = async (moment: number, loop = 0): Promise<void> => {
    await clock.stopAt(new Date(moment).toISOString());
    await loops[loop]?.make();
  };
  /** By our verifier, after the other one was seen to agree. */
  const verify = async (): Promise<VerifyReport> => {
    const report = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
    const other = await verifyIndependently(db, file, signer.publicKey);
    expect(other === undefined, `${other} ${JSON.stringify(report.findings)}`).to.equal(report.clean);
    return report;
  };

  it('is found to hold one of an earlier day, before the next checkpoint signs it and after', async () => {
    const [old = '', , , today = ''] = days;
    const honest = createWriter(db);
    await append(honest, noon(today));
    await checkpointAt(noon(today) + 1000);
    const forger = createWriter(db);
    await append(forger, noon(old));
    const place = { code: 'backdated', boot: forger.boot, day: old, seq: 1 };
    expect((await verify()).findings).to.have.length(1);
    expect((await verify()).findings[0]).to.include(place);
    await append(honest, noon(today) + 2000);
    await checkpointAt(noon(today) + 3000, 1);
    for (const findings of [
      (await verify()).findings,
      (await verifyLog(db, { files: [file], from: old, to: old })).findings,
      (await verifyLog(db, {})).findings,
    ]) {
      expect(findings).to.have.length(1);
      expect(findings[0]).to.include(place);
      expect(findings[0]?.message).to.match(/is dated .*T12:00:00.000Z, and checkpoints that were made later lack it/);
    }
    expect((await verifyLog(db, { files: [file], from: today, to: today })).findings).to.deep.equal([]);
  });

  it('is found to hold one in a chain that goes on, beyond the stated two minutes', async () => {
    const today = noon(days[3] ?? '');
    const writer = createWriter(db);
    await append(writer, today);
    await checkpointAt(today + 600_000);
    await append(writer, today + 600_000 - 119_000);
    await append(writer, today + 600_000 + 1000);
    await checkpointAt(today + 660_000);
    expect((await verify()).findings).to.deep.equal([]);
    await append(writer, today + 660_000 - 121_000);
    await checkpointAt(today + 720_000);
    const { findings } = await verify();
    expect(findings.map(({ code, seq }) => [code, seq])).to.deep.equal([['backdated', 4]]);
  });

  it('is told where the clock was set back, at a checkpoint or since the last, and is not accused of it', async () => {
    const today = noon(days[3] ?? '');
    const [one, other] = [createWriter(db), createWriter(db)];
    await append(one, today);
    await checkpointAt(today + 1000);
    await append(one, today + 2000);
    // An hour back.
    await append(other, today - 3_597_000);
    await clock.stopAt(new Date(today - 3_590_000).toISOString());
    const since = await verify();
    expect(since.findings).to.deep.equal([]);
    const from = new Date(today + 1000).toISOString();
    expect(since.clockSteps).to.deep.equal([{ checkpoint: null, from, to: new Date(today - 3_590_000).toISOString() }]);
    await checkpointAt(today - 3_580_000, 1);
    await append(one, today - 3_579_000);
    await checkpointAt(today - 3_570_000);
    const after = await verify();
    expect(after.findings).to.deep.equal([]);
    expect(after.clockSteps).to.deep.equal([{ checkpoint: 2, from, to: new Date(today - 3_580_000).toISOString() }]);
    // Forward again is nothing that could hide a record, nor an alarm.
    await append(one, today + 60_000);
    await checkpointAt(today + 61_000);
    const forward = await verify();
    expect(forward.findings).to.deep.equal([]);
    expect(forward.clockSteps).to.have.length(1);
  });

  it('is never accused of what honest processes write, however the clock is set, and always of a day that was over', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({
            step: fc.oneof(
              { weight: 4, arbitrary: fc.constant(0) },
              fc.integer({ min: -7200, max: 7200 }),
              fc.integer({ min: -100, max: 100 }),
            ),
            records: fc.integer({ min: 0, max: 3 }),
            late: fc.integer({ min: 0, max: 90 }),
            seconds: fc.integer({ min: 1, max: 90 }),
            by: fc.integer({ min: 0, max: 1 }),
          }),
          { minLength: 1, maxLength: 12 },
        ),
        async (events) => {
          await db.raw('truncate decision_records, chain_heads, checkpoints');
          file = path.join(folder, `${randomUUID()}.jsonl`);
          await writeFile(file, '');
          const parts = { db, log: createLog('silent'), signer, file, seconds: 86_400 };
          loops = [1, 2].map(() => createCheckpoints({ ...parts, writer: randomUUID() }));
          const writers = [createWriter(db), createWriter(db)];
          let now = noon(days[2] ?? '');
          let setAt = now;
          for (const { step, records, late, seconds, by } of events) {
            if (step !== 0) {
              now += step * 1000;
              setAt = now;
              await clock.stopAt(new Date(now).toISOString());
              // As each process does when it sees the clock set.
              loops[by]?.soon();
              await loops[by]?.make();
            }
            for (let n = 0; n < records; n += 1) {
              now += seconds * 300;
              // Behind the clock by what it waited; but a record of before the clock was set is refused after it.
              await append(writers[n % 2] as Writer, Math.max(now - late * 1000, setAt));
            }
            await checkpointAt(now, by);
          }
          const report = await verify();
          expect(report.findings).to.deep.equal([]);
          await append(createWriter(db), noon(days[0] ?? '') - 3_600_000 * 11);
          const found = (await verify()).findings.map(({ code }) => code);
          if ((await db('checkpoints')).length > 0) expect(found).to.deep.equal(['backdated']);
        },
      ),
      { numRuns: 25 },
    );
  });
});
