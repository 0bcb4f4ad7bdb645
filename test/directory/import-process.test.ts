/** `authz import` as a real process: output, exit codes, and what is loaded when it is killed. */

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { digestOf } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { importFile } from '../../src/directory/import.ts';
import { NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { authz, outputWith, ROOT, startAuthz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';
import { backendAt, KEY_PEPPERS, linesOf, NOTHING, pepper, rowsOf } from './imports.ts';

const LINES = linesOf({
  users: [{ id: 'ada' }],
  businesses: [{ id: 'bakery' }],
  members: [{ businessId: 'bakery', userId: 'ada', role: 'owner' }],
  apiKeys: ['k1', 'k2'].map((id) => ({
    id,
    userId: 'ada',
    friendlyName: id,
    allowUserManagementApiRequests: false,
    restrictedBusinessIds: ['bakery'],
  })),
});

describe('authz import', function () {
  this.timeout(120_000);
  let folder: string;
  let env: Record<string, string>;
  let db: Knex;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz import '));
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS };
    db = connect({ url, poolSize: 3 });
  });
  afterEach(async () => {
    await db.destroy();
    await rm(folder, { recursive: true, force: true });
  });

  const write = async (name: string, text: string): Promise<string> => {
    const file = path.join(folder, name);
    await writeFile(file, text);
    return file;
  };

  it('prints its counts, and each new key once', async () => {
    const file = await write('directory.jsonl', LINES.join('\n'));
    const first = await authz(['import', file], env);
    expect([first.code, first.stderr]).to.deep.equal([0, '']);
    expect(first.stdout).to.match(/^apiKeys +2 +0 +0$/m);
    const keys = [...first.stdout.matchAll(/^(iqra_\w{36}) {2}(k\d)$/gm)];
    expect(keys.map(([, , id]) => id)).to.deep.equal(['k1', 'k2']);
    for (const [, apiKey = '', id = ''] of keys) {
      expect((await db('api_keys').where({ id }).first()).digest).to.deep.equal(digestOf(pepper, apiKey));
    }
    const [event] = await db('admin_events').orderBy('seq');
    expect(event).to.include({ subject_id: 'directory.jsonl' });
    expect(event.actor).to.match(/^cli:./);
    const second = await authz(['import', file, '--json'], env);
    expect(second.stderr).to.equal('');
    expect(JSON.parse(second.stdout)).to.deep.equal({
      counts: {
        users: { created: 0, changed: 0, left: 1 },
        businesses: { created: 0, changed: 0, left: 1 },
        members: { created: 0, changed: 0, left: 1 },
        apiKeys: { created: 0, changed: 0, left: 2 },
      },
      generated: [],
    });
  });

  it('leaves ten thousand events of entries, and proves the others by a file', async () => {
    const lines = Array.from({ length: 10_050 }, (_, n) => `{"user":{"id":"user-${n}"}}`);
    const file = await write('many.jsonl', lines.join('\n'));
    const changes = path.join(folder, 'changes.jsonl');
    const run = await authz(['import', file, '--changes', changes], env);
    expect([run.code, run.stderr]).to.deep.equal([0, '']);
    const [summary, ...entries] = await db('admin_events').orderBy('seq');
    const written = (await readFile(changes, 'utf8')).trimEnd().split('\n');
    expect([entries.length, written.length]).to.deep.equal([10_000, 10_050]);
    const ids = written.map((line) => (JSON.parse(line) as { id: string }).id);
    expect(ids).to.deep.equal(ids.toSorted());
    expect(entries.map(({ subject_id }) => subject_id)).to.deep.equal(ids.slice(0, 10_000));
    const rest = written.slice(10_000).map((line) => `${line}\n`);
    const sha256 = createHash('sha256').update(rest.join('')).digest('hex');
    expect(summary.after.rest).to.deep.equal({ count: 50, sha256 });
    expect(execFileSync('sh', ['-c', 'tail -n +10001 "$0" | sha256sum', changes]).toString()).to.include(sha256);
    expect((await verifyLog(db, {})).findings).to.deep.equal([]);

    const again = await authz(['import', file, '--changes', changes], env);
    expect(again.code).to.equal(1);
    expect(again.stderr).to.include('is there already; name a new file for the changes');
    const nowhere = await authz(
      ['import', await write('one.jsonl', '{"user":{"id":"one"}}'), '--changes', path.join(folder, 'no', 'x')],
      env,
    );
    expect([nowhere.code, nowhere.stdout]).to.deep.equal([1, '']);
    expect(nowhere.stderr).to.include('so nothing is loaded');
    const bad = path.join(folder, 'bad.jsonl');
    expect((await authz(['import', await write('b.jsonl', '{"user":{}}'), '--changes', bad], env)).code).to.equal(1);
    expect(existsSync(bad)).to.equal(false);
    expect(await db('users').where({ id: 'one' })).to.deep.equal([]);
  });

  it('reads standard input, as a document by default', async () => {
    expect((await authz(['import', '-'], env, '{"users": [{"id": "u1"}]}')).code).to.equal(0);
    const lines = await authz(['import', '-', '--format', 'jsonl', '--json'], env, LINES.join('\r\n'));
    expect(JSON.parse(lines.stdout).generated.map(({ id }: { id: string }) => id)).to.deep.equal(['k1', 'k2']);
    expect(await db('users').orderBy('id').pluck('id')).to.deep.equal(['ada', 'u1']);
  });

  it('refuses bad input with exit code 1 and the reason', async () => {
    const bad = await write('bad.ndjson', `${LINES.join('\n')}\n{"user": {"id": "not ok"}}`);
    const large = await write('large.json', `{"users":[]${' '.repeat(64 * 1024 * 1024)}}`);
    for (const [args, message] of [
      [[bad], 'line 6: user.id: must be'],
      [[large], 'larger than 64 MiB; write it as JSON lines'],
      [[path.join(folder, 'nowhere.json')], 'cannot be read'],
      [[folder], 'cannot be read'],
    ] as const) {
      const { code, stdout, stderr } = await authz(['import', ...args], env);
      expect([code, stdout]).to.deep.equal([1, ''], stderr);
      expect(stderr).to.include(message);
    }
    expect((await authz(['import', bad, '--format', 'xml'], env)).code).to.equal(2);
    expect(await rowsOf(db)).to.deep.equal(NOTHING);
  });

  it('says what to do when the reader of the new keys closes the pipe (EPIPE)', async () => {
    const users = [{ id: 'u' }];
    const apiKeys = Array.from({ length: 5000 }, (_, id) => ({
      id,
      userId: 'u',
      friendlyName: 'x',
      allowUserManagementApiRequests: false,
    }));
    const child = startAuthz(['import', await write('many.json', JSON.stringify({ users, apiKeys }))], env);
    child.stdout?.once('data', () => child.stdout?.destroy());
    let stderr = '';
    child.stderr?.on('data', (chunk) => (stderr += chunk));
    const [code] = await once(child, 'close');
    expect(stderr).to.include('everything is loaded, but the output was closed');
    expect(code).to.equal(1);
    expect(await db('api_keys').count('*')).to.deep.equal([{ count: '5000' }]);
  });

  describe('loads nothing when it', () => {
    /** An import that has staged some lines and waits for more input. */
    const reading = async (): Promise<{ child: ChildProcess; end: Promise<unknown>; pid: number }> => {
      const child = startAuthz(['import', '-', '--format', 'jsonl'], env);
      const end = once(child, 'close');
      child.stdin?.on('error', () => undefined).write(`${LINES.join('\n')}\n`);
      return { child, end, pid: await backendAt(db, 'copy staged') };
    };
    /** An import that has staged everything and waits for the locks of `writer`. */
    const waiting = async (
      writer: Knex.Transaction,
    ): Promise<{ child: ChildProcess; end: Promise<unknown>; pid: number }> => {
      await writer.raw('lock table api_keys in row exclusive mode');
      const child = startAuthz(['import', await write('lines.jsonl', LINES.join('\n'))], env);
      return { child, end: once(child, 'close'), pid: await backendAt(db, 'lock table') };
    };
    const cut = (pid: number) => db.raw('select pg_terminate_backend(?, 10000)', [pid]);
    const gone = async (pid: number): Promise<void> => {
      while ((await db.raw('select from pg_stat_activity where pid = ?', [pid])).rowCount > 0) await sleep(10);
    };

    it('loses its connection while it reads', async () => {
      const { child, end, pid } = await reading();
      const output = outputWith(child, 'so nothing is loaded. Import it again.\n');
      await cut(pid);
      // Either error may come first: the server's FATAL message, or the closed connection.
      expect(await output).to.match(
        /\((?:terminating connection|write E|read E|Connection terminated).*\) while reading/,
      );
      child.stdin?.end();
      expect(await end).to.deep.equal([3, null]);
      expect(await rowsOf(db)).to.deep.equal(NOTHING);
    });

    it('loses its connection while it waits for a lock', () =>
      db.transaction(async (writer) => {
        const { child, end, pid } = await waiting(writer);
        const output = outputWith(child, 'so nothing is loaded. Import it again.\n');
        await cut(pid);
        expect(await output).to.include('while waiting for other writers');
        expect(await end).to.deep.equal([3, null]);
        expect(await rowsOf(db)).to.deep.equal(NOTHING);
      }));

    it('is killed, while it reads or later', async () => {
      const early = await reading();
      early.child.kill('SIGKILL');
      await gone(early.pid);
      const late = await db.transaction(async (writer) => {
        const started = await waiting(writer);
        started.child.kill('SIGKILL');
        await started.end;
        return started;
      });
      await gone(late.pid);
      expect(await rowsOf(db)).to.deep.equal(NOTHING);
    });
  });

  it('reads its input once, also when it deadlocks with another writer', async () => {
    const other = await db.transaction();
    // The other writer's deadlock_timeout is long, so that the import is the victim.
    await other.raw(`set local deadlock_timeout = '60s'`);
    await other.raw('lock table api_keys in row exclusive mode');
    const import_ = authz(['import', '-', '--format', 'jsonl'], env, LINES.join('\n'));
    await backendAt(db, 'lock table');
    await other.raw('lock table users in row exclusive mode');
    await other.raw(`insert into users (id) values ('other')`);
    await other.commit();
    const { code, stderr } = await import_;
    expect([code, stderr]).to.deep.equal([0, '']);
    expect(await db('users').orderBy('id').pluck('id')).to.deep.equal(['ada', 'other']);
  });

  it('takes constant memory, whatever the number of entries', async () => {
    const disabledReason = 'ж'.repeat(300);
    const apiKey = { friendlyName: 'ж'.repeat(100), allowUserManagementApiRequests: false };
    const lines = linesOf({
      users: Array.from({ length: 90_000 }, (_, n) => ({ id: `user-${n}`, disabled: true, disabledReason })),
      apiKeys: Array.from({ length: 10_000 }, (_, n) => ({ id: `key-${n}`, userId: `user-${n}`, ...apiKey })),
    });
    const file = await write('large.jsonl', lines.join('\n'));
    const main = path.join(ROOT, 'dist', 'src', 'main.js');
    const child = spawn(process.execPath, ['--max-old-space-size=64', main, 'import', file], { env });
    const end = once(child, 'close');
    expect(await outputWith(child, 'key-9999\n')).to.match(/^users +90000 +0 +0$/m);
    expect(await end).to.deep.equal([0, null]);
  });

  it('shows every new key once, also when it loses the connection meanwhile', async () => {
    const apiKey = { userId: 'u', friendlyName: 'x', allowUserManagementApiRequests: false };
    const apiKeys = Array.from({ length: 2500 }, (_, n) => ({ id: `k${n}`, ...apiKey }));
    const file = await write('keys.jsonl', linesOf({ users: [{ id: 'u' }], apiKeys }).join('\n'));
    const { generated } = await importFile({
      db,
      peppers: [pepper],
      actor: { id: 'test' },
      file,
      form: 'jsonl',
      declaration: async () => NOTHING_DECLARED,
    });
    const shown = new Map<string, string>();
    for await (const keys of generated) {
      if (shown.size === 0) {
        await db.raw(`select pg_terminate_backend(pid, 10000) from pg_stat_activity
          where datname = current_database() and state = 'idle in transaction'`);
      }
      for (const key of keys) {
        expect(shown.has(key.id)).to.equal(false);
        shown.set(key.id, key.apiKey);
      }
    }
    expect(shown.size).to.equal(2500);
    for (const { id, digest } of await db('api_keys')) {
      expect(digest.equals(digestOf(pepper, shown.get(id) ?? ''))).to.equal(true);
    }
  });

  it('shows its progress on a terminal, and only there', async function () {
    // script(1) runs a command on a pseudo-terminal.
    if (spawnSync('script', ['--version']).status !== 0) this.skip();
    const file = await write('lines.jsonl', LINES.join('\n'));
    const command = [process.execPath, path.join(ROOT, 'dist', 'src', 'main.js'), 'import', file, '--json']
      .map((word) => `'${word}'`)
      .join(' ');
    const { stdout, stderr } = spawnSync('script', ['-qec', `${command} > '${folder}/out'`, '/dev/null'], {
      env: { ...process.env, ...env },
      encoding: 'utf8',
    });
    expect(stdout).to.include('5 entries, 0.0 MB: loading apiKeys', stderr);
    expect(stdout.trimEnd().endsWith('\r\x1b[K')).to.equal(true);
  });
});
