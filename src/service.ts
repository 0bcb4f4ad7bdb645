/** The composition root: builds everything below http and cli from the settings, and closes it in reverse order. */

import type { Knex } from 'knex';
import { checkpointMetrics } from './audit/checkpoint/loop.ts';
import { openCheckpoints } from './audit/checkpoint/open.ts';
import { busiestPairs } from './audit/query/busiest.ts';
import { keepPartitions } from './audit/record/partitions.ts';
import { createRecorder, type Recorder, recorderMetrics } from './audit/record/recorder.ts';
import { createRefusals, type Refusals } from './audit/refusals.ts';
import { type Authorize, type AuthorizeThen, authorizer, promised } from './authorize.ts';
import { type Config, tracesUrl } from './config.ts';
import { fingerprinter, type Pepper } from './credentials/token.ts';
import type { Database } from './database.ts';
import { breakerMetrics, createBreaker } from './db/breaker.ts';
import { connect, poolMetrics } from './db/connect.ts';
import { onCommit } from './db/mutate.ts';
import { type Cursors, createCursors } from './db/page.ts';
import { holdCallers } from './directory/caller-digests.ts';
import { callerFinder, callersReader, type FindCaller } from './directory/find-caller.ts';
import { cacheMetrics, createCache } from './facts/cache.ts';
import { type Changes, changeFeedMetrics, followChanges } from './facts/change-feed.ts';
import { createFreshness } from './facts/freshness.ts';
import { factsLoader, type Known } from './facts/load.ts';
import { type LoadNamed, namedLoader } from './facts/load-named.ts';
import { type Moments, momentsOf } from './facts/moment.ts';
import { pruneChanges } from './facts/prune-changes.ts';
import { warmUp } from './facts/warm.ts';
import { freezeMetrics, holdFreezes, type InForce } from './freezes/in-force.ts';
import { thresholdsOf } from './key-hygiene/findings.ts';
import { createUsage } from './keys/usage.ts';
import { createLimits, limitMetrics } from './limits/limits.ts';
import type { Log } from './log.ts';
import { counter, type Sample } from './metric.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import type { Declaration } from './policy/declared/declaration.ts';
import { bytesUnder } from './policy/facts-under.ts';
import { BUILT_IN } from './policy/schema.ts';
import { type Readiness, readinessOf } from './readiness.ts';
import { policyMetrics } from './rollout/live.ts';
import { followPolicies, type Policies } from './rollout/policies.ts';
import { reportReplica } from './rollout/replicas.ts';
import { shadowMetrics } from './rollout/shadow.ts';
import type { Tracing } from './telemetry/tracing.ts';
import { createWatch, type Watch, watchMetrics } from './watching/watch.ts';
import { webhookOf } from './watching/webhook.ts';

export interface Service extends Pick<Policies, 'live' | 'shadowPolicy' | 'shadow'> {
  readonly config: Config;
  readonly log: Log;
  readonly authorize: Authorize;
  readonly authorizeThen: AuthorizeThen;
  /** What a search goes by that a decision goes by, too. */
  readonly searching: {
    readonly loadNamed: LoadNamed;
    readonly moments: Moments;
    readonly freezes: Pick<InForce, 'current'>;
  };
  readonly findCaller: FindCaller;
  readonly refusals: Refusals;
  /** The pool for administration, apart from the decisions' pool, so that no decision waits for a slow change. */
  readonly adminDb: Knex;
  /** The pool of who reads the log, or searches: both can take long, and no change may wait for them. */
  readonly auditDb: Knex;
  readonly cursors: Cursors;
  /** What `facts.yaml` of the live policy declares. */
  readonly declaration: () => Declaration;
  /** The current pepper, for new keys. */
  readonly pepper: Pepper;
  /** All that keys may be stored under. */
  readonly peppers: Database['peppers'];
  readonly readiness: () => Promise<Readiness>;
  /** Whether the database was migrated past this version: then no request that needs it may be served. */
  readonly outdated: Changes['outdated'];
  readonly metrics: Metrics;
  /** Undefined: no traces are made. */
  readonly tracing: Tracing | undefined;
  /** What tests and benchmarks must know of them and no metric says. */
  readonly changeFeed: Pick<Changes, 'stats'>;
  readonly recorder: Pick<Recorder, 'stats'>;
  /** Undefined where nothing is watched. */
  readonly watch: Watch | undefined;
  /** Ends background work and closes connections. To be called once, when no request is in flight. */
  readonly close: () => Promise<void>;
}

