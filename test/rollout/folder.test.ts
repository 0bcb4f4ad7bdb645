/** Reading a policy folder from disk, or refusing it with a reason that says what to correct. */

import { execFileSync } from 'node:child_process';
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { Refusal } from '../../src/errors.ts';
import { policyFiles } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { loadPolicy, readPolicyFolder } from '../../src/rollout/folder.ts';
import { POLICY_FOLDER, shippedPolicy } from '../policy/texts.ts';

/** The error that `build` throws; fails when it throws none. */
async function thrownBy(build: () => unknown): Promise<Error> {
  try {
    await build();
  } catch (error) {
    return error as Error;
  }
  return expect.fail('nothing was thrown');
}

describe('the policy of a folder', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'policies-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is built of its texts; dot files are ignored', async () => {
    await writeFile(path.join(folder, '.20-limit.csv.swp'), 'x');
    await mkdir(path.join(folder, '..data'));
    await writeFile(path.join(folder, 'cases', '.rows.yaml.swp'), 'x');
    expect((await loadPolicy(folder)).digest).to.equal((await shippedPolicy()).digest);
  });

  it('is refused with every finding and its file, line and column', async () => {
    await writeFile(path.join(folder, '20-limit.csv'), 'p, x, *, "r.limit", dney, RATE_LIMITED\n');
    const error = await thrownBy(() => loadPolicy(folder));
    expect(error).to.be.instanceOf(Refusal);
    expect(error.message).to.match(/20-limit\.csv:1:11: .*\[unknown-fact\]\n.*20-limit\.csv:1:21: .*\[row-effect\]$/);
  });

  const findings = async (): Promise<string[]> =>
    (await buildPolicy(await readPolicyFolder(folder))).findings.map(
      ({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`,
    );

  it('is refused when a file is not UTF-8, with the place of the byte and all other findings', async () => {
    const limit = path.join(folder, '20-limit.csv');
    const text = await readFile(limit);
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xe2, 0x80], [0xff, 0xfe, 0x70, 0x00]]) {
      await writeFile(limit, Buffer.concat([text, Buffer.from('# ä'), Buffer.from(bytes)]));
      await writeFile(path.join(folder, 'codes.yaml~'), '');
      const found = await findings();
      expect(found).to.include('20-limit.csv:3:4 not-utf-8').and.include('codes.yaml~:1:1 unknown-file');
      expect(found.filter((one) => !/not-utf-8|unseen-character|unknown-file/.test(one))).to.deep.equal([]);
    }
    await writeFile(path.join(folder, 'codes.yaml'), Buffer.from('OK:\n  status: 200\n  message: f\xfcr\n', 'latin1'));
    expect(await findings()).to.include('codes.yaml:3:13 not-utf-8');
  });

  it('is refused with a link that leads outside, or nowhere, which is not followed', async () => {
    const outside = await mkdtemp(path.join(tmpdir(), 'outside-'));
    await writeFile(path.join(outside, 'pepper'), 'secret');
    await writeFile(path.join(outside, '10-all.csv'), 'p, all, *, "true", allow, OK\n');
    await rename(path.join(folder, 'cases'), path.join(outside, 'cases'));
    const links = { 'NOTES.md': 'pepper', '05-all.csv': '10-all.csv', '06-none.csv': 'none', cases: 'cases' };
    for (const [name, to] of Object.entries(links)) await symlink(path.join(outside, to), path.join(folder, name));
    await symlink('..', path.join(folder, '07-up.csv'));
    await symlink('08-self.csv', path.join(folder, '08-self.csv'));
    const texts = await readPolicyFolder(folder);
    expect([...texts.values()].join())
      .not.to.contain('secret')
      .and.not.to.contain('p, all,');
    const found = await findings();
    for (const name of [...Object.keys(links), '07-up.csv', '08-self.csv'])
      expect(found).to.include(`${name}:1:1 link-outside`);
    await rm(outside, { recursive: true });
  });

  it('follows links inside, as of a ConfigMap, and may itself be a link', async () => {
    const mounted = await mkdtemp(path.join(tmpdir(), 'mounted-'));
    await rename(folder, path.join(mounted, '..2030_01_31'));
    await symlink('..2030_01_31', path.join(mounted, '..data'));
    for (const name of await readdir(path.join(mounted, '..data'))) {
      await symlink(path.join('..data', name), path.join(mounted, name));
    }
    await symlink(mounted, folder);
    const { digest } = await shippedPolicy();
    expect((await loadPolicy(folder)).digest).to.equal(digest);
    await rm(folder);
    await rename(mounted, folder);
    expect((await loadPolicy(folder)).digest).to.equal(digest);
  });

  it('is refused with a folder in it, or a pipe, beside all other findings', async () => {
    await mkdir(path.join(folder, 'archive'));
    await mkdir(path.join(folder, '50-more.csv'));
    await mkdir(path.join(folder, 'cases', 'old'));
    execFileSync('mkfifo', [path.join(folder, '60-pipe.csv')]);
    await writeFile(path.join(folder, 'x.txt'), '');
    await writeFile(Buffer.from(path.join(folder, 'f\xfcr.csv'), 'latin1'), '');
    const unread = ['50-more.csv/', '60-pipe.csv/', 'archive/', 'cases/old/', 'x.txt'];
    const found = await findings();
    expect(found.filter((one) => one.endsWith('unknown-file'))).to.deep.equal(
      unread.map((name) => `${name}:1:1 unknown-file`),
    );
    expect(found.filter((one) => !one.endsWith('unknown-file'))).to.deep.equal(['f\ufffdr.csv:1:1 not-utf-8']);
    await rm(path.join(folder, 'cases'), { recursive: true });
    await writeFile(path.join(folder, 'cases'), '');
    expect(await findings())
      .to.include('cases:1:1 unknown-file')
      .and.include('cases:1:1 no-cases');
  });

  it('is refused with a key or a token anywhere in it, which no finding repeats', async () => {
    const [key, token] = [createToken('apiKey'), createToken('caller')];
    const append = async (name: string, text: string): Promise<void> => appendFile(path.join(folder, name), text);
    await append('20-limit.csv', `p, k, *, "r.key.id == '${key}'", deny, RATE_LIMITED\n`);
    await append('20-limit.csv', `# ${token.slice(9)}\n`);
    await append('90-allow.csv', `p, ${key}, "x", 1, ${key}, ${token}\n`);
    await append('codes.yaml', `# ${token}\n`);
    await append('cases/order.yaml', `# ${encodeURIComponent(key).replace('_', '%5f')}\n`);
    await append('invariants.yaml', `  - { name: '${key}', when: '${key}' }\n`);
    await append('NOTES.md', `the key is ${key}\n`);
    await append(`${key}.md`, '');
    const { findings: all } = await buildPolicy(await readPolicyFolder(folder));
    const secrets = all.filter(({ rule }) => rule === 'secret').map(({ file, line }) => `${file}:${line}`);
    expect(secrets).to.include.members([
      '20-limit.csv:3',
      '20-limit.csv:4',
      '90-allow.csv:4',
      'NOTES.md:1',
      'iqra_***.md:1',
    ]);
    expect(new Set(secrets.map((place) => place.split(':')[0]))).to.have.lengthOf(7);
    for (const secret of [key, token, token.slice(9)]) expect(JSON.stringify(all)).not.to.contain(secret);
  });

  it('is stored without notes, which the policy does not read', async () => {
    await writeFile(path.join(folder, 'NOTES.md'), 'for people\n');
    const texts = await readPolicyFolder(folder);
    expect([...texts.keys()]).to.include('NOTES.md');
    expect([...policyFiles(texts).keys()].sort()).to.deep.equal(
      [...(await readPolicyFolder(POLICY_FOLDER)).keys()].sort(),
    );
  });

  it('is refused when a byte order mark hides the first row', async () => {
    await writeFile(
      path.join(folder, '20-limit.csv'),
      '\ufeffp, limit-exceeded, *, "r.limit.exceeded", deny, RATE_LIMITED\n',
    );
    expect((await thrownBy(() => loadPolicy(folder))).message).to.contain('20-limit.csv:1:1: byte order mark U+FEFF');
  });

  it('is refused when it is missing, is a file, or has subfolders; an empty one has many findings', async () => {
    for (const wrong of [path.join(folder, 'nowhere'), path.join(folder, 'codes.yaml')]) {
      expect(await thrownBy(() => loadPolicy(wrong))).to.be.instanceOf(Refusal);
    }
    await mkdir(path.join(folder, '50-more.csv'));
    expect(await thrownBy(() => loadPolicy(folder))).to.be.instanceOf(Refusal);
    await rm(folder, { recursive: true });
    await mkdir(folder);
    expect((await thrownBy(() => loadPolicy(folder))).message)
      .to.contain('codes.yaml:1:1')
      .and.to.contain('model.conf:1:1');
  });

  it('is checked once while it is in use, and anew where a text of it is another, moved, or gone', async () => {
    const policy = await loadPolicy(folder);
    expect(await loadPolicy(folder)).to.equal(policy);
    const cases = path.join(folder, 'cases', 'order.yaml');
    const text = await readFile(cases, 'utf8');
    await writeFile(cases, text.replace('code: INVALID_API_KEY', 'code: RATE_LIMITED'));
    expect(await thrownBy(() => loadPolicy(folder))).to.be.instanceOf(Refusal);
    await writeFile(cases, text);
    await rename(cases, path.join(folder, 'cases', 'another.yaml'));
    const renamed = await loadPolicy(folder);
    expect(renamed).not.to.equal(policy);
    expect(renamed.digest).to.equal(policy.digest);
  });

  it('is refused without its cases', async () => {
    await loadPolicy(folder);
    await rm(path.join(folder, 'cases'), { recursive: true });
    expect((await thrownBy(() => loadPolicy(folder))).message).to.contain('[no-cases]');
  });
});
