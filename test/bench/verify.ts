/** How fast `authz audit verify` reads the log, and what of it is ours and what PostgreSQL's. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { requireCheckpointFile } from '../../src/audit/checkpoint/file.ts';
import { createCheckpoints } from '../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey } from '../../src/audit/format/signatures.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { createWriter, makeDays } from '../audit/written-log.ts';
import { startMigratedCluster } from '../support/cluster.ts';
import { databaseClock } from '../support/database-clock.ts';
import { type Bench, median } from './report.ts';

const BOOTS = 4;
const BATCH = 1000;
const MEGABYTE = 2 ** 20;

export async function benchVerify({ short, figure, progress }: Bench): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-'));
  const file = path.join(folder, 'checkpoints.jsonl');
  const cluster = await startMigratedCluster();
  const db = connect({ url: cluster.url, poolSize: 2 });
  const size = short ? 40_000 : 200_000;
  try {
    const signer = await loadSigner(makeSigningKey());
    const checkpoints = createCheckpoints({
      db,
      log: createLog('warn'),
      writer: randomUUID(),
      signer,
      file,
      seconds: 86_400,
    });
    const writers = Array.from({ length: BOOTS }, () => createWriter(db));
    const days = await makeDays(db, 1);
    // Checkpoints are of the first moment: records of both days may follow.
    await (await databaseClock(db)).stopAt(`${days[0]}T00:00:00Z`);
    await requireCheckpointFile(file);
    const small = await verifyOnce(db, file);
    for (let written = 0; written < size; ) {
      for (const day of days.slice(written < size / 2 ? 0 : 1).slice(0, 1)) {
        for (const writer of writers) await writer.append(day, BATCH);
        written += BATCH * BOOTS;
        await checkpoints.make();
        if (written % (size / 10) === 0) progress(`${written} of ${size} records written`);
      }
    }
    await checkpoints.close();
    await db.raw('analyze decisions');

    const rounds: Round[] = [];
    for (let round = 0; round < (short ? 1 : 3); round += 1) rounds.push(await verifyOnce(db, file));
    const rate = (seconds: (round: Round) => number): number => median(rounds.map((round) => size / seconds(round)));
    figure({
      name: 'records verified in a second of its process',
      value: rate(({ cpu }) => cpu),
      unit: '/s',
      want: { atLeast: 180_000 },
    });
    figure({
      name: 'records verified in a second, with what PostgreSQL takes',
      value: rate(({ wall }) => wall),
      unit: '/s',
    });
    figure({
      name: 'records that PostgreSQL alone sorts by chain in a second',
      value: await sortRate(db, days),
      unit: '/s',
    });
    const heap = median(rounds.map(({ memory }) => memory - small.memory));
    figure({ name: 'memory more than for an empty log', value: heap / MEGABYTE, unit: 'MB', want: { atMost: 150 } });
  } finally {
    await db.destroy();
    await rm(folder, { recursive: true, force: true });
    await cluster.close();
  }
}

/** How fast PostgreSQL brings the rows into the order of their chains, without sending them. */
async function sortRate(db: ReturnType<typeof connect>, days: readonly string[]): Promise<number> {
  let [rows, milliseconds] = [0, 0];
  for (const day of days) {
    const { rows: plan } = await db.raw<{ rows: { 'QUERY PLAN': string }[] }>(
      `explain (analyze, timing off) select * from decisions where at >= ?::timestamptz
         and at < ?::timestamptz + interval '1 day' order by boot, seq, id`,
      [`${day} 00:00:00+00`, `${day} 00:00:00+00`],
    );
    const text = plan.map((line) => line['QUERY PLAN']).join('\n');
    rows += Number(/actual rows=(\d+)/.exec(text)?.[1]);
    milliseconds += Number(/Execution Time: ([\d.]+)/.exec(text)?.[1]);
  }
  return rows / (milliseconds / 1000);
}

interface Round {
  /** Seconds. */
  readonly wall: number;
  readonly cpu: number;
  /** Bytes, the most that were held on the way. */
  readonly memory: number;
}

async function verifyOnce(db: ReturnType<typeof connect>, file: string): Promise<Round> {
  const since = performance.now();
  const before = process.cpuUsage();
  let memory = 0;
  const report = await verifyLog(db, {
    files: [file],
    onProgress: () => {
      memory = Math.max(memory, process.memoryUsage.rss());
    },
  });
  if (!report.clean) throw new Error(`an untouched log is said to be altered: ${report.findings[0]?.message}`);
  const { user, system } = process.cpuUsage(before);
  return { wall: (performance.now() - since) / 1000, cpu: (user + system) / 1e6, memory };
}
