/** Policy folders at git revisions of a real repository, and revisions that try to inject options or commands. */

import { execFileSync } from 'node:child_process';
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { Refusal } from '../../src/errors.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { readPolicyFolder } from '../../src/rollout/folder.ts';
import { readPolicyRevision } from '../../src/rollout/revision.ts';
import { POLICY_FOLDER } from '../policy/texts.ts';
import { rejection } from '../support/rejection.ts';

describe('a policy folder at a git revision', () => {
  let root: string;
  let policies: string;

  const git = (...args: readonly string[]): string =>
    execFileSync('git', ['-C', root, '-c', 'user.name=t', '-c', 'user.email=t@example.org', ...args], {
      stdio: 'pipe',
      encoding: 'utf8',
    });
  const commit = (message: string): void => {
    git('add', '-A');
    git('commit', '-qm', message);
  };
  const refused = async (revision: string): Promise<string> => {
    const error = await rejection(readPolicyRevision(policies, revision));
    expect(error, revision).to.be.instanceOf(Refusal);
    return error.message;
  };

  before(async () => {
    root = await mkdtemp(path.join(tmpdir(), 'authz-revision-'));
    policies = path.join(root, 'deep', 'policies');
    await cp(POLICY_FOLDER, policies, { recursive: true });
    await writeFile(path.join(policies, '.editor'), 'of no concern');
    await writeFile(path.join(root, 'deep', '20-beside.csv'), 'of another folder');
    git('init', '-q', '-b', 'main');
    commit('the shipped policy');
    git('tag', 'v1');
    await writeFile(path.join(policies, '20-limit.csv'), '# gone\n');
    commit('no limit');
  });
  after(() => rm(root, { recursive: true, force: true }));

  it('has the files that the folder had at that revision, and no others', async () => {
    const shipped = await readPolicyFolder(POLICY_FOLDER);
    const now = new Map([...shipped]).set('20-limit.csv', '# gone\n');
    for (const name of ['v1', 'HEAD~1', git('rev-parse', 'v1').trim()]) {
      expect([...(await readPolicyRevision(policies, name))].sort()).to.deep.equal([...shipped].sort());
    }
    expect([...(await readPolicyRevision(policies, 'main'))].sort()).to.deep.equal([...now].sort());
  });

  it('is what was committed, not the working tree', async () => {
    await writeFile(path.join(policies, '20-limit.csv'), 'edited');
    expect((await readPolicyRevision(policies, 'main')).get('20-limit.csv')).to.equal('# gone\n');
    git('checkout', '-q', '.');
  });

  it('takes no revision for an option or a command, and refuses anything but a commit', async () => {
    const names = [
      '--help',
      '-h',
      '--output=x',
      '$(touch x)',
      '; touch x',
      'main; touch x',
      '',
      'main:deep',
      'no',
      'v1\0',
    ];
    for (const name of names) expect(await refused(name), name).to.include('neither a folder nor a git revision');
    expect(git('status', '--porcelain')).to.equal('');
  });

  it('is refused with a symbolic link in it, and where the revision lacks the folder; a binary file is found', async () => {
    git('checkout', '-q', '-b', 'linked');
    await symlink('/etc/hostname', path.join(policies, '50-link.csv'));
    commit('a link');
    expect(await refused('linked'))
      .to.include('50-link.csv')
      .and.include('link');
    git('checkout', '-q', '-b', 'binary', 'main');
    await writeFile(path.join(policies, '50-x.csv'), Buffer.from([0xff, 0xfe]));
    commit('no text');
    const { findings } = await buildPolicy(await readPolicyRevision(policies, 'binary'));
    expect(findings.map(({ file, rule }) => `${file} ${rule}`)).to.include('50-x.csv not-utf-8');
    git('checkout', '-q', 'main');
    git('rm', '-rqf', 'deep/policies');
    git('commit', '-qm', 'nothing left');
    await mkdir(policies, { recursive: true });
    expect(await refused('main')).to.include('the revision main has no folder');
  });

  it('is refused when the folder is missing or is in no git checkout', async () => {
    const outside = await mkdtemp(path.join(tmpdir(), 'authz-outside-'));
    expect((await rejection(readPolicyRevision(outside, 'main'))).message).to.include('not a git repository');
    await rm(outside, { recursive: true });
    expect((await rejection(readPolicyRevision(outside, 'main'))).message).to.include('neither a folder');
  });
});
