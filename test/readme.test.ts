/** The README's walk through the life of a key, pasted into a shell beside a running demo. */

import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { outputWith, ROOT, startAuthz } from './support/cli.ts';
import { runShell } from './support/shell.ts';

const execute = promisify(execFile);

describe('the README', function () {
  this.timeout(90_000);

  it('may say npx authz, which finds the binary of the checkout', async () => {
    const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as { version: string };
    // A cache of its own: npx remembers where a checkout's binary was when it first ran it; here it is to find out.
    const cache = await mkdtemp(path.join(tmpdir(), 'authz-npx-'));
    const { stdout } = await execute('npx', ['authz', '--version'], {
      cwd: ROOT,
      env: { ...process.env, npm_config_cache: cache },
    });
    expect(stdout.trim()).to.equal(version);
    await rm(cache, { recursive: true });
  });

  it('walks through the life of a key, and each question is answered as it says', async () => {
    const readme = await readFile(path.join(ROOT, 'README.md'), 'utf8');
    const script = /## The life of a key[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
    const wanted = [...script.matchAll(/^ask \w+ +# (\w+)$/gm)].map((match) => match[1]);
    expect(wanted).to.have.length(5);

    const folder = await mkdtemp(path.join(tmpdir(), 'authz readme '));
    await chmod(folder, 0o755);
    const env = { DATA_DIR: path.join(folder, 'data'), PORT: '0' };
    const service = startAuthz(['serve', '--demo'], env);
    try {
      const port = /127\.0\.0\.1:(\d+)/.exec(await outputWith(service, "}'\n"))?.[1] ?? '';
      const { code, stdout, stderr } = await runShell(`set -e\n${script}`, ROOT, { ...env, PORT: port });
      expect(code, stderr).to.equal(0);
      expect(stdout.match(/^[A-Z_]{2,}$/gm)).to.deep.equal(wanted);
      expect(stdout).to.match(/cli:\S+ +key\.revoke/);
    } finally {
      service.kill();
      await once(service, 'close');
      await rm(folder, { recursive: true, force: true });
    }
  });
});
