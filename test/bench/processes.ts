/** The processes of sections that ask over HTTP: servers, ours and others, and the load generator. */

import { type ChildProcess, execFile, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { Load, Outcome } from './load.ts';

/** A folder for a CPU profile of each server, to see where its time goes; unset: none. */
const PROFILES = process.env['CPU_PROF'];
const PROBE = ['--expose-gc', '--import', path.join(import.meta.dirname, 'heap-probe.mjs')];

export interface ServerProcess {
  readonly port: number;
  /** Resident memory, in MB. */
  readonly memory: () => Promise<number>;
  /** Bytes that are in use, after collecting garbage. Of a process that was started with a probe. */
  readonly heap: () => Promise<number>;
  /** Seconds on a core so far. Unlike a rate it stays the same where others use the machine too. Linux alone tells it. */
  readonly cpuSeconds: () => number;
  readonly stop: () => Promise<void>;
}

/** The command of a checkout, as it is built. */
export const mainOf = (checkout: string): string => path.join(checkout, 'dist', 'src', 'main.js');

/** Of the environment, what every program needs. As in production: Koa, for one, is slower otherwise. */
export const BASIC = { PATH: process.env['PATH'], HOME: process.env['HOME'], NODE_ENV: 'production' };

/** A program of this folder that prints `port N` once it listens. */
export const startProgram = (name: string, args: readonly string[], env: Record<string, string>) =>
  startServer([name, ...args].join('-'), [path.join(import.meta.dirname, `${name}.mjs`), ...args], env);

/** A Node program that tells its port, in a line of its own or in its log. `name` is of its profile. */
export async function startServer(
  name: string,
  args: readonly string[],
  env: Record<string, string>,
  { probe = false } = {},
): Promise<ServerProcess> {
  const profile = PROFILES === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${path.join(PROFILES, name)}`];
  const child = spawn(process.execPath, [...profile, ...(probe ? PROBE : []), ...args], {
    env: { ...BASIC, ...env },
    stdio: ['ignore', 'pipe', 'pipe', ...(probe ? (['ipc'] as const) : [])],
  });
  return serverOf(child, await portOf(name, child));
}

/** Those that would outlive a bench that fails or is interrupted. */
const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

/** A process that listens on `port`. */
export function serverOf(child: ChildProcess, port: number): ServerProcess {
  track(child);
  return {
    port,
    memory: () => memoryOf(child.pid),
    heap: async () => {
      child.send('heap');
      const [bytes] = (await once(child, 'message')) as [number];
      return bytes;
    },
    cpuSeconds: () => cpuSecondsOf(child.pid),
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill('SIGTERM');
      await once(child, 'exit');
    },
  };
}

function track(child: ChildProcess): void {
  children.add(child);
  child.once('exit', () => children.delete(child));
}

/** What it says of its port; both the programs here and our service's log say it. */
function portOf(name: string, child: ChildProcess): Promise<number> {
  track(child);
  return new Promise((resolve, reject) => {
    const lines: string[] = [];
    for (const stream of [child.stdout, child.stderr]) {
      if (!stream) continue;
      createInterface(stream).on('line', (line) => {
        if (lines.push(line) > 20) lines.shift();
        const [, port] = /(?:^port |"address":"http:\/\/[^"]*:)(\d+)/.exec(line) ?? [];
        if (port !== undefined) resolve(Number(port));
      });
    }
    child.once('exit', (code) => reject(new Error(`${name} ended with ${code}:\n${lines.join('\n')}`)));
  });
}

async function memoryOf(pid = 0): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)]);
  return Number(stdout) / 1024;
}

/** Of a PostgreSQL server, by the ids of its processes: each of them, and those of its children that have ended. */
export const cpuSecondsOfAll = (pids: readonly number[]): number =>
  existsSync('/proc/self/stat') ? pids.reduce((sum, pid) => sum + (cpuSecondsOf(pid, 4) || 0), 0) : Number.NaN;

/** `fields`: 2 for the process alone, 4 with its children that have ended. NaN where the system does not tell. */
export function cpuSecondsOf(pid = 0, fields = 2): number {
  const stat = `/proc/${pid}/stat`;
  if (!existsSync(stat)) return Number.NaN;
  // Behind the name, which may hold anything: user and system time, in hundredths of a second; then those of ended children.
  const times =
    readFileSync(stat, 'utf8')
      .split(') ')
      .at(-1)
      ?.split(' ')
      .slice(11, 11 + fields) ?? [];
  return times.reduce((sum, time) => sum + Number(time), 0) / 100;
}

/** Seconds on a core of all that the machine has run so far; NaN where the system does not tell. */
export function machineSeconds(): number {
  if (!existsSync('/proc/stat')) return Number.NaN;
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = line.split(/\s+/).slice(1).map(Number);
  return (user + nice + system + irq + softirq + steal) / 100;
}

export interface Generator {
  readonly run: (load: Load) => Promise<Outcome>;
  readonly stop: () => void;
}

export function startGenerator(): Generator {
  const child = fork(path.join(import.meta.dirname, 'load.ts'), { execArgv: ['--import', 'tsx'] });
  let settle: { resolve: (outcome: Outcome) => void; reject: (error: Error) => void } | undefined;
  child.on('message', (outcome: Outcome) => settle?.resolve(outcome));
  child.on('exit', (code) => settle?.reject(new Error(`the load generator ended with ${code}`)));
  return {
    run: (load) =>
      new Promise((resolve, reject) => {
        settle = { resolve, reject };
        child.send(load);
      }),
    stop: () => child.disconnect(),
  };
}
