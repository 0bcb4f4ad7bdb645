/** `authz serve` as a real process, for what only a process can show; and as a function, for its exit, its log and its orderly end. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { runCli } from '../../src/run-cli.ts';
import { startAuthz } from '../support/cli.ts';
import { type TestService, UNLIMITED } from '../support/service.ts';

export interface ServiceProcess {
  readonly address: string;
  readonly child: ChildProcess;
  /** Everything that it has written so far. */
  readonly log: () => string;
  /** Its exit code, or the signal that ended it. */
  readonly exit: Promise<number | NodeJS.Signals>;
}

const started = new Set<ChildProcess>();

/** Starts a service from the build, or that of another version in `root`, and waits until it listens. */
export async function startProcess(environment: Record<string, string>, root?: string): Promise<ServiceProcess> {
  const child = startAuthz(['serve'], { PORT: '0', ...environment }, root);
  started.add(child);
  const exit = once(child, 'close').then(([code, signal]) => {
    started.delete(child);
    return (code ?? signal) as number | NodeJS.Signals;
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (log += chunk));
  const address = await eventually(() => {
    if (!started.has(child)) throw new Error(`it ended:\n${log}`);
    return /"address":"([^"]+)"/.exec(log)?.[1];
  });
  return { address, child, log: () => log, exit };
}

export interface Served {
  readonly address: string;
  readonly log: () => string;
  /** What the process would end with. */
  readonly exit: Promise<number>;
  /** As the first SIGINT or SIGTERM that a process gets. */
  readonly stop: (signal?: 'SIGINT' | 'SIGTERM') => void;
}

const serving = new Set<AbortController>();

/** Runs `authz serve` in this process and waits until it listens: a second of processor time less than a process takes. */
export async function serve(environment: Record<string, string>, options: readonly string[] = []): Promise<Served> {
  const ending = new AbortController();
  const output = new PassThrough();
  let log = '';
  output.on('data', (chunk) => (log += chunk));
  let ended = false;
  const { signal } = ending;
  const streams = { stdin: Readable.from([]), stdout: output, stderr: output };
  const exit = runCli(['serve', ...options], { env: { PORT: '0', ...environment }, ...streams, signal }).finally(() => {
    ended = true;
    serving.delete(ending);
  });
  serving.add(ending);
  const address = await eventually(() => {
    if (ended) throw new Error(`it ended:\n${log}`);
    return /"address":"([^"]+)"/.exec(log)?.[1];
  });
  return { address, log: () => log, exit, stop: (name = 'SIGTERM') => ending.abort(name) };
}

/** What a failed test left behind. */
export function killProcesses(): void {
  for (const child of started) child.kill('SIGKILL');
  for (const ending of serving) ending.abort('SIGTERM');
}

/** The settings under which a process is another replica of `service`. */
export const settingsOf = ({ pepper, token }: TestService, url: string): Record<string, string> => ({
  DATABASE_URL: url,
  KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
  BOOTSTRAP_TOKEN: token,
  RATE_LIMIT: `${UNLIMITED.requests}/${UNLIMITED.windowSeconds}`,
  FAILED_AUTHENTICATION_LIMIT: 'none',
});

/** The first value of `look` that is neither false nor undefined. The test's own time limit ends the wait. */
export async function eventually<T>(look: () => T | Promise<T>): Promise<Exclude<T, undefined | false>> {
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
    await sleep(10);
  }
}
