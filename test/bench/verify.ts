/** How fast `authz audit verify` reads the log, and what of it is ours and what PostgreSQL's. */

import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import { requireCheckpointFile } from '../../src/audit/checkpoint/file.ts';
import { createCheckpoints } from '../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey } from '../../src/audit/format/signatures.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import { createWriter, makeDays } from '../audit/written-log.ts';
import { type Cluster, startMigratedCluster } from '../support/cluster.ts';
import { databaseClock } from '../support/database-clock.ts';
import { cpuSecondsOfAll } from './processes.ts';
import { type Bench, median, ofRounds } from './report.ts';

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
    const small = await verifyOnce(db, file, cluster);
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
    for (let round = 0; round < 3; round += 1) rounds.push(await verifyOnce(db, file, cluster));
    const rates = (seconds: (round: Round) => number) => ofRounds(rounds.map((round) => size / seconds(round)));
    figure({
      name: 'records verified in a second of its process',
      unit: '/s',
      ...rates(({ cpu }) => cpu),
      want: { atLeast: 180_000 },
    });
    figure({ name: 'records verified in a second of PostgreSQL', unit: '/s', ...rates(({ database }) => database) });
    figure({ name: 'records verified in a second', unit: '/s', ...rates(({ wall }) => wall) });
    const heap = median(rounds.map(({ memory }) => memory - small.memory));
    figure({ name: 'memory more than for an empty log', value: heap / MEGABYTE, unit: 'MB', want: { atMost: 150 } });
  } finally {
    await db.destroy();
    await rm(folder, { recursive: true, force: true });
    await cluster.close();
  }
}

interface Round {
  /** Seconds. */
  readonly wall: number;
  readonly cpu: number;
  /** Seconds on a core of all processes of PostgreSQL. */
  readonly database: number;
  /** Bytes, the most that were held on the way. */
  readonly memory: number;
}

async function verifyOnce(db: Knex, file: string, { processes }: Cluster): Promise<Round> {
  const databaseSeconds = async (): Promise<number> => cpuSecondsOfAll(await processes());
  const databaseBefore = await databaseSeconds();
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
  const wall = (performance.now() - since) / 1000;
  return { wall, cpu: (user + system) / 1e6, database: (await databaseSeconds()) - databaseBefore, memory };
}
