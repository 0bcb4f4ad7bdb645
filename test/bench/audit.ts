/**
 * The readers of the decision log: what a page costs when the log is a hundred times as long, statistics over all of it,
 * and exports against PostgreSQL's own COPY of the same rows.
 */

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import type { ClientBase } from 'pg';
import { to as copyTo } from 'pg-copy-streams';
import type { By } from '../../src/audit/query/dimensions.ts';
import { exportDecisions } from '../../src/audit/query/export.ts';
import type { TimeRange } from '../../src/audit/query/filters.ts';
import { countDecisions } from '../../src/audit/query/stats.ts';
import { connect } from '../../src/db/connect.ts';
import { openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';
import { costOfPage, FLAT_FILTERS, generateDays, placeAfter } from '../audit/generate.ts';
import { type Bench, median } from './report.ts';

const DAYS = 10;
const FIRST = 50;
const DEEP = { page: 1000, limit: 10 };

interface Log {
  readonly db: Knex;
  readonly range: TimeRange;
}

/** Registered as the section `audit`. */
export async function auditBench(bench: Bench): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-audit-'));
  await chmod(folder, 0o755);
  const server = await openEmbedded({ dataDir: path.join(folder, 'data') });
  const sizes = bench.short ? [100_000, 400_000] : [100_000, 10_000_000];
  const logs: Log[] = [];
  try {
    for (const size of sizes) {
      bench.progress(`making ${size} decisions over ${DAYS} days`);
      logs.push(await makeLog(server.url, size));
    }
    const [short, long] = logs as [Log, Log];
    await pages(bench, short, long);
    await statistics(bench, long);
    await exports(bench, long);
  } finally {
    for (const { db } of logs) await db.destroy();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function makeLog(serverUrl: string, size: number): Promise<Log> {
  const admin = connect({ url: serverUrl, poolSize: 1 });
  await admin.raw(`create database log_${size}`);
  await admin.destroy();
  const url = new URL(serverUrl);
  url.pathname = `log_${size}`;
  const db = connect({ url: url.href, poolSize: 2 });
  await migrate(db);
  return { db, range: await generateDays(db, new Date(), DAYS, size / DAYS) };
}

async function pages(bench: Bench, short: Log, long: Log): Promise<void> {
  for (const [name, filter] of Object.entries(FLAT_FILTERS)) {
    for (const { page, limit } of [{ page: 1, limit: FIRST }, DEEP]) {
      const costs: number[] = [];
      for (const { db, range } of [short, long]) {
        const after = page === 1 ? undefined : await placeAfter(db, filter, range, (page - 1) * limit);
        costs.push((await costOfPage(db, filter, range, after, limit)).buffers);
      }
      const [few = 0, many = 0] = costs;
      bench.figure({ name: `page ${page} by ${name}: buffers, long log`, value: many, unit: '' });
      bench.figure({
        name: `page ${page} by ${name}: buffers, long log`,
        to: 'a short log',
        value: many / few,
        unit: 'x',
        want: { atMost: 1.5 },
      });
    }
  }
}

const COUNTED: readonly By[] = [
  'code',
  'key',
  'user',
  'business',
  'caller',
  'action',
  'hour',
  'day',
  'weekday',
  'hourOfDay',
];

async function statistics(bench: Bench, { db, range }: Log): Promise<void> {
  const filter = { from: range.from, to: range.to ?? undefined };
  for (const by of COUNTED) {
    const times: number[] = [];
    for (let round = 0; round < 3; round += 1) times.push(await seconds(() => countDecisions(db, [by], filter, 50)));
    bench.figure({
      name: `statistics by ${by} over the long log`,
      value: median(times),
      unit: 's',
      want: { atMost: 5 },
    });
  }
}

async function exports(bench: Bench, { db, range }: Log): Promise<void> {
  // One day, the one before the last: a tenth of the log.
  const to = new Date(Date.parse(range.to ?? '') - 86_400_000).toISOString();
  const day: TimeRange = { from: new Date(Date.parse(to) - 86_400_000).toISOString(), to };
  const times = { copy: [] as number[], jsonl: [] as number[], csv: [] as number[] };
  const memory: number[] = [];
  for (let round = 0; round < 3; round += 1) {
    for (const format of ['jsonl', 'csv'] as const) {
      bench.progress(`round ${round + 1}: COPY, then ${format}`);
      times.copy.push(await seconds(() => copy(db, day)));
      times[format].push(
        await seconds(async () => {
          for await (const part of exportDecisions(db, {}, day, format)) {
            if (Buffer.byteLength(part.text) === 0) throw new Error('a part is empty');
            memory.push(process.memoryUsage().rss);
          }
        }),
      );
    }
  }
  for (const format of ['jsonl', 'csv'] as const) {
    const value = median(times.copy) / median(times[format]);
    const name = `rows a second, exported as ${format}`;
    bench.figure({ name, to: 'by COPY of the same rows', value, unit: 'x', want: { atLeast: 0.5 } });
  }
  const half = Math.floor(memory.length / 2);
  const most = (values: readonly number[]): number => values.reduce((a, b) => Math.max(a, b), 0);
  const growth = most(memory.slice(half)) / most(memory.slice(0, half));
  bench.figure({
    name: 'memory of the later exports',
    to: 'of the first ones',
    value: growth,
    unit: 'x',
    want: { atMost: 1.25 },
  });
}

/** What PostgreSQL gives, read to its end and thrown away. */
async function copy(db: Knex, { from, to }: TimeRange): Promise<void> {
  const client = (await db.client.acquireConnection()) as ClientBase;
  const stream = client.query(
    copyTo(`copy (select * from decisions where at >= '${from}' and at < '${to}') to stdout`),
  );
  for await (const chunk of stream as AsyncIterable<Buffer>)
    if (chunk.length === 0) throw new Error('a chunk is empty');
  await db.client.releaseConnection(client);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now();
  await work();
  return (performance.now() - since) / 1000;
}
