/**
 * A PostgreSQL of our own, for those who have none: real server programs from an npm package, run on the data folder.
 * All processes that use the same data folder share one server; the first starts it, and with the last it stops.
 */

import { mkdir, readFile, realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Refusal } from '../../errors.ts';
import { runAs, type ServerAccount, serverAccount } from './account.ts';
import { serverPrograms } from './binaries.ts';
import { type Cluster, openCluster, USER } from './cluster.ts';
import { attach, type Lease, leaseIsWatched, makeLease, startWatchdog } from './lease.ts';

export interface EmbeddedServer {
  /** postgres://... of the database `authz`, with its password: a secret. */
  readonly url: string;
  /** Lets go of the server. The last process to do so stops it; resolves when it has stopped. */
  readonly close: () => Promise<void>;
}

interface Options {
  readonly dataDir: string;
  /** The `bin` folder of another PostgreSQL than the one that comes with us. */
  readonly binDir?: string;
}

const START_MS = 30_000;
const STOP_MS = 15_000;
const DATABASE = 'authz';

/**
 * Attaches to the server of `dataDir`, or makes its database and starts it. The server listens on 127.0.0.1 only and
 * asks for a password, which lies in `dataDir/postgres.password`.
 *
 * @throws Refusal that says what to do when it cannot be started.
 */
export async function openEmbedded({ dataDir, binDir }: Options): Promise<EmbeddedServer> {
  const account = serverAccount();
  // Root's folder must let the server through to its data; what is secret in it has mode 0600.
  await mkdir(dataDir, { recursive: true, mode: account ? 0o711 : 0o700 }).catch((cause: Error) => {
    throw new Refusal(
      `${dataDir} cannot be made (${cause.message}); set DATA_DIR to a folder that you may write`,
      cause,
    );
  });
  const bin = binDir ?? (await serverPrograms(account));
  const cluster = await openCluster(dataDir, bin, account);
  const log = path.join(dataDir, 'postgres.log');
  const leaseFile = path.join(dataDir, 'postgres.lease');
  makeLease(leaseFile);

  const giveUpAt = performance.now() + START_MS;
  do {
    const lease = attach(leaseFile) ?? startWatchdog(leaseFile, account, await command(bin, cluster, account), log);
    const url = await reach(cluster, lease, giveUpAt);
    // A server that was stopping while we attached may have answered once more; its watchdog is gone by now.
    if (url !== undefined && leaseIsWatched(leaseFile)) return { url, close: () => close(lease, cluster) };
    lease.release();
  } while (performance.now() < giveUpAt);
  throw new Refusal(
    `the embedded PostgreSQL does not start. The end of ${log}:\n${await tail(log)}\nOr set DATABASE_URL.`,
  );
}

async function command(bin: string, { folder }: Cluster, account: ServerAccount): Promise<string[]> {
  await stopOrphan(bin, folder, account);
  const settings = [`port=${await freePort()}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  return [path.join(bin, 'postgres'), '-D', folder, ...settings.flatMap((setting) => ['-c', setting])];
}

/** A server without a watchdog, whose watchdog was killed. Told by its working folder, so that no other process is hit. */
async function stopOrphan(bin: string, folder: string, account: ServerAccount): Promise<void> {
  const pid = (await serverState(folder))?.pid;
  const works = pid && (await realpath(`/proc/${pid}/cwd`).catch(() => undefined));
  if (works === folder)
    runAs(account, path.join(bin, 'pg_ctl'), ['stop', '-D', folder, '-m', 'fast', '-w', '-t', '15']);
}

/** The URL, once the server answers; undefined when it will not under this lease. */
async function reach(
  { folder, password }: Cluster,
  { watchdog }: Lease,
  giveUpAt: number,
): Promise<string | undefined> {
  while (performance.now() < giveUpAt) {
    const state = await serverState(folder);
    if (state?.status === 'ready') {
      const base = `postgres://${USER}:${password}@127.0.0.1:${state.port}`;
      if (await createDatabase(`${base}/postgres`)) return `${base}/${DATABASE}`;
    } else if (state?.status === 'stopping' || (watchdog && watchdog.exitCode !== null)) {
      await sleep(50);
      return undefined;
    }
    await sleep(20);
  }
  return undefined;
}

/** True once the database is there, false while the server does not answer. */
async function createDatabase(url: string): Promise<boolean> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
    if (rowCount === 0) await client.query(`create database ${DATABASE}`);
    return true;
  } catch (error) {
    const code = error instanceof pg.DatabaseError ? error.code : undefined;
    const made = code === '42P04' || code === '23505';
    if (code === '28P01')
      throw new Refusal('the embedded database does not take its password; restore postgres.password in DATA_DIR');
    return made;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function close({ release }: Lease, { folder }: Cluster): Promise<void> {
  release();
  const since = performance.now();
  // Who is not the last sees no change, and does not wait for one.
  const patience = async (): Promise<number> => ((await serverState(folder))?.status === 'stopping' ? STOP_MS : 300);
  while ((await serverState(folder)) !== undefined && performance.now() - since < (await patience())) await sleep(20);
}

/** What the server says of itself in postmaster.pid: line 1 its process, 4 its port, 8 its state. Undefined: not running. */
async function serverState(folder: string): Promise<{ pid: number; port: number; status: string } | undefined> {
  const text = await readFile(path.join(folder, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  return { pid: Number(lines[0]), port: Number(lines[3]), status: lines[7] ?? '' };
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function tail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').slice(-8).join('\n').trim();
}
