/** Whether questions would be answered now, found out as they are: by a read of facts, and by a record that is rolled back. */

import type { Knex } from 'knex';
import type { Recorder } from './audit/record/recorder.ts';
import { tryToRecord } from './audit/record/try-out.ts';
import { adviceOn } from './db/advice.ts';
import { migrationsCurrent } from './db/migrate.ts';
import { deadlineIn } from './deadline.ts';
import type { Changes } from './facts/change-feed.ts';
import type { Freshness } from './facts/freshness.ts';
import { tryToLoad } from './facts/load.ts';
import { type Log, logSampled } from './log.ts';
import { sparingly } from './sparingly.ts';

/** Whether each thing that every answer needs is there. */
export interface Readiness {
  /** Facts can be read, from the primary. */
  readonly database: boolean;
  readonly migrations: boolean;
  /** Decisions can be recorded. */
  readonly log: boolean;
  /** What is cached was proved current within the last second. */
  readonly current: boolean;
}

interface Parts {
  readonly db: Knex;
  readonly logDb: Knex;
  readonly recorder: Pick<Recorder, 'provedAt'>;
  readonly freshness: Pick<Freshness, 'confirmed'>;
  readonly changes: Pick<Changes, 'catchUp'>;
  /** Milliseconds that a statement may take. */
  readonly limitMs: number;
  readonly log: Log;
}

/** What has not answered within this many milliseconds counts as failed; what answered is not asked again for so many. */
const LIMIT_MS = 500;
const REST_MS = 250;
/** For how long a record proves that the next one can be written. With the rest and the limit: a fault shows within a second. */
const PROOF_MS = 250;
const UNREADY = 'not ready: /readyz answers 503';

/**
 * Calls share one look at the database, and there is a rest between two, since /readyz needs no token. A look that hangs is
 * not joined by a second one.
 */
export function readinessOf({
  db,
  logDb,
  recorder,
  freshness,
  changes,
  limitMs,
  log,
}: Parts): () => Promise<Readiness> {
  const read = singleFlight(async () => {
    await tryToLoad(db);
    return migrationsCurrent(db, limitMs);
  });
  const write = singleFlight(async () => {
    await tryToRecord(logDb);
    return true;
  });

  const follow = async (): Promise<true> => {
    if (!freshness.confirmed()) await changes.catchUp();
    if (!freshness.confirmed()) throw new Error('the change feed cannot be followed');
    return true;
  };

  const look = async <T>(what: string, ask: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await deadlineIn(LIMIT_MS).race(ask());
    } catch (error) {
      logSampled(log, 'warn', `not ready: ${what}`, { error, what, advice: adviceOn(error) }, UNREADY);
      return undefined;
    }
  };
  return sparingly(
    async () => {
      const proved = performance.now() - recorder.provedAt() < PROOF_MS;
      const [migrations, recorded, current] = await Promise.all([
        look('reading facts', read),
        proved ? true : look('recording decisions', write),
        look('following changes', follow),
      ]);
      return {
        database: migrations !== undefined,
        migrations: migrations === true,
        log: recorded === true,
        current: current === true,
      };
    },
    () => REST_MS,
  );
}

function singleFlight<T>(ask: () => Promise<T>): () => Promise<T> {
  let inFlight: Promise<T> | undefined;
  return () => {
    inFlight ??= ask().finally(() => {
      inFlight = undefined;
    });
    return inFlight;
  };
}
