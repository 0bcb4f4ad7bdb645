/**
 * A metric, described by the module that measures it and registered by metrics.ts. So a module can have metrics without
 * knowing Prometheus, and metrics.ts need not know the module.
 */

/** A value, and the values of the metric's labels in their order. */
export type Sample = readonly [value: number, ...labels: string[]];

export interface Metric {
  readonly kind: 'counter' | 'gauge';
  /** Without the prefix `authz_`. That of a counter ends in `_total`, by Prometheus' convention. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** INVARIANT: the values of a label are a closed set (codes, routes, statuses, names of ours): never an id, key or address. */
  readonly labels: readonly string[];
  /** Called for each scrape. Must be cheap, and must not throw. */
  readonly read: () => readonly Sample[];
}

/** A number: the only sample of a metric without labels. Undefined: it has no value now, and is exported without a sample. */
type Reading = number | undefined | readonly Sample[];
type Describe = (name: string, help: string, read: () => Reading, labels?: readonly string[]) => Metric;

const describe =
  (kind: Metric['kind']): Describe =>
  (name, help, read, labels = []) => ({
    kind,
    name,
    help,
    labels,
    read: () => {
      const reading = read();
      if (reading === undefined) return [];
      return typeof reading === 'number' ? [[reading]] : reading;
    },
  });

/** Describes a number that only grows while the process runs. */
export const counter = describe('counter');

/** Describes a number that goes up and down. */
export const gauge = describe('gauge');

/** A sample for each of `named`, labelled with its name. */
export const sampleEach = <T>(named: Readonly<Record<string, T>>, value: (of: T) => number): Sample[] =>
  Object.entries(named).map(([name, of]) => [value(of), name]);
