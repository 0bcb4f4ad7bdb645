/** A Redis or Valkey server that a test may kill, suspend and restart; it ends with the test. */

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface RedisServer {
  readonly port: number;
  readonly url: string;
  /** Of its process; undefined while it is killed. */
  readonly pid: () => number | undefined;
  readonly signal: (signal: NodeJS.Signals) => void;
  /** SIGKILL; resolves when it has ended. Its data is lost. */
  readonly kill: () => Promise<void>;
  /** Starts it again on the same port, empty. */
  readonly restart: () => Promise<void>;
  readonly close: () => Promise<void>;
}

/** The server program; undefined when none is installed. */
export const REDIS: string | undefined = ['redis-server', 'valkey-server'].find((program) => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
});

/** `describe`, or a skipped suite that names the reason where no server is installed. */
export const describeWithRedis = (title: string, body: (this: Mocha.Suite) => void): unknown =>
  REDIS === undefined
    ? describe.skip(`${title} (SKIPPED: neither redis-server nor valkey-server is installed)`, body)
    : describe(title, body);

/** Without persistence, on a free port of the loopback interface. `password`: that of every client. */
export async function startRedis(password?: string): Promise<RedisServer> {
  if (REDIS === undefined) throw new Error('there is neither redis-server nor valkey-server');
  const program = REDIS;
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-redis-'));
  const port = await freePort();
  const args = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'no'];
  if (password !== undefined) args.push('--requirepass', password);
  let child: ChildProcess | undefined;

  const restart = async (): Promise<void> => {
    child = spawn(program, args, { stdio: 'ignore' });
    while (!(await answers(port))) {
      if (child.exitCode !== null) throw new Error(`${program} ended with ${child.exitCode}`);
      await sleep(10);
    }
  };
  const kill = async (): Promise<void> => {
    const running = child;
    child = undefined;
    if (!running || running.exitCode !== null || running.signalCode !== null) return;
    running.kill('SIGKILL');
    await once(running, 'exit');
  };
  await restart();
  return {
    port,
    url: password === undefined ? `redis://127.0.0.1:${port}` : `redis://:${password}@127.0.0.1:${port}`,
    pid: () => child?.pid,
    signal: (signal) => void child?.kill(signal),
    kill,
    restart,
    close: async () => {
      await kill();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

const answers = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => socket.write('PING\r\n'));
    // NOAUTH is an answer, too: the server is up.
    socket.once('data', () => resolve(true)).once('error', () => resolve(false));
    socket.once('data', () => socket.destroy());
  });
