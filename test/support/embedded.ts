/** What the tests of the embedded PostgreSQL share: folders, processes of their own, and a look at what runs (Linux). */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';
import pg from 'pg';

export const isRoot = process.getuid?.() === 0;
export const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

const LOADER = pathToFileURL(createRequire(import.meta.url).resolve('tsx')).href;
const folders: string[] = [];
const dataDirs: string[] = [];
const children = new Set<ChildProcess>();
/** Of the watchdogs that `running` has seen: whatever they start belongs to theirs. */
const sessions = new Set<number>();

/** A new folder that every account can go through, as most folders are. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(path.join(await realpath(os.tmpdir()), 'iqra-authz-test-'));
  await chmod(folder, 0o755);
  folders.push(folder);
  return folder;
}

/** Has a folder removed that comes to be elsewhere. */
export const removeLater = (folder: string): number => folders.push(folder);

/** The name of a DATA_DIR that is not there yet. */
export async function newDataDir(name = 'data'): Promise<string> {
  const dataDir = path.join(await newFolder(), name);
  dataDirs.push(dataDir);
  return dataDir;
}

/** What `look` returns once it neither throws nor returns undefined. */
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

/** The one value that a statement returns. */
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

/** The processes of the server on `dataDir`, its watchdog's included; none once it is gone without a trace. */
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

/** Sends it to every such process, and says to how many. */
export function signal(dataDir: string, what: Running['what'] | 'process', name: NodeJS.Signals): number {
  const hit = running(dataDir).filter((each) => what === 'process' || each.what === what);
  if (hit.length === 0) throw new Error(`no ${what} is running`);
  for (const { pid } of hit) kill(pid, name);
  return hit.length;
}

/** Nothing where it has ended since it was seen. */
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

/** Nothing for one that has ended, be it that nobody has asked how. */
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

/** Undefined where it is another user's. */
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
  /** The next line that it tells; empty when there is none any more. */
  readonly tells: () => Promise<Told>;
  readonly letGo: () => void;
  readonly ended: Promise<unknown>;
}

/** Runs embedded-child.ts in a process group of its own, from another project folder or working folder if need be. */
export function startChild(
  dataDir: string,
  mode: 'hold' | 'idle' | 'again',
  { project = PROJECT, cwd = PROJECT } = {},
): Child {
  const script = path.join(project, 'test/support/embedded-child.ts');
  const child = spawn(process.execPath, ['--import', LOADER, script, dataDir, mode], {
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

/** Whatever a failed test has left behind goes too. */
export async function cleanUp(): Promise<void> {
  for (const child of children) child.kill('SIGKILL');
  for (const dataDir of dataDirs) {
    for (const { pid } of running(dataDir)) kill(pid, 'SIGKILL');
    const cluster = path.dirname(clusterOf(dataDir));
    if (cluster !== dataDir && path.basename(cluster).startsWith('cluster-')) folders.push(cluster);
  }
  for (const folder of folders) await rm(folder, { recursive: true, force: true, maxRetries: 5 });
}
