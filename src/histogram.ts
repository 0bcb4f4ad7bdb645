/**
 * A histogram whose observations cost a few nanoseconds: prom-client's own checks and hashes the labels of each. It counts by itself, and
 * tells its counts when they are scraped.
 */

/** Of one value of the label. */
export interface Observed {
  /** How many were at most the bound of the same index, and more than the one before; the last: how many were more than all. */
  readonly counts: number[];
  sum: number;
}

export interface Times {
  /** What is counted, by the value of the label. */
  readonly of: ReadonlyMap<string, Observed>;
  readonly observe: (observed: Observed, seconds: number) => void;
  /** As a metric of prom-client's registry. */
  readonly metric: object;
}

interface Options {
  readonly name: string;
  readonly help: string;
  readonly label: string;
  /** Of the label: a closed set. */
  readonly values: readonly string[];
  /** In ascending order. */
  readonly bounds: readonly number[];
}

export function createTimes({ name, help, label, values, bounds }: Options): Times {
  const of = new Map(values.map((value): [string, Observed] => [value, { counts: [...bounds, 0].fill(0), sum: 0 }]));
  const get = async () => ({
    name,
    help,
    type: 'histogram',
    aggregator: 'sum',
    values: [...of]
      .filter(([, { counts }]) => counts.some((count) => count > 0))
      .flatMap(([value, observed]) => samplesOf(name, { [label]: value }, observed, bounds)),
  });
  return {
    of,
    metric: { name, help, type: 'histogram', aggregator: 'sum', get },
    observe: (observed, seconds) => {
      let at = 0;
      while (seconds > (bounds[at] ?? Number.POSITIVE_INFINITY)) at += 1;
      observed.counts[at] = (observed.counts[at] ?? 0) + 1;
      observed.sum += seconds;
    },
  };
}

type Labels = Readonly<Record<string, string>>;

/** As Prometheus wants them: each bucket counts all that are at most its bound. */
function samplesOf(name: string, labels: Labels, { counts, sum }: Observed, bounds: readonly number[]) {
  let count = 0;
  const buckets = counts.map((own, at) => {
    count += own;
    return { metricName: `${name}_bucket`, labels: { le: String(bounds[at] ?? '+Inf'), ...labels }, value: count };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum },
    { metricName: `${name}_count`, labels, value: count },
  ];
}
