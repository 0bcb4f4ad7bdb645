/** Policies with network files on their way: read from a folder or a revision, checked in a process, stored once, put back. */

import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { LIMITS, type PolicyTexts } from '../../src/policy/folder/files.ts';
import { printFinding } from '../../src/policy/folder/findings.ts';
import { assemblePolicy, buildPolicy } from '../../src/policy/policy.ts';
import { checkInProcess } from '../../src/rollout/check-in-process.ts';
import { loadPolicy, readPolicyFolder } from '../../src/rollout/folder.ts';
import { followPolicies } from '../../src/rollout/policies.ts';
import { findPolicy, policyOfTime, storePolicy } from '../../src/rollout/store.ts';
import { eventually } from '../http/process.ts';
import { edited, POLICY_FOLDER, shippedTexts, withFile } from '../policy/texts.ts';
import { authz, type Outcome } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { startService } from '../support/service.ts';

const SECTION = 'networks:\n  blocked: { file: blocked.txt }\nactions:\n';
const LIST = `# Ümlaut \u{1f512}\n${'203.0.113.0/24\n'.repeat(1000)}`;

describe('a policy with a network file', function () {
  this.timeout(60_000);

  let scratch: string;
  let folder: string;
  let db: Knex;
  let texts: PolicyTexts;
  let run: (...args: readonly string[]) => Promise<Outcome>;

  before(async () => {
    scratch = await mkdtemp(path.join(tmpdir(), 'authz-networks-'));
    const url = await newDatabase();
    db = connect({ url, poolSize: 1 });
    const env = { DATABASE_URL: url, KEY_PEPPERS: `t:${Buffer.alloc(32, 1).toString('base64')}` };
    run = (...args) => authz(['policy', ...args], env);
    texts = withFile(edited(await shippedTexts(), 'facts.yaml', 'actions:\n', SECTION), 'blocked.txt', LIST);
  });
  after(async () => {
    await db.destroy();
    await rm(scratch, { recursive: true });
  });
  beforeEach(async () => {
    folder = await mkdtemp(path.join(scratch, 'policies-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    await writeFile(path.join(folder, 'facts.yaml'), texts.get('facts.yaml') ?? '');
    await writeFile(path.join(folder, 'blocked.txt'), LIST);
  });

  const stored = async (given: PolicyTexts): Promise<string> => {
    const { digest } = await assemblePolicy(given);
    await storePolicy(db, digest, given);
    return digest;
  };

  it('is stored with the list once by content, however many policies have it, and put together again', async () => {
    const renamed = edited(texts, 'facts.yaml', 'file: blocked.txt', 'file: other.txt');
    const digests = [
      await stored(texts),
      await stored(edited(texts, 'facts.yaml', 'Start a call', 'Begin a call')),
      await stored(withFile(withFile(renamed, 'blocked.txt', undefined), 'other.txt', LIST)),
    ];
    expect(new Set(digests).size).to.equal(3);
    expect(await db('policy_files')).to.have.lengthOf(1);
    for (const digest of digests) {
      const found = await findPolicy(db, digest);
      expect([...found.texts.values()].filter((text) => text === LIST)).to.have.lengthOf(1);
      expect((await policyOfTime(db, digest)).policy?.digest).to.equal(digest);
    }
    const row = await db('policies').where({ digest: digests[0] }).first();
    expect(Object.keys(row.texts['blocked.txt'])).to.deep.equal(['sha256']);
    await stored(withFile(texts, 'blocked.txt', '10.0.0.0/8\n'));
    expect(await db('policy_files')).to.have.lengthOf(2);
  });

  it('is not readable where the stored list is another, or gone, and no other policy is affected', async () => {
    const [one, other] = [await stored(texts), await stored(withFile(texts, 'blocked.txt', '192.0.2.0/24\n'))];
    const { texts: files } = await db('policies').where({ digest: one }).first();
    const { sha256 } = files['blocked.txt'];
    for (const alter of [
      () => db('policy_files').where({ sha256 }).update({ text: '10.0.0.0/8\n' }),
      () => db('policy_files').where({ sha256 }).del(),
      () =>
        db('policies')
          .where({ digest: one })
          .update({ texts: JSON.stringify({ ...files, 'blocked.txt': {} }) }),
    ]) {
      await alter();
      expect(await policyOfTime(db, one)).to.deep.equal({ why: `the stored policy ${one} cannot be read` });
      expect(await rejection(findPolicy(db, one))).to.have.property('code', 'UNAVAILABLE');
      expect((await policyOfTime(db, other)).policy?.digest).to.equal(other);
    }
    // The next start of a service mends it.
    await storePolicy(db, one, texts);
    expect((await policyOfTime(db, one)).policy?.digest).to.equal(one);
  });

  it('goes live from a folder with a new list, which is stored, and with one that is in a single byte another', async () => {
    const settings = { POLICY_DIR: folder, SHADOW_POLICY_DIR: undefined, POLICY_POLL_MS: 50, POLICY_SETTLE_MS: 10 };
    const policies = await followPolicies(settings, db, createLog('silent'));
    try {
      const digests = [policies.live.policy().digest];
      for (const list of ['198.51.100.0/24\n', '198.51.100.0/25\n']) {
        await writeFile(path.join(folder, 'blocked.txt'), list);
        const { digest } = await loadPolicy(folder);
        await eventually(() => policies.live.policy().digest === digest);
        digests.push(digest);
        expect((await findPolicy(db, digest)).texts.get('blocked.txt')).to.equal(list);
      }
      expect(new Set(digests).size).to.equal(3);
      await writeFile(path.join(folder, 'blocked.txt'), '198.51.100.1/25\n');
      await eventually(() => policies.live.state().refused !== undefined);
      expect(policies.live.state().refused?.findings.map(printFinding)).to.satisfy(([first]: string[]) =>
        first?.startsWith('blocked.txt:1:1: 198.51.100.1/25 has bits set beyond its first 25'),
      );
      expect(policies.live.policy().digest).to.equal(digests[2]);
    } finally {
      await policies.close();
    }
  });

  it('decides by the list over HTTP, by a new one within seconds, and explains what the old one decided', async () => {
    await writeFile(path.join(folder, 'blocked.txt'), '203.0.113.0/24\n2001:db8::/32\n');
    await writeFile(
      path.join(folder, 'facts.yaml'),
      (texts.get('facts.yaml') ?? '').replace('file: blocked.txt', 'file: blocked.txt, withholds: true'),
    );
    await writeFile(path.join(folder, '31-x.csv'), 'p, blocked, *, "r.network.blocked", deny, PERMISSION_DENIED\n');
    const service = await startService({ POLICY_DIR: folder, POLICY_POLL_MS: '100', POLICY_SETTLE_MS: '100' });
    try {
      const { data, newKey, newUser } = clientOf(service);
      await newUser('ann', '42');
      const { apiKey } = await newKey('ann');
      const ask = (ip?: string): Promise<Record<string, unknown>> =>
        data('POST', '/authorize', { apiKey, action: 'call:create', businessId: '42', context: ip ? { ip } : {} });
      const rules = async (...ips: (string | undefined)[]): Promise<unknown[]> =>
        Promise.all(ips.map(async (ip) => (await ask(ip))['rule']));
      const allow = 'allow-on-target';
      const blocked = [
        '203.0.113.0',
        '203.0.113.255',
        '::ffff:203.0.113.9',
        '::FFFF:CB00:7109',
        '2001:db8::',
        '2001:DB8:1::1',
      ];
      const free = ['203.0.112.255', '203.0.114.0', '::203.0.113.9', '2001:db9::', undefined];
      expect(await rules(...blocked)).to.deep.equal(blocked.map(() => 'blocked'));
      expect(await rules(...free)).to.deep.equal(free.map(() => allow));
      const { decisionId } = await ask('203.0.113.7');
      await writeFile(path.join(folder, 'blocked.txt'), '198.51.100.0/24\n');
      await eventually(async () => (await rules('203.0.113.7'))[0] === allow);
      expect(await rules('198.51.100.7', '2001:db8::')).to.deep.equal(['blocked', allow]);
      const shown = await data('GET', `/audit/decisions/${decisionId}`);
      expect(JSON.stringify(shown)).to.include('"rule":"blocked"').and.not.include('cannot be');
    } finally {
      await service.close();
    }
  });

  it('is refused where the list is a link that leads outside, which is not read', async () => {
    await writeFile(path.join(scratch, 'outside.txt'), '10.0.0.0/8\n');
    await rm(path.join(folder, 'blocked.txt'));
    await symlink(path.join(scratch, 'outside.txt'), path.join(folder, 'blocked.txt'));
    const { findings } = await buildPolicy(await readPolicyFolder(folder));
    expect(findings.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`)).to.deep.equal([
      'blocked.txt:1:1 link-outside',
    ]);
    await rm(path.join(folder, 'blocked.txt'));
    await mkdir(path.join(folder, '..data'));
    await writeFile(path.join(folder, '..data', 'blocked.txt'), LIST);
    await symlink('..data/blocked.txt', path.join(folder, 'blocked.txt'));
    expect((await loadPolicy(folder)).digest).to.equal((await assemblePolicy(texts)).digest);
  });

  it('is checked by the CLI and in a process of its own, with a list of 16 MiB beside another', async () => {
    // Few lines: network-files.test.ts of the folder reads a million.
    const line = `203.0.113.0/24 # ${'a long comment '.repeat(100)}\n`;
    const big = line.repeat(Math.floor(LIMITS.network / line.length));
    const names = ['a.txt', 'b.txt'];
    const small = line.repeat(10);
    const section = names.map((file, index) => `  n${index}: { file: ${file} }\n`).join('');
    const facts = edited(texts, 'facts.yaml', 'actions:\n', `${section}actions:\n`);
    const all = new Map([...facts, ['a.txt', big], ['b.txt', small]]);
    expect(await checkInProcess(all)).to.deep.equal([]);
    expect((await checkInProcess(withFile(all, 'b.txt', `${small}x`))).map(printFinding)).to.satisfy(
      ([first, ...others]: string[]) => others.length === 0 && first?.startsWith('b.txt:11:1: this is no'),
    );
    for (const [file, text] of all) if (!file.includes('/')) await writeFile(path.join(folder, file), text);
    const { code, stdout } = await run('check', folder);
    expect([code, stdout]).to.satisfy(([exit, text]: [number, string]) => exit === 0 && text.includes('nothing found'));
    const digest = await stored(all);
    expect((await policyOfTime(db, digest)).policy?.digest).to.equal(digest);
    await writeFile(path.join(folder, 'a.txt'), '#\n'.repeat(LIMITS.network / 2 + 1));
    const refused = await run('check', folder);
    expect([refused.code, refused.stdout.split('\n')[0]]).to.deep.equal([
      1,
      `a.txt:1:1: this file has at most 16777216 characters, and ${LIMITS.network + 2} now; split it [too-large]`,
    ]);
  });

  it('is shown, restored and compared, by digest and by git revision', async () => {
    const digest = await stored(texts);
    expect((await run('show', digest)).stdout).to.contain('# blocked.txt\n# Ümlaut');
    const into = path.join(folder, '..', 'restored');
    expect((await run('restore', digest, into)).code).to.equal(0);
    expect(await readFile(path.join(into, 'blocked.txt'), 'utf8')).to.equal(LIST);
    expect((await run('diff', digest, into)).stdout).to.match(/^equivalent/);
    const git = (...args: readonly string[]): void =>
      void execFileSync('git', ['-C', folder, ...args], { stdio: 'ignore' });
    git('init', '-q');
    git('add', '.');
    git('-c', 'user.name=x', '-c', 'user.email=x@example.org', 'commit', '-q', '-m', 'x');
    await writeFile(path.join(folder, 'blocked.txt'), '10.0.0.0/8\n');
    const compared = await run('diff', 'HEAD', folder);
    expect([compared.code, compared.stderr]).to.deep.equal([0, '']);
    // A policy without the list: restoring it takes the file away.
    const { digest: without } = await assemblePolicy(await shippedTexts());
    await storePolicy(db, without, await shippedTexts());
    expect((await run('restore', without, into, '--yes')).code).to.equal(0);
    expect(await readdir(into)).not.to.include('blocked.txt');
    await rename(into, path.join(scratch, 'done'));
  });
});
