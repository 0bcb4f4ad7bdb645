/** Stored policies that were live once: found by digest, shown, compared, and restored into a folder. */

import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { loadPolicy } from '../../src/rollout/folder.ts';
import { followPolicies } from '../../src/rollout/policies.ts';
import { storePolicy } from '../../src/rollout/store.ts';
import { POLICY_FOLDER, shippedPolicy, shippedTexts } from '../policy/texts.ts';
import { authz, type Outcome } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

describe('a policy that was live once', () => {
  let folder: string;
  let db: Knex;
  let digest: string;
  let run: (...args: readonly string[]) => Promise<Outcome>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-store-'));
    const url = await newDatabase();
    db = connect({ url, poolSize: 1 });
    const env = { DATABASE_URL: url, KEY_PEPPERS: `t:${Buffer.alloc(32, 1).toString('base64')}` };
    run = (...args) => authz(['policy', ...args], env);
    ({ digest } = await shippedPolicy());
    await storePolicy(db, digest, await shippedTexts());
  });
  after(async () => {
    await db.destroy();
    await rm(folder, { recursive: true });
  });

  it('is stored with its latest cases and invariants, and listed', async () => {
    const texts = new Map([...(await shippedTexts()), ['README.md', 'seen last']]);
    await storePolicy(db, digest, texts);
    expect((await db('policies').where({ digest }).first()).texts['README.md']).to.equal('seen last');
    await storePolicy(db, digest, await shippedTexts());
    const { stdout } = await run('history');
    expect(stdout).to.match(new RegExp(`^digest +firstSeenAt\n${digest}  \\d{4}-`));
  });

  it('is shown by its digest or a prefix of it', async () => {
    for (const named of [digest, digest.slice(0, 20), digest.slice('sha256:'.length, 20)]) {
      const { stdout, code } = await run('show', named);
      expect(code).to.equal(0);
      expect(stdout)
        .to.match(new RegExp(`^# ${digest}, first seen `))
        .and.to.contain('# 90-allow.csv\n');
    }
    const json = JSON.parse((await run('show', digest, '--json')).stdout);
    expect(json.texts['codes.yaml']).to.contain('OK:');
    const missing = await run('show', 'sha256:00000000');
    expect([missing.code, missing.stderr]).to.deep.equal([
      1,
      'authz: no policy of the digest sha256:00000000 was ever live on this database; authz policy history lists those that were\n',
    ]);
    expect((await run('show', 'main')).code).to.equal(1);
  }).timeout(60_000);

  it('is shown without the control characters that its digest or its files hold', async () => {
    const forged = `sha256:${'d'.repeat(56)}\u001b[2J\u202e`;
    await storePolicy(db, forged, new Map([['10-\u001b[2J.csv', 'p, \u001b[2J']]));
    const { stdout } = await run('show', 'd'.repeat(56));
    expect(stdout).to.include(`# sha256:${'d'.repeat(56)}\\u{1b}[2J\\u{202e}, first seen `);
    expect(stdout).not.to.include('\u001b').and.not.to.include('\u202e');
  }).timeout(60_000);

  it('replaces the contents of a folder, and only when that is confirmed', async () => {
    const into = path.join(folder, 'policies');
    expect((await run('restore', digest, into)).code).to.equal(0);
    expect((await loadPolicy(into)).digest).to.equal(digest);
    await writeFile(path.join(into, '05-added.csv'), 'p, all, *, "r.user.status == \'active\'", deny, USER_DISABLED\n');
    await writeFile(path.join(into, '20-limit.csv'), '# empty\n');
    const asked = await run('restore', digest, into);
    expect(asked.code).to.equal(1);
    expect(asked.stderr).to.contain('--yes');
    expect(await readdir(into)).to.include('05-added.csv');
    expect((await run('restore', digest, into, '--yes')).code).to.equal(0);
    expect((await loadPolicy(into)).digest).to.equal(digest);
    expect((await readdir(into)).sort()).to.deep.equal((await readdir(POLICY_FOLDER)).sort());
  }).timeout(60_000);

  it('is never written outside the folder, whatever file names the table holds', async () => {
    const other = `sha256:${'e'.repeat(64)}`;
    const texts = new Map([...(await shippedTexts()), ['../outside.csv', 'p']]);
    await storePolicy(db, other, texts);
    const { code, stderr } = await run('restore', other, path.join(folder, 'other'));
    expect(code).to.equal(1);
    expect(stderr).to.contain('can no longer be read');
    expect(await readdir(folder)).to.deep.equal(['policies']);
  }).timeout(60_000);

  it('can be compared with a folder, and reviewed', async () => {
    const draft = path.join(folder, 'draft');
    await cp(POLICY_FOLDER, draft, { recursive: true });
    const same = await run('diff', digest, draft);
    expect([same.code, same.stdout]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 0 && /^equivalent/.test(text),
    );
    await writeFile(path.join(draft, '20-limit.csv'), '# nothing is limited\n');
    const invariants = await readFile(path.join(draft, 'invariants.yaml'), 'utf8');
    const [gone] = / {2}- name: Nothing is allowed on a disabled business\n(?: {4}.*\n)+/.exec(invariants) ?? [''];
    await writeFile(path.join(draft, 'invariants.yaml'), invariants.replace(gone, ''));
    const review = await run('review', digest, draft, '--replay', '1h');
    expect(review.code).to.equal(1);
    for (const part of [
      '# Policy review',
      '## Findings',
      'invariant-violated',
      '## Invariants',
      '**removed**: "Nothing is allowed on a disabled business"',
      '## Cases',
      '## Difference',
      'RATE_LIMITED',
      '## Replay',
    ]) {
      expect(review.stdout).to.contain(part);
    }
    const json = JSON.parse((await run('review', digest, draft, '--json')).stdout);
    expect([json.old, json.difference.equivalent, json.replay]).to.deep.equal([digest, false, null]);
    await writeFile(path.join(draft, '90-allow.csv'), 'p, x\n');
    const broken = await run('review', digest, draft);
    expect([broken.code, broken.stdout]).to.satisfy(
      ([exit, text]: [number, string]) => exit === 1 && text.includes('[row-shape]') && text.includes('cannot be read'),
    );
  }).timeout(60_000);

  it('is stored without notes, by a service that follows a folder', async () => {
    const live = path.join(folder, 'live');
    await cp(POLICY_FOLDER, live, { recursive: true });
    await writeFile(path.join(live, 'NOTES.md'), 'for people');
    const settings = { POLICY_DIR: live, SHADOW_POLICY_DIR: undefined, POLICY_POLL_MS: 1000, POLICY_SETTLE_MS: 10 };
    const policies = await followPolicies(settings, db, createLog('silent'));
    await policies.close();
    const { texts } = await db('policies').where({ digest }).first();
    expect(Object.keys(texts).sort()).to.deep.equal([...(await shippedTexts()).keys()].sort());
  });

  it('leaves notes, and replaces links that lead outside, without a write there', async () => {
    const into = path.join(folder, 'linked');
    const outside = path.join(folder, 'outside');
    await cp(POLICY_FOLDER, into, { recursive: true });
    await mkdir(outside);
    await rename(path.join(into, 'cases'), path.join(outside, 'cases'));
    await rename(path.join(into, 'codes.yaml'), path.join(outside, 'codes.yaml'));
    for (const name of ['cases', 'codes.yaml']) await symlink(path.join(outside, name), path.join(into, name));
    await symlink(path.join(outside, 'codes.yaml'), path.join(into, '05-more.csv'));
    await writeFile(path.join(into, 'NOTES.md'), 'for people');
    await writeFile(path.join(outside, 'cases', 'kept.yaml'), '');
    await writeFile(path.join(outside, 'codes.yaml'), 'kept');
    expect((await run('restore', digest, into, '--yes')).code).to.equal(0);
    expect((await loadPolicy(into)).digest).to.equal(digest);
    expect(await readdir(into))
      .to.include('NOTES.md')
      .and.not.include('05-more.csv');
    expect(await readFile(path.join(outside, 'codes.yaml'), 'utf8')).to.equal('kept');
    expect(await readdir(path.join(outside, 'cases'))).to.include('kept.yaml');
  }).timeout(60_000);
});
