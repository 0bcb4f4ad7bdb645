/** What the decision log costs: the service with it against the same without, in turns, at 64 connections. */

import { type ChildProcess, fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import path from 'node:path';
import autocannon from 'autocannon';
import type { RecorderStats } from '../../src/audit/record/recorder.ts';
import { connect } from '../../src/db/connect.ts';
import { startMigratedCluster } from '../support/cluster.ts';
import { insertKey } from '../support/service.ts';
import { type Bench, median } from './report.ts';

const CONNECTIONS = 64;
const KEYS = 100;

interface Server {
  readonly child: ChildProcess;
  readonly address: string;
}

export async function benchLog({ short, figure, progress }: Bench): Promise<void> {
  const seconds = short ? 2 : 6;
  const rounds = short ? 2 : 5;
  const cluster = await startMigratedCluster();
  const { url } = cluster;
  const pepper = { id: 'bench', secret: randomBytes(32) };
  const token = randomBytes(16).toString('hex');
  const bodies = await fill(url, pepper);
  const environment = {
    DATABASE_URL: url,
    KEY_PEPPERS: `bench:${pepper.secret.toString('base64')}`,
    BOOTSTRAP_TOKEN: token,
    PORT: '0',
    LOG_LEVEL: 'error',
    DECISION_DEADLINE_MS: '5000',
    RATE_LIMIT: '2000000000/60',
  };
  const [on, off] = await Promise.all([start('on', environment), start('off', environment)]);
  try {
    const load = (server: Server, duration: number) => ask(server, token, bodies, duration);
    for (const server of [on, off]) await load(server, 2);
    const before = await statsOf(on);
    const rates: Record<'on' | 'off', number[]> = { on: [], off: [] };
    for (let round = 1; round <= rounds; round += 1) {
      progress(`round ${round} of ${rounds}`);
      rates.on.push(await load(on, seconds));
      rates.off.push(await load(off, seconds));
    }
    const after = await statsOf(on);
    figure({ name: '/authorize with the log', value: median(rates.on), unit: '/s' });
    figure({ name: '/authorize without it', value: median(rates.off), unit: '/s' });
    const ratios = rates.on.map((rate, round) => rate / (rates.off[round] ?? Number.NaN));
    figure({ name: 'with the log against without', value: median(ratios), unit: 'x', want: { atLeast: 0.9 } });
    const perBatch = (after.recorded - before.recorded) / (after.batches - before.batches);
    figure({ name: 'decisions in one commit', value: perBatch, unit: '' });
  } finally {
    for (const { child } of [on, off]) {
      const exit = once(child, 'exit');
      child.disconnect();
      await exit;
    }
    await cluster.close();
  }
}

/** Keys of users with a business each; returns the questions, all of which are allowed. */
async function fill(url: string, pepper: { id: string; secret: Buffer }): Promise<string[]> {
  const db = connect({ url, poolSize: 1 });
  const bodies: string[] = [];
  for (let number = 0; number < KEYS; number += 1) {
    const [user, business] = [`user-${number}`, `business-${number}`];
    await db('users').insert({ id: user });
    await db('businesses').insert({ id: business });
    await db('business_members').insert({ business_id: business, user_id: user, role: 'owner' });
    const apiKey = await insertKey({ db, pepper }, { user_id: user });
    const context = { ip: '203.0.113.7', userAgent: 'Mozilla/5.0 (X11; Linux x86_64)', requestId: `request-${number}` };
    bodies.push(JSON.stringify({ apiKey, action: 'call:create', businessId: business, context }));
  }
  await db.raw('vacuum analyze');
  await db.destroy();
  return bodies;
}

async function start(log: 'on' | 'off', environment: Readonly<Record<string, string>>): Promise<Server> {
  const child = fork(path.join(import.meta.dirname, 'log-server.ts'), [log], {
    env: { PATH: process.env['PATH'], HOME: process.env['HOME'], ...environment },
  });
  const [{ address }] = (await once(child, 'message')) as [{ readonly address: string }];
  return { child, address };
}

async function statsOf({ child }: Server): Promise<RecorderStats> {
  child.send('stats');
  const [stats] = (await once(child, 'message')) as [RecorderStats];
  return stats;
}

/** Answers a second. Fails unless every answer is an allow. */
async function ask({ address }: Server, token: string, bodies: readonly string[], duration: number): Promise<number> {
  const result = await autocannon({
    url: `${address}/authorize`,
    connections: CONNECTIONS,
    duration,
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    requests: bodies.map((body) => ({ body })),
  });
  if (result.non2xx > 0 || result.errors > 0) throw new Error(`${result.non2xx + result.errors} questions failed`);
  return result.requests.total / result.duration;
}
