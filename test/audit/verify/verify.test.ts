/** `authz audit verify` on logs that the service itself wrote: restarted, killed, erased in part, and altered. */

import { type ChildProcess, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { COLUMN_NAMES, COLUMNS } from '../../../src/audit/columns.ts';
import { makeSigningKey } from '../../../src/audit/format/signatures.ts';
import { verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { mutate } from '../../../src/db/mutate.ts';
import { serve } from '../../http/process.ts';
import { authz, outputWith, startAuthz } from '../../support/cli.ts';
import { databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { ownFacts } from '../own-facts.ts';
import { createWriter, makeDays } from '../written-log.ts';
import { verifiedRows, verifyIndependently } from './independent.ts';

const TOKEN = randomBytes(16).toString('hex');

const addressOf = async (child: ChildProcess): Promise<string> =>
  /"address":"([^"]+)"/.exec(await outputWith(child, '"listening"'))?.[1] ?? '';

/** Asks until `stop` is called or the server is gone; the ids of the decisions that were answered. */
function askOn(address: string): {
  /** Resolves once so many have been answered. */
  answered: (count: number) => Promise<void>;
  stop: () => Promise<string[]>;
} {
  const ids: string[] = [];
  let going = true;
  const ask = async (): Promise<void> => {
    while (going) {
      const response = await fetch(`${address}/authorize`, {
        method: 'POST',
        headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          apiKey: 'none',
          action: 'call:create',
          context: { ip: '203.0.113.7', userAgent: 'näh' },
        }),
      });
      const body = (await response.json()) as { Data?: { decisionId?: string } };
      if (body.Data?.decisionId !== undefined) ids.push(body.Data.decisionId);
      await sleep(20);
    }
  };
  const asking = Array.from({ length: 8 }, () => ask().catch(() => undefined));
  return {
    answered: async (count) => {
      while (ids.length < count) await sleep(10);
    },
    stop: async () => {
      going = false;
      await Promise.all(asking);
      return ids;
    },
  };
}

