/**
 * GET /metrics, in Prometheus' text format. Counts what requests come to, because nobody else does; every other metric is
 * described by the module that measures it and read when it is scraped, so that it costs a request nothing.
 */

import { Counter, collectDefaultMetrics, Gauge, type Histogram, Registry } from 'prom-client';
import { createTimes } from './histogram.ts';
import { counter, gauge, type Metric, type Sample } from './metric.ts';
import { VERSION } from './release.ts';

export interface Metrics {
  /** A decision was recorded and is being answered. */
  readonly decided: (code: string) => void;
  /** A request was not answered. */
  readonly failed: (code: string) => void;
  /** A gateway's request was denied without a decision; both are of closed sets. */
  readonly gatewayRefused: (dialect: string, reason: string) => void;
  /** An answer is being sent. `route` is the path of its route, undefined where there is none. */
  readonly answered: (route: string | undefined, status: number, milliseconds: number) => void;
  /** In Prometheus' text format. */
  readonly text: () => Promise<string>;
}

const PREFIX = 'authz_';
/** Routes that the histogram has. */
const TIMED = ['/authorize', '/authorize/batch'] as const;
const BUCKETS_SECONDS = [0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1, 2.5];

/** The metrics of one process: its version, what requests come to, what `described` says, and Node's own. */
export function createMetrics(described: readonly Metric[]): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const decisions = new Map<string, number>();
  const failures = new Map<string, number>();
  const answers = new Map<string, Map<number, number>>();
  const refusals = new Map<string, Map<string, number>>();
  const own = [
    gauge('info', 'The version of the service.', () => [[1, VERSION]], ['version']),
    counter('decisions_total', 'Decisions that were recorded, by code.', () => samplesOf(decisions), ['code']),
    counter('failures_total', 'Requests that were not answered, by code.', () => samplesOf(failures), ['code']),
    counter(
      'answers_total',
      'Answers, by the path of the route and the HTTP status.',
      () => [...answers].flatMap(([route, byStatus]) => samplesOf(byStatus, route)),
      ['route', 'status'],
    ),
    counter(
      'gateway_refused_total',
      'Requests of gateways that were denied without a decision, by dialect and reason.',
      () => [...refusals].flatMap(([dialect, byReason]) => samplesOf(byReason, dialect)),
      ['dialect', 'reason'],
    ),
  ];
  for (const metric of [...own, ...described]) register(registry, metric);
  const times = createTimes({
    name: `${PREFIX}answer_seconds`,
    help: 'Time from the head of a request to its answer, by the path of the route.',
    label: 'route',
    values: TIMED,
    bounds: BUCKETS_SECONDS,
  });
  registry.registerMetric(times.metric as Histogram);

  return {
    decided: (code) => add(decisions, code),
    failed: (code) => add(failures, code),
    gatewayRefused: (dialect, reason) => {
      const byReason = refusals.get(dialect) ?? new Map<string, number>();
      if (byReason.size === 0) refusals.set(dialect, byReason);
      add(byReason, reason);
    },
    answered: (name = 'none', status, milliseconds) => {
      const byStatus = answers.get(name) ?? new Map<number, number>();
      if (byStatus.size === 0) answers.set(name, byStatus);
      add(byStatus, status);
      const timed = times.of.get(name);
      if (timed) times.observe(timed, milliseconds / 1000);
    },
    text: () => registry.metrics(),
  };
}

const add = <Key>(counts: Map<Key, number>, key: Key): void => void counts.set(key, (counts.get(key) ?? 0) + 1);

const samplesOf = (counts: ReadonlyMap<string | number, number>, ...labels: string[]): Sample[] =>
  [...counts].map(([key, count]) => [count, ...labels, `${key}`]);

function register(registry: Registry, { kind, name, help, labels, read }: Metric): void {
  const Kind = kind === 'counter' ? Counter : Gauge;
  const metric: Counter | Gauge = new Kind({
    name: `${PREFIX}${name}`,
    help,
    labelNames: labels,
    registers: [registry],
    collect: () => {
      metric.reset();
      const samples = read();
      // After a reset, a metric without labels says 0, which nobody has measured.
      if (samples.length === 0 && labels.length === 0) metric.remove();
      for (const [value, ...values] of samples) {
        metric.inc(Object.fromEntries(labels.map((label, at) => [label, values[at] ?? ''])), value);
      }
    },
  });
}
