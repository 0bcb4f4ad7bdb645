/** Real PostgreSQL servers for the tests: the embedded one, and each installed version. */

import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { connect } from '../../src/db/connect.ts';
import { type EmbeddedServer, openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';

const EMBEDDED = 'the embedded PostgreSQL';
const INSTALLED = '/usr/lib/postgresql';

/** Name -> its `bin` folder; undefined for the embedded one. */
const PROGRAMS: ReadonlyMap<string, string | undefined> = new Map([
  [EMBEDDED, undefined],
  ...(existsSync(INSTALLED) ? readdirSync(INSTALLED) : [])
    .map((version): [string, string] => [`PostgreSQL ${version}`, path.join(INSTALLED, version, 'bin')])
    .filter(([, bin]) => existsSync(path.join(bin, 'initdb'))),
]);

/** The names of all PostgreSQL servers on this machine. */
export const POSTGRES: readonly string[] = [...PROGRAMS.keys()];

interface Running {
  readonly server: EmbeddedServer;
  readonly folder: string;
}

const running = new Map<string, Promise<Running>>();
let databases = 0;

async function start(name: string): Promise<Running> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
  // 0755, so that the server's account may traverse it under root.
  await chmod(folder, 0o755);
  const binDir = PROGRAMS.get(name);
  const server = await openEmbedded({ dataDir: path.join(folder, 'data'), ...(binDir && { binDir }) });
  const template = await createDatabase(server.url, 'migrated');
  const db = connect({ url: template, poolSize: 1 });
  await migrate(db);
  await db.destroy();
  return { server, folder };
}

async function createDatabase(serverUrl: string, name: string, template = 'template1'): Promise<string> {
  const db = connect({ url: serverUrl, poolSize: 1 });
  await db.raw(`create database ${name} template ${template}`);
  await db.destroy();
  const url = new URL(serverUrl);
  url.pathname = name;
  return url.href;
}

/** The URL of a new database: migrated and empty, or without tables (`template1`). */
export async function newDatabase(name = EMBEDDED, template: 'migrated' | 'template1' = 'migrated'): Promise<string> {
  const started = running.get(name) ?? start(name);
  running.set(name, started);
  databases += 1;
  return createDatabase((await started).server.url, `test_${databases}`, template);
}

export async function stopPostgres(): Promise<void> {
  for (const started of running.values()) {
    const { server, folder } = await started;
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}
