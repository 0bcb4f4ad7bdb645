/**
 * A client that has a token, beside those that have none and mean harm: how much slower are the slowest of its answers? It asks at
 * an even rate, in turns in calm and under an attack; a ratio is the median of the rounds' ratios.
 */

import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pepper } from '../../src/credentials/token.ts';
import { attacks } from '../support/attacks.ts';
import { startCluster } from '../support/cluster.ts';
import type { Order } from './attacker.ts';
import { addCaller, fill, newDatabase } from './http-data.ts';
import type { Load } from './http-load.ts';
import { startGenerator, startOurs } from './http-processes.ts';
import { type Bench, median } from './report.ts';

const FULL = { rounds: 5, milliseconds: 3000, idle: 10_000 };
const SHORT = { rounds: 3, milliseconds: 1000, idle: 2000 };
const KEYS = 1000;
const ASKED = { connections: 8, rate: 200 };
/** 10,000 connections that Node holds, and nothing else of note. */
const MOST_MB = 400;
/** How long an attack has been under way when the client begins to ask. */
const UNDER_WAY_MS = 200;

/** Registered as the section `hostile`. */
export async function benchHostile(bench: Bench): Promise<void> {
  const { rounds, milliseconds, idle } = bench.short ? SHORT : FULL;
  const endings: (() => unknown)[] = [];
  try {
    const { load, server } = await start(bench, endings);
    const generator = startGenerator();
    endings.push(generator.stop);
    const attacker = startAttacker();
    endings.push(attacker.end);
    const ask = () => generator.run({ ...load, milliseconds });
    await ask();
    const atFirst = await server.memory();
    let failed = 0;
    let most = 0;
    for (const attack of Object.keys(attacks(idle))) {
      const ratios: number[] = [];
      for (let round = 0; round < rounds; round += 1) {
        const calm = await ask();
        await attacker.begin({ attack, address: `http://127.0.0.1:${server.port}`, idle });
        await sleep(UNDER_WAY_MS);
        const attacked = await ask();
        most = Math.max(most, (await server.memory()) - atFirst);
        await attacker.stop();
        failed += calm.failed + attacked.failed;
        ratios.push(attacked.p99 / calm.p99);
        bench.progress(`${attack}: p99 ${calm.p99.toFixed(1)} ms in calm, ${attacked.p99.toFixed(1)} ms under attack`);
      }
      bench.figure({ name: `p99 beside ${attack}, to calm`, value: median(ratios), unit: 'x', want: { atMost: 3 } });
    }
    bench.figure({ name: 'questions that failed', value: failed, unit: '', want: { atMost: 0 } });
    bench.figure({ name: 'growth of resident memory', value: most, unit: 'MB', want: { atMost: MOST_MB } });
  } finally {
    for (const end of endings.reverse()) await end();
  }
}

async function start(bench: Bench, endings: (() => unknown)[]) {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
  endings.push(() => rm(folder, { recursive: true, force: true }));
  bench.progress('starting the service');
  const cluster = await startCluster();
  endings.push(cluster.close);
  const pepper: Pepper = { id: 'bench', secret: randomBytes(32) };
  const { url } = await newDatabase(cluster.url, 'hostile', endings);
  const bodies = path.join(folder, 'questions');
  await fill(url, pepper, KEYS, KEYS, bodies);
  const token = await addCaller(url, pepper);
  const server = await startOurs('hostile', {
    DATABASE_URL: url,
    KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
    RATE_LIMIT: '2147483647/60',
    // Besides those of the attack that holds as many as there may be by default.
    MAX_CONNECTIONS: '11000',
  });
  endings.push(server.stop);
  const load: Omit<Load, 'milliseconds'> = {
    ...ASKED,
    port: server.port,
    line: 'POST /authorize',
    headers: [`Authorization: Bearer ${token}`, 'Content-Type: application/json'],
    bodies,
  };
  return { load, server };
}

function startAttacker() {
  const child = fork(path.join(import.meta.dirname, 'attacker.ts'), { execArgv: ['--import', 'tsx'] });
  const say = async (message: object): Promise<void> => {
    child.send(message);
    await once(child, 'message');
  };
  return {
    begin: (order: Order) => say({ order }),
    stop: () => say({}),
    end: () => child.disconnect(),
  };
}
