/**
 * What the records of decisions cost PostgreSQL: time on a core, bytes on the disk and of WAL. Batches of 32 are each one commit
 * of 32 records, whatever the service does otherwise.
 */

import type { Knex } from 'knex';
import { type Asked, about, deniedQuestion, inBatches, questionWithContext } from './data.ts';
import { type Bench, ofRounds } from './report.ts';
import { addTo, loadFigure, noRounds, runOnce, type Turn } from './turns.ts';
import { questionsTo, withWorld } from './world.ts';

const FULL = { rounds: 5, records: 32_000 };
const SHORT = { rounds: 2, records: 6400 };
const KEYS = 1000;
const IN_COMMIT = 32;
/** Bytes of a record at commit 9e662a1, the last whose rows repeat facts and policy: `make bench ARGS="--build CHECKOUT records"`. */
const BEFORE = { commit: '9e662a1', disk: 1247, wal: 1520 };

interface Bytes {
  readonly heap: number;
  readonly indexes: number;
  readonly wal: number;
}

/** Registered as the section `records`. */
export const benchRecords = (bench: Bench): Promise<void> =>
  withWorld(bench, async (world) => {
    const { rounds, records } = bench.short ? SHORT : FULL;
    const filling = await world.database('records', KEYS);
    await withoutCheckpoints(filling.db);
    const service = await world.service(filling);
    const bodies = await world.lines(
      'day',
      inBatches(about(filling.asked, (records * (rounds + 1)) / KEYS, dataSet), IN_COMMIT),
    );
    const count = records / IN_COMMIT;
    const batches = (round: number): Turn => ({
      server: service,
      questions: questionsTo(service, bodies, filling, {
        line: 'POST /authorize/batch',
        connections: 1,
        from: round * count,
        count,
        once: true,
      }),
      inRequest: IN_COMMIT,
    });
    await runOnce(bench, world, `${records} records (warm-up)`, batches(0), 120_000);
    const before = await bytesOf(filling.db);
    const all = noRounds();
    for (let round = 1; round <= rounds; round += 1)
      addTo(all, await runOnce(bench, world, `${records} records (${round} of ${rounds})`, batches(round), 120_000));
    const after = await bytesOf(filling.db);

    bench.load(loadFigure(`records, ${IN_COMMIT} a commit, one commit at a time`, all));
    const name = `PostgreSQL's time on a core a record, ${IN_COMMIT} a commit`;
    const micros = all.cpu['PostgreSQL'];
    if (micros) bench.figure({ name, unit: 'us', ...ofRounds(micros), want: { atMost: 20 } });
    else bench.skip(name, 'this system does not tell the time of processes');
    const each = (of: keyof Bytes): number => (after[of] - before[of]) / (records * rounds);
    bench.figure({ name: 'a record in its table', value: each('heap'), unit: 'bytes' });
    bench.figure({ name: 'a record in indexes', value: each('indexes'), unit: 'bytes' });
    bench.figure({ name: 'a record in WAL', value: each('wal'), unit: 'bytes' });
    bench.figure({
      name: 'a record on disk, indexes included',
      to: `${BEFORE.disk} bytes at ${BEFORE.commit}`,
      value: (each('heap') + each('indexes')) / BEFORE.disk,
      unit: 'x',
      want: { atMost: 0.65 },
    });
    bench.figure({
      name: 'a record in WAL',
      to: `${BEFORE.wal} bytes at ${BEFORE.commit}`,
      value: each('wal') / BEFORE.wal,
      unit: 'x',
    });
  });

/** The data set: 1,000 keys with contexts of their own; one decision in ten is a denial, for one of four reasons. */
const dataSet = (asked: Asked, n: number): object =>
  n % 10 === 9 ? deniedQuestion(asked, Math.floor(n / 10)) : questionWithContext(asked, n);

/**
 * After a checkpoint the first change of a page is logged as the whole page. Before the rounds there is one, whose pages the warm-up
 * logs, and then none: so WAL does not depend on when the server makes them.
 */
async function withoutCheckpoints(db: Knex): Promise<void> {
  await db.raw(`alter system set checkpoint_timeout = '1h'`);
  await db.raw(`alter system set max_wal_size = '16GB'`);
  await db.raw('select pg_reload_conf()');
  await db.raw('checkpoint');
}

/** Of all tables that hold records or parts of them. */
async function bytesOf(db: Knex): Promise<Bytes> {
  const { rows } = await db.raw<{ rows: Record<keyof Bytes, string>[] }>(
    `select coalesce(sum(pg_table_size(oid)), 0) as heap, coalesce(sum(pg_indexes_size(oid)), 0) as indexes,
       pg_current_wal_lsn() - '0/0' as wal
     from pg_class where relkind = 'r' and relname ~ '^(decision|situation)'`,
  );
  const [{ heap, indexes, wal } = { heap: Number.NaN, indexes: Number.NaN, wal: Number.NaN }] = rows;
  return { heap: Number(heap), indexes: Number(indexes), wal: Number(wal) };
}
