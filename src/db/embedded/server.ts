/**
 * A PostgreSQL of our own, for those who have none: real server programs from an npm package, run on the data folder.
 * All processes that use the same data folder share one server; the first starts it, and with the last it stops.
 */

import { mkdir, readFile, rm } from 'node:fs/promises';
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
/** How soon a watchdog notices that the lease is not held any more. */
const LEFT_MS = 100;
const DATABASE = 'authz';

/**
 * Attaches to the server of `dataDir`, or makes its database and starts it. The server listens on 127.0.0.1 only and
 * asks for a password, which lies in `dataDir/postgres.password`.
 *
 * @throws Refusal that says what to do when it cannot be started.
 */
export async function openEmbedded({ dataDir, binDir }: Options): Promise<EmbeddedServer> {
  const home = path.resolve(dataDir);
  // Root's folder must let the server through to its data; what is secret in it has mode 0600.
  await mkdir(home, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 }).catch((cause: Error) => {
    throw new Refusal(`${home} cannot be made (${cause.message}); set DATA_DIR to a folder that you may write`, cause);
  });
  const account = serverAccount(path.join(home, 'postgres'));
  const bin = binDir ?? (await serverPrograms(account));
  const cluster = await openCluster(home, bin, account);
  const log = path.join(home, 'postgres.log');
  const leaseFile = path.join(home, 'postgres.lease');
  makeLease(leaseFile);

  const start = async (): Promise<Lease> => {
    const port = await freePort(await clearWay(cluster, bin, account, leaseFile));
    const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
    const options = ['-D', cluster.folder, ...settings.flatMap((setting) => ['-c', setting])];
    const command = [path.join(bin, 'postgres'), ...options];
    return startWatchdog(leaseFile, account, { command, pidFile: pidFile(cluster), log });
  };
  const giveUpAt = performance.now() + START_MS;
  do {
    const lease = attach(leaseFile) ?? (await start());
    const url = await reach(cluster, lease, giveUpAt).catch((error: unknown) => {
      lease.release();
      throw error;
    });
    // A server that was stopping while we attached may have answered once more; its watchdog is gone by now.
    if (url !== undefined && leaseIsWatched(leaseFile)) {
      let closed: Promise<void> | undefined;
      return { url, close: () => (closed ??= close(lease, cluster, leaseFile)) };
    }
    lease.release();
  } while (performance.now() < giveUpAt);
  throw new Refusal(
    `the embedded PostgreSQL does not start. The end of ${log}:\n${await tail(log)}\nOr set DATABASE_URL.`,
  );
}

/** Prints where process $1 works; `ended` when it has, but nobody has waited for it, as a container's init may never do. */
const WORKING_FOLDER = 'readlink -n "/proc/$1/cwd" || sed -n "s/^State:.*zombie.*/ended/p" "/proc/$1/status"';

/**
 * Ends what a server without a watchdog left behind: itself, or a file that names a process which has ended or is another
 * one by now, and which PostgreSQL would take for a server. Returns the port, which those who used it go on using.
 */
async function clearWay(cluster: Cluster, bin: string, account: ServerAccount, leaseFile: string): Promise<number> {
  const left = await readPidFile(cluster);
  if (!left) return 0;
  // Asked as the account, which may look at its own processes even where root may not, as in a container.
  const works = runAs(account, '/bin/sh', ['-c', WORKING_FOLDER, 'sh', `${left.pid}`]).stdout;
  // INVARIANT: asked in this order. A server that was there, and whose lease nobody watches after that, has no watchdog.
  if (leaseIsWatched(leaseFile)) return left.port;
  if (works === cluster.folder)
    runAs(account, path.join(bin, 'pg_ctl'), ['stop', '-D', cluster.folder, '-m', 'fast', '-t', '15']);
  else if (works) await rm(pidFile(cluster), { force: true });
  return left.port;
}

/** The URL, once the server answers; undefined when it will not under this lease. */
async function reach(cluster: Cluster, { watchdog }: Lease, giveUpAt: number): Promise<string | undefined> {
  while (performance.now() < giveUpAt) {
    const state = await serverState(cluster);
    if (state?.status === 'ready') {
      const base = `postgres://${USER}:${cluster.password}@127.0.0.1:${state.port}`;
      if (await createDatabase(`${base}/postgres`)) return `${base}/${DATABASE}`;
    } else if (state?.status === 'stopping' || (watchdog && (watchdog.exitCode ?? watchdog.signalCode) !== null)) {
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

async function close({ release }: Lease, cluster: Cluster, leaseFile: string): Promise<void> {
  release();
  const since = performance.now();
  // With the last one the lease's watch ends at once. Who is not the last does not wait for the server.
  while (await serverState(cluster)) {
    const waited = performance.now() - since;
    if (waited > STOP_MS || (waited > LEFT_MS && leaseIsWatched(leaseFile))) return;
    await sleep(20);
  }
}

interface ServerState {
  readonly pid: number;
  readonly port: number;
  readonly status: string;
}

/** What the server says of itself. Undefined: it is not running. */
async function serverState(cluster: Cluster): Promise<ServerState | undefined> {
  const state = await readPidFile(cluster);
  try {
    if (state) process.kill(state.pid, 0);
    return state;
  } catch {
    return undefined;
  }
}

const pidFile = ({ folder }: Cluster): string => path.join(folder, 'postmaster.pid');

/** Line 1 is the server's process, 4 its port, 8 its state. Also of one that was killed. */
async function readPidFile(cluster: Cluster): Promise<ServerState | undefined> {
  const text = await readFile(pidFile(cluster), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  return { pid: Number(lines[0]), port: Number(lines[3]), status: lines[7] ?? '' };
}

/** The preferred port, or any when that is taken. */
function freePort(preferred: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer().once('error', (error) => (preferred ? resolve(freePort(0)) : reject(error)));
    probe.listen(preferred, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : 0));
    });
  });
}

async function tail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').slice(-8).join('\n').trim();
}
