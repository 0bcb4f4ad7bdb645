/** How checkpoints come to be: when, under which numbers, and what becomes of them where something fails on the way. */

import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { type Checkpoints, createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey, parsePublicKeys, type Signer } from '../../../src/audit/format/signatures.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { loadConfig } from '../../../src/config.ts';
import { openDatabase } from '../../../src/database.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { createService } from '../../../src/service.ts';
import { type DatabaseClock, databaseClock } from '../../support/database-clock.ts';
import { untilLockWaits } from '../../support/lock-waits.ts';
import { newDatabase } from '../../support/postgres.ts';
import { rejection } from '../../support/rejection.ts';
import { verifyIndependently } from '../verify/independent.ts';
import { createWriter, makeDays, type Writer } from '../written-log.ts';

interface Line {
  readonly number: number;
  readonly at: string;
  readonly writer: string;
  readonly size: number;
  readonly previous: string | null;
  readonly heads: readonly { readonly records: number }[];
}

describe('checkpoints', () => {
  let db: Knex;
  let folder: string;
  let file: string;
  let signer: Signer;
  let day: string;
  let writer: Writer;
  let clock: DatabaseClock;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    signer = await loadSigner(makeSigningKey());
  });

  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 4 });
    file = path.join(folder, `${randomUUID()}.jsonl`);
    [day = ''] = await makeDays(db, 0);
    clock = await databaseClock(db);
    // The records of the tests are of the first moments of the day.
    await clock.stopAt(`${day}T00:01:00Z`);
    writer = createWriter(db);
  });

  afterEach(() => db.destroy());
  after(() => rm(folder, { recursive: true, force: true }));

  const start = (into = file, connection = db): Checkpoints =>
    createCheckpoints({
      db: connection,
      log: createLog('silent'),
      writer: randomUUID(),
      signer,
      file: into,
      seconds: 86_400,
    });

  const lines = async (): Promise<Line[]> =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);

  const expectClean = async (): Promise<void> => {
    const report = await verifyLog(db, { files: [file] });
    expect(report.findings).to.deep.equal([]);
  };

  it('are made when something was recorded, and then only', async () => {
    const checkpoints = start();
    await checkpoints.make();
    expect(await db('checkpoints')).to.deep.equal([]);
    await writer.append(day, 3);
    await checkpoints.make();
    await checkpoints.make();
    await writer.append(day, 2);
    await checkpoints.close();
    const made = await lines();
    expect(made.map(({ number, size, heads }) => [number, size, heads.map(({ records }) => records)])).to.deep.equal([
      [1, 1, [3]],
      [2, 1, [5]],
    ]);
    expect(made[0]?.previous).to.equal(null);
    expect(made[1]?.previous).to.match(/^[0-9a-f]{64}$/);
    await expectClean();
    expect(await verifyIndependently(db, file, signer.publicKey)).to.equal(undefined);
  });

  it('list all heads at first, and after that those that changed', async () => {
    const others = [createWriter(db), createWriter(db)];
    for (const one of [writer, ...others]) await one.append(day, 2);
    const checkpoints = start();
    await checkpoints.make();
    await others[0]?.append(day, 1);
    await checkpoints.close();
    expect((await lines()).map(({ size, heads }) => [size, heads.length])).to.deep.equal([
      [3, 3],
      [3, 1],
    ]);
    await expectClean();
  });

  it('of many processes have numbers of their own, without a gap, in one file', async () => {
    const loops = Array.from({ length: 6 }, () => start());
    for (let round = 0; round < 5; round += 1) {
      const records = writer.append(day, 1 + round);
      await Promise.all(loops.map((loop) => loop.make()));
      await records;
    }
    await Promise.all(loops.map((loop) => loop.close()));
    const numbers = (await lines()).map(({ number }) => number).sort((a, b) => a - b);
    expect(numbers).to.deep.equal(Array.from(numbers, (_, index) => index + 1));
    expect(numbers.length).to.be.at.least(6);
    expect(loops.map((loop) => loop.state().failures)).to.deep.equal(loops.map(() => 0));
    await expectClean();
    expect(await verifyIndependently(db, file, signer.publicKey)).to.equal(undefined);
  });

  it('of processes with files of their own verify against all files together, and not against one of them', async () => {
    const second = `${file}.other`;
    const loops = [start(), start(second)];
    for (let round = 0; round < 3; round += 1) {
      await writer.append(day, 2);
      for (const loop of loops) await loop.make();
    }
    const both = await verifyLog(db, { files: [file, second] });
    expect(both.findings).to.deep.equal([]);
    const one = await verifyLog(db, { files: [file] });
    expect(one.findings.map(({ code, checkpoint }) => [code, checkpoint])).to.deep.equal([
      ['checkpoint', 2],
      ['checkpoint', 4],
    ]);
  });

  it('wait for a file that cannot be written, and then go on without a gap', async () => {
    const checkpoints = start(path.join(folder, 'gone', 'checkpoints.jsonl'));
    await writer.append(day, 2);
    await checkpoints.make();
    await writer.append(day, 2);
    await checkpoints.make();
    expect(checkpoints.state().failures).to.equal(2);
    expect(await db('checkpoints')).to.have.length(1);
    await mkdir(path.join(folder, 'gone'));
    await checkpoints.close();
    await rename(path.join(folder, 'gone', 'checkpoints.jsonl'), file);
    expect((await lines()).map(({ number, heads }) => [number, heads[0]?.records])).to.deep.equal([
      [1, 2],
      [2, 4],
    ]);
    await expectClean();
  });

  it('are readable behind a line that a full disk or a crash cut off', async () => {
    const checkpoints = start();
    await writer.append(day, 2);
    await checkpoints.make();
    await appendFile(file, '\n{"type":"checkpoint","number":2,"at":"2026-');
    await writer.append(day, 2);
    await checkpoints.close();
    const report = await verifyLog(db, { files: [file] });
    expect(report.findings).to.deep.equal([]);
    expect(report.uncovered).to.equal(0);
    expect(report.checkpoints.torn).to.deep.equal([`${file}:4`]);
  });

  it('may be missing from the file where a process died between database and file, and nowhere else', async () => {
    const checkpoints = start();
    for (let round = 0; round < 3; round += 1) {
      await writer.append(day, 2);
      await checkpoints.make();
    }
    const text = await readFile(file, 'utf8');
    const [first, second, third] = text.split('\n').filter((line) => line !== '');
    await writeFile(file, `${first}\n${second}\n`);
    await expectClean();
    await writeFile(file, `${first}\n${third}\n`);
    const [finding] = (await verifyLog(db, { files: [file] })).findings;
    expect(finding).to.include({ code: 'checkpoint', checkpoint: 2 });
    await writeFile(file, `${text}{"type":"weather","number":4}\n`);
    expect((await verifyLog(db, { files: [file] })).findings.map(({ message }) => message)).to.deep.equal([
      `${file}:7 is no checkpoint, nor anything else that belongs there`,
    ]);
  });

  it('never take a number twice where the outcome of storing it is unknown', async () => {
    const unsure = connect({ url: String(db.client.config.connection.connectionString), poolSize: 1 });
    const checkpoints = start(file, unsure);
    await writer.append(day, 2);
    // The answer to the insert is lost: it waits for a lock while its connection is cut, and then it is done.
    await db.raw(`
      create function wait() returns trigger language plpgsql as
        $$ begin perform pg_advisory_xact_lock_shared(1); return null; end $$;
      create constraint trigger wait after insert on checkpoints deferrable initially deferred
        for each row execute function wait()`);
    const lock = await db.transaction();
    await lock.raw('select pg_advisory_xact_lock(1)');
    const making = checkpoints.make();
    await untilLockWaits(db, 'advisory');
    for (const { resource } of unsure.client.pool.used ?? []) resource.connection.stream.destroy();
    await lock.commit();
    await making;
    expect(checkpoints.state().failures).to.equal(1);
    await db.raw('drop trigger wait on checkpoints');
    await writer.append(day, 2);
    await checkpoints.close();
    await unsure.destroy();
    expect((await lines()).map(({ number }) => number)).to.deep.equal([1, 2]);
    await expectClean();
  });

  it('are made though nothing has changed where one is asked for, of which the log has a record', async () => {
    const checkpoints = start();
    checkpoints.soon();
    await checkpoints.make();
    expect(await db('checkpoints')).to.deep.equal([]);
    await writer.append(day, 2);
    await checkpoints.make();
    checkpoints.soon();
    await checkpoints.make();
    await checkpoints.make();
    await checkpoints.close();
    expect((await lines()).map(({ number, heads }) => [number, heads.map(({ records }) => records)])).to.deep.equal([
      [1, [2]],
      [2, [2]],
    ]);
    await expectClean();
    expect(await verifyIndependently(db, file, signer.publicKey)).to.equal(undefined);
  });

  it('go on where a superuser has taken numbers far out, and the last that there is, and verification finds it', async () => {
    const checkpoints = start();
    await writer.append(day, 2);
    await checkpoints.make();
    const taken = ['5000', '9007199254740991', '9223372036854775807'];
    for (const number of taken)
      await db.raw(
        `insert into checkpoints
         select ?::bigint, at, writer, size, root, heads, public_key, signature from checkpoints where number = 1`,
        [number],
      );
    await writer.append(day, 2);
    await checkpoints.make();
    await checkpoints.close();
    expect(checkpoints.state().failures).to.equal(0);
    expect((await lines()).map(({ number }) => number)).to.deep.equal([1, 2]);
    const { findings } = await verifyLog(db, { files: [file] });
    expect(new Set(findings.map(({ code }) => code))).to.deep.equal(new Set(['checkpoint']));
    expect(findings.map(({ checkpoint }) => checkpoint)).to.include.members(taken.map(Number));
    expect(await verifyIndependently(db, file, signer.publicKey)).to.be.a('string');
  });

  it('count one that the database refuses, and make the next anew', async () => {
    const checkpoints = start();
    await writer.append(day, 2);
    await db.raw(`create function no() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
      create trigger no before insert on checkpoints for each row execute function no()`);
    await checkpoints.make();
    expect(checkpoints.state().failures).to.equal(1);
    await db.raw('drop trigger no on checkpoints');
    await writer.append(day, 2);
    await checkpoints.close();
    expect((await lines()).map(({ number, heads }) => [number, heads.map(({ records }) => records)])).to.deep.equal([
      [1, [4]],
    ]);
    await expectClean();
  });

  it('take the time of the database, and none that its clock has not reached', async () => {
    await clock.shiftBy(-3_600_000);
    const checkpoints = start();
    await writer.append(day, 2);
    await checkpoints.make();
    await checkpoints.close();
    const [made] = await lines();
    expect(Date.parse(made?.at ?? '')).to.be.within(Date.now() - 3_660_000, Date.now() - 3_590_000);
    const ahead = new Date(Date.now() - 3_580_000);
    const again = `select authz_append_checkpoint(2, ?, writer, size, root, heads, public_key, '\\x00') from checkpoints`;
    expect(await rejection(db.raw(again, [ahead]))).to.have.property('code', '23514');
  });

  it('log an error when the log is set back to an older copy, and verification finds it', async () => {
    const checkpoints = start();
    const chain = await writer.append(day, 4);
    await checkpoints.make();
    await db.raw(`delete from decision_records where seq > 2`);
    await db.raw(`update chain_heads set records = 2, hash = decode(?, 'hex')`, [chain[1]?.hash ?? '']);
    await checkpoints.close();
    const report = await verifyLog(db, { files: [file] });
    // What the first checkpoint attests is missed still, and the second says less than it.
    expect(report.findings.map(({ code, seq, checkpoint }) => [code, seq ?? checkpoint])).to.deep.equal([
      ['removed', 3],
      ['checkpoint', 2],
    ]);
  });

  it('are refused at the start with half of the settings, a bad key or a bad file; no message holds the key', async () => {
    const pem = makeSigningKey();
    const keyFile = path.join(folder, 'key.pem');
    await writeFile(keyFile, pem);
    const url = String(db.client.config.connection.connectionString);
    const base = {
      DATABASE_URL: url,
      KEY_PEPPERS: `test:${Buffer.alloc(32, 1).toString('base64')}`,
      LOG_LEVEL: 'silent',
    };
    const serve = async (settings: Record<string, string>): Promise<void> => {
      const config = loadConfig({ ...base, ...settings });
      const database = await openDatabase(config);
      try {
        const service = await createService(config, createLog('silent'), database);
        await service.close();
      } finally {
        await database.close();
      }
    };
    const secret = pem.split('\n')[1] ?? '';
    for (const [settings, says] of [
      [{ AUDIT_CHECKPOINTS: file }, 'AUDIT_SIGNING_KEY must be too'],
      [{ AUDIT_SIGNING_KEY: pem }, 'AUDIT_CHECKPOINTS must be too'],
      [{ AUDIT_SIGNING_KEY: pem, AUDIT_CHECKPOINTS: '/nowhere/at/all.jsonl' }, 'cannot be written'],
      [
        { AUDIT_SIGNING_KEY: secret, AUDIT_CHECKPOINTS: file },
        'is no PEM text, and names no file that can be read (ENOENT)',
      ],
      [{ AUDIT_SIGNING_KEY: '/dev/zero', AUDIT_CHECKPOINTS: file }, 'is no PEM text, and names no regular file'],
      [{ AUDIT_SIGNING_KEY: pem.replace(secret, secret.slice(9)), AUDIT_CHECKPOINTS: file }, 'no private key'],
    ] as const) {
      const error = await rejection(serve(settings));
      expect(error.message).to.include(says).and.not.include(secret);
      expect(String(error.stack)).to.not.include(secret);
    }
    await serve({ AUDIT_SIGNING_KEY: pem, AUDIT_CHECKPOINTS: file });
    await serve({ AUDIT_SIGNING_KEY: pem.replaceAll('\n', '\\n'), AUDIT_CHECKPOINTS: file });
    await serve({ AUDIT_SIGNING_KEY: keyFile, AUDIT_CHECKPOINTS: file });
    await serve({});
    expect((await stat(file)).size).to.equal(0);
  });

  it('are verified with the keys that are given, or those of the file', async () => {
    await writer.append(day, 2);
    await start().close();
    const given = await verifyLog(db, { files: [file], publicKeys: new Set([signer.publicKey]) });
    expect(given).to.deep.include({ clean: true });
    expect(given.checkpoints.keysFrom).to.equal('given');
    const other = await loadSigner(makeSigningKey());
    const strange = await verifyLog(db, { files: [file], publicKeys: new Set([other.publicKey]) });
    expect(strange.findings[0]).to.include({ code: 'checkpoint', checkpoint: 1 });
    const pem = (key: string): string => `-----BEGIN PUBLIC KEY-----\n${key}\n-----END PUBLIC KEY-----\n`;
    expect([...parsePublicKeys(pem(signer.publicKey) + pem(other.publicKey), 'keys')]).to.deep.equal([
      signer.publicKey,
      other.publicKey,
    ]);
    expect(() => parsePublicKeys('nothing', 'keys')).to.throw('keys holds no Ed25519 public key');
  });
});
