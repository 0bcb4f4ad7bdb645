/**
 * `/authorize` over HTTP, against a raw node:http server and a bare Koa + router that read the same body and answer with
 * the same one. All of them run at once and are asked in turns, each by the same generator; a ratio is the median of the
 * ratios of the rounds. CPU_PROF=FOLDER keeps a CPU profile of each server there.
 */

import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import type { Pepper } from '../../src/credentials/token.ts';
import { largePolicy } from '../policy/large.ts';
import { shippedTexts } from '../policy/texts.ts';
import { startCluster } from '../support/cluster.ts';
import { addCaller, fill, newDatabase } from './http-data.ts';
import type { Load, Outcome } from './http-load.ts';
import { type Generator, type ServerProcess, startGenerator, startOurs, startProgram } from './http-processes.ts';
import { type Bench, median } from './report.ts';

const FULL = { keys: 1_000_000, inUse: 100_000, rounds: 7, milliseconds: 4000 };
const SHORT = { keys: 50_000, inUse: 5000, rounds: 3, milliseconds: 1000 };
const SMALL = 1000;
const CONNECTIONS = 64;
const BATCH = 100;
/** A batch is many questions, so that fewer connections keep the service as busy. */
const BATCH_CONNECTIONS = 16;

type Questions = Pick<Load, 'port' | 'connections' | 'line' | 'headers' | 'bodies'>;
type Name = 'raw' | 'koa' | 'alone' | 'ours' | 'rows' | 'large' | 'batch';

/** Everything that runs, and what ends it. */
interface World {
  readonly generator: Generator;
  readonly targets: Readonly<Record<Name, Questions>>;
  readonly servers: Readonly<Record<Name, ServerProcess>>;
  readonly largeDb: Knex;
  /** Over the whole section: a run that fails in part has measured something else. */
  readonly asked: { failed: number; all: number };
}

export async function http(bench: Bench): Promise<void> {
  const size = bench.short ? SHORT : FULL;
  const endings: (() => unknown)[] = [];
  try {
    const world = await start(bench, size, endings);
    await measureCold(bench, world, size);
    const { ours, koa } = await measureWarm(bench, world, size);
    await measureLatency(bench, world, size, Math.min(ours, koa) / 2);
    const { failed, all } = world.asked;
    bench.figure({ name: 'share of requests that failed', value: failed / all, unit: 'x', want: { atMost: 0 } });
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

async function start(bench: Bench, size: typeof FULL, endings: (() => unknown)[]): Promise<World> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  bench.progress(`loading ${SMALL} keys, and ${size.keys} keys`);
  const cluster = await startCluster();
  endings.push(cluster.close);
  const pepper: Pepper = { id: 'bench', secret: randomBytes(32) };
  const file = (name: string): string => path.join(folder, name);
  const small = await newDatabase(cluster.url, 'small', endings);
  await fill(small.url, pepper, SMALL, SMALL, file('small'));
  const many = await newDatabase(cluster.url, 'large', endings);
  await fill(many.url, pepper, size.keys, size.inUse, file('large'));
  const questions = (await readFile(file('small'), 'utf8')).trimEnd().split('\n');
  const batches = Array.from({ length: SMALL / BATCH }, (_, n) => questions.slice(n * BATCH, (n + 1) * BATCH));
  await writeFile(file('batch'), batches.map((batch) => `{"requests":[${batch.join()}]}\n`).join(''));
  await mkdir(path.join(file('policies'), 'cases'), { recursive: true });
  for (const [name, text] of largePolicy(await shippedTexts(), { rows: 1000, actions: 30 })) {
    // A thirtieth of the rows is about what is asked.
    await writeFile(path.join(file('policies'), name), text.replaceAll('noun7:', 'call:'));
  }

  bench.progress('starting the servers');
  const [smallToken, largeToken] = [await addCaller(small.url, pepper), await addCaller(many.url, pepper)];
  const serving = async (server: Promise<ServerProcess>): Promise<ServerProcess> => {
    const started = await server;
    endings.push(started.stop);
    return started;
  };
  const service = (name: string, url: string, environment: Record<string, string> = {}) =>
    serving(
      startOurs(name, {
        DATABASE_URL: url,
        KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
        // Limits are counted, and never met.
        RATE_LIMIT: '2147483647/60',
        ...environment,
      }),
    );
  const [ours, large, rows] = await Promise.all([
    service('ours', small.url),
    service('large', many.url),
    service('rows', small.url, { POLICY_DIR: file('policies') }),
  ]);
  const to = (port: number, bodies: string, token = smallToken): Questions => ({
    port,
    connections: CONNECTIONS,
    line: 'POST /authorize',
    headers: [`Authorization: Bearer ${token}`, 'Content-Type: application/json', 'Accept: application/json'],
    bodies: file(bodies),
  });
  const REPLY = await replyOf(ours.port, smallToken, questions[0] ?? '');
  const [raw, koa, alone] = await Promise.all([
    serving(startProgram('http-bare', ['raw'], { REPLY })),
    serving(startProgram('http-bare', ['koa'], { REPLY })),
    serving(startProgram('http-alone', [], { REPLY })),
  ]);
  const generator = startGenerator();
  endings.push(generator.stop);
  return {
    generator,
    servers: { raw, koa, alone, ours, rows, large, batch: ours },
    largeDb: many.db,
    asked: { failed: 0, all: 0 },
    targets: {
      raw: to(raw.port, 'small'),
      koa: to(koa.port, 'small'),
      alone: to(alone.port, 'small'),
      ours: to(ours.port, 'small'),
      rows: to(rows.port, 'small'),
      large: to(large.port, 'large', largeToken),
      batch: { ...to(ours.port, 'batch'), line: 'POST /authorize/batch', connections: BATCH_CONNECTIONS },
    },
  };
}

async function replyOf(port: number, token: string, body: string): Promise<string> {
  const response = await fetch(`http://127.0.0.1:${port}/authorize`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body,
  });
  const text = await response.text();
  if (!text.startsWith('{"Success":true')) throw new Error(`the first question was answered with ${text}`);
  return text;
}

