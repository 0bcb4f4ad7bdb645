/** Fixtures of the tests of the embedded PostgreSQL: folders, child processes, and process lists from /proc (Linux). */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { openEmbedded } from '../../src/db/embedded/server.ts';

export const isRoot = process.getuid?.() === 0;
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

const folders: string[] = [];
const dataDirs: string[] = [];
const children = new Set<ChildProcess>();
/** Session ids of the watchdogs that `running` has seen, by which it recognises their children. */
const sessions = new Set<number>();

/** A new folder of mode 0755. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(await realpath(os.tmpdir()), 'iqra-authz-test-'));
  await chmod(folder, 0o755);
  folders.push(folder);
  return folder;
}

/** Registers another folder for removal after the test. */
export const removeLater = (folder: string): number => folders.push(folder);

/** The path of a DATA_DIR that does not exist yet. */
export async function newDataDir(name = 'data'): Promise<string> {
  const dataDir = path.join(await newFolder(), name);
  dataDirs.push(dataDir);
  return dataDir;
}

/** A DATA_DIR with a cluster whose server was stopped. Skips the tests where `running` cannot read the processes from /proc. */
export async function newCluster(context: Mocha.Context): Promise<string> {
  if (!existsSync('/proc/self/cwd')) context.skip();
  const dataDir = await newDataDir();
  await (await openEmbedded({ dataDir })).close();
  return dataDir;
}

/** Polls `look` until it returns a value: neither undefined nor an error. */
export async function eventually<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  const giveUpAt = performance.now() + 20_000;
  for (;;) {
    let fault: unknown = new Error('it did not come to be');
    try {
      const found = await look();
      if (found !== undefined && found !== null) return found;
    } catch (error) {
      fault = error;
    }
    if (performance.now() > giveUpAt) throw fault;
    await sleep(25);
  }
}

/** The single value that a statement returns. */
export async function ask(url: string, statement = 'select 1'): Promise<unknown> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query(statement);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end().catch(() => undefined);
  }
}

interface Running {
  readonly pid: number;
  readonly what: 'watchdog' | 'postmaster' | 'backend' | 'sleep';
  readonly command: string;
}

/** The processes of the server on `dataDir` and of its watchdog; empty once all have ended. */
export function running(dataDir: string): Running[] {
  const folder = clusterOf(dataDir);
  const all = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? processOf(Number(name)) : []));
  const isWatchdog = (command: string): boolean =>
    command.includes('iqra-authz-watchdog') && command.includes(` -D ${folder} `);
  for (const { session, command } of all) if (isWatchdog(command)) sessions.add(session);
  return all.flatMap(({ pid, session, command, cwd }): Running[] => {
    if (isWatchdog(command)) return [{ pid, what: 'watchdog', command }];
    if (command.includes(` -D ${folder} `)) return [{ pid, what: 'postmaster', command }];
    if (cwd === folder) return [{ pid, what: 'backend', command }];
    return sessions.has(session) ? [{ pid, what: 'sleep', command }] : [];
  });
}

export const gone = (dataDir: string): Promise<true> =>
  eventually(() => {
    const left = running(dataDir);
    if (left.length > 0) throw new Error(`still running: ${left.map(({ pid, what }) => `${what} ${pid}`).join()}`);
    return true as const;
  });

/** Sends the signal to every process of that kind. Returns their number. */
export function signal(dataDir: string, what: Running['what'] | 'process', name: NodeJS.Signals): number {
  const hit = running(dataDir).filter((each) => what === 'process' || each.what === what);
  if (hit.length === 0) throw new Error(`no ${what} is running`);
  for (const { pid } of hit) kill(pid, name);
  return hit.length;
}

/** Does nothing when the process has ended meanwhile. */
function kill(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function clusterOf(dataDir: string): string {
  try {
    return realpathSync(path.join(dataDir, 'postgres'));
  } catch {
    return path.join(dataDir, 'postgres');
  }
}

/** Empty for a process that has ended, or is a zombie. */
function processOf(pid: number): { pid: number; session: number; command: string; cwd: string | undefined }[] {
  try {
    const [, state, session] = /\) (\S) \d+ \d+ (\d+) /.exec(readFileSync(`/proc/${pid}/stat`, 'utf8')) ?? [];
    if (state === 'Z') return [];
    const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
    return [{ pid, session: Number(session), command, cwd: workingFolder(pid) }];
  } catch {
    return [];
  }
}

/** Undefined for another account's process. */
function workingFolder(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined;
  }
}

export interface Told {
  readonly url?: string;
  readonly refused?: string;
  readonly interrupted?: true;
}

export interface Child {
  readonly pid: number;
  /** The next line of its output; empty after the last. */
  readonly tells: () => Promise<Told>;
  readonly letGo: () => void;
  readonly ended: Promise<unknown>;
}

/** Runs embedded-child.mjs in its own process group, optionally from another project or working folder. */
export function startChild(
  dataDir: string,
  mode: 'hold' | 'idle' | `again=${number}`,
  { project = PROJECT, cwd = PROJECT } = {},
): Child {
  const script = path.join(project, 'test/support/embedded-child.mjs');
  const child = spawn(process.execPath, [script, dataDir, mode], {
    cwd,
    detached: true,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  children.add(child);
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    pid: child.pid ?? 0,
    tells: async () => {
      const { value, done } = await lines.next();
      return done ? {} : (JSON.parse(value) as Told);
    },
    letGo: () => child.stdin.end(),
    ended: once(child, 'exit').finally(() => children.delete(child)),
  };
}

/** Also kills what a failed test left behind. */
export async function cleanUp(): Promise<void> {
  for (const child of children) child.kill('SIGKILL');
  for (const dataDir of dataDirs) {
    for (const { pid } of running(dataDir)) kill(pid, 'SIGKILL');
    const cluster = path.dirname(clusterOf(dataDir));
    if (cluster !== dataDir && path.basename(cluster).startsWith('cluster-')) folders.push(cluster);
  }
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
