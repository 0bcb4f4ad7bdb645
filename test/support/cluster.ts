/** A PostgreSQL server for one test file, which may kill and suspend it. */

import { execFile } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { connect } from '../../src/db/connect.ts';
import { openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';
import { withoutFlushes } from './postgres.ts';

export interface Cluster {
  readonly url: string;
  /** Signals the postmaster and all its children, or the postmaster alone. */
  readonly signal: (signal: NodeJS.Signals, whom?: 'all' | 'postmaster') => Promise<void>;
  /** The ids of the postmaster and of all its children. */
  readonly processes: () => Promise<number[]>;
  readonly close: () => Promise<void>;
}

/** `flushes`: each commit reaches the disk, as in production; for what measures it. */
export async function startCluster({ flushes = false } = {}): Promise<Cluster> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-faults-'));
  // 0755, so that the server's account (under root) may traverse to the data, and all is removed with this folder.
  await chmod(folder, 0o755);
  const dataDir = path.join(folder, 'data');
  const { url, close } = await openEmbedded({ dataDir });
  if (!flushes) await withoutFlushes(url);
  const postmaster = async (): Promise<number> =>
    Number((await readFile(path.join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0]);
  const processes = async (): Promise<number[]> => {
    const pid = await postmaster();
    return [pid, ...(await childrenOf(pid))];
  };
  return {
    url,
    processes,
    signal: async (signal, whom = 'all') => {
      for (const each of whom === 'all' ? await processes() : [await postmaster()]) kill(each, signal);
    },
    close: async () => {
      await close();
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** As `startCluster`, with the tables. */
export async function startMigratedCluster(): Promise<Cluster> {
  const cluster = await startCluster();
  const db = connect({ url: cluster.url, poolSize: 1 });
  await migrate(db).finally(() => db.destroy());
  return cluster;
}

async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=']);
  return stdout
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .flatMap(([child = 0, parent]) => (parent === pid ? [child] : []));
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended already.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
