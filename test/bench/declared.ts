/**
 * What declared facts cost: `/authorize` of a policy that declares and uses 20 attributes, 10 networks of 10,000 prefixes and 5 schedules,
 * against the shipped policy over the same database, in turns; and the check of that policy.
 */

import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import type { Pepper } from '../../src/credentials/token.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { declaringMuch, MANY_ATTRIBUTES } from '../policy/declaring-much.ts';
import { shippedTexts } from '../policy/texts.ts';
import { startCluster } from '../support/cluster.ts';
import { addCaller, fill, newDatabase } from './http-data.ts';
import type { Load } from './http-load.ts';
import { cpuSecondsOfAll, type ServerProcess, startGenerator, startOurs } from './http-processes.ts';
import { type Bench, median } from './report.ts';

const PREFIXES = 10_000;
const KEYS = 1000;

export async function benchDeclared(bench: Bench): Promise<void> {
  const endings: (() => unknown)[] = [];
  try {
    const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
    endings.push(() => rm(folder, { recursive: true, force: true }));
    const texts = declaringMuch(await shippedTexts(), PREFIXES);
    await measureCheck(bench, texts);
    await measureWarm(bench, folder, texts, endings);
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

async function measureCheck({ short, figure, progress }: Bench, texts: ReadonlyMap<string, string>): Promise<void> {
  progress('checking the policy');
  const seconds: number[] = [];
  for (let round = 0; round < (short ? 1 : 5); round += 1) {
    const before = process.cpuUsage();
    const { findings } = await buildPolicy(texts);
    const { user, system } = process.cpuUsage(before);
    if (findings.length > 0) throw new Error(`the policy is refused: ${findings[0]?.message}`);
    seconds.push((user + system) / 1_000_000);
  }
  const name = 'check 20 attributes, 10 networks, 5 schedules, CPU';
  figure({ name, value: median(seconds), unit: 's', want: { atMost: 5 } });
}

async function measureWarm(
  { short, figure, progress }: Bench,
  folder: string,
  texts: ReadonlyMap<string, string>,
  endings: (() => unknown)[],
): Promise<void> {
  progress(`loading ${KEYS} keys with attributes`);
  const policies = path.join(folder, 'policies');
  await writeFolder(policies, texts);
  const cluster = await startCluster();
  endings.push(cluster.close);
  const pepper: Pepper = { id: 'bench', secret: randomBytes(32) };
  const { url, db } = await newDatabase(cluster.url, 'declared', endings);
  const bodies = path.join(folder, 'bodies');
  await fill(url, pepper, KEYS, KEYS, bodies);
  await giveAttributes(db);
  await spreadAddresses(bodies);
  const token = await addCaller(url, pepper);

  progress('starting the servers');
  const environment = {
    DATABASE_URL: url,
    KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
    // Limits are counted, and never met.
    RATE_LIMIT: '2147483647/60',
    // What is asked is how much, and not how soon.
    DECISION_DEADLINE_MS: '10000',
  };
  const servers: Record<string, ServerProcess> = {};
  for (const [name, more] of [
    ['shipped', {}],
    ['declared', { POLICY_DIR: policies }],
  ] as const) {
    const server = await startOurs(name, { ...environment, ...more });
    endings.push(server.stop);
    servers[name] = server;
  }
  const databaseSeconds = async (): Promise<number> => cpuSecondsOfAll(await cluster.processes());
  const generator = startGenerator();
  endings.push(generator.stop);
  const load = ({ port }: ServerProcess, milliseconds: number): Load => ({
    port,
    connections: 64,
    line: 'POST /authorize',
    headers: [`Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Accept: application/json'],
    bodies,
    milliseconds,
  });
  const [rounds, milliseconds] = short ? [3, 1000] : [9, 4000];
  const rates: Record<string, number[]> = { shipped: [], declared: [] };
  const cpu: Record<string, number[]> = { shipped: [], declared: [] };
  const asked = { failed: 0, all: 0 };
  for (let round = -1; round < rounds; round += 1) {
    // The first of them is for the processes, which are compiled by then. In turns, so that neither is always the first.
    const names = Object.keys(servers);
    for (const name of round % 2 === 0 ? names : names.reverse()) {
      const server = servers[name] as ServerProcess;
      const before = { server: server.cpuSeconds(), database: await databaseSeconds() };
      const { succeeded, failed, failure, seconds } = await generator.run(load(server, milliseconds));
      asked.failed += failed;
      asked.all += failed + succeeded;
      const why = failed === 0 ? '' : `; ${failed} failed, the first with ${failure.split('\r\n').at(-1)}`;
      const spent = {
        server: ((server.cpuSeconds() - before.server) / succeeded) * 1e6,
        database: (((await databaseSeconds()) - before.database) / succeeded) * 1e6,
      };
      progress(
        `${name}: ${Math.round(succeeded / seconds)}/s, on a core ${Math.round(spent.server)} us each, ` +
          `of PostgreSQL ${Math.round(spent.database)} us${why}`,
      );
      if (round < 0) continue;
      rates[name]?.push(succeeded / seconds);
      cpu[name]?.push(spent.server + spent.database);
    }
  }
  const ratio = (of: Record<string, number[]>): number =>
    median((of['declared'] ?? []).map((value, round) => value / (of['shipped']?.[round] ?? Number.NaN)));
  figure({
    name: 'warm, all of these declared and used, to the shipped policy',
    value: ratio(rates),
    unit: 'x',
    want: { atLeast: 0.95 },
  });
  figure({ name: 'warm, time on a core with PostgreSQL, to the shipped policy', value: ratio(cpu), unit: 'x' });
  figure({ name: 'share of requests that failed', value: asked.failed / asked.all, unit: 'x', want: { atMost: 0 } });
}

async function writeFolder(folder: string, texts: ReadonlyMap<string, string>): Promise<void> {
  await mkdir(path.join(folder, 'cases'), { recursive: true });
  for (const [name, text] of texts) await writeFile(path.join(folder, name), text);
}

/** All of them `on`. */
async function giveAttributes(db: Knex): Promise<void> {
  const on = (names: readonly string[]): string =>
    JSON.stringify(Object.fromEntries(names.map((name) => [name, 'on'])));
  await db('api_keys').update({ attributes: on(MANY_ATTRIBUTES.key) });
  await db('users').update({ attributes: on(MANY_ATTRIBUTES.user) });
  await db('businesses').update({ attributes: on(MANY_ATTRIBUTES.business) });
}

/** Each question from an address of its own, half of them within a network. */
async function spreadAddresses(file: string): Promise<void> {
  const questions = (await readFile(file, 'utf8')).trimEnd().split('\n');
  const lines = questions.map((text, n) => {
    const question = JSON.parse(text) as { context: object };
    return JSON.stringify({
      ...question,
      context: { ...question.context, ip: `${10 + (n % 2) * 100}.1.${n >> 8}.${n & 255}` },
    });
  });
  await writeFile(file, lines.map((line) => `${line}\n`).join(''));
}
