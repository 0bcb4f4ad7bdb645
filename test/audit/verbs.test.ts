/** `authz audit tail`, `query`, `show` and `stats` as processes; and that a tail shows each new record once, however late. */

import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { followDecisions } from '../../src/audit/query/tail.ts';
import { fingerprinter } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { authz, outputWith, ROOT, startAuthz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { runShell } from '../support/shell.ts';
import { drawer, insertRecords, makePartitions, makeRecord, type TestRecord } from './records.ts';

describe('authz audit', function () {
  this.timeout(60_000);
  const secret = randomBytes(32);
  let db: Knex;
  let env: Record<string, string>;

  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${secret.toString('base64')}` };
    db = connect({ url, poolSize: 6 });
    await makePartitions(db, [new Date(Date.now() - 100_000).toISOString(), new Date().toISOString()]);
  });
  after(() => db?.destroy());

  const draw = drawer(9);
  const recordNow = (back = 0, over: Partial<TestRecord> = {}) => makeRecord(Date.now() - back, draw, over);

  /** The JSON lines of a child that has been stopped. */
  async function linesAfter(child: ChildProcess, output: () => string, signal: NodeJS.Signals): Promise<string[]> {
    child.kill(signal);
    const [code] = await once(child, 'close');
    expect(code).to.equal(0);
    return output()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line).id);
  }

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`tail follows what is decided from now on, until ${signal}`, async () => {
      await insertRecords(db, [recordNow(1000, { effect: 'deny' })]);
      const child = startAuthz(['audit', 'tail', '--effect', 'deny', '--json'], env);
      let output = '';
      child.stdout?.on('data', (chunk) => (output += chunk));
      await outputWith(child, 'following the decision log');
      const wanted = [recordNow(0, { effect: 'deny' }), recordNow(0, { effect: 'deny' })];
      await insertRecords(db, [...wanted, recordNow(0, { effect: 'allow' })]);
      await outputWith(child, wanted[1]?.id ?? '');
      const last = recordNow(0, { effect: 'deny' });
      await insertRecords(db, [last]);
      await outputWith(child, last.id);
      expect(await linesAfter(child, () => output, signal)).to.deep.equal([...wanted, last].map(({ id }) => id));
      const [event] = await db('admin_events').where({ action: 'audit.tail' }).orderBy('id', 'desc').limit(1);
      expect(event).to.deep.include({ subject_id: 'decisions', after: { effect: 'deny' } });
    });
  }

  it('tail shows records that are committed late, and none twice', async () => {
    const stop = new AbortController();
    const seen: string[] = [];
    const follow = followDecisions(db, { callerId: 'late' }, stop.signal);
    await follow.next();
    const all: TestRecord[] = [];
    const transactions: Knex.Transaction[] = [];
    const put = async (into: Knex, back: number): Promise<void> => {
      const record = recordNow(back, { caller_id: 'late' });
      all.push(record);
      await insertRecords(into, [record]);
    };
    const following = (async () => {
      for await (const records of follow) seen.push(...records.map(({ id }) => id));
    })();
    // Half are held back in open transactions while younger ones are committed and shown.
    for (let round = 0; round < 3; round += 1) {
      const trx = await db.transaction();
      transactions.push(trx);
      await put(trx, 3000 + round);
      await put(db, 0);
      await new Promise((resolve) => setTimeout(resolve, 700));
    }
    for (const trx of transactions) await trx.commit();
    await put(db, 60_000);
    while (seen.length < all.length) await new Promise((resolve) => setTimeout(resolve, 50));
    await put(db, 0);
    while (seen.length < all.length) await new Promise((resolve) => setTimeout(resolve, 50));
    stop.abort();
    await following;
    expect([...seen].sort()).to.deep.equal(all.map(({ id }) => id).sort());
  });

  it('query and stats answer people with tables and programs with JSON', async () => {
    const records = [1, 2, 3].map((n) => recordNow(10 * n, { caller_id: 'tabled', code: 'OK', effect: 'allow' }));
    await insertRecords(db, records);
    const json = await authz(['audit', 'query', '--caller', 'tabled', '--limit', '2', '--json'], env);
    const page = JSON.parse(json.stdout);
    expect(page.items.map(({ id }: { id: string }) => id)).to.deep.equal([records[0]?.id, records[1]?.id]);
    expect(page.note).to.include('No index serves callerId');
    const { stdout } = await authz(['audit', 'query', '--caller', 'tabled', '--limit', '2'], env);
    expect(stdout).to.match(/^at +code +action.* id\n/);
    expect(stdout).to.include(records[0]?.id).and.include('More: add --cursor').and.include('No index serves callerId');
    const stats = await authz(['audit', 'stats', '--caller', 'tabled'], env);
    expect(stats.stdout).to.match(/^code +decisions +share\nOK +3 +100.0 %\n/);
    const counted = JSON.parse((await authz(['audit', 'stats', '--caller', 'tabled', '--json'], env)).stdout);
    expect(counted.groups).to.deep.equal([{ value: 'OK', count: 3 }]);
    const shown = JSON.parse((await authz(['audit', 'show', records[1]?.id ?? '', '--json'], env)).stdout);
    expect(shown).to.include({ id: records[1]?.id, callerId: 'tabled' });
    const actors = await db('admin_events').distinct('actor').where('action', 'like', 'audit.%');
    expect(actors).to.have.length(1);
    expect(actors[0].actor).to.match(/^cli:/);
  });

  it('does what docs/audit-queries.md shows', async () => {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-docs-'));
    await writeFile(path.join(folder, 'leaked.txt'), 'iqra_leaked\n');
    const record = recordNow(0, { api_key_id: 'ada-main', user_id: 'ada', business_id: 'bakery' });
    await insertRecords(db, [record]);
    const page = await readFile(path.join(ROOT, 'docs', 'audit-queries.md'), 'utf8');
    const commands = [...page.matchAll(/^authz audit [^#\n]*/gm)].map(([line]) => line.trim());
    expect(commands.length).to.be.above(6);
    for (const command of commands) {
      if (command.startsWith('authz audit tail')) continue;
      const { code, stderr } = await runShell(command.replace('DECISION-ID', record.id), folder, env);
      expect(code, command + stderr).to.equal(0);
      expect(stderr, command).to.match(/^(?:\d+ decisions? written to ada\.csv, from \S+ to now\n)?$/);
    }
    await rm(folder, { recursive: true });
    const verbs = ['query', 'tail', 'show', 'stats', 'export', 'admin'];
    for (const verb of verbs)
      expect((await authz(['audit', verb, '--help'])).stdout).to.match(/Example:\n {2}authz audit /);
  });

  it('refuses what is no filter', async () => {
    for (const [args, says] of [
      [['query', '--action', 'call'], 'must be an action'],
      [['stats', '--by', 'iq'], 'did you mean ip?'],
      [['stats', '--by', 'ip,code,rule'], 'or two that differ'],
      [['query', '--not', 'cod=OK'], 'did you mean code?'],
      [['query', '--not', 'code=ok'], 'must be a code'],
      [['query', '--ip', '203.0.113.0/33'], 'or a network such as'],
      [['tail', '--from', '2030-01-01T00:00:00Z'], 'authz audit query'],
      [['show', 'nonsense'], 'There is no decision'],
      [['show', 'nonsense', '--code', 'OK'], 'not by both'],
      [['show', '--code', 'OK', '--on', '2020-01-01'], 'no decision of this filter'],
      [['query', '--key', '-'], 'standard input is empty'],
    ] as const) {
      const { code, stdout, stderr } = await authz(['audit', ...args], env);
      expect([code, stdout], args.join(' ')).to.deep.equal([1, '']);
      expect(stderr).to.include(says);
    }
  });

  it('query and admin go on behind a page of a period that was named by how long ago it began', async () => {
    await insertRecords(db, [recordNow(3000), recordNow(2000), recordNow(1000)]);
    for (const args of [
      ['query', '--from', '2h', '--limit', '1'],
      ['admin', '--from', '2h', '--limit', '1'],
      ['query', '--on', 'today', '--limit', '1'],
    ]) {
      const first = await authz(['audit', ...args], env);
      const [, more = ''] = /More: add (--cursor .*)/.exec(first.stdout) ?? [];
      const second = await authz(['audit', ...args, ...more.split(' ')], env);
      expect([second.code, second.stderr], args.join(' ')).to.deep.equal([0, '']);
      expect(second.stdout.split('\n')[1]).to.not.equal(first.stdout.split('\n')[1]);
    }
  });

  it('timeline tells what administration changed, and goes on behind the cursor of a line', async () => {
    const made = async (args: string) => JSON.parse((await authz([...args.split(' '), '--json'], env)).stdout);
    await made('user put tim');
    const { key } = await made('key create --user tim --name tims');
    await insertRecords(db, [recordNow(0, { api_key_id: key.id, user_id: 'tim', code: 'OK', effect: 'allow' })]);
    await made(`key update ${key.id} --allow-user-management`);
    const { stdout, stderr, code } = await authz(['audit', 'timeline', '--key', key.id], env);
    expect([code, stderr]).to.deep.equal([0, '']);
    const order = ['admin     user.create user tim', 'admin     key.create key', 'key.update key'];
    const places = order.map((text) => stdout.indexOf(text));
    expect(places, stdout)
      .to.deep.equal(places.toSorted((a, b) => a - b))
      .and.not.include(-1);
    expect(stdout).to.include('allowUserManagementApiRequests false -> true').and.include(`OK `);
    const lines = (await authz(['audit', 'timeline', '--user', 'tim', '--json'], env)).stdout.trim().split('\n');
    const { cursor } = JSON.parse(lines[0] ?? '');
    const rest = await authz(['audit', 'timeline', '--user', 'tim', '--json', '--cursor', cursor], env);
    expect(rest.stdout.trim().split('\n')).to.deep.equal(lines.slice(1));
  });

  it('query finds a key in clear by its id and, once it is deleted, by its fingerprint, and keeps it out of the events', async () => {
    const made = async (args: string) => JSON.parse((await authz([...args.split(' '), '--json'], env)).stdout);
    await made('user put ada');
    const { apiKey, key } = await made('key create --user ada --name leaked');
    const lived = recordNow(5000, { api_key_id: key.id, user_id: 'ada' });
    const other = recordNow(4000, { api_key_id: 'another' });
    await insertRecords(db, [lived, other]);
    const ask = async (input: string) => {
      const { code, stdout, stderr } = await authz(['audit', 'query', '--key', '-', '--json'], env, input);
      expect(code, stderr).to.equal(0);
      return (JSON.parse(stdout).items as { id: string }[]).map(({ id }) => id);
    };
    expect(await ask(`${apiKey}\n`)).to.deep.equal([lived.id]);
    await made(`key delete ${key.id} --yes`);
    const fingerprint = fingerprinter({ id: 'p', secret })(apiKey);
    const gone = { api_key_id: null, user_id: null, code: 'INVALID_API_KEY', effect: 'deny', fingerprint } as const;
    const dead = recordNow(0, gone);
    await insertRecords(db, [dead]);
    expect(await ask(apiKey)).to.deep.equal([dead.id, lived.id]);
    expect(await ask(`Token ${apiKey}`)).to.deep.equal([dead.id, lived.id]);
    // What never was a key, sent as it stands.
    const junk = recordNow(0, { ...gone, fingerprint: fingerprinter({ id: 'p', secret })('Bearer hunter2') });
    await insertRecords(db, [junk]);
    expect(await ask('hunter2')).to.deep.equal([junk.id]);
    const events = JSON.stringify(await db('admin_events').select());
    expect(events).to.include(fingerprint).and.not.include(apiKey).and.not.include('hunter2');
  });
});