const perSecond = ({ succeeded, seconds }: Outcome): number => succeeded / seconds;

async function run(bench: Bench, { generator, asked }: World, name: string, load: Load): Promise<Outcome> {
  const outcome = await generator.run(load);
  const { failed, succeeded, failure } = outcome;
  asked.failed += failed;
  asked.all += failed + succeeded;
  bench.progress(
    `${name}: ${Math.round(perSecond(outcome))}/s, p99 ${outcome.p99.toFixed(1)} ms, ` +
      `generator ${Math.round((outcome.cpuSeconds / outcome.seconds) * 100)} % of a core` +
      (failed === 0 ? '' : `; ${failed} failed, the first with ${failure.split('\r\n').at(-1)}`),
  );
  return outcome;
}

/** Every request is about a key that the process has not seen. What is left at the end is asked for untimed. */
async function measureCold(bench: Bench, world: World, { inUse, rounds }: typeof FULL): Promise<void> {
  const { koa, large } = world.targets;
  const milliseconds = 120_000;
  const slice = Math.floor(inUse / (rounds + 1));
  // For the process, which is compiled by then, and has its connections.
  const warmUp = { from: 0, count: slice, once: true, milliseconds };
  await run(bench, world, 'cold (warm-up)', { ...large, ...warmUp });
  await run(bench, world, 'bare Koa (warm-up)', { ...koa, milliseconds: 1000 });
  const before = await transactions(world.largeDb);
  const ratios: number[] = [];
  let decided = 0;
  for (let round = 1; round <= rounds; round += 1) {
    const cold = await run(bench, world, 'cold', {
      ...large,
      from: round * slice,
      count: slice,
      once: true,
      milliseconds,
    });
    const bare = await run(bench, world, 'bare Koa', { ...koa, milliseconds: 1000 });
    decided += cold.succeeded;
    ratios.push(perSecond(cold) / perSecond(bare));
  }
  const used = (await transactions(world.largeDb)) - before;
  bench.figure({ name: 'cold: every request another key', value: median(ratios), unit: 'x', want: { atLeast: 0.35 } });
  bench.figure({
    name: 'cold: transactions a decision, its record included',
    value: used / decided,
    unit: '',
    want: { atMost: 1.3 },
  });
}

