/**
 * What Prometheus is told at GET /metrics. On the path of a request it is told as little as can be: plain counts, and one
 * histogram. Everything else is a number that its house keeps anyway, and that is read when somebody asks.
 *
 * Labels are of closed sets: codes, paths of routes, statuses, names of ours. No id, key or address is among them.
 */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { VERSION } from './config.ts';

type BreakerState = 'open' | 'halfOpen' | 'closed';

/** Where the numbers are read. What is left out has its name in the text, and no sample. */
export interface Sources {
  readonly policy: () => {
    readonly digest: string;
    readonly rows: number;
    /** Milliseconds since 1970. */
    readonly loadedAt: number;
    /** Whether the folder holds an edit that was refused, so that an older policy is live. */
    readonly refused: boolean;
  };
  /** By pool: connections that are lent, that are not, and who waits for one. */
  readonly pools: () => Readonly<
    Record<string, { readonly used: number; readonly free: number; readonly waiting: number }>
  >;
  readonly breakers: () => Readonly<Record<string, BreakerState>>;
  readonly cache?: () => {
    readonly hits: number;
    readonly misses: number;
    readonly entries: number;
    readonly bytes: number;
    /** Loads that were thrown away because a newer change touched them. */
    readonly staleFills: number;
  };
  /** How long ago this process last proved that it is current, and how many changes it knows of and has not applied. */
  readonly feed?: () => { readonly stalenessMs: number; readonly lag: number; readonly listening: boolean };
  readonly log?: () => {
    readonly queued: number;
    readonly capacity: number;
    /** So far: entries and the commits that they went in; their ratio is the size of a batch. */
    readonly entries: number;
    readonly batches: number;
  };
  /** Seconds since the last checkpoint of the decision log was written. */
  readonly checkpoints?: () => { readonly ageSeconds: number };
  /** Whether limits are counted by this process alone, because Redis is lost. */
  readonly limits?: () => { readonly insurance: boolean };
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

function addSources(
  { policy, pools, breakers, cache, feed, log, checkpoints, limits }: Sources,
  counter: AddMetric,
  gauge: AddMetric,
): void {
  /** The one sample of what a source says, if there is that source. */
  const one =
    <T>(source: (() => T) | undefined, value: (of: T) => number) =>
    (): readonly Sample[] =>
      source ? [[value(source())]] : [];

  gauge('policy_info', 'The digest of the live policy.', ['digest'], () => [[1, policy().digest]]);
  gauge(
    'policy_rows',
    'Rows of the live policy.',
    [],
    one(policy, ({ rows }) => rows),
  );
  gauge(
    'policy_loaded_timestamp_seconds',
    'When the live policy was loaded.',
    [],
    one(policy, (of) => of.loadedAt / 1000),
  );
  gauge(
    'policy_refused',
    '1 while the policy folder holds an edit that was refused.',
    [],
    one(policy, (of) => Number(of.refused)),
  );
  gauge('pool_connections', 'Connections to PostgreSQL, by pool and state.', ['pool', 'state'], () =>
    Object.entries(pools()).flatMap(([pool, { used, free }]): Sample[] => [
      [used, pool, 'used'],
      [free, pool, 'free'],
    ]),
  );
  gauge('pool_waiting', 'Who waits for a connection to PostgreSQL, by pool.', ['pool'], () =>
    Object.entries(pools()).map(([pool, { waiting }]): Sample => [waiting, pool]),
  );
  gauge('breaker_state', '1 for the state that a circuit breaker is in.', ['breaker', 'state'], () =>
    Object.entries(breakers()).flatMap(([breaker, now]) =>
      BREAKER_STATES.map((state): Sample => [Number(state === now), breaker, state]),
    ),
  );
  counter(
    'cache_hits_total',
    'Facts that the cache had.',
    [],
    one(cache, ({ hits }) => hits),
  );
  counter(
    'cache_misses_total',
    'Facts that had to be loaded.',
    [],
    one(cache, ({ misses }) => misses),
  );
  counter(
    'cache_stale_fills_total',
    'Loads thrown away because a change overtook them.',
    [],
    one(cache, (of) => of.staleFills),
  );
  gauge(
    'cache_entries',
    'Entries in the cache of facts.',
    [],
    one(cache, ({ entries }) => entries),
  );
  gauge(
    'cache_bytes',
    'Bytes that the cache of facts counts.',
    [],
    one(cache, ({ bytes }) => bytes),
  );
  gauge(
    'staleness_milliseconds',
    'How long ago this process last proved that it is current.',
    [],
    one(feed, (of) => of.stalenessMs),
  );
  gauge(
    'change_feed_lag',
    'Changes that this process knows of and has not applied.',
    [],
    one(feed, ({ lag }) => lag),
  );
  gauge(
    'change_feed_listening',
    '1 while LISTEN wakes this process; else it polls alone.',
    [],
    one(feed, (of) => Number(of.listening)),
  );
  gauge(
    'log_queue',
    'Decisions that wait to be recorded.',
    [],
    one(log, ({ queued }) => queued),
  );
  gauge(
    'log_queue_capacity',
    'How many may wait; beyond it questions get 503.',
    [],
    one(log, ({ capacity }) => capacity),
  );
  counter(
    'log_entries_total',
    'Decisions that were recorded.',
    [],
    one(log, ({ entries }) => entries),
  );
  counter(
    'log_batches_total',
    'Commits that they were recorded in.',
    [],
    one(log, ({ batches }) => batches),
  );
  gauge(
    'checkpoint_age_seconds',
    'Time since the last checkpoint of the decision log.',
    [],
    one(checkpoints, (of) => of.ageSeconds),
  );
  gauge(
    'rate_limit_insurance',
    '1 while Redis is lost and limits are local.',
    [],
    one(limits, (of) => Number(of.insurance)),
  );
}
