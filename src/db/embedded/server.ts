/**
 * The embedded PostgreSQL, for an installation without a server: real programs from an npm package, run on DATA_DIR. All
 * processes with the same DATA_DIR share one server: the first starts it, and it stops when the last has ended.
 */

import { mkdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { Refusal } from '../../errors.ts';
import { runAs, type ServerAccount, serverAccount } from './account.ts';
import { serverPrograms } from './binaries.ts';
import { type Cluster, openCluster, USER } from './cluster.ts';
import { attach, type Lease, leaseIsWatched, makeLease, startWatchdog } from './lease.ts';
import { PORT, socketFolder, socketIn, urlAt } from './socket.ts';

export interface EmbeddedServer {
  /** postgres://... of the database `authz`, with the password: a secret. */
  readonly url: string;
  /** Releases the lease. Where it was the last one, resolves once the server has stopped. Idempotent. */
  readonly close: () => Promise<void>;
}

interface Options {
  readonly dataDir: string;
  /** The `bin` folder of an installed PostgreSQL, instead of the npm package's. */
  readonly binDir?: string;
}

const START_MS = 30_000;
const STOP_MS = 15_000;
/** How long a watchdog may take to notice that the last holder released the lease. */
const LEFT_MS = 100;
const DATABASE = 'authz';

/**
 * Joins the running server of `dataDir`, or creates its database and starts it. It listens on a Unix socket only
 * (socket.ts) and requires the password in `dataDir/postgres.password`.
 *
 * @throws Refusal that says what to do when it cannot be started
 */
export async function openEmbedded({ dataDir, binDir }: Options): Promise<EmbeddedServer> {
  const home = path.resolve(dataDir);
  // Under root the server's account must traverse the folder to its data, hence 0711; secrets in it are files of mode 0600.
  await mkdir(home, { recursive: true, mode: process.getuid?.() === 0 ? 0o711 : 0o700 }).catch((cause: Error) => {
    throw new Refusal(
      `the folder ${home} cannot be made (${cause.message}); set DATA_DIR to a folder that you may write`,
      cause,
    );
  });
  const account = serverAccount(path.join(home, 'postgres'));
  const bin = binDir ?? (await serverPrograms(account));
  const cluster = await openCluster(home, bin, account);
  const log = path.join(home, 'postgres.log');
  const leaseFile = path.join(home, 'postgres.lease');
  makeLease(leaseFile);

  const start = async (): Promise<Lease> => {
    await removeOrphan(cluster, bin, account, leaseFile);
    const folder = await socketFolder(cluster.folder, account);
    const settings = [`port=${PORT}`, 'listen_addresses=', `unix_socket_directories=${quoted(folder)}`];
    const options = ['-D', cluster.folder, ...settings.flatMap((setting) => ['-c', setting])];
    const command = [path.join(bin, 'postgres'), ...options];
    return startWatchdog(leaseFile, account, { command, pidFile: pidFile(cluster), log });
  };
  const giveUpAt = performance.now() + START_MS;
  do {
    const lease = attach(leaseFile) ?? (await start());
    const url = await connectWhenReady(cluster, lease, giveUpAt).catch((error: unknown) => {
      lease.release();
      throw error;
    });
    // A server that is shutting down may still have answered; then its watchdog has ended, and we try again.
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

/** Prints the working folder of process $1; `ended` for a zombie, which a container's init may never reap. */
const WORKING_FOLDER = 'readlink -n "/proc/$1/cwd" || sed -n "s/^State:.*zombie.*/ended/p" "/proc/$1/status"';

/**
 * Stops a server whose watchdog was killed, or removes its stale postmaster.pid: PostgreSQL does not start while the file
 * names a live process, even one that has got the number since.
 */
async function removeOrphan(cluster: Cluster, bin: string, account: ServerAccount, leaseFile: string): Promise<void> {
  const left = await readPidFile(cluster);
  if (!left) return;
  // As the account: in a container, root may lack the right to read another account's /proc entries.
  const folder = runAs(account, '/bin/sh', ['-c', WORKING_FOLDER, 'sh', `${left.pid}`]).stdout;
  // INVARIANT: the process is looked up before the lease. Looked up after, it could be one that a new watchdog just started.
  if (leaseIsWatched(leaseFile)) return;
  if (folder === cluster.folder)
    runAs(account, path.join(bin, 'pg_ctl'), ['stop', '-D', cluster.folder, '-m', 'fast', '-t', '15']);
  else if (folder)
    for (const file of [pidFile(cluster), `${socketIn(left.folder)}.lock`]) await rm(file, { force: true });
}

/** The URL, once the server accepts connections; undefined when it is stopping, or its watchdog ended: take a new lease. */
async function connectWhenReady(cluster: Cluster, { watchdog }: Lease, giveUpAt: number): Promise<string | undefined> {
  while (performance.now() < giveUpAt) {
    const state = await serverState(cluster);
    if (state?.status === 'ready') {
      const url = (database: string): string => urlAt(state.folder, USER, cluster.password, database);
      if (await createDatabase(url('postgres'))) return url(DATABASE);
    } else if (state?.status === 'stopping' || (watchdog && (watchdog.exitCode ?? watchdog.signalCode) !== null)) {
      await sleep(50);
      return undefined;
    }
    await sleep(20);
  }
  return undefined;
}

/** Creates the database unless it exists. False while the server does not accept connections. */
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
    // duplicate_database, or unique_violation in its catalog: another process created it at the same time.
    const createdByOther = code === '42P04' || code === '23505';
    // invalid_password
    if (code === '28P01')
      throw new Refusal('the embedded database refuses its password; restore postgres.password in DATA_DIR');
    return createdByOther;
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function close({ release }: Lease, cluster: Cluster, leaseFile: string): Promise<void> {
  release();
  const since = performance.now();
  // The last holder waits for the server to stop. While the lease is still watched, there are other holders: do not wait.
  while (await serverState(cluster)) {
    const waited = performance.now() - since;
    if (waited > STOP_MS || (waited > LEFT_MS && leaseIsWatched(leaseFile))) return;
    await sleep(20);
  }
}

interface ServerState {
  readonly pid: number;
  /** Of its socket. */
  readonly folder: string;
  readonly status: string;
}

/** The state in postmaster.pid; undefined when its process does not run. */
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

/** postmaster.pid: line 1 is the process id, 5 the folder of the socket, 8 the status. A killed server leaves it behind. */
async function readPidFile(cluster: Cluster): Promise<ServerState | undefined> {
  const text = await readFile(pidFile(cluster), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n').map((line) => line.trim());
  return { pid: Number(lines[0]), folder: lines[4] ?? '', status: lines[7] ?? '' };
}

/** As an item of a list in a setting: the name of a folder may hold a comma. */
const quoted = (folder: string): string => `"${folder.replaceAll('"', '""')}"`;

async function tail(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  return text.split('\n').slice(-8).join('\n').trim();
}
