/** No key or token that is given to a command in the wrong place is printed, logged or stored; a new one is printed, once. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

describe('a secret in the wrong place', () => {
  let db: Knex;
  let env: Record<string, string>;
  let folder: string;
  const [key, token] = [createToken('apiKey'), createToken('caller')];
  const secrets = [key, token, key.slice(5), encodeURIComponent(token).replaceAll('_', '%5f')];

  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 1 });
    folder = await mkdtemp(path.join(tmpdir(), 'secrets-'));
  });
  after(async () => {
    await db?.destroy();
    await rm(folder, { recursive: true });
  });

  const clean = (output: string): void => {
    for (const secret of secrets) expect(output).not.to.contain(secret.slice(-36));
  };

  it('is masked in what a command prints and in why it fails', async () => {
    for (const secret of secrets) {
      for (const args of [
        ['key', 'show', secret],
        ['key', 'revoke', secret],
        ['user', 'put', secret],
        ['caller', 'create', '--name', secret, '--scope', 'authorize'],
        ['audit', 'query', '--key', secret],
        ['audit', 'query', '--code', secret],
        ['audit', 'show', secret],
        ['import', secret],
        ['policy', 'check', secret],
        ['policy', 'show', secret],
        [secret],
        ['key', 'show', `--${secret}`],
      ]) {
        const { code, stdout, stderr } = await authz(args, env);
        expect(code, args.join(' ')).to.be.above(0);
        clean(stdout + stderr);
      }
    }
    clean(JSON.stringify(await db('admin_events')));
  });

  it('is masked in the event of an import, which has the name of its file', async () => {
    const file = path.join(folder, `${key}.json`);
    await writeFile(file, '{"users":[{"id":"u1"}]}');
    const { code, stdout, stderr } = await authz(['import', file], env);
    expect(code, stderr).to.equal(0);
    clean(stdout + stderr);
    // Beside it, one of each user that was imported.
    expect(await db('admin_events').orderBy('subject_id').pluck('subject_id')).to.deep.equal(['iqra_***.json', 'u1']);
  });

  it('is masked in the log: in texts, in errors, in what an object holds', async () => {
    const out = new PassThrough();
    const log = createLog('trace', out);
    for (const secret of secrets) {
      log.info({ name: secret, list: [{ [secret]: secret }] }, `of ${secret}`);
      log.error({ error: new Error(secret, { cause: new TypeError(`x${secret}`) }) }, 'failed');
    }
    out.end();
    const lines = (await text(out)).trim().split('\n');
    expect(lines).to.have.lengthOf(2 * secrets.length);
    clean(lines.join('\n'));
    for (const line of lines) expect(JSON.parse(line)).to.be.an('object');
    expect(lines[0]).to.contain('"msg":"of iqra_***"');
  });

  it('is no new key or token, which is shown this once', async () => {
    await authz(['user', 'put', 'ada'], env);
    for (const json of [[], ['--json']]) {
      const made = await authz(['key', 'create', '--user', 'ada', '--name', 'first', ...json], env);
      expect(made.stdout, made.stderr).to.match(/iqra_[0-9A-Za-z]{36}/);
      const caller = await authz(
        ['caller', 'create', '--name', `c${json.length}`, '--scope', 'authorize', ...json],
        env,
      );
      expect(caller.stdout, caller.stderr).to.match(/iqra_svc_[0-9A-Za-z]{36}/);
    }
  });
});