describe('authz audit verify', function () {
  this.timeout(120_000);
  let folder: string;
  let environment: Record<string, string>;
  let db: Knex;
  let file: string;
  let publicKeyFile: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    file = path.join(folder, 'checkpoints.jsonl');
    publicKeyFile = path.join(folder, 'public.pem');
    const keyFile = path.join(folder, 'signing-key.pem');
    await writeFile(keyFile, makeSigningKey(), { mode: 0o600 });
    await writeFile(publicKeyFile, execFileSync('openssl', ['pkey', '-in', keyFile, '-pubout']));
    const url = await newDatabase();
    db = connect({ url, poolSize: 2 });
    environment = {
      DATABASE_URL: url,
      KEY_PEPPERS: `test:${randomBytes(32).toString('base64')}`,
      BOOTSTRAP_TOKEN: TOKEN,
      PORT: '0',
      AUDIT_CHECKPOINTS: file,
      AUDIT_SIGNING_KEY: keyFile,
      AUDIT_CHECKPOINT_SECONDS: '1',
      DECISION_DEADLINE_MS: '5000',
    };
  });

  after(async () => {
    await db?.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  it('finds nothing in a log whose processes were stopped and killed, while it is written and after', async () => {
    const answered: string[] = [];
    const children = [startAuthz(['serve'], environment), startAuthz(['serve'], environment)];
    const clients = await Promise.all(children.map(async (child) => askOn(await addressOf(child))));
    while ((await readFile(file, 'utf8')).split('\n').length < 4) await sleep(50);
    const during = await authz(['audit', 'verify', '--json'], environment);
    expect(during.code, during.stdout + during.stderr).to.equal(0);
    expect((JSON.parse(during.stdout) as { checkpoints: { count: number } }).checkpoints.count).to.be.above(0);
    children[0]?.kill('SIGKILL');
    children[1]?.kill('SIGTERM');
    for (const client of clients) answered.push(...(await client.stop()));
    await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'close')));
    // What the killed one had not covered, one that comes after it does.
    const next = await serve(environment);
    const client = askOn(next.address);
    await client.answered(20);
    answered.push(...(await client.stop()));
    next.stop();
    await next.exit;
    const { code, stdout } = await authz(['audit', 'verify', '--json', '--public-key', publicKeyFile], environment);
    const report = JSON.parse(stdout) as Awaited<ReturnType<typeof verifyLog>>;
    expect(report.findings).to.deep.equal([]);
    expect(code).to.equal(0);
    expect(report.uncovered).to.equal(0);
    expect(report.chains).to.be.at.least(3);
    expect(report.checkpoints.keysFrom).to.equal('given');
    expect(answered.length).to.be.above(20);
    expect(report.records).to.be.at.least(answered.length);
    const [publicKey = ''] = report.checkpoints.publicKeys;
    expect(await verifyIndependently(db, file, publicKey)).to.equal(undefined);
    expect(await readFile(file, 'utf8')).to.not.include('PRIVATE');
  });

  it('says what it read, what it proves and what it does not', async () => {
    const { code, stdout } = await authz(['audit', 'verify'], environment);
    expect(code).to.equal(0);
    expect(stdout)
      .to.include('give --public-key')
      .and.match(/the last checkpoint outside the database is number \d+ of /);
    expect(stdout).to.match(
      /0 records and 0 events of administration came after it, which a superuser can have rewritten/,
    );
    const without = await authz(['audit', 'verify', '--public-key', publicKeyFile], {
      ...environment,
      AUDIT_CHECKPOINTS: '',
    });
    expect(without.code).to.equal(0);
    expect(without.stdout).to.include(
      'no checkpoint outside the database was read: a superuser can have rewritten all',
    );
  });

  it('names the first fault and exits 1', async () => {
    const { rows } = await db.raw<{ rows: { id: string; boot: string; seq: string }[] }>(
      'select id, boot, seq from decisions order by boot, seq offset 4 limit 1',
    );
    await db.raw(`update decision_records set user_agent = 'other' where id = ?`, [rows[0]?.id ?? '']);
    const { code, stdout } = await authz(['audit', 'verify'], environment);
    expect(code).to.equal(1);
    expect(stdout)
      .to.match(/^FIRST altered: the chain /)
      .and.include(`record ${rows[0]?.seq} (${rows[0]?.id})`);
    expect(stdout).to.include('1 found: the log is not what was recorded');
    const json = await authz(['audit', 'verify', '--json'], environment);
    expect(json.code).to.equal(1);
    expect(JSON.parse(json.stdout)).to.deep.include({ clean: false, found: 1 });
    await db.raw(`update decision_records set user_agent = 'näh' where id = ?`, [rows[0]?.id ?? '']);
    expect((await authz(['audit', 'verify'], environment)).code).to.equal(0);
  });

  it('escapes what was stored, so that it neither drives the terminal nor looks like another line', async () => {
    const url = await newDatabase();
    const other = connect({ url, poolSize: 1 });
    const [day = ''] = await makeDays(other, 0);
    await createWriter(other).append(day, 1);
    await other.raw('alter table chain_heads alter column boot type text');
    await other('chain_heads').update({ boot: '\u001b[2J\nclean: the log is what was recorded' });
    await other.destroy();
    const { code, stdout } = await authz(['audit', 'verify'], { DATABASE_URL: url });
    expect(code).to.equal(1);
    expect(stdout).to.include('the chain \\u{1b}[2J\\u{a}clean: the log');
    expect(stdout).to.not.include('\u001b');
    expect(stdout).to.not.match(/^clean/m);
  });

  it('needs no more than to read, and no pepper', async () => {
    const role = `auditor_${randomBytes(4).toString('hex')}`;
    await db.raw(`create role ${role} login password 'to-read'`);
    await db.raw(
      `grant select on decisions, decision_records, chain_heads, checkpoints, pruned_days, admin_events, change_counter, knex_migrations to ${role}`,
    );
    const url = new URL(environment['DATABASE_URL'] ?? '');
    url.username = role;
    url.password = 'to-read';
    const auditor = { DATABASE_URL: url.href };
    const { code, stdout, stderr } = await authz(['audit', 'verify', '--checkpoints', file], auditor);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.include('clean: the log is what was recorded');
    await db.raw(`drop owned by ${role}; drop role ${role}`);
    const empty = { DATABASE_URL: await newDatabase(undefined, 'template1') };
    const refused = await authz(['audit', 'verify'], empty);
    expect(refused.code).to.equal(3);
    expect(refused.stderr).to.include('does not have the tables of this version');
  });

  it('takes days, and refuses what is no day, no file and no key', async () => {
    const part = await authz(['audit', 'verify', '--json', '--from', '2020-01-01', '--to', '2020-02-01'], environment);
    expect(part.code).to.equal(0);
    expect(JSON.parse(part.stdout)).to.deep.include({ records: 0, chains: 0 });
    expect((await authz(['audit', 'verify', '--on', 'today'], environment)).code).to.equal(0);
    for (const [args, says] of [
      [['--from', 'soon'], '"soon" is no time'],
      [['--from', '2026-02-02', '--to', '2026-02-01'], 'the period is empty'],
      [['--checkpoints', path.join(folder, 'none')], 'the checkpoints cannot be read'],
      [['--public-key', path.join(folder, 'none')], 'the public key cannot be read'],
      [['--public-key', file], 'holds no Ed25519 public key'],
    ] as const) {
      const { code, stderr } = await authz(['audit', 'verify', ...args], environment);
      // Never 1, which says that the log was altered.
      expect(code, stderr).to.equal(3);
      expect(stderr).to.include(says);
    }
  });

  it('has a file and a key by default where the database is embedded', async () => {
    const DATA_DIR = path.join(folder, 'data');
    const embedded = { DATA_DIR, PORT: '0', BOOTSTRAP_TOKEN: TOKEN };
    const child = startAuthz(['serve'], embedded);
    const client = askOn(await addressOf(child));
    await client.answered(20);
    await client.stop();
    child.kill('SIGTERM');
    await once(child, 'close');
    const { code, stdout } = await authz(['audit', 'verify', '--json'], embedded);
    expect(code, stdout).to.equal(0);
    expect(JSON.parse(stdout)).to.deep.include({ clean: true, uncovered: 0 });
    expect((JSON.parse(stdout) as { records: number }).records).to.be.above(0);
    await rm(path.join(DATA_DIR, 'audit-checkpoints.jsonl'));
    expect((await authz(['audit', 'verify'], embedded)).code).to.equal(1);
  });
});

