/**
 * What whoever has the credentials of the service can add to the log, without the process that they were stolen from: nothing to a chain of
 * that process, and nothing of another time than now.
 */

import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { COLUMN_NAMES } from '../../../src/audit/columns.ts';
import { type Batch, type Chain, newChain, numberBatch, sendBatch } from '../../../src/audit/record/batch.ts';
import { createRecorder } from '../../../src/audit/record/recorder.ts';
import { tryToRecord } from '../../../src/audit/record/try-out.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { deadlineIn } from '../../../src/deadline.ts';
import { createLog } from '../../../src/log.ts';
import { ROOT } from '../../support/cli.ts';
import { type DatabaseClock, databaseClock } from '../../support/database-clock.ts';
import { newDatabase, POSTGRES } from '../../support/postgres.ts';
import { rejection } from '../../support/rejection.ts';
import { entry } from '../entries.ts';
import { verifiedRows } from '../verify/independent.ts';
import { makePartition } from '../written-log.ts';

const DAY_MS = 86_400_000;
const NO_RIGHT = '42501';
const ELSEWHERE = 'AU001';
const REFUSED = '23514';

for (const postgres of POSTGRES)
  describe(`a thief of the service's role on ${postgres}`, () => {
    let owner: Knex;
    let thief: Knex;
    let chain: Chain;
    let clock: DatabaseClock;

    beforeEach(async () => {
      const url = await newDatabase(postgres);
      owner = connect({ url, poolSize: 2 });
      clock = await databaseClock(owner);
      await owner.raw(await readFile(path.join(ROOT, 'deploy', 'roles.sql'), 'utf8'));
      const login = `thief_${randomBytes(4).toString('hex')}`;
      await owner.raw(`create role ${login} login password '${login}' in role authz_service`);
      const stolen = new URL(url);
      stolen.username = stolen.password = login;
      thief = connect({ url: stolen.href, poolSize: 1 });
      const begun = numberBatch(newChain(), [entry(), entry()]);
      expect(await send(begun)).to.equal('recorded');
      chain = begun.chain;
    });
    afterEach(async () => {
      await thief.destroy();
      await owner.destroy();
    });

    const send = (batch: Batch): Promise<string> =>
      sendBatch(thief, batch, () => undefined).then(
        () => 'recorded',
        (error: { code?: string }) => error.code ?? String(error),
      );
    const at = (ms: number) => entry({ id: uuidv7({ msecs: Math.floor(ms) }) });
    const heads = () => owner('chain_heads').orderBy(['day', 'boot']);

    it('adds to no chain whose secret it lacks, on no day, and the process that has it goes on', async () => {
      const before = await heads();
      const next = numberBatch(chain, [entry()]);
      const guess = (secret: Buffer): Batch => ({ ...next, chain: { ...next.chain, secret } });
      const [{ capability }] = await thief('chain_heads').select('capability');
      for (const secret of [randomBytes(32), capability]) expect(await send(guess(secret))).to.equal(ELSEWHERE);
      expect(await send(guess(randomBytes(31)))).to.equal('22023');
      // A chain of another day in the name of the same process, of which there is none yet.
      const midnight = Math.ceil(Date.now() / DAY_MS) * DAY_MS;
      await clock.stopAt(new Date(midnight).toISOString());
      const tomorrow = numberBatch({ ...chain, heads: new Map() }, [at(midnight)]);
      const forged = { ...tomorrow, chain: { ...tomorrow.chain, secret: randomBytes(32) } };
      expect(await send(forged)).to.equal(ELSEWHERE);
      expect(await heads()).to.deep.equal(before);
      expect(await send(tomorrow)).to.equal('recorded');
      await clock.shiftBy(0);
      expect(await send(next)).to.equal('recorded');
      expect(await send(next)).to.equal('recorded');
      expect(await verifiedRows(owner)).to.have.length(4);
    });

    it('records nothing of another time than now, in chains of its own neither', async () => {
      await makePartition(owner, new Date(Date.now() - 2 * DAY_MS).toISOString().slice(0, 10));
      const before = await heads();
      for (const ms of [-2 * DAY_MS, -3_600_000, -92_000, 13_000, 3_600_000, DAY_MS])
        expect(await send(numberBatch(newChain(), [entry(), at(Date.now() + ms)])), `${ms}`).to.equal(REFUSED);
      expect(await send(numberBatch(chain, [at(Date.now() - 120_000)]))).to.equal(REFUSED);
      // Of today, it says, in a chain of the day before yesterday.
      const today = numberBatch(newChain(), [entry()]);
      const old = JSON.parse(today.heads).map((head: object) => ({
        ...head,
        day: new Date(Date.now() - 2 * DAY_MS).toISOString().slice(0, 10),
      }));
      expect(await send({ ...today, heads: JSON.stringify(old) })).to.equal(REFUSED);
      expect(await heads()).to.deep.equal(before);
      expect(await send(numberBatch(newChain(), [at(Date.now() - 60_000), at(Date.now() + 4000)]))).to.equal(
        'recorded',
      );
    });

    it('makes no partition of a day that is over, and writes to none by any other way', async () => {
      for (const day of ['current_date - 2', 'current_date - 30'])
        expect(await rejection(thief.raw(`select authz_make_partition(${day})`))).to.have.property('code', 'P0001');
      for (const statement of [
        'insert into chain_heads select * from chain_heads',
        `select authz_advance_heads(boot, capability, '[]', 0) from chain_heads`,
        'update chain_heads set capability = capability',
      ])
        expect(await rejection(thief.raw(statement)), statement).to.have.property('code', NO_RIGHT);
    });

    it('inserts no record past its batch, by whichever statement', async () => {
      const columns = COLUMN_NAMES.filter((name) => name !== 'id' && name !== 'boot').join();
      const rows = `select gen_random_uuid(), 'BOOT'::uuid, ${columns} from decisions`;
      const insert = `insert into decision_records (id, boot, ${columns}) ${rows}`;
      const mine = '00000000-0000-4000-8000-000000000001';
      const day = new Date().toISOString().slice(0, 10);
      const opening = `\\x${'00'.repeat(32)}`;
      const head = { day, format: 1, opening, before: 0, records: 2, hash: opening };
      const batch = JSON.stringify({ chain: mine, secret: randomBytes(32).toString('hex'), heads: [head] });
      const attempt = (statements: readonly string[], named?: string): Promise<string> =>
        thief
          .transaction(async (trx) => {
            if (named !== undefined) await trx.raw(`select set_config('authz.batch', ?, true)`, [named]);
            for (const statement of statements) await trx.raw(statement);
            return 'recorded';
          })
          .catch((error: { code?: string }) => error.code ?? String(error));
      const [theirs, own] = [chain.boot, mine].map((boot) => insert.replace('BOOT', boot));
      const before = await heads();
      expect(await attempt([own as string])).to.equal(NO_RIGHT);
      expect(await attempt([theirs as string])).to.equal(NO_RIGHT);
      expect(await attempt([theirs as string], batch)).to.equal(REFUSED);
      expect(await attempt([`${own} limit 1`], batch)).to.equal('23000');
      expect(
        await attempt([`insert into decision_records select * from decision_records on conflict do nothing`], batch),
      ).to.equal('23000');
      expect(
        await attempt(
          [`insert into decision_records select * from decision_records on conflict (at, id) do update set rule = 'x'`],
          batch,
        ),
      ).to.equal(NO_RIGHT);
      expect(await attempt([`${own} returning 1`, `${own} returning 1`], batch)).to.equal('22P02');
      expect(await attempt([own as string], 'recorded')).to.equal('22P02');
      const [{ partition }] = await thief('decision_records')
        .select(thief.raw('tableoid::regclass::text as partition'))
        .limit(1);
      expect(await attempt([insert.replace('BOOT', mine).replace('decision_records', partition)], batch)).to.equal(
        NO_RIGHT,
      );
      const merge = `merge into decision_records d using (${rows.replace('BOOT', chain.boot)}) as s on false when not matched then
        insert (id, boot, ${columns}) values (s.gen_random_uuid, s.uuid, ${COLUMN_NAMES.filter((name) => name !== 'id' && name !== 'boot').map((name) => `s.${name}`)})`;
      expect(await attempt([merge], batch)).to.equal(REFUSED);
      expect(await heads()).to.deep.equal(before);
      expect(await attempt([own as string], batch)).to.equal('recorded');
      expect(await owner('decisions')).to.have.length(4);
    });

    it('can begin a chain of now in its own name, which nothing tells from another replica', async () => {
      const forged = numberBatch(newChain(), [entry({ callerId: 'mallory' })]);
      expect(await send(forged)).to.equal('recorded');
      expect((await verifyLog(owner, {})).findings).to.deep.equal([]);
    });

    it('is refused by the database’s clock, whatever the clock of a machine says', async () => {
      for (const hours of [-1, 1]) {
        const then = Date.now() + hours * 3_600_000;
        await clock.shiftBy(hours * 3_600_000);
        // Soon after midnight, it is a day that was over when the database was made.
        await makePartition(owner, new Date(then).toISOString().slice(0, 10));
        expect(await send(numberBatch(newChain(), [entry()])), `${hours}`).to.equal(REFUSED);
        expect(await send(numberBatch(newChain(), [at(then)])), `${hours}`).to.equal('recorded');
        await tryToRecord(thief);
      }
    });
  });

