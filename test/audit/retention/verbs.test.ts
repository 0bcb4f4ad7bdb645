/** `authz audit prune` and `erase` as processes: what they ask for, what they refuse, how they end, and as which role. */

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { connect } from '../../../src/db/connect.ts';
import { authz, ROOT, startAuthz } from '../../support/cli.ts';
import { rejection } from '../../support/rejection.ts';
import { KEEP, type OldLog, writeOldLog } from './old-log.ts';

describe('authz audit, as the owner of the log', function () {
  this.timeout(60_000);
  let log: OldLog;
  let owner: Record<string, string>;
  let service: Record<string, string>;
  let auditor: Record<string, string>;
  let publicKey: string;

  before(async () => {
    log = await writeOldLog();
    const keyFile = path.join(log.folder, 'signing-key.pem');
    publicKey = path.join(log.folder, 'audit.pem');
    await writeFile(keyFile, log.signingKey, { mode: 0o600 });
    await writeFile(publicKey, execFileSync('openssl', ['pkey', '-in', keyFile, '-pubout']));
    owner = { DATABASE_URL: log.url, AUDIT_SIGNING_KEY: keyFile, AUDIT_CHECKPOINTS: log.file };
    await log.db.raw(await readFile(path.join(ROOT, 'deploy', 'roles.sql'), 'utf8'));
    const as = async (role: string): Promise<Record<string, string>> => {
      const login = `${role}_${process.pid}`;
      await log.db.raw(`create role ${login} login password '${login}' in role ${role}`);
      const url = new URL(log.url);
      url.username = url.password = login;
      return { ...owner, DATABASE_URL: url.href };
    };
    service = await as('authz_service');
    auditor = await as('authz_auditor');
  });
  after(() => log?.close());

  const refused = async (args: string[], env: Record<string, string>, says: string): Promise<void> => {
    const { code, stdout, stderr } = await authz(['audit', ...args], env);
    expect([code, stdout], stderr).to.deep.equal([1, '']);
    expect(stderr).to.include(says);
  };

  it('have an example, and end with 2 without what they need', async () => {
    for (const verb of ['prune', 'erase'])
      expect((await authz(['audit', verb, '--help'])).stdout).to.match(/Example:\n {2}authz audit /);
    expect((await authz(['audit', 'prune'], owner)).code).to.equal(2);
  });

  it('say what to change', async () => {
    const keep = ['prune', '--keep', `${KEEP}d`, '--yes'];
    await refused(['prune', '--keep', '3d', '--yes'], owner, 'at least 7d');
    await refused(['prune', '--keep', 'all', '--yes'], owner, 'at least 7d');
    await refused(keep.slice(0, -1), owner, 'add --yes');
    await refused(keep, { ...owner, AUDIT_CHECKPOINTS: '' }, '--checkpoints');
    await refused(keep, { ...owner, AUDIT_SIGNING_KEY: '' }, 'AUDIT_SIGNING_KEY is not set');
    await refused([...keep, '--checkpoints', path.join(log.folder, 'none')], owner, 'cannot be read');
    await refused(['erase', '--yes'], owner, '--user or with --key');
    await refused(['erase', '--user', 'a', '--key', 'b', '--yes'], owner, '--user or with --key');
    await refused(['erase', '--user', 'user-1'], owner, 'add --yes');
  });

  it('refuse the role of the service, which could not do it either', async () => {
    await refused(['prune', '--keep', `${KEEP}d`, '--yes'], service, 'does not own the decision log');
    await refused(['erase', '--user', 'user-1', '--yes'], service, 'does not own the decision log');
    const db = connect({ url: service['DATABASE_URL'] ?? '', poolSize: 1 });
    for (const statement of [
      'update decision_records set ip = null',
      'delete from pruned_days',
      'insert into pruned_days select * from pruned_days',
    ])
      expect(await rejection(db.raw(statement)), statement).to.have.property('code', '42501');
    expect((await db('pruned_days')).length).to.equal(0);
    await db.destroy();
  });

  it('prune escapes the reasons that it gives', async () => {
    const file = path.join(log.folder, 'of another\u001b[2J\nversion.jsonl');
    await writeFile(file, '{"type":"weather"}\n');
    const args = ['prune', '--keep', `${KEEP}d`, '--public-key', publicKey, '--yes'];
    const { code, stdout } = await authz(['audit', ...args, '--checkpoints', `${log.file},${file}`], owner);
    expect(code).to.equal(1);
    const why = `it does not verify: ${log.folder}/of another\\u{1b}[2J\\u{a}version.jsonl:1 is no checkpoint`;
    const [first, second, ...others] = stdout.split('\n');
    expect(first).to.include(`${log.days[0]} stays: ${why}`);
    expect(second).to.include(`${log.days[1]} stays: ${why}`);
    expect(others).to.deep.equal(['']);
  });

  it('erase says how many records, and that there are none', async () => {
    const records = log.records.filter(({ user_id }) => user_id === 'user-1');
    const erased = await authz(['audit', 'erase', '--user', 'user-1', '--yes'], owner);
    expect([erased.code, erased.stdout]).to.deep.equal([
      0,
      `the personal data of ${records.length} records of the user user-1 have been erased\n`,
    ]);
    const again = await authz(['audit', 'erase', '--user', 'user-1', '--yes', '--json'], owner);
    expect(JSON.parse(again.stdout)).to.deep.equal({ kind: 'user', id: 'user-1', erased: 0 });
    const none = await authz(['audit', 'erase', '--key', 'unknown', '--yes'], owner);
    expect([none.code, none.stdout]).to.deep.equal([
      0,
      'no record of the key unknown has personal data: nothing was erased\n',
    ]);
  });

  it('prune that is killed between the line and the drop leaves a log that verifies, and is completed', async () => {
    const reader = await log.db.transaction();
    await reader('decisions').first();
    const child = startAuthz(['audit', 'prune', '--keep', `${KEEP}d`, '--public-key', publicKey, '--yes'], owner);
    while (!(await readFile(log.file, 'utf8')).includes('"pruned"')) await sleep(20);
    child.kill('SIGKILL');
    await once(child, 'close');
    await reader.commit();
    expect(await log.db('pruned_days')).to.deep.equal([]);
    const verified = await authz(['audit', 'verify', '--public-key', publicKey, '--json'], owner);
    expect(verified.code, verified.stdout).to.equal(0);
    expect(JSON.parse(verified.stdout)).to.include({ pruned: 0, records: log.records.length });
  });

  it('prune drops what it may, names what it may not, and the verification says so', async () => {
    const [first, second] = log.days;
    const record = log.records.find(({ day, user_id }) => day === second && user_id !== 'user-1');
    const change = (user_agent: string | null) =>
      log.db('decision_records').where({ id: record?.id }).update({ user_agent });
    await change('altered');
    const prune = ['audit', 'prune', '--keep', `${KEEP}d`, '--public-key', publicKey, '--yes'];
    const part = await authz([...prune, '--json'], owner);
    expect(part.code, part.stderr).to.equal(1);
    const { pruned, refused } = JSON.parse(part.stdout);
    expect(pruned).to.deep.equal([{ day: first, records: 15 }]);
    expect(refused.map(({ day }: { day: string }) => day)).to.deep.equal([second]);
    const told = await authz(prune, owner);
    expect(told.code).to.equal(1);
    expect(told.stdout).to.include(`${second} stays: it does not verify: `);
    await change(record?.user_agent ?? null);
    const rest = await authz(prune, owner);
    expect([rest.code, rest.stdout]).to.deep.equal([0, `${second}: 9 records dropped\n`]);
    expect(await authz(prune, owner)).to.include({ code: 0, stdout: `no day is older than ${KEEP}d\n` });
    const verified = await authz(['audit', 'verify', '--public-key', publicKey], auditor);
    expect(verified.code, verified.stdout).to.equal(0);
    expect(verified.stdout).to.include('the records of 2 days were pruned');
    expect(
      (await authz(['audit', 'verify', '--public-key', publicKey], { ...owner, AUDIT_CHECKPOINTS: '' })).code,
    ).to.equal(0);
    // The line that the killed one wrote was taken up, not written again.
    expect((await readFile(log.file, 'utf8')).match(/"pruned"/g)).to.have.length(2);
    const events = JSON.stringify(await log.db('admin_events').select());
    expect(events).to.not.include('PRIVATE');
  });
});
