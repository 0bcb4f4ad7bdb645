/** PgBouncer in front of a test's PostgreSQL, in transaction mode and otherwise as it comes; it ends with the test. */

import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { serverAccount } from '../../src/db/embedded/account.ts';
import { ask, eventually } from './embedded.ts';
import { freePort } from './redis.ts';

export interface PgBouncer {
  /** postgres://... of the database behind it. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

const installed = (): boolean => {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};

/** `describe`, or a skipped suite that names the reason where it is not installed. */
export const describeWithPgBouncer = (title: string, body: (this: Mocha.Suite) => void): unknown =>
  installed() ? describe(title, body) : describe.skip(`${title} (SKIPPED: pgbouncer is not installed)`, body);

/** Stock, but for how soon it tries a server again that it could not log in to, which is 15 s. */
const settingsFor = (server: URL, port: number): string => `
[databases]
authz = host=${decodeURIComponent(server.hostname)} port=${server.port} dbname=${server.pathname.slice(1)} user=${server.username} password=${server.password}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 10
server_login_retry = 1
`;

export async function startPgBouncer(databaseUrl: string): Promise<PgBouncer> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-pgbouncer-'));
  await chmod(folder, 0o755);
  const port = await freePort();
  const file = path.join(folder, 'pgbouncer.ini');
  await writeFile(file, settingsFor(new URL(databaseUrl), port));
  // Like PostgreSQL, it does not run as root.
  const child = spawn('pgbouncer', ['-q', file], { ...serverAccount(folder), stdio: 'ignore' });
  const url = `postgres://any@127.0.0.1:${port}/authz`;
  await eventually(() => ask(url));
  return {
    url,
    close: async () => {
      child.kill('SIGKILL');
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