describe('the secret of a chain', () => {
  it('is in no line of the log, whatever fails, and in no table', async () => {
    const url = await newDatabase();
    const db = connect({ url, poolSize: 2 });
    const pool = connect({ url, poolSize: 1 });
    const lines: string[] = [];
    const out = new Writable({
      write: (chunk, _, done) => {
        lines.push(String(chunk));
        done();
      },
    });
    const recorder = createRecorder(pool, createLog('trace', out));
    const ask = (parts = {}) => recorder.record([entry(parts)], deadlineIn(5000)).catch((error: unknown) => error);
    await ask();
    const holders = (await db('chain_heads')).map(({ capability }) => capability.toString('hex'));
    await ask({ durationUs: 2 ** 40 });
    await ask({ context: { userAgent: 'a\0b' } });
    await db.raw(`update chain_heads set capability = '\\x${'00'.repeat(32)}'`);
    expect(await ask()).to.equal(undefined);
    await db.raw('drop table decision_records cascade');
    expect(await ask()).to.be.instanceOf(Error);
    await recorder.close();
    await pool.destroy();
    const { rows } = await db.raw('select query from pg_stat_activity');
    await db.destroy();
    const text = lines.join('') + JSON.stringify(rows);
    const candidates = [
      ...[...text.matchAll(/[0-9a-f]{64}/gi)].map(([hex]) => Buffer.from(hex, 'hex')),
      ...[...text.matchAll(/[A-Za-z0-9+/_-]{43}/g)].map(([base64]) => Buffer.from(base64, 'base64')),
      ...[...text.matchAll(/\[((?:\d+,){31}\d+)\]/g)].map(([, list = '']) => Buffer.from(list.split(',').map(Number))),
    ];
    const digests = candidates.map((bytes) => createHash('sha256').update(bytes).digest('hex'));
    expect(holders).to.have.length(1);
    expect(digests).to.not.include.members(holders);
    expect(lines.length).to.be.above(0);
  });
});
