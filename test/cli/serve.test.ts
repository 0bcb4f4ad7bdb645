/** `authz serve` as people start and stop it: on an embedded PostgreSQL, with the demo, from a path with a space in it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { loadPolicy } from '../../src/rollout/folder.ts';
import { serve } from '../http/process.ts';
import { authz, outputWith, ROOT, startAuthz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

const PEPPERS = { KEY_PEPPERS: `t:${Buffer.alloc(32, 7).toString('base64')}` };

describe('authz serve', function () {
  this.timeout(90_000);
  let folder: string;

  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz serve '));
    await chmod(folder, 0o755);
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  const start = (args: readonly string[] = []) =>
    startAuthz(['serve', ...args], { DATA_DIR: path.join(folder, 'data'), PORT: '0' });

  it('--demo shows real decisions and a curl line that works, twice in a row', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const child = start(['--demo']);
      const output = await outputWith(child, "}'\n");
      const { codes } = await loadPolicy(path.join(ROOT, 'policies'));
      for (const code of codes.keys()) {
        expect(output).to.match(new RegExp(`^\\S.* ${code} +\\d{3} +\\S+$`, 'm'));
      }
      const line = output.split('\n').find((text) => text.startsWith('curl ')) ?? '';
      const answer = execFileSync('/bin/sh', ['-c', line], { encoding: 'utf8' });
      expect(JSON.parse(answer)).to.include({ Success: true, Code: 'OK' });
      child.kill(signal);
      const [code] = await once(child, 'close');
      expect(code).to.equal(0);
      await serverIsGone(folder);
    }
    expect(statSync(path.join(folder, 'data', 'demo-keys.json')).mode & 0o777).to.equal(0o600);
    expect(statSync(path.join(folder, 'data', 'pepper')).mode & 0o777).to.equal(0o600);
  });

  it('leaves no server behind when it is killed', async () => {
    const child = start();
    await outputWith(child, 'listening');
    child.kill('SIGKILL');
    await once(child, 'close');
    await serverIsGone(folder);
  });

  it('shares its server with a verb that is run meanwhile', async () => {
    const child = start(['--demo']);
    await outputWith(child, "}'\n");
    const { code, stdout } = await authz(['migrate', '--json'], { DATA_DIR: path.join(folder, 'data') });
    expect({ code, ...JSON.parse(stdout) }).to.deep.equal({ code: 0, migrated: [], waiting: [] });
    child.kill();
    await once(child, 'close');
    await serverIsGone(folder);
  });

  it('starts nothing embedded and loads no demo data with DATABASE_URL', async () => {
    const url = await newDatabase();
    const data = path.join(folder, 'data');
    const { stop, exit } = await serve({ DATABASE_URL: url, ...PEPPERS, DATA_DIR: data }, ['--demo']);
    stop();
    expect(await exit).to.equal(0);
    expect(existsSync(data)).to.equal(false);
  });

  it('is refused with DATABASE_URL and no KEY_PEPPERS, saying what to do', async () => {
    const { code, stderr } = await authz(['serve'], { DATABASE_URL: await newDatabase() });
    expect(code).to.equal(1);
    expect(stderr).to.include('KEY_PEPPERS').and.include('openssl rand');
  });

  it('is refused with a bad policy, naming file, line, column and reason', async () => {
    const policies = path.join(folder, 'policies');
    spawnSync('cp', ['-r', path.join(import.meta.dirname, '..', '..', 'policies'), policies]);
    spawnSync('sed', ['-i', 's/, deny, USER_DISABLED/, dney, USER_DISABLED/', path.join(policies, '10-api-key.csv')]);
    const env = { DATABASE_URL: await newDatabase(), ...PEPPERS, POLICY_DIR: policies, PORT: '0' };
    const { code, stderr } = await authz(['serve'], env);
    expect(code).to.equal(1);
    expect(stderr).to.match(/10-api-key\.csv:4:\d+: the effect is allow or deny, not "dney"/);
  });

  it('is refused when the port is taken', async () => {
    const taken = createServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const { code, stderr } = await authz(['serve'], {
      DATABASE_URL: await newDatabase(),
      ...PEPPERS,
      PORT: String(port),
    });
    expect(code).to.equal(1);
    expect(stderr).to.include('set HOST or PORT to another');
    taken.close();
  });
});

/** Waits until no process uses the cluster's folder, and its pid file is removed. */
async function serverIsGone(folder: string): Promise<void> {
  const cluster = await realpath(path.join(folder, 'data', 'postgres'));
  const pidFile = path.join(cluster, 'postmaster.pid');
  for (let tries = 0; existsSync(pidFile); tries += 1) {
    if (tries > 150) throw new Error(`a server was left behind: ${readFileSync(pidFile, 'utf8')}`);
    await sleep(100);
  }
  // The watchdog goes after its server.
  while (spawnSync('pgrep', ['-f', cluster]).status === 0) await sleep(100);
}
