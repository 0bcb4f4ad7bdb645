/** docs/operations.md from its beginning to its end: every command as it stands there, in its order, with the built service as a process. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { authz, ENVIRONMENT, outputWith, ROOT } from './support/cli.ts';
import { runGuide } from './support/guide.ts';
import { newDatabase } from './support/postgres.ts';

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  return typeof address === 'object' && address !== null ? address.port : 0;
}

describe('docs/operations.md', () => {
  let folder: string;
  let serving: ChildProcess | undefined;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-operations-'));
    await symlink(path.join(ROOT, 'bin'), path.join(folder, 'bin'));
  });
  after(async () => {
    serving?.kill('SIGKILL');
    await rm(folder, { recursive: true, force: true });
  });

  it('is what its commands do, from the start to an upgrade', async () => {
    const page = await readFile(path.join(ROOT, 'docs', 'operations.md'), 'utf8');
    const blocks = [...page.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, commands = '']) => commands);
    const OWNER_URL = await newDatabase(undefined, 'template1');
    const login = new URL(OWNER_URL);
    login.username = 'authz_prod';
    login.password = '...';
    const env: Record<string, string> = {
      OWNER_URL,
      SERVICE_URL: login.href,
      PORT: String(await freePort()),
      LOG_LEVEL: 'info',
    };
    const outputs: string[] = [];
    for (const commands of blocks) {
      if (commands.includes(' serve\n')) {
        // The process itself, and not a shell that waits for it.
        serving = spawn('/bin/sh', ['-c', `exec env ${commands}`], {
          cwd: folder,
          env: { ...ENVIRONMENT, ...env },
        });
        await outputWith(serving, 'listening');
        Object.assign(env, {
          PID: String(serving.pid),
          DATABASE_URL: login.href,
          KEY_PEPPERS_FILE: path.join(folder, 'key-peppers'),
        });
        continue;
      }
      const ended = commands.includes('kill -TERM') && serving ? once(serving, 'exit') : undefined;
      outputs.push((await runGuide(commands, folder, env)).stdout);
      if (ended) expect(await ended).to.deep.equal([0, null]);
    }
    expect(blocks).to.have.length(8);
    expect(outputs.join('\n')).to.match(
      /applied: 001.*\n.*rights[\s\S]*iqra_svc_[\s\S]*no migration to apply[\s\S]*events? written[\s\S]*clean/,
    );
    const refused = await authz(['migrate', '--roles'], { DATABASE_URL: login.href });
    expect([refused.code, refused.stderr]).to.satisfy(
      ([code, says]: [number, string]) => code === 1 && says.includes('set DATABASE_URL'),
    );
  });
});
