/** What a benchmark measured, what was wanted of it, and how a figure is shown. docs/performance.md is made of them (page.ts). */

/** A figure that the issue or the documents promise something about, or that explains one. */
export interface Figure {
  /** Such as `warm, one key`. */
  readonly name: string;
  readonly value: number;
  /** `x` for a ratio taken within this run; or `s`, `MB`, `/s`. */
  readonly unit: string;
  /** Of a ratio: what it is to, where the name does not say it. */
  readonly to?: string;
  /** The least and the most of the rounds whose median the value is. */
  readonly spread?: readonly [number, number];
  /** What is promised; none for a figure that only explains another. */
  readonly want?: { readonly atLeast: number } | { readonly atMost: number };
}

/** What one server did under load: medians of the rounds. */
export interface LoadFigure {
  readonly name: string;
  /** Questions answered in a second. */
  readonly rate: number;
  /** Milliseconds that a request took. */
  readonly p50: number;
  readonly p99: number;
  /** Microseconds on a core for each question, by process: `server`, `PostgreSQL` with all its backends, `load` (the generator), … */
  readonly cpu: Readonly<Record<string, number>>;
  /** Cores that processes which have no part in it took meanwhile: how far the rest can be believed. Linux alone tells it. */
  readonly others?: number;
}

/** Takes figures as they come, and says what is under way. */
export interface Bench {
  /** A short run for CI: fewer and shorter rounds, and promises held within generous bounds only. */
  readonly short: boolean;
  /** The folder of the checkout whose build is measured. */
  readonly build: string;
  readonly figure: (figure: Figure) => void;
  readonly load: (figure: LoadFigure) => void;
  /** What this machine cannot measure, and why. */
  readonly skip: (name: string, why: string) => void;
  readonly progress: (text: string) => void;
}

/**
 * Machines are noisy, and a short run more so; and processors differ: on one that runs a bare Koa in half the time, the service
 * takes two thirds of its own. So a short run guards against ruin, not against the odd percent.
 */
const SHORT_TOLERANCE = 0.25;

/** What is held against: in a short run, generous bounds. */
function bound({ want }: Figure, short: boolean): Figure['want'] {
  if (want === undefined || !short) return want;
  return 'atLeast' in want ? { atLeast: want.atLeast * SHORT_TOLERANCE } : { atMost: want.atMost / SHORT_TOLERANCE };
}

/** undefined: nothing was promised. */
export function holds(figure: Figure, short: boolean): boolean | undefined {
  const want = bound(figure, short);
  if (want === undefined) return undefined;
  return 'atLeast' in want ? figure.value >= want.atLeast : figure.value <= want.atMost;
}

export const nameOf = ({ name, to }: Figure): string => (to === undefined ? name : `${name} ÷ ${to}`);

/** `at least 0.9`. */
export const wanted = (want: Figure['want']): string => {
  if (want === undefined) return '';
  return 'atLeast' in want ? `at least ${formatted(want.atLeast)}` : `at most ${formatted(want.atMost)}`;
};

export function printFigure(figure: Figure, short: boolean): string {
  const { value, unit } = figure;
  const held = holds(figure, short);
  const verdict = held === undefined ? '' : `${held ? 'ok  ' : 'FAIL'} (${wanted(bound(figure, short))} ${unit})`;
  return `${nameOf(figure).padEnd(64)} ${formatted(value).padStart(10)} ${unit.padEnd(4)} ${verdict}`.trimEnd();
}

export function printLoad({ name, rate, p50, p99, cpu, others }: LoadFigure): string {
  const costs = Object.entries(cpu).map(([process, micros]) => `${process} ${formatted(micros)}`);
  const beside = others === undefined ? '' : `; others ${others.toFixed(1)} cores`;
  const of = `${formatted(rate)} /s, p50 ${formatted(p50)} ms, p99 ${formatted(p99)} ms`;
  return `${name.padEnd(40)} ${of}, us a question: ${costs.join(', ')}${beside}`;
}

/** Three digits, or all before the point. */
export const formatted = (value: number): string =>
  value >= 1000 ? Math.round(value).toString() : String(Number(value.toPrecision(3)));

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (below === undefined || above === undefined) throw new RangeError('there is no median of nothing');
  return (below + above) / 2;
}

/** The value and the spread of a figure that was taken once a round. */
export const ofRounds = (values: readonly number[]): Pick<Figure, 'value' | 'spread'> => ({
  value: median(values),
  spread: [Math.min(...values), Math.max(...values)],
});
