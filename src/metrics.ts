/**
 * What Prometheus is told at GET /metrics. On the path of a request it is told as little as can be: plain counts, and one
 * histogram. Everything else is a number that its house keeps anyway, and that is read when somebody asks.
 *
 * Labels are of closed sets: codes, paths of routes, statuses, names of ours. No id, key or address is among them.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { RecorderStats } from './audit/record/recorder.ts';
import { VERSION } from './config.ts';
import type { CacheStats } from './facts/cache.ts';
import type { ChangesStats } from './facts/change-feed.ts';
import type { LimitStats } from './limits/limits.ts';
import type { Policy } from './policy/decide.ts';
import type { LiveState } from './rollout/live.ts';
import type { ShadowCounts } from './rollout/shadow.ts';

type BreakerState = 'open' | 'halfOpen' | 'closed';
type PoolUse = { readonly used: number; readonly free: number; readonly waiting: number };

/** Where the numbers are read. */
export interface Sources {
  readonly policy: () => LiveState<Policy>;
  readonly shadow: () => ShadowCounts;
  /** By name: connections that are lent, that are not, and who waits for one. */
  readonly pools: () => Readonly<Record<string, PoolUse>>;
  readonly breakers: () => Readonly<Record<string, BreakerState>>;
  readonly caches: () => Readonly<Record<string, CacheStats>>;
  readonly changes: () => ChangesStats;
  readonly recorder: () => RecorderStats;
  /** Of the decision log's checkpoints; undefined where none are made. */
  readonly checkpoints: () => { readonly age: number; readonly failures: number } | undefined;
  readonly limits: () => LimitStats;
}

export interface Metrics {
  /** A decision was recorded and is being answered. */
  readonly decided: (code: string) => void;
  /** A request was not answered. */
  readonly failed: (code: string) => void;
  /** An answer is on its way. `route` is the path of its route, undefined where there is none. */
  readonly answered: (route: string | undefined, status: number, milliseconds: number) => void;
  /** In Prometheus' text format. */
  readonly text: () => Promise<string>;
}

/** Routes whose time is kept. */
const TIMED = ['/authorize', '/authorize/batch'] as const;
const BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2.5];
const BREAKER_STATES: readonly BreakerState[] = ['closed', 'halfOpen', 'open'];

export function createMetrics(sources: Sources): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const decisions = new Map<string, number>();
  const failures = new Map<string, number>();
  const answers = new Map<string, Map<number, number>>();

  const { counter, gauge } = metricsIn(registry);
  gauge('info', 'The version of the service.', ['version'], () => [[1, VERSION]]);
  counter('decisions_total', 'Decisions that were recorded, by code.', ['code'], () =>
    [...decisions].map(([code, count]) => [count, code]),
  );
  counter('failures_total', 'Requests that were not answered, by code.', ['code'], () =>
    [...failures].map(([code, count]) => [count, code]),
  );
  counter('answers_total', 'Answers, by the path of the route and the HTTP status.', ['route', 'status'], () =>
    [...answers].flatMap(([route, byStatus]) =>
      [...byStatus].map(([status, count]): Sample => [count, route, `${status}`]),
    ),
  );
  const times = new Histogram({
    name: 'authz_answer_seconds',
    help: 'Time from the head of a request to its answer, by the path of the route.',
    labelNames: ['route'],
    buckets: BUCKETS_SECONDS,
    registers: [registry],
  });
  const timers = new Map<string | undefined, { observe: (seconds: number) => void }>(
    TIMED.map((route) => [route, times.labels(route)]),
  );
  addSources(sources, counter, gauge);

  return {
    decided: (code) => add(decisions, code),
    failed: (code) => add(failures, code),
    answered: (route, status, milliseconds) => {
      const name = route ?? 'none';
      const byStatus = answers.get(name) ?? new Map<number, number>();
      if (byStatus.size === 0) answers.set(name, byStatus);
      add(byStatus, status);
      timers.get(route)?.observe(milliseconds / 1000);
    },
    text: () => registry.metrics(),
  };
}

const add = <Key>(counts: Map<Key, number>, key: Key): void => void counts.set(key, (counts.get(key) ?? 0) + 1);

/** A value and its labels. */
type Sample = readonly [value: number, ...labels: string[]];
type AddMetric = (name: string, help: string, labels: readonly string[], read: () => readonly Sample[]) => void;

/** Metrics that are read when they are asked for. */
function metricsIn(registry: Registry): { counter: AddMetric; gauge: AddMetric } {
  const adder =
    (Kind: typeof Counter | typeof Gauge): AddMetric =>
    (name, help, labelNames, read) => {
      const metric: Counter | Gauge = new Kind({
        name: `authz_${name}`,
        help,
        labelNames,
        registers: [registry],
        collect: () => {
          metric.reset();
          const samples = read();
          // Without labels it would say 0, which nobody has measured.
          if (samples.length === 0 && labelNames.length === 0) metric.remove();
          for (const [value, ...labels] of samples) {
            metric.inc(Object.fromEntries(labelNames.map((label, at) => [label, labels[at] ?? ''])), value);
          }
        },
      });
    };
  return { counter: adder(Counter), gauge: adder(Gauge) };
}

