/**
 * The watch, with two services on one database and a receiver: each kind is looked for by one of them, both export what was found, and the
 * webhook gets what is new at least once, whoever dies when.
 */

import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { NAMES, thresholdsOf } from '../../src/key-hygiene/findings.ts';
import { createMetrics } from '../../src/metrics.ts';
import { NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { lookFor } from '../../src/watching/look.ts';
import { watchMetrics } from '../../src/watching/watch.ts';
import { eventually, killProcesses, settingsOf, startProcess } from '../http/process.ts';
import { metricsOf, readMetrics } from '../support/metrics.ts';
import { describeWithPgBouncer, startPgBouncer } from '../support/pgbouncer.ts';
import { newDatabase } from '../support/postgres.ts';
import { loginOf } from '../support/roles.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { type Receiver, startReceiver } from './receiver.ts';

const DAY = 86_400_000;
const failing = (response: ServerResponse): unknown => response.writeHead(500).end();
const SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';

describe('the watch', function () {
  this.timeout(120_000);
  let receiver: Receiver;
  let url: string;
  let one: TestService;
  let other: TestService;
  let db: Knex;
  let logged = '';
  const log = new Writable({
    write: (chunk, _, done) => {
      logged += chunk;
      done();
    },
  });

  /** Rounds are those that tests ask for. */
  const settings = (): Record<string, string> => ({
    DATABASE_URL: url,
    FINDINGS_INTERVAL_SECONDS: '21600',
    FINDINGS_WEBHOOK_URL: receiver.url,
    FINDINGS_WEBHOOK_SECRET: SECRET,
    LOG_LEVEL: 'debug',
  });
  const replica = (more: Record<string, string> = {}): Promise<TestService> => {
    const KEY_PEPPERS = one && `test:${one.pepper.secret.toString('base64')}`;
    return startService({ ...settings(), ...(KEY_PEPPERS && { KEY_PEPPERS }), ...more }, log);
  };
  before(async () => {
    url = await newDatabase();
    receiver = await startReceiver();
    one = await replica();
    other = await replica();
    ({ db } = one);
  });
  beforeEach(async () => {
    await db.raw('truncate findings, finding_kinds, finding_messages, users cascade');
    await db('users').insert({ id: 'ada' });
    receiver.received.length = 0;
    receiver.answers.length = 0;
  });
  after(async () => {
    killProcesses();
    await one?.close();
    await other?.close();
    await receiver?.close();
  });

  const unusedKey = (id: string): Promise<string> =>
    insertKey(one, { id, user_id: 'ada', created_at: new Date(Date.now() - 100 * DAY) });
  const rounds = async (...of: readonly TestService[]): Promise<void> => {
    await Promise.all(of.map(({ service }) => service.watch?.now()));
  };
  /** Lets an interval pass. */
  const rest = async (): Promise<void> =>
    void (await db.raw(
      `update finding_kinds set tried_at = tried_at - interval '7 hours', looked_at = looked_at - interval '7 hours'`,
    ));
  const dueAgain = async (): Promise<void> =>
    void (await db.raw('update finding_messages set next_attempt_at = now()'));
  const told = (): string[] =>
    receiver.received.flatMap(({ body }) =>
      (JSON.parse(body).data.findings as { finding: string; subject: string }[]).map(
        ({ finding, subject }) => `${finding} ${subject}`,
      ),
    );
  /** Resolves once a look at freezes waits for their lock. */
  const lookWaits = (): Promise<true> =>
    eventually(async () => {
      const { rows } = await other.db.raw(`select from pg_locks where not granted and relation = 'freezes'::regclass`);
      return rows.length > 0;
    });
  const found = async (service: TestService, name: string): Promise<number | undefined> =>
    (await metricsOf(service.address)).samples.get(`authz_findings{kind="${name}"}`);

  it('is of one replica in an interval, and both export what it found', async () => {
    await db.raw(`
      create table looks (kind text, at timestamptz default now());
      create function note_look() returns trigger language plpgsql as $$
        begin insert into looks (kind) values (new.kind); return null; end $$;
      create trigger looked after insert or update of looked_at on finding_kinds for each row execute function note_look()`);
    const looks = async (): Promise<number[]> => {
      const rows = await db('looks').select('kind').count().groupBy('kind');
      await db('looks').delete();
      return rows.map(({ count }) => Number(count));
    };
    await unusedKey('idle');
    expect(await found(one, 'key-unused'), 'before the first look').to.equal(0);
    // Who finds the other at it leaves it at that.
    for (let n = 0; n < 3; n += 1) await rounds(one, other);
    expect(await looks()).to.deep.equal(NAMES.map(() => 1));
    await rest();
    await db('looks').delete();
    await rounds(other);
    await rounds(one);
    expect(await looks()).to.deep.equal(NAMES.map(() => 1));
    await rounds(one, other);
    for (const service of [one, other]) {
      const { samples } = await metricsOf(service.address);
      const kinds = [...samples].filter(([name]) => name.startsWith('authz_findings{'));
      expect(kinds).to.deep.equal(
        NAMES.map((name) => [`authz_findings{kind="${name}"}`, name === 'key-unused' ? 1 : 0]),
      );
      expect(samples.get('authz_findings_age_seconds{kind="key-unused"}')).to.be.within(0, 300);
      expect(samples.get('authz_findings_messages_waiting')).to.equal(0);
    }
    await db('api_keys').delete();
    await rest();
    await rounds(one);
    await rounds(other);
    expect([await found(one, 'key-unused'), await found(other, 'key-unused')]).to.deep.equal([0, 0]);
    await db.raw('drop table looks; drop function note_look cascade');
  });

  it('rests in its turn, too, where another replica has looked since it was found to be due', async () => {
    const looking = {
      intervalSeconds: 3600,
      thresholds: thresholdsOf(),
      declaration: NOTHING_DECLARED,
      began: () => undefined,
      ending: new AbortController().signal,
    };
    expect(await lookFor(db, 'key-unused', looking)).to.equal('looked');
    expect(await lookFor(db, 'key-unused', looking)).to.equal('rests');
    expect(await lookFor(db, 'key-expiring', looking)).to.equal('looked');
  });

  it('tells what is new, once: nothing that still stands or stood within a day, and again what was gone for longer', async () => {
    await unusedKey('idle');
    await rounds(one);
    await rest();
    await unusedKey('idle2');
    await rounds(other);
    await rest();
    await rounds(one);
    expect(told()).to.deep.equal(['key-unused idle', 'key-unused idle2']);
    const [first] = receiver.received;
    const { type, data } = JSON.parse(first?.body ?? '');
    expect(type).to.equal('authz.findings');
    expect(data.findings[0].says).to.include('was never used since it was made on');
    expect(data.findings[0].commands).to.deep.equal(['authz key delete idle --yes']);
    expect(await db('findings').whereNull('notified_at')).to.deep.equal([]);

    const use = (last_used_at: Date | null) => db('api_keys').where({ id: 'idle' }).update({ last_used_at });
    for (const gone of ['7 hours', '25 hours']) {
      await use(new Date());
      await rest();
      await rounds(one);
      expect(await found(one, 'key-unused'), gone).to.equal(1);
      await db.raw(`update findings set last_seen = now() - ?::interval where subject = 'idle'`, [gone]);
      await rest();
      await rounds(one);
      await use(null);
      await rest();
      await rounds(one);
    }
    expect(told().slice(2)).to.deep.equal(['key-unused idle']);
  });

  it('sends again what was not taken, with the same id and bytes, until it is', async () => {
    await unusedKey('idle');
    receiver.answers.push(
      (response) => response.writeHead(503).end(),
      (response) => response.destroy(),
      (response) => response.writeHead(200, { 'content-length': 10 }).write('half', () => response.destroy()),
    );
    for (const waiting of [1, 1, 1, 0]) {
      // Nobody sends it before it is due.
      await rounds(one);
      await rounds(other, one);
      const { samples } = await metricsOf(one.address);
      expect(samples.get('authz_findings_messages_waiting')).to.equal(waiting);
      await dueAgain();
    }
    expect(receiver.received.length).to.equal(4);
    expect(logged.split('a message of findings was not delivered; it is sent again').length - 1).to.equal(3);
    expect(logged).to.not.match(/T0PSECRET|127\.0\.0\.1:\d+\/hook|whsec_/);
    const seen = receiver.received.map(({ headers, body }) => `${headers['webhook-id']} ${body}`);
    expect(new Set(seen).size).to.equal(1);
    const failures = await Promise.all([one, other].map(({ address }) => metricsOf(address)));
    const sum = failures.reduce(
      (all, { samples }) => all + (samples.get('authz_findings_send_failures_total') ?? 0),
      0,
    );
    expect(sum).to.equal(3);
  });

  it('waits longer after each failure, and gives up after three days', async () => {
    await unusedKey('idle');
    const waits: number[] = [];
    for (let n = 0; n < 7; n += 1) {
      receiver.answers.push(failing);
      await rounds(one);
      const row = await db('finding_messages').first(
        db.raw('extract(epoch from next_attempt_at - now())::float8 as wait'),
      );
      waits.push(row.wait);
      await dueAgain();
    }
    for (const [n, wait] of waits.entries())
      expect(wait, `${n}`).to.be.within(Math.min(3600, 20 * 4 ** n) - 60, Math.min(3600, 20 * 4 ** n) * 1.25);
    await db('finding_messages').update({ made_at: new Date(Date.now() - 3 * DAY - 1000) });
    receiver.answers.push(failing);
    await rounds(one);
    expect(await db('finding_messages')).to.deep.equal([]);
    expect((await db('findings').where({ subject: 'idle' }).first()).notified_at).to.equal(null);
  });

  it('keeps a bounded number of findings and of messages of bounded size, and counts all', async () => {
    await db.raw(`
      insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment, created_at)
      select 'key' || n, 'ada', repeat('n', 100), sha256(n::text::bytea), 'test', 'x', false, false, 'production', now() - interval '400 days'
      from generate_series(1, 1500) n`);
    receiver.answers.push(...Array.from({ length: 3 }, () => failing));
    await rounds(one);
    expect([await found(one, 'key-unused'), await found(one, 'key-not-rotated')]).to.deep.equal([1500, 1500]);
    const counts = await db('findings').select('kind').count().groupBy('kind').orderBy('kind');
    expect(counts.map(({ count }) => Number(count))).to.deep.equal([1000, 1000]);
    const messages = await db('finding_messages').select('body');
    expect(messages.length).to.be.within(15, 20);
    for (const { body } of messages) expect(body.length).to.be.below(100_000);
    // Those that come in their place are told; of those that went, no more than as many are kept.
    await db('api_keys').delete();
    await rest();
    await rounds(one);
    expect(Number((await db('findings').count().first())?.['count'])).to.equal(2000);
    for (let n = 0; n < 4; n += 1) {
      await dueAgain();
      await rounds(one);
    }
    const subjects = told();
    expect(new Set(subjects).size).to.equal(2000);
  });

  it('goes on with the other kinds where one fails, says how old that one is, and lets it rest', async () => {
    await unusedKey('idle');
    await db.raw('alter view audited_values rename to aside');
    await rounds(one);
    expect(await found(one, 'key-unused')).to.equal(1);
    const failed = await db('finding_kinds').where({ kind: 'attribute-undeclared' }).first();
    expect([failed.looked_at, failed.found]).to.deep.equal([null, null]);
    await db.raw('alter view aside rename to audited_values');
    await db('users').update({ attributes: { plan: 'pro' } });
    await rounds(other);
    expect(await found(other, 'attribute-undeclared'), 'it rests').to.equal(0);
    await rest();
    await rounds(other);
    expect(await found(other, 'attribute-undeclared')).to.equal(1);
    // What took a minute, rests for twenty.
    await db('finding_kinds').update({ took_ms: 25_000_000 });
    await rest();
    await rounds(one);
    expect(Number((await db('finding_kinds').where('took_ms', 25_000_000).count().first())?.['count'])).to.equal(
      NAMES.length,
    );
  });

  it('is taken over from a replica that is killed in the middle of a look, and of a delivery', async () => {
    await unusedKey('idle');
    const environment = { ...settingsOf(one, url), ...settings(), FINDINGS_INTERVAL_SECONDS: '1' };
    const arrived = new Promise<void>((resolve) => {
      // Which it does not answer.
      receiver.answers.push(() => resolve());
    });
    const sending = await startProcess(environment);
    await arrived;
    sending.child.kill('SIGKILL');
    await rounds(one);
    expect(receiver.received.length, 'it is another replica that is at it, for all that is known').to.equal(1);
    await dueAgain();
    await rounds(one);
    expect(told()).to.deep.equal(['key-unused idle', 'key-unused idle']);
    const [first, second] = receiver.received.map(({ headers, body }) => `${headers['webhook-id']} ${body}`);
    expect(second).to.equal(first);

    const holder = await db.transaction();
    await holder.raw('lock table freezes in access exclusive mode');
    await rest();
    const looking = await startProcess(environment);
    await lookWaits();
    looking.child.kill('SIGKILL');
    await holder.rollback();
    await eventually(async () => {
      await rounds(one);
      const row = await db('finding_kinds')
        .where({ kind: 'attribute-undeclared' })
        .first(db.raw(`looked_at > now() - interval '1 hour' as lately`));
      return row?.lately === true;
    });
  });

  it('ends with the service, in the middle of a look, and another replica then has its turn', async () => {
    const holder = await db.transaction();
    await holder.raw('lock table freezes in access exclusive mode');
    const third = await replica();
    const watched = third.service.watch?.now();
    await lookWaits();
    await rounds(other);
    expect(
      await db('finding_kinds').where({ kind: 'attribute-undeclared' }),
      'it is the turn of the first',
    ).to.deep.equal([]);
    // Resolves although the lock is still held.
    await third.service.watch?.close();
    await watched;
    await holder.rollback();
    await third.close();
    await rounds(other);
    expect(Number((await db('finding_kinds').whereNotNull('looked_at').count().first())?.['count'])).to.equal(
      NAMES.length,
    );
  });

  it('runs with the rights of authz_service', async () => {
    await unusedKey('idle');
    const login = await loginOf(db, url, 'authz_service');
    const service = await replica({ DATABASE_URL: login });
    await rounds(service);
    expect(told()).to.deep.equal(['key-unused idle']);
    await rest();
    await db('finding_messages').delete();
    await rounds(service);
    expect(await found(service, 'key-unused')).to.equal(1);
    await service.close();
  });

  it('is off where its interval is 0', async () => {
    const service = await replica({ FINDINGS_INTERVAL_SECONDS: '0' });
    expect(service.service.watch).to.equal(undefined);
    const { types, samples } = await metricsOf(service.address);
    expect([...types.keys()]).to.include('authz_findings');
    expect([...samples.keys()].filter((name) => name.startsWith('authz_findings'))).to.deep.equal([]);
    await service.close();
  });

  it('exports no number that may be otherwise by now', async () => {
    const metrics = createMetrics(
      watchMetrics({ readings: () => ({ known: undefined, ageOf: () => 7, failedSends: 1 }) }),
    );
    const { samples } = readMetrics(await metrics.text());
    const own = [...samples].filter(([name]) => name.startsWith('authz_findings'));
    expect(own.slice(NAMES.length)).to.deep.equal([['authz_findings_send_failures_total', 1]]);
    expect(own[0]).to.deep.equal([`authz_findings_age_seconds{kind="${NAMES[0]}"}`, 7]);
  });
});

describeWithPgBouncer('the watch behind a pooler in transaction mode', () => {
  it('has a turn at a time', async () => {
    const url = await newDatabase();
    const pooler = await startPgBouncer(url);
    const service = await startService({
      DATABASE_URL: pooler.url,
      DATABASE_DIRECT_URL: url,
      FINDINGS_INTERVAL_SECONDS: '21600',
    });
    const holder = await service.db.transaction();
    await holder.raw('select from finding_turn for update');
    await service.service.watch?.now();
    expect(await service.db('finding_kinds')).to.deep.equal([]);
    await holder.rollback();
    await service.service.watch?.now();
    expect((await service.db('finding_kinds').whereNotNull('looked_at')).length).to.equal(NAMES.length);
    await service.close();
    await pooler.close();
  });
});