const ADMIN_POOL = 5;
const AUDIT_POOL = 3;
const BACKGROUND_POOL = 2;
/** Of statements that no decision waits for: enough to revoke or delete hundreds of thousands of keys in one. */
const SLOW_LIMIT_MS = 30_000;
/** Most cached pairs of a key and a business. */
const FACTS_COUNT = 250_000;
/** The share of CACHE_MB that windows of rate limits may take, and facts: as one window takes to the facts of one key. */
const WINDOWS_SHARE = 0.2;

/** @throws Refusal: a bad policy, settings or database; all that was started is closed then */
export async function createService(config: Config, log: Log, database: Database): Promise<Service> {
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    // A part that fails to close must not keep the others from closing.
    for (const closer of closers.splice(0).reverse()) {
      await Promise.resolve()
        .then(closer)
        .catch((error: unknown) =>
          log.error({ error }, 'a part of the service failed to close; the others are closed all the same'),
        );
    }
  };
  try {
    return { ...(await compose(config, log, database, (closer) => void closers.push(closer))), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Builds the parts in order of dependency; `atEnd` registers their closers, which run in reverse. One function, because it
 * is a list: what exists, what it depends on, and the order in which it closes.
 */
async function compose(
  config: Config,
  log: Log,
  { url, directUrl, peppers }: Database,
  atEnd: (closer: () => unknown) => void,
): Promise<Omit<Service, 'close'>> {
  if (config.BOOTSTRAP_TOKEN !== undefined)
    log.warn(
      'BOOTSTRAP_TOKEN is set: whoever has it may do everything. Make callers with their own scopes, then unset it',
    );
  const webhook = webhookOf(config);
  const findingThresholds = thresholdsOf(config.FINDINGS_THRESHOLDS);
  const limitMs = config.DECISION_DEADLINE_MS;
  const pool = (options: Partial<Parameters<typeof connect>[0]> & { readonly poolSize: number }): Knex => {
    const db = connect({ url, limitMs: SLOW_LIMIT_MS, ...options });
    atEnd(() => db.destroy());
    return db;
  };
  // By purpose, so that nobody waits behind another's work: a decision behind a change, a record behind reads of facts, a
  // revocation behind readers of the log, searches or what is done in the background.
  const db = pool({ poolSize: config.DATABASE_POOL, limitMs, keep: 1 });
  const logDb = pool({ poolSize: 1, limitMs, url: directUrl, keep: 1 });
  const adminDb = pool({ poolSize: ADMIN_POOL });
  const auditDb = pool({ poolSize: AUDIT_POOL, oneCore: true });
  const backgroundDb = pool({ poolSize: BACKGROUND_POOL, oneCore: true });
  const part = <T extends { readonly close: () => unknown }>(made: T): T => {
    atEnd(made.close);
    return made;
  };

  // Before all that makes spans, and so closed after it.
  const tracing = await tracingOf(config, log);
  if (tracing) part(tracing);
  // Opened before the recorder and so closed after it: the last checkpoint covers the last record.
  const checkpoints = await openCheckpoints(config, directUrl, log);
  if (checkpoints) part(checkpoints);
  const policies = part(await followPolicies(config, backgroundDb, log));
  const { live, shadowPolicy, shadow } = policies;
  const partitions = part(keepPartitions(backgroundDb, log));
  await partitions.made;
  const recorder = part(createRecorder(logDb, log, tracing?.sendBatch));
  const usage = part(createUsage(backgroundDb, log));
  const refusals = part(createRefusals(backgroundDb, log));
  const memory = config.CACHE_MB * 2 ** 20;
  const redis = config.REDIS_URL === undefined ? undefined : { url: config.REDIS_URL, waitMs: config.REDIS_TIMEOUT_MS };
  const limits = part(await createLimits({ fallback: config.RATE_LIMIT, redis, bytes: memory * WINDOWS_SHARE }, log));

  const freshness = createFreshness();
  onCommit(adminDb, freshness.applyCommit);
  const facts = createCache<Known>(freshness, {
    count: FACTS_COUNT,
    bytes: memory * (1 - WINDOWS_SHARE),
    besides: () => bytesUnder(live.policy().schema) + bytesUnder(shadowPolicy?.policy()?.schema ?? BUILT_IN),
  });
  const changes = part(followChanges(directUrl, freshness, log, () => checkpoints?.soon()));
  part(pruneChanges(backgroundDb, log));
  part(reportReplica(backgroundDb, { position: freshness.position, policy: live.state }, log));

  const declaration = (): Declaration => live.policy().schema.declaration;
  const intervalSeconds = config.FINDINGS_INTERVAL_SECONDS;
  const watching = { intervalSeconds, thresholds: findingThresholds, webhook, declaration };
  const watch = intervalSeconds > 0 ? part(await createWatch(backgroundDb, watching, log)) : undefined;

  const breaker = createBreaker();
  // A breaker of its own: a user of thousands of keys can take longer to read than a question has, and must not end all reads of facts.
  const namedBreaker = createBreaker();
  const callers = holdCallers(callersReader(db, breaker, limitMs), freshness, changes.catchUp);
  const freezes = holdFreezes(db, breaker, freshness, limitMs);
  let unregistered = 0;
  const metrics = createMetrics([
    counter(
      'unregistered_actions_total',
      'Decisions on actions that the register of facts.yaml lacks.',
      () => unregistered,
    ),
    ...policyMetrics(live.state),
    ...shadowMetrics(shadow.counts),
    ...poolMetrics({ decisions: db, log: logDb, admin: adminDb, audit: auditDb, background: backgroundDb }),
    ...breakerMetrics({ facts: breaker, named: namedBreaker }),
    ...cacheMetrics({ facts }),
    ...changeFeedMetrics(changes.stats),
    ...recorderMetrics(recorder.stats),
    ...checkpointMetrics(checkpoints),
    ...limitMetrics(limits.stats),
    ...freezeMetrics(freezes),
    counter('spans_total', 'Spans of traces, by what became of them.', () => sampleCounts(tracing), ['outcome']),
    ...watchMetrics(watch),
  ]);
  const loadFacts = factsLoader(db, peppers, breaker, facts, tracing?.aroundStatement);
  const loadNamed = namedLoader(db, namedBreaker, tracing?.aroundStatement);
  const moments = momentsOf(db, breaker, freshness);
  const parts = { loadFacts, loadNamed, consume: limits.consume, freezes, enqueue: recorder.enqueue };
  const authorizeThen = authorizer({
    ...(tracing ? tracing.parts(parts) : parts),
    moments,
    livePolicy: live.policy,
    compare: shadow.compare,
    fingerprintOf: fingerprinter(peppers[0]),
    noteUse: usage.note,
    noteUnregistered: (decisions) => {
      unregistered += decisions;
    },
  });
  await warmUp({
    db,
    pepper: peppers[0],
    warm: loadFacts.warm,
    confirmed: changes.catchUp,
    busiest: () => busiestPairs(backgroundDb),
    log,
  });
  return {
    config,
    log,
    live,
    shadowPolicy,
    shadow,
    authorize: promised(authorizeThen),
    authorizeThen,
    refusals,
    searching: { loadNamed, moments, freezes },
    findCaller: callerFinder(callers, peppers, config.BOOTSTRAP_TOKEN),
    readiness: readinessOf({ db, logDb, recorder, freshness, changes, limitMs, log }),
    outdated: changes.outdated,
    metrics,
    tracing,
    changeFeed: changes,
    recorder,
    watch,
    adminDb,
    auditDb,
    cursors: createCursors(peppers[0].secret),
    declaration,
    pepper: peppers[0],
    peppers,
  };
}

/** Loaded only where a collector is configured: nothing of it, nor of OpenTelemetry, is there otherwise. */
async function tracingOf(config: Config, log: Log): Promise<Tracing | undefined> {
  const url = tracesUrl(config);
  if (url === undefined) return undefined;
  const { openTracing } = await import('./telemetry/tracing.ts');
  log.info({ url, sampler: config.OTEL_TRACES_SAMPLER }, 'traces are sent');
  return openTracing(config, url, log);
}

const sampleCounts = (tracing: Tracing | undefined): Sample[] =>
  Object.entries(tracing?.counts() ?? {}).map(([outcome, spans]) => [spans, outcome]);