function addSources(sources: Sources, counter: AddMetric, gauge: AddMetric): void {
  const { policy, shadow, pools, breakers, caches, changes, recorder, checkpoints, limits } = sources;
  /** The one sample of a metric without labels, unless there is none. */
  const one =
    (read: () => number | undefined): (() => readonly Sample[]) =>
    () => {
      const value = read();
      return value === undefined ? [] : [[value]];
    };
  /** A sample for each name. */
  const each =
    <T>(source: () => Readonly<Record<string, T>>, value: (of: T) => number): (() => readonly Sample[]) =>
    () =>
      Object.entries(source()).map(([name, of]): Sample => [value(of), name]);
  const seconds = (date: Date): number => date.getTime() / 1000;
  const ofShadow = (): Record<string, number> => ({ ...shadow() });
  const insured = ({ redisUp }: LimitStats): number => Number(redisUp === false);

  gauge('policy_info', 'The digest of the live policy.', ['digest'], () => [[1, policy().policy.digest]]);
  gauge(
    'policy_rows',
    'Rows of the live policy.',
    [],
    one(() => policy().policy.rows.length),
  );
  gauge(
    'policy_loaded_timestamp_seconds',
    'When the live policy went live.',
    [],
    one(() => seconds(policy().since)),
  );
  gauge(
    'policy_stale',
    '1 while the policy folder holds what was refused.',
    [],
    one(() => Number(policy().refused !== undefined)),
  );
  counter(
    'policy_load_failures_total',
    'Policies that were refused.',
    [],
    one(() => policy().failures),
  );
  counter(
    'shadow_decisions_total',
    'Decisions that the policy on trial was asked about, by outcome.',
    ['outcome'],
    each(ofShadow, (count) => count),
  );

  gauge('pool_connections', 'Connections to PostgreSQL, by pool and state.', ['pool', 'state'], () =>
    Object.entries(pools()).flatMap(([pool, { used, free }]): Sample[] => [
      [used, pool, 'used'],
      [free, pool, 'free'],
    ]),
  );
  gauge(
    'pool_waiting',
    'Who waits for a connection to PostgreSQL, by pool.',
    ['pool'],
    each(pools, (of) => of.waiting),
  );
  gauge('breaker_state', '1 for the state that a circuit breaker is in.', ['breaker', 'state'], () =>
    Object.entries(breakers()).flatMap(([breaker, now]) =>
      BREAKER_STATES.map((state): Sample => [Number(state === now), breaker, state]),
    ),
  );

  counter(
    'cache_hits_total',
    'What a cache had, by cache.',
    ['cache'],
    each(caches, (of) => of.hits),
  );
  counter(
    'cache_misses_total',
    'What had to be read, by cache.',
    ['cache'],
    each(caches, (of) => of.misses),
  );
  counter(
    'cache_stale_fills_total',
    'Reads thrown away because a change overtook them, by cache.',
    ['cache'],
    each(caches, (of) => of.stale),
  );
  gauge(
    'cache_entries',
    'Entries in a cache.',
    ['cache'],
    each(caches, (of) => of.size + of.unknown),
  );
  gauge(
    'cache_bytes',
    'Bytes that a cache counts.',
    ['cache'],
    each(caches, (of) => of.bytes),
  );
  gauge(
    'staleness_milliseconds',
    'How long ago this process last proved that it is current.',
    [],
    one(() => changes().stalenessMs),
  );
  gauge(
    'change_feed_lag_milliseconds',
    'How old the last change was when it was applied here.',
    [],
    one(() => changes().lagMs),
  );
  counter(
    'change_feed_failures_total',
    'Times that the change feed could not be read.',
    [],
    one(() => changes().failedPolls),
  );
  counter(
    'cache_flushes_total',
    'Times that everything cached was forgotten.',
    [],
    one(() => changes().flushes),
  );

  gauge(
    'log_queue',
    'Decisions that wait to be recorded.',
    [],
    one(() => recorder().queued),
  );
  gauge(
    'log_queue_capacity',
    'How many may wait; beyond it questions get 503.',
    [],
    one(() => recorder().capacity),
  );
  counter(
    'log_entries_total',
    'Decisions that were recorded.',
    [],
    one(() => recorder().recorded),
  );
  counter(
    'log_batches_total',
    'Commits that they were recorded in.',
    [],
    one(() => recorder().batches),
  );
  gauge(
    'checkpoint_age_seconds',
    'Time since the last checkpoint of the decision log.',
    [],
    one(() => checkpoints()?.age),
  );
  counter(
    'checkpoint_failures_total',
    'Checkpoints that could not be written.',
    [],
    one(() => checkpoints()?.failures),
  );
  gauge(
    'rate_limit_insurance',
    '1 while Redis is lost and limits are local.',
    [],
    one(() => insured(limits())),
  );
}
