/**
 * `/authorize` over HTTP, log on, against a bare Koa + router that reads the same body and answers with the same one. All of them run
 * at once and are asked in turns, each by the same generator; a ratio is the median of the ratios of the rounds.
 * CPU_PROF=FOLDER keeps a CPU profile of each server there.
 */

import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { largePolicy } from '../policy/large.ts';
import { shippedTexts } from '../policy/texts.ts';
import { REDIS, startRedis } from '../support/redis.ts';
import { about, bareQuestion, deniedQuestion, inBatches, questionWithContext } from './data.ts';
import { BASIC, cpuSecondsOf, mainOf, type ServerProcess } from './processes.ts';
import { type Bench, ofRounds } from './report.ts';
import { inTurns, loadFigure, type Rounds, ratios, type Turn } from './turns.ts';
import { type Filling, questionsTo, replyTo, type World, withWorld } from './world.ts';

const FULL = { rounds: 7, milliseconds: 2500 };
const SHORT = { rounds: 2, milliseconds: 600 };
const KEYS = 1000;
/** Questions about each key, with contexts of their own. */
const TIMES = 20;
const BATCH = 100;
/** A batch is many questions, so that fewer connections keep the service as busy. */
const BATCH_CONNECTIONS = 16;
const DENIAL = '{"Success":false';

/** Registered as the section `speed`. */
export const benchSpeed = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const turns = await start(bench, world);
    const rounds: Record<string, Rounds> = await inTurns(bench, world, turns, bench.short ? SHORT : FULL);
    for (const [name, measured] of Object.entries(rounds)) bench.load(loadFigure(name, measured));
    tellRatios(bench, rounds);
  });

async function start(bench: Bench, world: World): Promise<Record<string, Turn>> {
  const filling = await world.database('speed', KEYS);
  const { asked } = filling;
  const one = await world.lines('one', about(asked.slice(0, 1), 1, bareQuestion));
  const many = await world.lines('many', about(asked, TIMES, questionWithContext));
  const denied = await world.lines('denied', about(asked, TIMES, deniedQuestion));
  const batches = await world.lines('batches', inBatches(about(asked, TIMES, questionWithContext), BATCH));

  bench.progress('starting the servers');
  const [ours, largeRows] = await Promise.all([
    world.service(filling),
    world.service(filling, { POLICY_DIR: await largePolicyIn(world.folder) }),
  ]);
  const reply = await replyTo(ours, filling, JSON.stringify(bareQuestion(asked[0] ?? { apiKey: '', businessId: '' })));
  const [koa, raw, socket] = await Promise.all([
    world.bare('koa', reply),
    world.bare('raw', reply),
    world.bare('socket', reply),
  ]);
  const turn = (server: ServerProcess, bodies: string, more = {}): Turn => ({
    server,
    questions: questionsTo(server, bodies, filling, more),
  });
  return {
    'bare Koa, one key': turn(koa, one),
    'one key': turn(ours, one),
    ...(await throughKoa(bench, world, filling, one)),
    'bare sockets, one key': turn(socket, one),
    'bare node:http, one key': turn(raw, one),
    'bare Koa, 1,000 keys with contexts': turn(koa, many),
    '1,000 keys with contexts': turn(ours, many),
    denials: turn(ours, denied, { expect: DENIAL }),
    '1,000 rows of policy': turn(largeRows, many),
    ...(await withRedis(bench, world, filling, many)),
    'batches of 100': {
      server: ours,
      questions: questionsTo(ours, batches, filling, { line: 'POST /authorize/batch', connections: BATCH_CONNECTIONS }),
      inRequest: BATCH,
    },
    'bare Koa again, 1,000 keys with contexts': turn(koa, many),
  };
}

/** The folder of a policy of 1,000 rows, of which a thirtieth is about what is asked. */
async function largePolicyIn(folder: string): Promise<string> {
  const policies = path.join(folder, 'policies');
  await mkdir(path.join(policies, 'cases'), { recursive: true });
  for (const [name, text] of largePolicy(await shippedTexts(), { rows: 1000, actions: 30 }))
    await writeFile(path.join(policies, name), text.replaceAll('noun7:', 'call:'));
  return policies;
}

/** As it is with FAST_PATH=off. Older builds have no such setting, and would be measured as they always are. */
async function throughKoa(bench: Bench, world: World, filling: Filling, bodies: string): Promise<Record<string, Turn>> {
  const { stdout } = await promisify(execFile)(process.execPath, [mainOf(bench.build), 'config', '--json'], {
    env: BASIC,
  });
  if (!stdout.includes('"FAST_PATH"')) {
    bench.skip('one key, through Koa', 'this build has no FAST_PATH');
    return {};
  }
  const server = await world.service(filling, { FAST_PATH: 'off' });
  return { 'one key, through Koa': { server, questions: questionsTo(server, bodies, filling) } };
}

async function withRedis(bench: Bench, world: World, filling: Filling, bodies: string): Promise<Record<string, Turn>> {
  if (REDIS === undefined) {
    bench.skip('with Redis', 'neither redis-server nor valkey-server is installed');
    return {};
  }
  const redis = await startRedis();
  world.endings.push(redis.close);
  const server = await world.service(filling, { REDIS_URL: redis.url });
  const others = { Redis: () => cpuSecondsOf(redis.pid()) };
  return { 'with Redis': { server, questions: questionsTo(server, bodies, filling), others } };
}

function tellRatios({ figure }: Bench, rounds: Readonly<Record<string, Rounds>>): void {
  const rates = (name: string): readonly number[] => rounds[name]?.rates ?? [];
  const ours = rates('1,000 keys with contexts');
  const koa = rates('bare Koa, 1,000 keys with contexts');
  const again = rates('bare Koa again, 1,000 keys with contexts');
  const toOneKey = (name: string) => ofRounds(ratios(rates(name), rates('bare Koa, one key')));
  const toMany = (name: string) => ofRounds(ratios(rates(name), koa, again));
  const to = 'bare Koa';
  figure({ name: 'one key', to, unit: 'x', ...toOneKey('one key'), want: { atLeast: 1.15 } });
  figure({
    name: '1,000 keys with contexts',
    to,
    unit: 'x',
    ...toMany('1,000 keys with contexts'),
    want: { atLeast: 0.9 },
  });
  figure({ name: 'denials', to, unit: 'x', ...toMany('denials') });
  if (rounds['one key, through Koa'])
    figure({
      name: 'one key, through Koa',
      to,
      unit: 'x',
      ...toOneKey('one key, through Koa'),
      want: { atLeast: 0.7 },
    });
  figure({ name: 'bare node:http', to, unit: 'x', ...toOneKey('bare node:http, one key') });
  figure({ name: 'bare Koa again (the noise of this run)', to, unit: 'x', ...ofRounds(ratios(again, koa)) });
  figure({
    name: '1,000 rows of policy',
    to: '13 rows',
    unit: 'x',
    ...ofRounds(ratios(rates('1,000 rows of policy'), ours)),
    want: { atLeast: 0.95 },
  });
  if (rounds['with Redis'])
    figure({
      name: 'with Redis',
      to: 'without',
      unit: 'x',
      ...ofRounds(ratios(rates('with Redis'), ours)),
      want: { atLeast: 0.85 },
    });
  figure({
    name: 'decisions in batches of 100',
    to: 'single questions',
    unit: 'x',
    ...ofRounds(ratios(rates('batches of 100'), ours)),
    want: { atLeast: 3 },
  });
}
