/** A loader of facts as a service has it: a real database, a cache, a followed change feed; its reads are counted. */

import type { Pepper } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { onCommit } from '../../src/db/mutate.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { createCache } from '../../src/facts/cache.ts';
import { followChanges } from '../../src/facts/change-feed.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { factsLoader, type Known } from '../../src/facts/load.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';

const BOUNDS: Parameters<typeof createCache>[1] = { count: 1000, bytes: 2 ** 20 };

interface Options {
  /** Another URL of the database, for reads of facts, such as a proxy's. */
  readonly readUrl?: string;
  readonly bounds?: typeof BOUNDS;
}

export async function startCached(
  url: string,
  peppers: readonly [Pepper, ...Pepper[]],
  { readUrl = url, bounds = BOUNDS }: Options = {},
) {
  const reading = connect({ url: readUrl, poolSize: 5 });
  const db = connect({ url, poolSize: 2 });
  const freshness = createFreshness();
  const cache = createCache<Known>(freshness, bounds);
  const changes = followChanges(url, freshness, createLog('silent'));
  const load = factsLoader(reading, peppers, (read) => read(), cache);
  let reads = 0;
  reading.on('query', () => {
    reads += 1;
  });
  await eventually(() => freshness.confirmed());
  return {
    db,
    /** The pool that facts are read from. */
    reading,
    cache,
    freshness,
    /** The number of reads of facts since the last call. */
    reads: () => {
      const since = reads;
      reads = 0;
      return since;
    },
    load: async (...questions: (readonly [apiKey: string, businessId?: string])[]): Promise<readonly Known[]> =>
      load(
        questions.map(([apiKey, businessId]) => ({ apiKey, action: 'call:create', businessId })),
        deadlineIn(10_000),
      ),
    /** What is known at once; undefined where anything must be read, and it is. */
    atOnce: (...questions: (readonly [apiKey: string, businessId?: string])[]): readonly Known[] | undefined => {
      const known = load(
        questions.map(([apiKey, businessId]) => ({ apiKey, action: 'call:create', businessId })),
        deadlineIn(10_000),
      );
      return known instanceof Promise ? undefined : known;
    },
    warm: load.warm,
    /** Makes changes over `db` count as this process's own, which are applied before they are confirmed. */
    own: () => onCommit(db, freshness.applyCommit),
    /** Resolves once every committed change is applied. */
    applied: async () => {
      const { rows } = await db.raw('select last::int from change_counter');
      await eventually(() => freshness.position() === rows[0].last);
    },
    close: async () => {
      await changes.close();
      await reading.destroy();
      await db.destroy();
    },
  };
}

export type Cached = Awaited<ReturnType<typeof startCached>>;
