/**
 * What a section that asks over HTTP stands on: a PostgreSQL that flushes each commit as in production, databases, servers, the
 * load generator; and what ends them all.
 */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Knex } from 'knex';
import type { Pepper } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { startCluster } from '../support/cluster.ts';
import { addCaller, type Filled, fill } from './data.ts';
import type { Load } from './load.ts';
import {
  BASIC,
  cpuSecondsOfAll,
  type Generator,
  mainOf,
  type ServerProcess,
  startGenerator,
  startProgram,
  startServer,
} from './processes.ts';
import type { Bench } from './report.ts';

/** As many as keep a replica busy. */
export const CONNECTIONS = 64;

/** A database full of keys, and a caller that may ask about them. */
export interface Filling extends Filled {
  readonly url: string;
  readonly db: Knex;
  /** Of the caller. */
  readonly token: string;
}

export type Questions = Omit<Load, 'milliseconds'>;

export interface World {
  readonly generator: Generator;
  /** Seconds on a core of PostgreSQL so far, all of its processes. */
  readonly databaseSeconds: () => Promise<number>;
  /** A new database, migrated by the build that is measured, with `keys` keys of which `inUse` are asked about. */
  readonly database: (name: string, keys: number, inUse?: number) => Promise<Filling>;
  /** Our service; `build`: the folder of another checkout. */
  readonly service: (
    filling: Filling,
    environment?: Record<string, string>,
    options?: { readonly probe?: boolean; readonly build?: string },
  ) => Promise<ServerProcess>;
  /** A server to compare with (bare.mjs). */
  readonly bare: (kind: 'koa' | 'raw' | 'socket', reply: string) => Promise<ServerProcess>;
  /** A new file with a line for each text; its name. */
  readonly lines: (name: string, texts: Iterable<string>) => Promise<string>;
  /** A folder for whatever else, removed at the end. */
  readonly folder: string;
  /** What is to be ended with the rest, the last first. */
  readonly endings: (() => unknown)[];
}

/** Ends all that `work` has started. */
export async function withWorld(bench: Bench, work: (world: World) => Promise<void>): Promise<void> {
  const endings: (() => unknown)[] = [];
  try {
    await work(await makeWorld(bench, endings));
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

async function makeWorld(bench: Bench, endings: (() => unknown)[]): Promise<World> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  const cluster = await startCluster({ flushes: true });
  endings.push(cluster.close);
  const generator = startGenerator();
  endings.push(generator.stop);
  const pepper: Pepper = { id: 'bench', secret: randomBytes(32) };
  const started = (server: ServerProcess): ServerProcess => {
    endings.push(server.stop);
    return server;
  };

  const database: World['database'] = async (name, keys, inUse = keys) => {
    bench.progress(`loading ${keys} keys`);
    const url = await createDatabase(cluster.url, name);
    await promisify(execFile)(process.execPath, [mainOf(bench.build), 'migrate'], {
      env: { ...BASIC, DATABASE_URL: url },
    });
    const db = connect({ url, poolSize: 1 });
    endings.push(() => db.destroy());
    return { url, db, ...(await fill(url, pepper, keys, inUse)), token: await addCaller(url, pepper) };
  };

  return {
    generator,
    folder,
    endings,
    database,
    databaseSeconds: async () => cpuSecondsOfAll(await cluster.processes()),
    service: async ({ url }, environment = {}, options) =>
      started(
        await startServer(
          ['service', ...Object.keys(environment)].join('-'),
          [mainOf(options?.build ?? bench.build), 'serve'],
          {
            PORT: '0',
            DATABASE_URL: url,
            KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
            // Limits are counted, and never met.
            RATE_LIMIT: '2147483647/60',
            // What is asked is how much; how soon, the percentiles say.
            DECISION_DEADLINE_MS: '10000',
            ...environment,
          },
          options,
        ),
      ),
    bare: async (kind, reply) => started(await startProgram('bare', [kind], { REPLY: reply })),
    lines: async (name, texts) => {
      const file = path.join(folder, name);
      await writeFile(file, [...texts].map((text) => `${text}\n`).join(''));
      return file;
    },
  };
}

async function createDatabase(serverUrl: string, name: string): Promise<string> {
  const server = connect({ url: serverUrl, poolSize: 1 });
  await server.raw(`create database ${name}`).finally(() => server.destroy());
  const url = new URL(serverUrl);
  url.pathname = name;
  return url.href;
}

/** Questions to `/authorize` or, of batches, to where those go. */
export const questionsTo = (
  { port }: ServerProcess,
  bodies: string,
  { token }: Pick<Filling, 'token'>,
  { line = 'POST /authorize', ...more }: Partial<Questions> = {},
): Questions => ({
  port,
  connections: CONNECTIONS,
  line,
  headers: [`Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Accept: application/json'],
  bodies,
  ...more,
});

/** What the service answers to a question: an allow, or this ends with it. */
export async function replyTo(
  { port }: ServerProcess,
  { token }: Pick<Filling, 'token'>,
  body: string,
): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/authorize`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (!text.startsWith('{"Success":true')) throw new Error(`the first question was answered with ${text}`);
  return text;
}
