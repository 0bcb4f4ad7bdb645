/** The composition root: builds everything below http and cli from the settings, and takes it down again. */

import type { Knex } from 'knex';
import { openCheckpoints } from './audit/checkpoint/open.ts';
import { keepPartitions } from './audit/record/partitions.ts';
import { createRecorder } from './audit/record/recorder.ts';
import { type Authorize, authorizer } from './authorize.ts';
import type { Config } from './config.ts';
import { fingerprinter, type Pepper } from './credentials/token.ts';
import type { Database } from './database.ts';
import { createBreaker } from './db/breaker.ts';
import { connect, poolUse } from './db/connect.ts';
import { migrationsCurrent } from './db/migrate.ts';
import { onCommit } from './db/mutate.ts';
import { type Cursors, createCursors } from './db/page.ts';
import { type Caller, callerFinder, type FindCaller } from './directory/find-caller.ts';
import { createCache } from './facts/cache.ts';
import { followChanges } from './facts/change-feed.ts';
import { createFreshness } from './facts/freshness.ts';
import { factsLoader, type Known } from './facts/load.ts';
import { pruneChanges } from './facts/prune-changes.ts';
import { createUsage } from './keys/usage.ts';
import { createLimits } from './limits/limits.ts';
import type { Log } from './log.ts';
import { createMetrics, type Metrics, type Sources } from './metrics.ts';
import { followPolicies, type Policies } from './rollout/policies.ts';
import { reportReplica } from './rollout/replicas.ts';

export interface Readiness {
  readonly database: boolean;
  readonly migrations: boolean;
  /** Digest of the live policy. */
  readonly policy: string;
}

export interface Service extends Pick<Policies, 'live' | 'trial' | 'shadow'> {
  readonly config: Config;
  readonly log: Log;
  readonly authorize: Authorize;
  readonly findCaller: FindCaller;
  /** For reading and changing keys, directory and callers: apart from the decisions', which must not wait for it. */
  readonly adminDb: Knex;
  readonly cursors: Cursors;
  /** The current one: new keys are digested under it. */
  readonly pepper: Pepper;
  readonly readiness: () => Promise<Readiness>;
  readonly metrics: Metrics;
  /** What the metrics are read from. */
  readonly sources: Sources;
  /** Finishes what is under way, and closes connections. Once. */
  readonly close: () => Promise<void>;
}

const ADMIN_POOL = 5;
/** Revoking or deleting hundreds of thousands of keys at once takes its time. */
const ADMIN_LIMIT_MS = 30_000;
/** Most keys, each with each business that it is used on. */
const FACTS_COUNT = 250_000;
const CALLERS = { count: 10_000, bytes: 10 * 2 ** 20 };

/** @throws Refusal: a bad policy, settings or database; nothing is left running then. */
export async function createService(config: Config, log: Log, database: Database): Promise<Service> {
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    // What fails to end must not keep the others from it.
    for (const closer of closers.splice(0).reverse()) {
      await Promise.resolve()
        .then(closer)
        .catch((error: unknown) => log.error({ error }, 'a part did not end well'));
    }
  };
  try {
    return { ...(await compose(config, log, database, (closer) => void closers.push(closer))), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Builds the parts, from the ground up; `atEnd` takes what ends them, which happens from the roof down. */
async function compose(
  config: Config,
  log: Log,
  { url, peppers }: Database,
  atEnd: (closer: () => unknown) => void,
): Promise<Omit<Service, 'close'>> {
  const limitMs = config.DECISION_DEADLINE_MS;
  const pool = (poolSize: number, limit: number): Knex => {
    const db = connect({ url, poolSize, limitMs: limit });
    atEnd(() => db.destroy());
    return db;
  };
  const db = pool(config.DATABASE_POOL, limitMs);
  const adminDb = pool(ADMIN_POOL, ADMIN_LIMIT_MS);
  // A connection of its own, so that a record never waits behind the loading of facts.
  const logDb = pool(1, limitMs);
  const part = <T extends { readonly close: () => unknown }>(made: T): T => {
    atEnd(made.close);
    return made;
  };

  // Before the recorder, and so closed after it: the last checkpoint covers the last record.
  const checkpoints = await openCheckpoints(config, url, log);
  if (checkpoints) part(checkpoints);
  const policies = part(await followPolicies(config, adminDb, log));
  const { live, trial, shadow } = policies;
  const partitions = part(keepPartitions(adminDb, log));
  await partitions.made;
  const recorder = part(createRecorder(logDb, log));
  const usage = part(createUsage(adminDb, log));
  const redis = config.REDIS_URL === undefined ? undefined : { url: config.REDIS_URL, waitMs: config.REDIS_TIMEOUT_MS };
  const limits = part(await createLimits({ fallback: config.RATE_LIMIT, redis }, log));

  const freshness = createFreshness();
  onCommit(adminDb, freshness.applyCommit);
  const facts = createCache<Known>(freshness, { count: FACTS_COUNT, bytes: config.CACHE_MB * 2 ** 20 });
  const callers = createCache<Caller | null>(freshness, CALLERS);
  const changes = part(followChanges(url, freshness, log));
  part(pruneChanges(adminDb, log));
  part(reportReplica(adminDb, { position: freshness.position, policy: live.state }, log));

  const breaker = createBreaker();
  const sources: Sources = {
    policy: live.state,
    shadow: shadow.counts,
    pools: () => ({ decisions: poolUse(db), log: poolUse(logDb), admin: poolUse(adminDb) }),
    breakers: () => ({ facts: breaker.state() }),
    caches: () => ({ facts: facts.stats(), callers: callers.stats() }),
    changes: changes.stats,
    recorder: recorder.stats,
    checkpoints: () => checkpoints?.state(),
    limits: limits.stats,
  };
  return {
    config,
    log,
    live,
    trial,
    shadow,
    authorize: authorizer({
      loadFacts: factsLoader(db, peppers, breaker, facts),
      consume: limits.consume,
      livePolicy: live.policy,
      compare: shadow.compare,
      record: recorder.record,
      fingerprintOf: fingerprinter(peppers[0]),
      noteUse: usage.note,
    }),
    findCaller: callerFinder(db, peppers, breaker, callers, config.BOOTSTRAP_TOKEN),
    readiness: shared(async () => {
      const migrations = await migrationsCurrent(db, limitMs).catch((error: unknown) => {
        log.warn({ error }, 'the database cannot be asked for its migrations');
        return undefined;
      });
      return { database: migrations !== undefined, migrations: migrations === true, policy: live.policy().digest };
    }),
    metrics: createMetrics(sources),
    sources,
    adminDb,
    cursors: createCursors(peppers[0].secret),
    pepper: peppers[0],
  };
}

/** One call at a time: who asks while it is under way shares its outcome. Nobody is asked for a token at /readyz. */
function shared<T>(ask: () => Promise<T>): () => Promise<T> {
  let underWay: Promise<T> | undefined;
  return () => {
    underWay ??= ask().finally(() => {
      underWay = undefined;
    });
    return underWay;
  };
}
