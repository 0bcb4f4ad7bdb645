/** Real PostgreSQL servers for the tests: the embedded one, and each installed version. */

import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '../../src/db/connect.ts';
import { type EmbeddedServer, openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';
import { createRoles } from './roles.ts';

const EMBEDDED = 'the embedded PostgreSQL';
const INSTALLED = '/usr/lib/postgresql';

/** Name -> its `bin` folder; undefined for the embedded one. */
const PROGRAMS: ReadonlyMap<string, string | undefined> = new Map([
  [EMBEDDED, undefined],
  ...(existsSync(INSTALLED) ? readdirSync(INSTALLED) : [])
    .map((version): [string, string] => [`PostgreSQL ${version}`, path.join(INSTALLED, version, 'bin')])
    .filter(([, bin]) => existsSync(path.join(bin, 'initdb'))),
]);

/** The servers that tests run on: the embedded one; with ALL_POSTGRES=1 each other version that the machine has, too. */
export const POSTGRES: readonly string[] = process.env['ALL_POSTGRES'] === '1' ? [...PROGRAMS.keys()] : [EMBEDDED];

/** Where the run tells its workers, which are processes of their own, the URLs of the servers: JSON, by name. */
const SERVERS = 'TEST_POSTGRES_URLS';
const TEMPLATE = 'migrated';

interface Running {
  readonly server: EmbeddedServer;
  readonly folder: string;
}

/** Starts the servers of POSTGRES, each with a migrated template, before any test. Returns what stops them. */
export async function startPostgres(): Promise<() => Promise<void>> {
  const running = new Map<string, Running>();
  const stop = async (): Promise<void> => {
    for (const { server, folder } of running.values()) {
      await server.close();
      await rm(folder, { recursive: true, force: true });
    }
  };
  try {
    for (const name of POSTGRES) running.set(name, await start(name));
  } catch (error) {
    await stop();
    throw error;
  }
  process.env[SERVERS] = JSON.stringify(
    Object.fromEntries([...running].map(([name, { server }]) => [name, server.url])),
  );
  return stop;
}

async function start(name: string): Promise<Running> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
  // 0755, so that the server's account may traverse it under root.
  await chmod(folder, 0o755);
  const binDir = PROGRAMS.get(name);
  const server = await openEmbedded({ dataDir: path.join(folder, 'data'), ...(binDir && { binDir }) });
  await withoutFlushes(server.url);
  await withoutAutovacuum(server.url);
  await withCheapLogins(server.url);
  const template = await createDatabase(server.url, TEMPLATE);
  const db = connect({ url: template, poolSize: 1 });
  await migrate(db);
  // Roles are of the whole server: made now, no two workers make them at once.
  await createRoles(db);
  await db.destroy();
  return { server, folder };
}

/**
 * Turns fsync off: nobody cuts the power, and what a killed server wrote is in the page cache. So no test waits for the disk,
 * or fails because a busy one takes longer than a decision may.
 */
export const withoutFlushes = (url: string): Promise<void> => turnOff(url, ['fsync', 'full_page_writes']);

async function turnOff(url: string, settings: readonly string[]): Promise<void> {
  const db = connect({ url, poolSize: 1 });
  for (const setting of settings) await db.raw(`alter system set ${setting} = off`);
  await db.raw('select pg_reload_conf()');
  await db.destroy();
}

/**
 * Turns autovacuum off: its launcher means to see each database once a minute, and there are hundreds, so that it starts up to ten workers
 * a second, a third of all processes of a run. Tests that hang on statistics make them.
 */
const withoutAutovacuum = (url: string): Promise<void> => turnOff(url, ['autovacuum']);

/** Has passwords be digested once in place of 4096 times (PostgreSQL 16 and later), of which each of thousands of connections does its own. */
async function withCheapLogins(url: string): Promise<void> {
  const db = connect({ url, poolSize: 1 });
  const { rows } = await db.raw<{ rows: unknown[] }>(`select from pg_settings where name = 'scram_iterations'`);
  if (rows.length > 0) {
    await db.raw('alter system set scram_iterations = 1');
    await db.raw('select pg_reload_conf()');
    await db.raw('set scram_iterations = 1');
    await db.raw(`alter role current_user password '${new URL(url).password}'`);
  }
  await db.destroy();
}

async function createDatabase(serverUrl: string, name: string, template = 'template1'): Promise<string> {
  const db = connect({ url: serverUrl, poolSize: 1 });
  await db.raw(`create database ${name} template ${template}`);
  await db.destroy();
  const url = new URL(serverUrl);
  url.pathname = name;
  return url.href;
}

let databases = 0;

/** The URL of a new database: migrated, and without any row; or without any table, from template `template1`. */
export function newDatabase(name = EMBEDDED, template: typeof TEMPLATE | 'template1' = TEMPLATE): Promise<string> {
  const url = (JSON.parse(process.env[SERVERS] ?? '{}') as Record<string, string>)[name];
  if (url === undefined) throw new Error(`${name} was not started: see test/support/fixtures.ts`);
  databases += 1;
  return createDatabase(url, `test_${process.pid}_${databases}`, template);
}
