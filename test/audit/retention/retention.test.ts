/** What leaves the log by `prune` and `erase` leaves it verifiable; what leaves it otherwise is found, and prune is careful. */

import { appendFile, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { type Pruned, printPruned, prunedBytes } from '../../../src/audit/format/checkpoint-line.ts';
import { loadSigner, makeSigningKey } from '../../../src/audit/format/signatures.ts';
import { listDecisions } from '../../../src/audit/query/decisions.ts';
import { erasePersonalData } from '../../../src/audit/retention/erase.ts';
import { pruneDay } from '../../../src/audit/retention/prune.ts';
import type { VerifyReport } from '../../../src/audit/verify/verify.ts';
import { createCursors } from '../../../src/db/page.ts';
import { untilLockWaits } from '../../support/lock-waits.ts';
import { rejection } from '../../support/rejection.ts';
import { createWriter, exampleRecord, makePartition, writeRecords } from '../written-log.ts';
import { ACTOR, KEEP, type OldLog, writeOldLog } from './old-log.ts';

const partitionOf = (day: string): string => `decisions_${day.replaceAll('-', '')}`;

const partitions = async (db: Knex): Promise<string[]> => {
  const { rows } = await db.raw<{ rows: { name: string }[] }>(
    `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'decision_records'::regclass order by 1`,
  );
  return rows.map(({ name }) => name);
};

const linesOf = async (file: string, type: string): Promise<string[]> =>
  (await readFile(file, 'utf8')).split('\n').filter((line) => line.startsWith(`{"type":"${type}"`));

describe('retention', function () {
  this.timeout(60_000);
  let log: OldLog;
  let db: Knex;

  beforeEach(async () => {
    log = await writeOldLog();
    db = log.db;
  });
  afterEach(() => log?.close());

  const expectClean = async (expected: Partial<VerifyReport> = {}): Promise<void> => {
    const report = await log.verify();
    expect(report.findings).to.deep.equal([]);
    expect(report).to.deep.include({ clean: true, ...expected });
    expect(await log.verifyIndependently()).to.equal(undefined);
  };

  describe('prune', () => {
    it('drops whole days that are older than the keep; heads and checkpoints stay, and the rest verifies', async () => {
      const [first, second] = log.days;
      const heads = await db('chain_heads').orderBy(['day', 'boot']);
      expect(await log.prune()).to.deep.equal([first, second]);
      expect(await db('chain_heads').orderBy(['day', 'boot'])).to.deep.equal(heads);
      const left = log.records.filter(({ day }) => day !== first && day !== second);
      await expectClean({ pruned: 2, records: left.length });
      expect(await partitions(db)).to.not.include.members([partitionOf(first), partitionOf(second)]);
      const { rows } = await db.raw(`select to_regclass('${partitionOf(first)}') as name`);
      expect(rows[0].name).to.equal(null);
      const events = await db('admin_events').where({ action: 'audit.prune' }).orderBy('id');
      expect(events.map(({ subject_kind, after }) => [subject_kind, after.day, after.records])).to.deep.equal([
        ['log', first, 15],
        ['log', second, 9],
      ]);
      expect((await log.verify({ files: [] })).findings.map(({ code }) => code)).to.include('pruned');
      expect((await log.verify({ from: log.days[2] })).clean).to.equal(true);
      expect(await log.prune()).to.deep.equal([]);
    });

    it('drops the situations that no day names that is left', async () => {
      const add = (day: string | undefined): Promise<unknown> =>
        db.raw(`insert into situations values (sha256(convert_to(?, 'UTF8')), ?, '', 1, '{}')`, [`${day}`, `${day}`]);
      const names = async (): Promise<number> => (await db('situations')).length;
      const before = await names();
      for (const day of log.days.slice(0, 3)) await add(day);
      await log.prune();
      expect(await names()).to.equal(before + 1);
      await expectClean({ pruned: 2 });
    });

    it('raises no alarm where a chain opens with a record in the middle of a pruned one', async () => {
      const [first] = log.days;
      expect(await log.prune(KEEP + 1)).to.deep.equal([first]);
      await expectClean({ pruned: 1 });
    });

    it('is followed by checkpoints of processes that never saw the records', async () => {
      await log.prune();
      await createWriter(db).append(log.days[3], 4);
      await log.checkpoint();
      await expectClean({ pruned: 2, uncovered: 0 });
    });

    it('leaves the cursors of queries that are under way', async () => {
      const cursors = createCursors(Buffer.alloc(32));
      const filter = { from: `${log.days[0]}T00:00:00Z` };
      const first = await listDecisions(db, filter, { limit: 8, cursor: undefined }, cursors);
      await log.prune();
      const rest = await listDecisions(db, filter, { limit: 200, cursor: first.nextCursor ?? undefined }, cursors);
      const kept = log.records.filter(({ day }) => day > log.days[1]).map(({ id }) => id);
      expect([...first.items, ...rest.items].map(({ id }) => id)).to.deep.equal(kept.sort().reverse());
      expect(rest.nextCursor).to.equal(null);
      // And one whose place lies in a day that is gone.
      const inside = await listDecisions(db, filter, { limit: 200, cursor: undefined }, cursors);
      expect(inside.items).to.have.length(kept.length);
    });

    it('takes no day that has not ended for so long, by whichever clock', async () => {
      const { ready } = await log.plan({ keepDays: KEEP + 2 });
      expect(ready).to.deep.equal([]);
      expect((await log.plan({ keepDays: 7 })).ready.map(({ day }) => day)).to.deep.equal(log.days.slice(0, 3));
      expect(await rejection(log.plan({ keepDays: 6 }))).to.be.instanceOf(RangeError);
    });

    it('refuses what no checkpoint outside the database attests as it is', async () => {
      const [first, second] = log.days;
      await createWriter(db).append(second, 2);
      let plan = await log.plan();
      expect(plan.ready.map(({ day }) => day)).to.deep.equal([first]);
      expect(plan.refused).to.have.length(1);
      expect(plan.refused[0])
        .to.include({ day: second })
        .and.have.property('why')
        .that.includes('no checkpoint outside');
      // One that is in the database alone, as a process leaves it that was killed in between, does not do.
      await log.checkpoint(path.join(log.folder, 'lost.jsonl'));
      plan = await log.plan();
      expect(plan.refused.map(({ day }) => day)).to.deep.equal([second]);
      plan = await log.plan({ files: [log.file, path.join(log.folder, 'lost.jsonl')] });
      expect(plan.refused).to.deep.equal([]);
      expect((await log.plan({ files: [] })).ready).to.deep.equal([]);
    });

    it('refuses a day that does not verify, and takes the others', async () => {
      const [first, second] = log.days;
      const record = log.records.find(({ day }) => day === first);
      await db('decision_records').where({ id: record?.id }).update({ user_id: 'mallory' });
      const { ready, refused } = await log.plan();
      expect(ready.map(({ day }) => day)).to.deep.equal([second]);
      expect(refused.map(({ day }) => day)).to.deep.equal([first]);
      expect(refused[0]?.why).to.include(record?.id);
    });

    it('refuses a day with records that have no head', async () => {
      const stray = exampleRecord(crypto.randomUUID(), log.days[0], 1);
      await writeRecords(db, [{ ...stray, hash: '11'.repeat(32) }]);
      const { ready, refused } = await log.plan();
      expect(ready.map(({ day }) => day)).to.deep.equal([log.days[1]]);
      expect(refused.map(({ day }) => day)).to.deep.equal([log.days[0]]);
    });

    it('refuses a day with a chain of a format that this version does not know, and takes the others', async () => {
      const [first, second] = log.days;
      const boot = log.records.find(({ day }) => day === first)?.boot;
      await db('chain_heads').where({ day: first, boot }).update({ format: 2 });
      const { ready, refused } = await log.plan();
      expect(ready.map(({ day }) => day)).to.deep.equal([second]);
      expect(refused.map(({ day }) => day)).to.deep.equal([first]);
    });

    it('refuses every day where a checkpoint is altered or the key is not theirs', async () => {
      const stranger = await loadSigner(makeSigningKey());
      expect(String(await rejection(log.plan({ signer: stranger })))).to.include('AUDIT_SIGNING_KEY');
      await db('checkpoints').update({ size: 3 });
      const { ready, refused } = await log.plan();
      expect(ready).to.deep.equal([]);
      expect(refused).to.have.length(2);
    });

    it('drops nothing where the day changed after it was verified, or the partition is not that of the day', async () => {
      const { ready } = await log.plan();
      const [day] = ready;
      if (!day) throw new Error('no day is ready');
      const name = partitionOf(day.day);
      await createWriter(db).append(day.day, 1);
      const late = await rejection(pruneDay(db, ACTOR, day, log));
      expect(late).to.have.property('code', 'CONFLICT');
      await db.raw(`alter table decision_records detach partition ${name}`);
      await db.raw(
        `alter table decision_records attach partition ${name} for values from ('2000-01-01 00:00:00+00') to ('${log.days[1]} 00:00:00+00')`,
      );
      expect(String(await rejection(pruneDay(db, ACTOR, day, log)))).to.include('no partition');
      expect(await linesOf(log.file, 'pruned')).to.deep.equal([]);
      expect(await partitions(db)).to.include(name);
    });

    it('completes what a crash cut off between the line and the drop, with the same line', async () => {
      await db.raw(`create function crash() returns trigger language plpgsql as $$ begin raise 'crash'; end $$`);
      await db.raw('create trigger crash before insert on pruned_days execute function crash()');
      await rejection(log.prune());
      expect(await linesOf(log.file, 'pruned')).to.have.length(1);
      expect(await db('admin_events').where({ action: 'audit.prune' })).to.deep.equal([]);
      await expectClean({ pruned: 0, records: log.records.length });
      await db.raw('drop trigger crash on pruned_days');
      expect(await log.prune()).to.deep.equal(log.days.slice(0, 2));
      expect(await linesOf(log.file, 'pruned')).to.have.length(2);
      await expectClean({ pruned: 2 });
    });

    /** Resolves once somebody waits for the table. */
    const awaited = (table: string): Promise<void> => untilLockWaits(db, table);

    it('waits for readers of the log, and lets others write meanwhile', async () => {
      const reader = await db.transaction();
      await reader('decisions').first();
      const pruning = log.prune();
      await awaited('decision_records');
      await createWriter(db).append(log.days[3], 2);
      await reader.commit();
      expect(await pruning).to.deep.equal(log.days.slice(0, 2));
      await expectClean({ pruned: 2 });
    });

    it('drops nothing that was written while it waited; the next time it does, under another line', async () => {
      const [day] = (await log.plan({ keepDays: KEEP + 1 })).ready;
      if (!day) throw new Error('no day is ready');
      const reader = await db.transaction();
      await reader('decisions').first();
      const pruning = rejection(pruneDay(db, ACTOR, day, log));
      await awaited('decision_records');
      await createWriter(db).append(day.day, 1);
      await reader.commit();
      expect(await pruning).to.have.property('code', 'CONFLICT');
      await log.checkpoint();
      await expectClean({ pruned: 0, records: log.records.length + 1 });
      expect(await log.prune()).to.deep.equal(log.days.slice(0, 2));
      expect(await linesOf(log.file, 'pruned')).to.have.length(3);
      await expectClean({ pruned: 2 });
    });

    it('does not mislead a verification that is under way', async () => {
      const { ready } = await log.plan();
      const holdUp = await db.transaction();
      await holdUp.raw('lock table checkpoints in access exclusive mode');
      const verifying = log.verify();
      await awaited('checkpoints');
      const pruning = Promise.all(ready.slice(0, 1).map((day) => pruneDay(db, ACTOR, day, log)));
      await Promise.race([pruning, awaited('decision_records')]);
      await holdUp.commit();
      expect((await verifying).findings).to.deep.equal([]);
      await pruning;
      await expectClean({ pruned: 1 });
    });
  });

  /** What a superuser does to a log whose first day was pruned. */
  const afterPrune: Record<string, (day: string) => Promise<string>> = {
    'a day pruned without a statement': async () => {
      await db.raw(`drop table ${partitionOf(log.days[1])}`);
      return 'removed';
    },
    'a statement with a signature of one’s own': async () => {
      const day = log.days[1];
      await dropWith(day, await forged(day));
      return 'pruned';
    },
    'a statement of one’s own in the database only': async () => {
      const day = log.days[1];
      const statement = await forged(day);
      await dropWith(day, statement, false);
      return 'pruned';
    },
    'a true statement under another day': async (day) => {
      const [line = ''] = await linesOf(log.file, 'pruned');
      const other = { ...(JSON.parse(line) as Pruned), day: log.days[1] };
      expect(other.day).to.not.equal(day);
      await dropWith(other.day, other);
      return 'pruned';
    },
    'the hash of a head of a pruned day': async (day) => {
      await db('chain_heads')
        .where({ day })
        .limit(1)
        .update({ hash: Buffer.alloc(32, 7) });
      return 'head';
    },
    'the number of a head of a pruned day': async (day) => {
      await db.raw('update chain_heads set records = records + 1 where day = ?', [day]);
      return 'head';
    },
    'the opening of a head of a pruned day': async (day) => {
      await db('chain_heads')
        .where({ day })
        .update({ opening: Buffer.alloc(32, 7) });
      return 'head';
    },
    'the format of a head of a pruned day': async (day) => {
      await db('chain_heads').where({ day }).limit(1).update({ format: 2 });
      return 'head';
    },
    'the heads of a pruned day, removed': async (day) => {
      await db('chain_heads').where({ day }).delete();
      return 'removed';
    },
    'a head that a pruned day never had': async (day) => {
      await db('chain_heads').insert({
        boot: crypto.randomUUID(),
        day,
        format: 1,
        opening: Buffer.alloc(32),
        records: 1,
        hash: Buffer.alloc(32, 9),
      });
      return 'pruned';
    },
    'records of its own in a pruned day': async (day) => {
      await makePartition(db, day);
      const stray = exampleRecord(crypto.randomUUID(), day, 1);
      await writeRecords(db, [{ ...stray, hash: '11'.repeat(32) }]);
      return 'inserted';
    },
    'a part of a pruned day, put back': async (day) => {
      await makePartition(db, day);
      await writeRecords(db, log.records.filter((record) => record.day === day).slice(0, 3));
      return 'removed';
    },
    'the row of a pruned day, removed': async () => {
      await db('pruned_days').delete();
      return 'pruned';
    },
    'the line of a pruned day, removed': async () => {
      const lines = (await readFile(log.file, 'utf8')).split('\n');
      await writeFile(log.file, lines.filter((line) => !line.includes('"pruned"')).join('\n'));
      return 'removed';
    },
    'the time of the row': async () => {
      await db.raw(`update pruned_days set at = at - interval '1 day'`);
      return 'pruned';
    },
    'the records of the row': async () => {
      await db('pruned_days').update({ records: 1 });
      return 'pruned';
    },
    'the root of the row': async () => {
      await db('pruned_days').update({ root: Buffer.alloc(32, 1) });
      return 'pruned';
    },
    'the day of the row': async () => {
      await db('pruned_days').update({ day: log.days[1] });
      return 'pruned';
    },
  };

  const forged = async (day: string): Promise<Pruned> => {
    const { publicKey, sign } = await loadSigner(makeSigningKey());
    const { days } = await log.verify();
    const { records = 0, root = '' } = days.find((one) => one.day === day) ?? {};
    const unsigned = { day, at: new Date().toISOString(), records, root };
    return { type: 'pruned', ...unsigned, publicKey, signature: sign(prunedBytes(unsigned)) };
  };

  const dropWith = async (day: string, statement: Pruned, withLine = true): Promise<void> => {
    if (withLine) await appendFile(log.file, `${printPruned(statement)}\n`);
    await db('pruned_days').insert({
      day,
      at: statement.at,
      records: statement.records,
      root: Buffer.from(statement.root, 'hex'),
      public_key: Buffer.from(statement.publicKey, 'base64'),
      signature: Buffer.from(statement.signature, 'base64'),
    });
    await db.raw(`drop table ${partitionOf(day)}`);
  };

  describe('a verification finds', () => {
    for (const [name, attack] of Object.entries(afterPrune)) {
      it(name, async () => {
        await log.prune(KEEP + 1);
        await expectClean({ pruned: 1 });
        const code = await attack(log.days[0]);
        const { findings } = await log.verify();
        expect(findings.map((finding) => finding.code)).to.include(code);
        expect(findings[0]?.day).to.be.oneOf(log.days.slice(0, 2));
        expect(await log.verifyIndependently()).to.be.a('string');
      });
    }

    it('a day with a part of its records dropped, even with a signed statement', async () => {
      await db.raw(`create function crash() returns trigger language plpgsql as $$ begin raise 'crash'; end $$`);
      await db.raw('create trigger crash before insert on pruned_days execute function crash()');
      await rejection(log.prune());
      const [day] = log.days;
      const half = log.records.filter((record) => record.day === day).slice(0, 7);
      for (const { id } of half) await db('decision_records').where({ id }).delete();
      expect((await log.verify()).findings[0]).to.deep.include({ code: 'removed', day });
      expect(await log.verifyIndependently()).to.be.a('string');
      // All of it: the line allows that, but prune did not do it.
      await db('decision_records')
        .whereIn(
          'id',
          log.records.filter((record) => record.day === day).map(({ id }) => id),
        )
        .delete();
      expect((await log.verify()).findings.map(({ code }) => code)).to.deep.equal(['pruned']);
      expect(await log.verifyIndependently()).to.be.a('string');
    });
  });

  describe('erase', () => {
    const personal = (where: object) => db('decisions').where(where).select('ip', 'user_agent', 'personal_salt');

    it('takes ip and user agent of a user or a key, says so, and breaks no chain', async () => {
      const of = (kind: 'user_id' | 'api_key_id', id: string) => log.records.filter((record) => record[kind] === id);
      const user = of('user_id', 'user-1');
      expect(await erasePersonalData(db, ACTOR, { kind: 'user', id: 'user-1' })).to.equal(user.length);
      const key = of('api_key_id', 'key-2').filter(({ user_id }) => user_id !== 'user-1');
      expect(await erasePersonalData(db, ACTOR, { kind: 'key', id: 'key-2' })).to.equal(key.length);
      for (const row of [...(await personal({ user_id: 'user-1' })), ...(await personal({ api_key_id: 'key-2' }))])
        expect(row).to.deep.equal({ ip: null, user_agent: null, personal_salt: null });
      expect(await personal({ user_id: 'user-2' }).whereNotNull('personal_salt')).to.not.deep.equal([]);
      await expectClean({ erased: user.length + key.length, records: log.records.length });
      const events = await db('admin_events').where({ action: 'audit.erase' }).orderBy('id');
      expect(
        events.map(({ actor, subject_kind, subject_id, after }) => [actor, subject_kind, subject_id, after]),
      ).to.eql([
        [ACTOR.id, 'user', 'user-1', { records: user.length }],
        [ACTOR.id, 'key', 'key-2', { records: key.length }],
      ]);
    });

    it('does nothing for a subject that is unknown, or was erased before', async () => {
      expect(await erasePersonalData(db, ACTOR, { kind: 'user', id: 'nobody' })).to.equal(0);
      await erasePersonalData(db, ACTOR, { kind: 'user', id: 'user-1' });
      expect(await erasePersonalData(db, ACTOR, { kind: 'user', id: 'user-1' })).to.equal(0);
      expect(await db('admin_events').where({ action: 'audit.erase' })).to.have.length(1);
    });

    it('covers no record that comes after it', async () => {
      await erasePersonalData(db, ACTOR, { kind: 'user', id: 'user-1' });
      const day = new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
      const [later] = await createWriter(db).append(day, 1);
      expect(later?.user_id).to.equal('user-1');
      expect(await personal({ id: later?.id }).whereNotNull('personal_salt')).to.have.length(1);
      await db('decision_records').where({ id: later?.id }).update({ ip: null, user_agent: null, personal_salt: null });
      expect((await log.verify()).findings.map(({ code, id }) => [code, id])).to.deep.equal([['erased', later?.id]]);
    });

    it('and prune go together', async () => {
      await erasePersonalData(db, ACTOR, { kind: 'user', id: 'user-1' });
      expect(await log.prune()).to.have.length(2);
      await expectClean({ pruned: 2 });
    });
  });
});
