/**
 * What the disk alone makes of decisions that are to be durable before they are answered: commits, without a service. Taken twice. A
 * stall is one slow commit of thousands where each commit waits for the one before, but all that is due meanwhile waits for its end. So
 * what answers are held against must be rows that come whether or not the disk keeps up, too.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import pg from 'pg';

/** So that a row writes as much WAL as a record of a decision with its indexes does (section `records`). */
const FILLER = 900;
const TICK_MS = 1;
/** As many segments of WAL as a minute of questions at half load fills. */
const SEGMENTS = 24;

/** The 99th percentile, in milliseconds, of lone rows that are committed one after the other for a while. */
export const loneCommits = (url: string, milliseconds: number): Promise<number> =>
  withTable(url, async (insert) => {
    const times: number[] = [];
    for (const end = performance.now() + milliseconds; performance.now() < end; ) {
      const since = performance.now();
      await insert(1);
      times.push(performance.now() - since);
    }
    return p99(times);
  });

/**
 * The 99th percentile, in milliseconds, of rows that come at a rate, from when each was due until it is durable. Those that come while a commit is
 * under way are the next one: the least that a record has to wait.
 */
export const commitsAtRate = (url: string, rate: number, milliseconds: number): Promise<number> =>
  withTable(url, async (insert) => {
    const times: number[] = [];
    const start = performance.now();
    for (let rows = 0; performance.now() - start < milliseconds; ) {
      const now = performance.now() - start;
      const due = Math.floor((now / 1000) * rate);
      if (due === rows) {
        await sleep(TICK_MS);
        continue;
      }
      await insert(due - rows);
      const done = performance.now() - start;
      // As the load generator counts (load.ts).
      for (; rows < due; rows += 1) times.push(done - Math.min(now, (rows / rate) * 1000 + TICK_MS));
    }
    return p99(times);
  });

/**
 * A server that has run for a while writes into segments of WAL that it has used before. A new one makes each, of zeros, which takes some 10 ms in
 * which nothing is committed.
 */
export async function withUsedSegments(db: Knex): Promise<void> {
  await db.raw(`alter system set min_wal_size = '1GB'`);
  await db.raw('select pg_reload_conf()');
  for (let segment = 0; segment < SEGMENTS; segment += 1) {
    await db.raw(`select pg_logical_emit_message(true, 'bench', '')`);
    await db.raw('select pg_switch_wal()');
  }
  await db.raw('checkpoint');
}

async function withTable(
  url: string,
  work: (insert: (rows: number) => Promise<unknown>) => Promise<number>,
): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('create table if not exists commits (n int, filler text)');
    const text = `insert into commits select n, repeat('x', ${FILLER}) from generate_series(1, $1::int) as n`;
    return await work((rows) => client.query({ name: 'commit', text, values: [rows] }));
  } finally {
    await client.end();
  }
}

const p99 = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.floor(0.99 * (times.length - 1))] ?? Number.NaN;
