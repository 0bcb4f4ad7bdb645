/** Parses the text of GET /metrics. */

import { createMetrics, type Metrics } from '../../src/metrics.ts';

/** For an HTTP side without a service behind it. */
export const metricsOfNothing = (): Metrics => createMetrics([]);

export interface ReadMetrics {
  /** Name -> type, also of metrics without samples. */
  readonly types: ReadonlyMap<string, string>;
  /** `name{label="value"}` -> value. */
  readonly samples: ReadonlyMap<string, number>;
}

export async function metricsOf(address: string): Promise<ReadMetrics & { readonly text: string }> {
  const response = await fetch(`${address}/metrics`);
  if (response.status !== 200) throw new Error(`/metrics answered ${response.status}`);
  const text = await response.text();
  return { text, ...readMetrics(text) };
}

/** @throws Error for a line that is not in the Prometheus text format */
export function readMetrics(text: string): ReadMetrics {
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  for (const line of text.split('\n').filter((each) => each !== '' && !each.startsWith('# HELP '))) {
    const [, name, type] = /^# TYPE (\w+) (counter|gauge|histogram|summary)$/.exec(line) ?? [];
    const [, series, value] = /^(\w+(?:\{(?:\w+="[^"\\]*",?)*\})?) (\S+)$/.exec(line) ?? [];
    if (name !== undefined && type !== undefined) types.set(name, type);
    else if (series !== undefined) samples.set(series, Number(value));
    else throw new Error(`this is no line of a metric: ${line}`);
  }
  return { types, samples };
}

/** The metric names in a PromQL query: identifiers before a brace, a bracket or an operator that are not functions. */
export function namesIn(query: string): string[] {
  const bare = query
    .replace(/"[^"]*"/g, '""')
    .replace(/\{[^}]*\}/g, '{}')
    .replace(/\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '');
  return [...bare.matchAll(/\b(?:authz|process|nodejs)_\w+/g)].map(([name]) => name);
}

/** Whether the metric exists, or is a series of a histogram (_bucket, _sum, _count). */
export const exists = ({ types }: Pick<ReadMetrics, 'types'>, name: string): boolean =>
  types.has(name) || types.get(name.replace(/_(?:bucket|sum|count)$/, '')) === 'histogram';
