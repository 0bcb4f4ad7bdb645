/** The recorder on a real PostgreSQL: what is written, in which chain, once, and what a neighbour's fault does to it. */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import canonicalize from 'canonicalize';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { v7 as uuidv7 } from 'uuid';
import { newChain, numberBatch, sendBatch } from '../../../src/audit/record/batch.ts';
import { canonicalFacts, type Entry } from '../../../src/audit/record/entry.ts';
import { daysFrom, keepPartitions, makePartitions } from '../../../src/audit/record/partitions.ts';
import { createRecorder, type Recorder } from '../../../src/audit/record/recorder.ts';
import { connect } from '../../../src/db/connect.ts';
import { deadlineIn } from '../../../src/deadline.ts';
import type { Failure } from '../../../src/errors.ts';
import { createLog } from '../../../src/log.ts';
import { databaseClock } from '../../support/database-clock.ts';
import { factsWith } from '../../support/facts.ts';
import { untilLockWaits } from '../../support/lock-waits.ts';
import { newDatabase, POSTGRES } from '../../support/postgres.ts';
import { startProxy, type Proxy as TcpProxy } from '../../support/proxy.ts';
import { rejection } from '../../support/rejection.ts';
import { entry } from '../entries.ts';
import { type Row, verifiedRows } from '../verify/independent.ts';

const LOG = createLog('silent');
const LONG_MS = 20_000;
const DAY_MS = 86_400_000;

const TEXTS = fc.string({ unit: 'grapheme', maxLength: 40 }).map((text) => text.replaceAll('\0', '0'));
const FACTS = fc
  .record({
    key: fc.record({
      id: TEXTS,
      status: fc.constant('active' as const),
      userManagement: fc.boolean(),
      environment: TEXTS,
    }),
    user: fc.record({ id: TEXTS, status: fc.constant('active' as const), businesses: fc.constant('active' as const) }),
    target: fc.record({
      id: TEXTS,
      status: fc.constant('active' as const),
      role: fc.constantFrom('owner' as const, 'none' as const),
      inRestriction: fc.boolean(),
    }),
    limit: fc.record({ exceeded: fc.boolean() }),
    request: fc.record({ action: TEXTS }),
  })
  .map((drawn) => factsWith(drawn));

