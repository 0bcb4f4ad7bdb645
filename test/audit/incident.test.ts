/** docs/audit.md's walk through an incident, from the first question to the last command, on a service that was abused. */

import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { makeSigningKey } from '../../src/audit/format/signatures.ts';
import { ROOT } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';

const USER = '203.0.113.7';
const THIEF = '198.51.100.23';

describe('docs/audit.md on a leaked key', function () {
  this.timeout(60_000);
  let folder: string;
  let service: TestService;
  let env: Record<string, string>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-incident-'));
    const keyFile = path.join(folder, 'signing-key.pem');
    await writeFile(keyFile, makeSigningKey(), { mode: 0o600 });
    await writeFile(path.join(folder, 'audit.pem'), execFileSync('openssl', ['pkey', '-in', keyFile, '-pubout']));
    env = {
      DATABASE_URL: await newDatabase(),
      AUDIT_CHECKPOINTS: path.join(folder, 'checkpoints.jsonl'),
    };
    service = await startService({ ...env, AUDIT_SIGNING_KEY: keyFile, AUDIT_CHECKPOINT_SECONDS: '1' });
    env['KEY_PEPPERS'] = `${service.pepper.id}:${service.pepper.secret.toString('base64')}`;
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true, force: true });
  });

  it('is what its commands say, in their order', async () => {
    const page = await readFile(path.join(ROOT, 'docs', 'audit.md'), 'utf8');
    const script = /## An incident: a leaked key[\s\S]*?```sh\n([\s\S]*?)```/.exec(page)?.[1] ?? '';
    expect(script).to.include(`ADDRESS=${THIEF}`);
    const client = clientOf(service);
    await client.newUser('ann', 'bakery', 'garage');
    const leaked = await client.newKey('ann', { restrictedBusinessIds: ['bakery'] });
    const other = await client.newKey('ann');
    await writeFile(path.join(folder, 'leaked.txt'), `${leaked.apiKey}\n`);
    const ask = async (apiKey: string, ip: string, businessId: string): Promise<string> =>
      (await service.ask('/authorize', { apiKey, action: 'call:create', businessId, context: { ip } })).body.Code;
    for (const [ip, business] of [
      [USER, 'bakery'],
      [USER, 'bakery'],
      [THIEF, 'bakery'],
      [THIEF, 'garage'],
    ] as const)
      expect(await ask(leaked.apiKey, ip, business)).to.equal(business === 'bakery' ? 'OK' : 'PERMISSION_DENIED');
    expect(await ask(other.apiKey, THIEF, 'garage')).to.equal('OK');
    while ((await readFile(env['AUDIT_CHECKPOINTS'] ?? '', 'utf8')) === '') await sleep(50);

    const { stdout, stderr } = await promisify(execFile)('/bin/sh', ['-ec', `${AUTHZ}\n${script}`], {
      cwd: folder,
      env: { PATH: process.env['PATH'], NODE: process.execPath, MAIN: path.join(ROOT, 'dist/src/main.js'), ...env },
    });
    // In the order in which it was asked.
    const said = [
      /userId +ann/,
      /status +revoked/,
      /call:create +4 +100\.0 %/,
      /PERMISSION_DENIED +call:create/,
      /bakery +3 +100\.0 %/,
      /garage +1 +100\.0 %/,
      new RegExp(`2 "ip":"${USER}"`),
      new RegExp(`${other.id} +1 +33\\.3 %`),
      /Why, by the policy of its time:\n\nallow OK by the row /,
      /clean: the log is what was recorded/,
      /key\.revoke/,
    ];
    let rest = stdout;
    for (const pattern of said) {
      const place = rest.search(pattern);
      expect(place, `${pattern} in:\n${stdout}\n${stderr}`).to.be.at.least(0);
      rest = rest.slice(place);
    }
    expect(stderr).to.equal('4 decisions written to incident.jsonl\n');
    expect((await stat(path.join(folder, 'incident.jsonl'))).mode & 0o777).to.equal(0o600);
    for (const text of [stdout, script, await readFile(path.join(folder, 'incident.jsonl'), 'utf8')])
      expect(text).to.not.include(leaked.apiKey);
    expect(await ask(leaked.apiKey, THIEF, 'bakery')).to.equal('INVALID_API_KEY');
  });
});

/** Without npx, which takes its time. */
const AUTHZ = `npx() { shift; "$NODE" "$MAIN" "$@"; }`;