describe('the verification', () => {
  let db: Knex;
  let day: string;
  let days: string[];

  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    days = await makeDays(db, 2);
    [day = ''] = days;
  });
  afterEach(() => db.destroy());

  it('takes an empty log, and records without any checkpoint', async () => {
    expect(await verifyLog(db, {})).to.deep.include({ clean: true, records: 0, uncovered: 0 });
    await createWriter(db).append(day, 3);
    expect(await verifyLog(db, { files: [] })).to.deep.include({ clean: true, records: 3, uncovered: 3 });
  });

  it('follows a clock that steps back over midnight', async () => {
    const writer = createWriter(db);
    await writer.append(days[1] ?? '', 3);
    await writer.append(days[2] ?? '', 2);
    await writer.append(days[1] ?? '', 2);
    await writer.append(days[0] ?? '', 1);
    expect((await verifyLog(db, {})).findings).to.deep.equal([]);
    for (const only of days) expect((await verifyLog(db, { from: only, to: only })).findings).to.deep.equal([]);
  });

  it('counts erased personal data that an event stands for', async () => {
    const [record] = await createWriter(db).append(day, 1, { user_id: 'ann', api_key_id: 'k-ann' });
    await db('decision_records').update({ ip: null, user_agent: null, personal_salt: null });
    expect((await verifyLog(db, {})).findings.map(({ code, id }) => [code, id])).to.deep.equal([
      ['erased', record?.id],
    ]);
    const clock = await databaseClock(db);
    const event = { action: 'audit.erase', kind: 'key' as const, id: 'k-ann' };
    const add = () => mutate(db, { id: 'cli:ann' }, async () => ({ result: undefined, events: [event], changes: [] }));
    await clock.stopAt('2020-01-01T00:00:00Z');
    await add();
    await clock.shiftBy(0);
    expect((await verifyLog(db, {})).findings.map(({ code }) => code)).to.deep.equal(['erased']);
    await add();
    expect(await verifyLog(db, {})).to.deep.include({ clean: true, erased: 1 });
  });

  it('verifies what the view shows: whoever puts another in its place has altered every record', async () => {
    await createWriter(db).append(day, 3);
    const view = await db.raw(`select pg_get_viewdef('decisions'::regclass) as text`);
    const { text } = view.rows[0] as { text: string };
    await db.raw(
      `create or replace view decisions as ${text.replace('r.rule', `coalesce('x', r.rule) collate "C" as rule`)}`,
    );
    expect((await verifyLog(db, {})).findings.map(({ code }) => code)).to.deep.equal(['altered', 'altered', 'altered']);
    await db.raw(`create or replace view decisions as ${text}`);
    expect((await verifyLog(db, {})).findings).to.deep.equal([]);
  });

  it('sees a number that JSON readers would round', async () => {
    const facts = '{"key":{"n":0.1},"limit":{"exceeded":false}}';
    await createWriter(db).append(day, 2, { facts });
    expect((await verifyLog(db, {})).clean).to.equal(true);
    await db.raw(
      `update decision_records set facts = jsonb_set(facts, '{key,n}', '0.1000000000000000000001') where seq = 2`,
    );
    expect((await verifyLog(db, {})).findings[0]).to.include({ code: 'altered', seq: 2 });
    const told = await verifiedRows(db).catch((error: Error) => error.message);
    expect(told).to.equal('0.1000000000000000000001 is no number of canonical JSON');
  });

  it('names swapped records as reordered, and one edit once', async () => {
    await createWriter(db).append(day, 9);
    await db.raw('update decision_records set seq = 10 - seq where seq in (3, 7)');
    expect((await verifyLog(db, {})).findings[0]).to.include({ code: 'reordered', seq: 3 });
    await db.raw('update decision_records set seq = 10 - seq where seq in (3, 7)');
    await db.raw(`update decision_records set user_id = 'eve' where seq = 5`);
    expect((await verifyLog(db, {})).findings.map(({ code, seq }) => [code, seq])).to.deep.equal([['altered', 5]]);
  });

  it('names a record that lost a value that every record has', async () => {
    await createWriter(db).append(day, 3);
    await ownFacts(db);
    await db.raw('alter table decision_records drop constraint one_situation');
    // A row without `at` has no partition to be in.
    for (const column of COLUMN_NAMES.filter((name) => !COLUMNS[name].nullable && name !== 'at')) {
      if (column !== 'id') await db.raw('alter table decision_records alter ?? drop not null', [column]);
      else await db.raw('alter table decision_records drop constraint decisions_at_id_key, alter id drop not null');
      await db.raw('create table kept as select * from decision_records where seq = 2');
      await db.raw('update decision_records set ?? = null where seq = 2', [column]);
      const codes = (await verifyLog(db, {})).findings.map(({ code, seq }) => `${code} ${seq}`);
      expect(codes, column).to.include(['boot', 'seq'].includes(column) ? 'removed 2' : 'altered 2');
      await db.raw('delete from decision_records where seq = 2 or seq is null or boot is null');
      await db.raw('insert into decision_records select * from kept; drop table kept');
      expect((await verifyLog(db, {})).clean, column).to.equal(true);
    }
  });

  it('finds records outside of all days that are known, and keeps a hundred findings of a kind', async () => {
    const writer = createWriter(db);
    await writer.append(day, 300);
    await db.raw('delete from chain_heads');
    const [finding] = (await verifyLog(db, {})).findings;
    expect(finding).to.include({ code: 'inserted', day, boot: writer.boot });
    await db.raw(`update decision_records set rule = 'x'`);
    const report = await verifyLog(db, {});
    expect(report.findings.filter(({ code }) => code === 'altered')).to.have.length(100);
    expect(report.findings.some(({ code }) => code === 'inserted')).to.equal(true);
    expect(report.found).to.be.at.least(300);
  });

  it('leaves the file as it is', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
    const file = path.join(folder, 'checkpoints.jsonl');
    await appendFile(file, 'no line of ours\n');
    expect((await verifyLog(db, { files: [file] })).checkpoints.torn).to.deep.equal([`${file}:1`]);
    expect(await readFile(file, 'utf8')).to.equal('no line of ours\n');
    await rm(folder, { recursive: true });
  });
});
