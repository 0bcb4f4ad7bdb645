/** What a call of @iqra/authz costs its process beside a bare `fetch` of the same request, and how long after its deadline it settles. */

import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import path from 'node:path';
import type { Client, ClientOptions } from '../../packages/client/src/index.ts';
import { grant } from '../client/pdp.ts';
import { startProgram } from './processes.ts';
import { type Bench, ofRounds } from './report.ts';

const QUESTION = {
  authorization: `Token iqra_${'x'.repeat(36)}`,
  action: 'call:create',
  businessId: '42',
  context: { ip: '203.0.113.7', userAgent: 'curl/8.5', requestId: '7f3a' },
};
const TOKEN = 'iqra_svc_bench';
const IN_FLIGHT = 16;
const FULL = { rounds: 9, calls: 3000 };
const SHORT = { rounds: 5, calls: 1500 };
const DEADLINE_MS = 100;
/** Calls that are never answered: one after the other, and at once. */
const ALONE = 20;
const AT_ONCE = 200;

type MakeClient = (options: ClientOptions) => Client;

/** Registered as the section `client`. */
export async function benchClient(bench: Bench): Promise<void> {
  // As it is built: what runs TypeScript as it stands adds calls of its own.
  const { createClient } = (await import(path.join(bench.build, 'packages/client/dist/index.js'))) as {
    readonly createClient: MakeClient;
  };
  await benchCost(bench, createClient);
  await benchExcess(bench, createClient);
}

async function benchCost(bench: Bench, createClient: MakeClient): Promise<void> {
  const server = await startProgram('bare', ['raw'], { REPLY: JSON.stringify(grant(QUESTION)) });
  const url = `http://127.0.0.1:${server.port}`;
  const client = createClient({ url, token: TOKEN, deadlineMs: 60_000 });
  const byClient = async (): Promise<void> => {
    if (!(await client.authorize(QUESTION)).allowed) throw new Error('the question was denied');
  };
  const byFetch = async (): Promise<void> => {
    const headers = {
      accept: 'application/json',
      'accept-encoding': 'identity',
      'x-request-id': '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
      'content-type': 'application/json',
      authorization: `Bearer ${TOKEN}`,
    };
    const response = await fetch(`${url}/authorize`, { method: 'POST', headers, body: JSON.stringify(QUESTION) });
    if (((await response.json()) as { Success: unknown }).Success !== true) throw new Error('the question was denied');
  };
  const { rounds, calls } = bench.short ? SHORT : FULL;
  try {
    for (const call of [byFetch, byClient]) await cpuOf(call, 2 * calls);
    const costs: { fetch: number; client: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      bench.progress(`round ${round + 1} of ${rounds}`);
      const before = await cpuOf(byFetch, calls);
      const client = await cpuOf(byClient, calls);
      costs.push({ fetch: (before + (await cpuOf(byFetch, calls))) / 2, client });
    }
    const figure = (name: string, values: readonly number[], more = {}): void =>
      bench.figure({ name, unit: 'us', ...ofRounds(values), ...more });
    figure(
      'CPU of a bare fetch',
      costs.map((cost) => cost.fetch),
    );
    figure(
      'CPU of authorize()',
      costs.map((cost) => cost.client),
    );
    const ratios = costs.map((cost) => cost.client / cost.fetch);
    figure('CPU of authorize()', ratios, { to: 'a bare fetch of the same request', unit: 'x', want: { atMost: 1.3 } });
  } finally {
    client.close();
    await server.stop();
  }
}

/** Microseconds on a core of this process for each call, so many at once. Other processes do not count. */
async function cpuOf(call: () => Promise<void>, calls: number): Promise<number> {
  let left = calls;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await call();
  };
  const before = process.cpuUsage();
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  const { user, system } = process.cpuUsage(before);
  return (user + system) / calls;
}

/** Asks a server that never answers. */
async function benchExcess(bench: Bench, createClient: MakeClient): Promise<void> {
  bench.progress('a server that never answers');
  const server = createServer((socket) => socket.on('error', () => socket.destroy())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const client = createClient({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: TOKEN,
    deadlineMs: DEADLINE_MS,
  });
  const excess = async (): Promise<number> => {
    const since = performance.now();
    const allowed = await client.authorize(QUESTION).then(
      () => true,
      () => false,
    );
    if (allowed) throw new Error('what was never answered was allowed');
    return performance.now() - since - DEADLINE_MS;
  };
  try {
    const alone: number[] = [];
    while (alone.length < ALONE) alone.push(await excess());
    bench.figure({ name: 'excess over the deadline', unit: 'ms', ...ofRounds(alone) });
    // All are begun in one turn, which is part of it.
    const slowest = Math.max(...(await Promise.all(Array.from({ length: AT_ONCE }, excess))));
    bench.figure({ name: `excess over the deadline, the slowest of ${AT_ONCE} at once`, unit: 'ms', value: slowest });
  } finally {
    client.close();
    server.close();
  }
}
