/** Heads and checkpoints: what is verified of a chain whose format is not known, what is found where a head was altered, what is covered. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { prunedBytes } from '../../../src/audit/format/checkpoint-line.ts';
import { HEAD_COLUMNS, type Head } from '../../../src/audit/format/heads.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../../src/audit/format/signatures.ts';
import { sumOf } from '../../../src/audit/verify/pruned.ts';
import { type VerifyOptions, verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { ownFacts } from '../own-facts.ts';
import {
  createWriter,
  exampleRecord,
  makeDays,
  type Writer,
  type WrittenRecord,
  writeRecords,
} from '../written-log.ts';

describe('the verification, by heads and checkpoints,', () => {
  let db: Knex;
  let day: string;
  let days: string[];
  let folder: string;
  let file: string;
  let signer: Signer;

  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    days = await makeDays(db, 2);
    [day = ''] = days;
    // Checkpoints are of the first of the days: records of all of them may follow.
    await (await databaseClock(db)).stopAt(`${day}T00:00:00Z`);
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    signer = await loadSigner(makeSigningKey());
  });
  afterEach(async () => {
    await db.destroy();
    await rm(folder, { recursive: true });
  });

  /** Makes a checkpoint, as a process that has just begun. */
  const checkpoint = async (): Promise<void> => {
    const parts = { db, log: createLog('silent'), writer: randomUUID(), signer, file, seconds: 3600 };
    await createCheckpoints(parts).close();
  };

  it('says to upgrade where a chain has a format that it does not know, and verifies the others', async () => {
    const [later, known] = [createWriter(db), createWriter(db)];
    await later.append(day, 3);
    await known.append(day, 2);
    await later.append(days[1] ?? '', 2);
    await db('chain_heads').where({ boot: later.boot, day }).update({ format: 2 });
    // As a later version would have hashed it: under format 1 every record would look altered.
    await db.raw(`update decision_records set hash = sha256(hash) where boot = ? and at::date = ? and seq < 3`, [
      later.boot,
      day,
    ]);
    const report = await verifyLog(db, {});
    expect(report.findings.map(({ code, boot, day }) => [code, boot, day])).to.deep.equal([
      ['format', later.boot, day],
    ]);
    expect(report.findings[0]?.message).to.match(/of format 2, .*: upgrade authz, unless its head was altered$/);
    expect(report).to.deep.include({ clean: false, records: 7, chains: 3 });
    await db('decision_records').where({ boot: known.boot, seq: 2 }).update({ rule: 'x' });
    expect((await verifyLog(db, {})).findings.map(({ code }) => code)).to.include('altered');
  });

  it('locates what was done to records though the format of their head was altered to an unknown one', async () => {
    await createWriter(db).append(day, 6);
    await db('decision_records').where({ seq: 3 }).update({ rule: 'x' });
    await db('decision_records').where({ seq: 5 }).delete();
    await db('chain_heads').update({ format: 7 });
    const report = await verifyLog(db, {});
    const found = report.findings.map(({ code, seq }) => [code, seq]);
    expect(found).to.deep.include.members([
      ['format', 1],
      ['altered', 3],
      ['removed', 5],
    ]);
    expect(report).to.deep.include({ clean: false, uncovered: 6 });
  });

  it('locates what was done to records though a checkpoint was altered to attest an unknown format', async () => {
    await createWriter(db).append(day, 3);
    await checkpoint();
    await db.raw(`update checkpoints set heads = jsonb_set(heads, '{0,format}', '7')`);
    await db('decision_records').where({ seq: 1 }).update({ rule: 'x' });
    const { findings } = await verifyLog(db, { publicKeys: new Set([signer.publicKey]) });
    const found = findings.map(({ code, seq, checkpoint }) => [code, seq ?? checkpoint]);
    expect(found).to.have.deep.members([
      ['checkpoint', 1],
      ['head', 1],
      ['altered', 1],
    ]);
  });

  it('finds another last hash in a head whose records it does not read', async () => {
    const writer = createWriter(db);
    await writer.append(day, 2);
    await writer.append(days[1] ?? '', 2);
    await checkpoint();
    await db('chain_heads')
      .where({ day: days[1] })
      .update({ hash: Buffer.alloc(32, 7) });
    for (const only of [day, days[1] ?? '']) {
      const { findings } = await verifyLog(db, { files: [file], from: only, to: only });
      expect(findings, `reading ${only}`).to.have.length.above(0);
      for (const { code, day: of } of findings) expect([code, of]).to.deep.equal(['head', days[1]]);
    }
  });

  it('counts as covered only what a checkpoint outside the database covers', async () => {
    const writer = createWriter(db);
    await writer.append(day, 5);
    await checkpoint();
    const line = await readFile(file, 'utf8');
    await writer.append(day, 5);
    await checkpoint();
    expect(await verifyLog(db, { files: [file] })).to.deep.include({ clean: true, uncovered: 0 });
    // As where a process was killed between the database and the file.
    await writeFile(file, line);
    expect(await verifyLog(db, { files: [file] })).to.deep.include({ clean: true, uncovered: 5 });
    expect(await verifyLog(db, {})).to.deep.include({ clean: true, uncovered: 10 });
  });

  describe('of a chain whose format it does not know', () => {
    let later: Writer;
    let records: WrittenRecord[];

    /** What is said of the chain, but for its format. */
    const found = async (options: VerifyOptions = {}) => {
      const report = await verifyLog(db, options);
      const [format, ...others] = report.findings;
      expect(format).to.include({ code: 'format', day, seq: 1 });
      expect(report).to.deep.include({ clean: false, uncovered: 9 });
      return others.map(({ code, seq }) => [code, seq]);
    };

    beforeEach(async () => {
      later = createWriter(db);
      records = await later.append(day, 9);
      await db('chain_heads').update({ format: 7 });
      // As another format would have hashed it: no record fits format 1, nor do its facts or its personal data.
      await ownFacts(db);
      await db.raw(`
        update decision_records set hash = sha256(hash), facts = '{"n": 0.1000000000000000000001}',
          personal_digest = sha256(personal_digest) where seq < 9`);
      records = (await db('decisions').orderBy('seq')).map((row) => ({ ...row, hash: row.hash.toString('hex') }));
    });

    it('says nothing else where there is nothing else', async () => {
      expect(await found()).to.deep.equal([]);
    });

    it('names a gap, a second record of a number, and a record behind the end', async () => {
      await db('decision_records').where({ seq: 3 }).delete();
      await writeRecords(db, [{ ...exampleRecord(later.boot, day, 5), hash: records[4]?.hash ?? '' }]);
      await writeRecords(db, [{ ...exampleRecord(later.boot, day, 10), hash: '11'.repeat(32) }]);
      expect(await found()).to.deep.equal([
        ['removed', 3],
        ['inserted', 5],
        ['inserted', 10],
      ]);
    });

    it('names what was cut off, and a last hash that is not that of the head', async () => {
      await db('decision_records').where({ seq: 9 }).delete();
      expect(await found()).to.deep.equal([['removed', 9]]);
      await db('chain_heads').update({ records: 8 });
      expect((await verifyLog(db, {})).findings.map(({ code, seq }) => [code, seq])).to.deep.equal([
        ['format', 1],
        ['head', 8],
      ]);
    });

    it('names a record whose time is not that of its id', async () => {
      await db.raw(`update decision_records set at = at + interval '1 ms' where seq = 4`);
      expect(await found()).to.deep.equal([['altered', 4]]);
    });

    it('names a hash that is not the one that a checkpoint attests', async () => {
      await db('chain_heads').update({ records: 6, hash: Buffer.from(records[5]?.hash ?? '', 'hex') });
      await checkpoint();
      await db('chain_heads').update({ records: 9, hash: Buffer.from(records[8]?.hash ?? '', 'hex') });
      await checkpoint();
      expect(await found({ files: [file] })).to.deep.equal([]);
      await db.raw('update decision_records set hash = sha256(hash) where seq = 6');
      const { findings } = await verifyLog(db, { files: [file] });
      expect(findings.map(({ code, seq }) => [code, seq])).to.deep.equal([
        ['format', 1],
        ['rewritten', 1],
      ]);
      expect(findings[1]?.message).to.match(/records 1 to 6 are not those that checkpoint 1 attests$/);
    });

    it('says nothing of it where its day is not read, or was pruned', async () => {
      const other = days[1] ?? '';
      expect(await verifyLog(db, { from: other, to: other })).to.deep.include({ clean: true, findings: [] });
      const { rows } = await db.raw<{ rows: Head[] }>(`select ${HEAD_COLUMNS} from chain_heads`);
      const statement = { day, at: new Date().toISOString(), ...sumOf(rows) };
      await db('pruned_days').insert({
        ...statement,
        root: Buffer.from(statement.root, 'hex'),
        public_key: Buffer.from(signer.publicKey, 'base64'),
        signature: Buffer.from(signer.sign(prunedBytes(statement)), 'base64'),
      });
      await db('decision_records').delete();
      const report = await verifyLog(db, { publicKeys: new Set([signer.publicKey]) });
      expect(report).to.deep.include({ findings: [], clean: true, pruned: 1 });
    });
  });

  it('goes on naming an altered head once the checkpoints that follow attest what it was altered to', async () => {
    const [formatOf, openingOf, cut, gone] = [1, 2, 3, 4].map(() => createWriter(db)) as [
      Writer,
      Writer,
      Writer,
      Writer,
    ];
    for (const writer of [formatOf, openingOf, cut, gone]) await writer.append(day, 3);
    const [, second] = await db('decisions').where({ boot: cut.boot }).orderBy('seq');
    await checkpoint();
    await db('chain_heads').where({ boot: formatOf.boot }).update({ format: 7 });
    // The first, so that no record tells under which format it fits: only the earliest checkpoint does.
    await db('decision_records').where({ boot: formatOf.boot, seq: 1 }).update({ rule: 'x' });
    await db.raw('update chain_heads set opening = sha256(opening) where boot = ?', [openingOf.boot]);
    await db('decision_records').where({ boot: cut.boot, seq: 3 }).delete();
    await db('chain_heads').where({ boot: cut.boot }).update({ records: 2, hash: second.hash });
    for (const table of ['decision_records', 'chain_heads']) await db(table).where({ boot: gone.boot }).delete();
    const of = async ({ boot }: Writer) =>
      (await verifyLog(db, { files: [file] })).findings
        .filter((finding) => finding.boot === boot)
        .map(({ code, seq }) => [code, seq]);
    const expectFound = async (): Promise<void> => {
      expect(await of(formatOf)).to.have.deep.members([
        ['head', 1],
        ['format', 1],
        ['altered', 1],
      ]);
      expect(await of(openingOf)).to.deep.include(['head', 1]);
      expect(await of(cut)).to.deep.equal([['removed', 3]]);
      expect(await of(gone)).to.deep.equal([['removed', 1]]);
    };
    await expectFound();
    for (let later = 0; later < 2; later += 1) {
      await createWriter(db).append(day, 1);
      await checkpoint();
    }
    await expectFound();
    const { findings } = await verifyLog(db, { files: [file] });
    const ofCheckpoints = findings.filter(({ code }) => code === 'checkpoint');
    expect(ofCheckpoints.map(({ checkpoint }) => checkpoint)).to.deep.equal([2, 2, 2, 2]);
    for (const { boot } of [formatOf, openingOf]) {
      const [says, ...others] = ofCheckpoints.filter(({ message }) => message.includes(boot));
      expect(others).to.deep.equal([]);
      expect(says?.message).to.include('with another format or opening than before: its head was altered');
    }
  });
});