/** Transactions in the database so far, as its backends have told: each does so at most once a second. */
async function transactions(db: Knex): Promise<number> {
  await sleep(1500);
  const { rows } = await db.raw<{ rows: { count: string }[] }>(
    'select xact_commit as count from pg_stat_database where datname = current_database()',
  );
  return Number(rows[0]?.count);
}

async function measureWarm(bench: Bench, world: World, { milliseconds, rounds, inUse }: typeof FULL) {
  const { targets, servers } = world;
  const names = Object.keys(targets) as Name[];
  for (const name of names) await run(bench, world, `${name} (warm-up)`, { ...targets[name], milliseconds: 2000 });
  const all = { ...targets.large, once: true, milliseconds: 300_000 };
  await run(bench, world, `large (each of ${inUse} keys)`, all);
  const rates: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
  const cpu: Record<string, number[]> = Object.fromEntries(names.map((name) => [name, []]));
  for (let round = 0; round < rounds; round += 1) {
    for (const name of names) {
      const before = servers[name].cpuSeconds();
      const outcome = await run(bench, world, name, { ...targets[name], milliseconds });
      cpu[name]?.push(((servers[name].cpuSeconds() - before) / (outcome.succeeded + outcome.failed)) * 1e6);
      rates[name]?.push(perSecond(outcome) * (name === 'batch' ? BATCH : 1));
    }
  }
  const of = (name: Name): readonly number[] => rates[name] ?? [];
  const ratio = (one: Name, other: Name): number =>
    median(of(one).map((rate, round) => rate / (of(other)[round] ?? Number.NaN)));
  const rate = (text: string, name: Name) => bench.figure({ name: text, value: median(of(name)), unit: '/s' });
  rate('raw node:http', 'raw');
  rate('bare Koa + router', 'koa');
  rate('our HTTP side alone', 'alone');
  rate('warm /authorize', 'ours');
  rate('batch of 100: decisions', 'batch');
  for (const [text, name] of [
    ['raw node:http', 'raw'],
    ['bare Koa + router', 'koa'],
    ['our HTTP side alone', 'alone'],
    ['warm /authorize', 'ours'],
  ] as const) {
    const value = median(cpu[name] ?? []);
    if (!Number.isNaN(value)) bench.figure({ name: `${text}: time on a core, a request`, value, unit: 'us' });
  }
  bench.figure({ name: 'our HTTP side alone, to bare Koa', value: ratio('alone', 'koa'), unit: 'x' });
  bench.figure({
    name: `warm, ${CONNECTIONS} connections, to bare Koa`,
    value: ratio('ours', 'koa'),
    unit: 'x',
    want: { atLeast: 0.9 },
  });
  bench.figure({
    name: 'warm, 1,020 policy rows, to 12',
    value: ratio('rows', 'ours'),
    unit: 'x',
    want: { atLeast: 0.9 },
  });
  bench.figure({
    name: `warm, ${inUse} keys in use, to ${SMALL}`,
    value: ratio('large', 'ours'),
    unit: 'x',
    want: { atLeast: 0.9 },
  });
  bench.figure({
    name: `resident memory with ${inUse} keys in use`,
    value: await world.servers.large.memory(),
    unit: 'MB',
    want: { atMost: 512 },
  });
  bench.figure({
    name: `batch of ${BATCH}: decisions, to single calls`,
    value: ratio('batch', 'ours'),
    unit: 'x',
    want: { atLeast: 5 },
  });
  return { ours: median(of('ours')), koa: median(of('koa')) };
}

/** At the same rate, half of what the slower of the two bears. */
async function measureLatency(
  bench: Bench,
  world: World,
  { milliseconds, rounds }: typeof FULL,
  rate: number,
): Promise<void> {
  const ratios: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const bare = await run(bench, world, 'bare Koa at half load', { ...world.targets.koa, milliseconds, rate });
    const ours = await run(bench, world, 'ours at half load', { ...world.targets.ours, milliseconds, rate });
    ratios.push(ours.p99 / bare.p99);
  }
  bench.figure({
    name: `p99 at ${Math.round(rate)} requests a second, to bare Koa`,
    value: median(ratios),
    unit: 'x',
    want: { atMost: 2 },
  });
}