for (const postgres of POSTGRES)
  describe(`the recorder on ${postgres}`, () => {
    let url: string;
    let db: Knex;
    let proxy: TcpProxy;
    const opened: { recorder: Recorder; pool: Knex }[] = [];

    const open = (limitMs = 5000, from = url): Recorder => {
      const pool = connect({ url: from, poolSize: 1, limitMs });
      const recorder = createRecorder(pool, LOG);
      opened.push({ recorder, pool });
      return recorder;
    };
    const closeAll = async (): Promise<void> => {
      for (const { recorder, pool } of opened.splice(0)) {
        await recorder.close();
        await pool.destroy();
      }
    };
    const outcomes = (recorder: Recorder, groups: readonly (readonly Entry[])[]): Promise<string[]> =>
      Promise.all(
        groups.map((entries) =>
          recorder.record(entries, deadlineIn(LONG_MS)).then(
            () => 'recorded',
            (error) => error.code as string,
          ),
        ),
      );
    const idsOf = (rows: readonly Row[]): string[] => rows.map(({ id }) => id).sort();
    /** Refuses each record of that user agent, in the way of `body`. */
    const trap = (body: string): Knex.Raw =>
      db.raw(`create function trap() returns trigger language plpgsql as $$
        begin if new.user_agent = 'bad' then ${body} end if; return new; end $$;
        create trigger trap before insert on decision_records for each row execute function trap()`);

    beforeEach(async () => {
      url = await newDatabase(postgres);
      db = connect({ url, poolSize: 3 });
      proxy = await startProxy(url);
    });
    afterEach(async () => {
      await proxy.heal();
      await closeAll();
      await proxy.close();
      await db.destroy();
    });

    it('writes many requests at once in few statements, each entry once, in one chain', async () => {
      const recorder = open();
      const groups = Array.from({ length: 300 }, (_, index) => Array.from({ length: 1 + (index % 4) }, () => entry()));
      expect(new Set(await outcomes(recorder, groups))).to.deep.equal(new Set(['recorded']));
      const rows = await verifiedRows(db);
      expect(idsOf(rows)).to.deep.equal(
        groups
          .flat()
          .map(({ id }) => id)
          .sort(),
      );
      expect(new Set(rows.map(({ boot }) => boot)).size).to.equal(1);
      const { recorded, batches, queued, inFlight } = recorder.stats();
      expect({ recorded, queued, inFlight }).to.deep.equal({ recorded: 750, queued: 0, inFlight: 0 });
      expect(batches).to.be.below(10);
    });

    it('hashes any text as an independent reader of the format does', async () => {
      await fc.assert(
        fc.asyncProperty(
          FACTS,
          fc.option(TEXTS, { nil: undefined }),
          fc.option(TEXTS, { nil: undefined }),
          async (facts, userAgent, requestId) => {
            expect(canonicalFacts(facts)).to.equal((canonicalize as unknown as (value: unknown) => string)(facts));
            const written = entry({ facts, context: { userAgent, requestId }, fingerprint: userAgent });
            await open().record([written], deadlineIn(LONG_MS));
            const row = (await verifiedRows(db)).find(({ id }) => id === written.id);
            expect(row).to.deep.include({ user_agent: userAgent ?? null, request_id: requestId ?? null, facts });
            await closeAll();
          },
        ),
        { numRuns: 25 },
      );
    });

    it('begins a chain for each day with the end of the last one, and goes on with one that a clock comes back to', async () => {
      const recorder = open();
      const midnight = Math.ceil(Date.now() / DAY_MS) * DAY_MS;
      await (await databaseClock(db)).stopAt(new Date(midnight).toISOString());
      const at = (ms: number): Entry => entry({ id: uuidv7({ msecs: midnight + ms }) });
      await recorder.record([at(-2), at(-1), at(0), at(1)], deadlineIn(LONG_MS));
      await recorder.record([at(-5)], deadlineIn(LONG_MS));
      await recorder.record([at(7), at(-7), at(7)], deadlineIn(LONG_MS));
      const rows = await verifiedRows(db);
      expect(rows.map(({ seq }) => Number(seq))).to.deep.equal([1, 2, 3, 4, 1, 2, 3, 4]);
    });

    it('makes a partition that is missing, and goes on', async () => {
      const { rows } = await db.raw(
        `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'decision_records'::regclass`,
      );
      for (const { name } of rows) await db.raw('drop table ??', [name]);
      expect(await outcomes(open(), [[entry()], [entry(), entry()]])).to.deep.equal(['recorded', 'recorded']);
      expect(await verifiedRows(db)).to.have.length(3);
    });

    it('has its partitions made by any number of processes, while others read and write', async () => {
      const days = daysFrom(Date.now(), 9);
      await db.transaction(async (reading) => {
        await reading.raw('select from decisions');
        await open().record([entry()], deadlineIn(LONG_MS));
        const pools = Array.from({ length: 4 }, () => connect({ url, poolSize: 1, limitMs: 5000 }));
        await Promise.all(pools.map((pool) => makePartitions(pool, days.slice(4))));
        const kept = keepPartitions(pools[0] as Knex, LOG);
        await kept.made;
        kept.close();
        for (const pool of pools) await pool.destroy();
      });
      const { rows } = await db.raw<{ rows: { name: string }[] }>(
        `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'decision_records'::regclass`,
      );
      // And that of yesterday, where a midnight came since the template was migrated.
      const made = days.map((day) => `decisions_${day.replaceAll('-', '')}`);
      expect(rows.map(({ name }) => name)).to.include.members(made);
    });

    const BAD: Readonly<Record<string, Partial<Entry>>> = {
      'a NUL': { context: { userAgent: 'a\0b' } },
      'a lone surrogate': { context: { requestId: '\ud800' } },
      'a number out of range': { durationUs: 2 ** 40 },
      'an effect that is none': { decision: { effect: 'perhaps' as 'deny', code: 'X', rule: 'x' } },
      'a day that has no partition and gets none': { id: uuidv7({ msecs: Date.now() - 30 * DAY_MS }) },
      'an id that is none': { id: 'zzzzzzzz-zzzz-7zzz-8zzz-zzzzzzzzzzzz' },
    };
    it('bisects a batch with a value that PostgreSQL refuses, and records the others', async () => {
      const recorder = open();
      const bad = Object.values(BAD).map((parts) => [entry(), entry(parts)]);
      const good = Array.from({ length: 5 }, () => [entry(), entry()]);
      const groups = bad.flatMap((group, index) => [group, good[index] ?? []]).filter(({ length }) => length > 0);
      const came = await outcomes(recorder, groups);
      // Of these no record can be made: a RangeError, which is a defect.
      const defects = [BAD['a number out of range'], BAD['an id that is none']];
      const failed = (group: Entry[]) =>
        defects.includes(Object.values(BAD)[bad.indexOf(group)]) ? 'INTERNAL' : 'UNAVAILABLE';
      expect(came).to.deep.equal(groups.map((group) => (bad.includes(group) ? failed(group) : 'recorded')));
      expect(idsOf(await verifiedRows(db))).to.deep.equal(
        good
          .flat()
          .map(({ id }) => id)
          .sort(),
      );
    });

    for (const [way, body] of [
      ['raises', `raise exception 'no';`],
      ['swallows', 'return null;'],
    ] as const) {
      it(`fails the request alone of which a trigger ${way} a record`, async () => {
        await trap(body);
        const groups = Array.from({ length: 40 }, (_, index) => [
          entry(),
          entry({ context: { userAgent: index % 13 === 5 ? 'bad' : 'good' } }),
        ]);
        const came = await outcomes(open(), groups);
        for (const [index, outcome] of came.entries())
          expect(outcome, `${index}`).to.equal(index % 13 === 5 ? 'UNAVAILABLE' : 'recorded');
        expect(await verifiedRows(db)).to.have.length(74);
      });
    }

    for (const [fault, make, repair] of [
      [
        'a partition swallows all',
        `create function fault() returns trigger language plpgsql as 'begin return null; end';
        do $$ declare name text; begin for name in select inhrelid::regclass from pg_inherits where inhparent = 'decision_records'::regclass loop
          execute format('create trigger fault before insert on %s for each row execute function fault()', name);
        end loop; end $$`,
        'drop function fault cascade',
      ],
      [
        'the trigger that moves the heads is disabled',
        'alter table decision_records disable trigger authz_batch',
        'alter table decision_records enable trigger authz_batch',
      ],
    ] as const)
      it(`fails where ${fault}, instead of taking the record for written`, async () => {
        await db.raw(make);
        const recorder = open();
        expect(await outcomes(recorder, [[entry()], [entry()]])).to.deep.equal(['UNAVAILABLE', 'UNAVAILABLE']);
        await db.raw(repair);
        expect(await outcomes(recorder, [[entry()], [entry()]])).to.deep.equal(['recorded', 'recorded']);
        expect(await verifiedRows(db)).to.have.length(2);
      });

    it('records where a rule would discard an insert: a COPY knows no rules', async () => {
      await db.raw('create rule fault as on insert to decision_records do instead nothing');
      expect(await outcomes(open(), [[entry()], [entry()]])).to.deep.equal(['recorded', 'recorded']);
      expect(await verifiedRows(db)).to.have.length(2);
    });

    it('records exactly once, wherever the answer is cut off', async () => {
      const recorder = open(1000, proxy.url);
      await recorder.record([entry()], deadlineIn(LONG_MS));
      proxy.cutAfter(Number.POSITIVE_INFINITY);
      await recorder.record([entry()], deadlineIn(LONG_MS));
      const bytes = proxy.passed();
      expect(bytes).to.be.above(20);
      const recorded: string[] = [];
      for (let byte = 0; byte <= bytes; byte += 1) {
        const written = entry();
        proxy.cutAfter(byte);
        const came = outcomes(recorder, [[written]]);
        while (proxy.passed() < byte) await nextTurn();
        await proxy.heal();
        if ((await came)[0] === 'recorded') recorded.push(written.id);
      }
      await untilRecorded(recorder);
      const rows = await verifiedRows(db);
      expect(idsOf(rows)).to.include.members(recorded);
      expect(recorded.length).to.be.above(bytes / 2);
      expect(recorder.stats().resent).to.be.above(bytes / 2);
      expect(new Set(rows.map(({ boot }) => boot)).size).to.equal(1);
    });

    it('records exactly once, wherever its rows are cut off', async () => {
      const recorder = open(1000, proxy.url);
      const batch = (): Entry[] => Array.from({ length: 3 }, () => entry({ context: { userAgent: 'x'.repeat(300) } }));
      await recorder.record(batch(), deadlineIn(LONG_MS));
      proxy.cutSendingAfter(Number.POSITIVE_INFINITY);
      await recorder.record(batch(), deadlineIn(LONG_MS));
      const bytes = proxy.sent();
      expect(bytes).to.be.above(1500);
      const CUTS = 60;
      const recorded: string[] = [];
      for (let cut = 0; cut <= CUTS; cut += 1) {
        const written = batch();
        // All the way to the end of the Sync, and not at the same place of each row.
        const byte = Math.ceil((bytes * cut) / CUTS);
        proxy.cutSendingAfter(byte);
        const came = outcomes(recorder, [written]);
        while (proxy.sent() < byte) await nextTurn();
        await proxy.heal();
        if ((await came)[0] === 'recorded') recorded.push(...written.map(({ id }) => id));
      }
      await untilRecorded(recorder);
      const rows = await verifiedRows(db);
      expect(idsOf(rows)).to.include.members(recorded);
      expect(recorded.length).to.be.above(CUTS);
      expect(recorder.stats().resent).to.be.above(CUTS / 2);
      expect(new Set(rows.map(({ boot }) => boot)).size).to.equal(1);
    });

    it('sends nothing else while the outcome of a batch is unknown, and then goes on in the same chain', async () => {
      const recorder = open(1000, proxy.url);
      await recorder.record([entry()], deadlineIn(LONG_MS));
      proxy.swallow();
      const lost = outcomes(recorder, [[entry()]]);
      await sleep(50);
      const newer = outcomes(recorder, [[entry()], [entry()]]);
      for (const outcome of [await lost, await newer].flat())
        expect(outcome).to.be.oneOf(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
      await proxy.heal();
      await untilRecorded(recorder);
      const rows = await verifiedRows(db);
      expect(new Set(rows.map(({ boot }) => boot)).size).to.equal(1);
      // The first, the one that was lost, and the last: those between them were never sent.
      expect(rows).to.have.length(3);
    });

    it('begins a new chain where the outcome of a batch stays unknown', async () => {
      const recorder = open(1000, proxy.url);
      await recorder.record([entry()], deadlineIn(LONG_MS));
      const bad = entry({ context: { userAgent: 'bad' } });
      // It is committed, its confirmation is cut off, and by the time that it is sent again it is refused.
      proxy.cutAfter(1);
      const came = outcomes(recorder, [[bad]]);
      while ((await db('decisions').where({ id: bad.id })).length === 0) await sleep(1);
      await proxy.refuse();
      await trap(`raise exception 'no';`);
      await proxy.heal();
      expect(await came).to.deep.equal(['UNAVAILABLE']);
      await untilRecorded(recorder);
      const rows = await verifiedRows(db);
      expect(new Set(rows.map(({ boot }) => boot)).size).to.equal(2);
      expect(idsOf(rows)).to.include(bad.id);
    });

    it('begins a new chain in a database that has been restored to an earlier state', async () => {
      const recorder = open();
      await recorder.record([entry()], deadlineIn(LONG_MS));
      await db.raw('create table kept as select * from decision_records');
      await db.raw('create table kept_heads as select * from chain_heads');
      await recorder.record([entry(), entry()], deadlineIn(LONG_MS));
      await db.raw('truncate decision_records; truncate chain_heads');
      await db.raw('insert into decision_records select * from kept; insert into chain_heads select * from kept_heads');
      expect(await outcomes(recorder, [[entry()], [entry()]])).to.deep.equal(['recorded', 'recorded']);
      expect(await verifiedRows(db)).to.have.length(3);
    });

    it('begins a new chain where the head of its own names another format, and moves that one no further', async () => {
      const recorder = open();
      await recorder.record([entry()], deadlineIn(LONG_MS));
      await db('chain_heads').update({ format: 7 });
      expect(await outcomes(recorder, [[entry(), entry()]])).to.deep.equal(['recorded']);
      const heads = await db('chain_heads').orderBy('format');
      expect(heads.map(({ format, records }) => [format, Number(records)])).to.deep.equal([
        [1, 2],
        [7, 1],
      ]);
    });

    it('takes no batch for written, when it is sent again, whose head names another format', async () => {
      const batch = numberBatch(newChain(), [entry()]);
      const send = () => sendBatch(db, batch, () => undefined);
      await send();
      await send();
      await db('chain_heads').update({ format: 7 });
      expect(await rejection(send())).to.have.property('code', '23505');
    });

    it('prepares no more where a session has lost what was prepared, which costs one failure', async () => {
      const recorder = open();
      const deallocate = () => opened.at(-1)?.pool.raw('deallocate all');
      const found: string[] = [];
      for (let n = 0; n < 4; n += 1) {
        found.push(...(await outcomes(recorder, [[entry()]])));
        await deallocate();
      }
      expect(found).to.deep.equal(['recorded', 'UNAVAILABLE', 'recorded', 'recorded']);
      expect(await verifiedRows(db)).to.have.length(3);
    });

    /** Asks until it works: nothing was restarted. Leaves one record. */
    async function untilRecorded(recorder: Recorder): Promise<void> {
      const last = entry();
      const giveUpAt = performance.now() + LONG_MS;
      while (performance.now() < giveUpAt) {
        const [outcome] = await outcomes(recorder, [[last]]);
        if (outcome === 'recorded') return;
        expect(outcome).to.be.oneOf(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
        await sleep(10);
      }
      throw new Error('it does not record any more');
    }

    it('refuses at once what its queue has no room for, and takes no more once it closes, but writes what it took', async () => {
      const recorder = open(LONG_MS);
      const batch = (): Entry[] => Array.from({ length: 100 }, () => entry());
      const lock = await db.transaction();
      await lock.raw('lock table decision_records in access exclusive mode');
      const first = outcomes(recorder, [[entry()]]);
      while (recorder.stats().inFlight === 0) await sleep(1);
      const waiting = outcomes(
        recorder,
        Array.from({ length: 50 }, () => batch()),
      );
      expect((await rejection(recorder.record([entry()], deadlineIn(LONG_MS)))).message).to.include('Too many');
      expect(recorder.stats()).to.deep.include({ queued: 5000, inFlight: 1, rejected: 1 });
      const closed = recorder.close();
      expect((await rejection(recorder.record([entry()], deadlineIn(LONG_MS)))).message).to.include('stopping');
      await lock.rollback();
      await closed;
      expect(new Set([...(await first), ...(await waiting)])).to.deep.equal(new Set(['recorded']));
      expect(recorder.stats()).to.deep.include({ queued: 0, inFlight: 0, recorded: 5001 });
      expect(await verifiedRows(db)).to.have.length(5001);
    });

    it('sends nothing of which the deadline passed before it was sent', async () => {
      const recorder = open(LONG_MS);
      const lock = await db.transaction();
      await lock.raw('lock table decision_records in access exclusive mode');
      const first = outcomes(recorder, [[entry()]]);
      while (recorder.stats().inFlight === 0) await sleep(1);
      const late = entry();
      const failure = rejection(recorder.record([late], deadlineIn(50)));
      const kept = outcomes(recorder, [[entry()]]);
      expect((await failure) as { code?: string }).to.have.property('code', 'DEADLINE_EXCEEDED');
      await lock.rollback();
      expect([await first, await kept].flat()).to.deep.equal(['recorded', 'recorded']);
      const rows = await verifiedRows(db);
      expect(rows).to.have.length(2);
      expect(idsOf(rows)).not.to.include(late.id);
    });

    it('tells what is recorded while the next batch is under way', async () => {
      const recorder = open(LONG_MS);
      const [lock, next] = [await db.transaction(), await db.transaction()];
      await lock.raw('lock table decision_records in access exclusive mode');
      const first = outcomes(recorder, [[entry()]]);
      await untilLockWaits(db, 'decision_records', 1);
      let isTold = false;
      const second = outcomes(recorder, [[entry()]]).finally(() => {
        isTold = true;
      });
      // It waits behind the first batch, and the second batch behind it.
      const locked = next.raw('lock table decision_records in access exclusive mode').then();
      await untilLockWaits(db, 'decision_records', 2);
      await lock.rollback();
      await locked;
      expect(await first).to.deep.equal(['recorded']);
      expect(isTold).to.equal(false);
      await next.rollback();
      expect(await second).to.deep.equal(['recorded']);
    });

    it('tells each request once what became of it, whatever its deadline, a neighbour that throws or an empty one', async () => {
      // Enough to be sent in, on a busy machine too.
      const SENT_MS = 1500;
      const recorder = open(LONG_MS);
      const told: string[] = [];
      const tell =
        (name: string) =>
        (failure?: Failure): void => {
          told.push(`${name} ${failure?.code ?? 'recorded'}`);
        };
      recorder.enqueue([], deadlineIn(0), tell('empty'));
      expect(told).to.deep.equal(['empty recorded']);
      const lock = await db.transaction();
      await lock.raw('lock table decision_records in access exclusive mode');
      recorder.enqueue([entry()], deadlineIn(LONG_MS), () => {
        throw new Error('a defect of who asked');
      });
      recorder.enqueue([entry()], deadlineIn(LONG_MS), tell('in time'));
      recorder.enqueue([entry()], deadlineIn(SENT_MS), tell('sent, and late'));
      while (recorder.stats().inFlight === 0) await sleep(1);
      recorder.enqueue([entry()], deadlineIn(SENT_MS), tell('queued, and late'));
      while (told.length < 3) await sleep(1);
      await lock.rollback();
      await recorder.close();
      recorder.enqueue([entry()], deadlineIn(LONG_MS), tell('closed'));
      expect(told.toSorted()).to.deep.equal([
        'closed UNAVAILABLE',
        'empty recorded',
        'in time recorded',
        'queued, and late DEADLINE_EXCEEDED',
        'sent, and late DEADLINE_EXCEEDED',
      ]);
      // On a machine that is busy, a deadline may pass before its batch is sent.
      expect((await verifiedRows(db)).length).to.be.within(2, 3);
    });
  });
