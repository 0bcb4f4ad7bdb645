/** What a benchmark measured, what was wanted of it, and how both are shown. */

/** A figure that the issue or the documents promise something about, or that explains one. */
export interface Figure {
  /** Such as `warm /authorize`. */
  readonly name: string;
  readonly value: number;
  /** `x` for a ratio taken within this run; or `s`, `MB`, `/s`. */
  readonly unit: string;
  /** What is promised; none for a figure that only explains another. */
  readonly want?: { readonly atLeast: number } | { readonly atMost: number };
}

/** Takes figures as they come, and says what is under way. */
export interface Bench {
  /** A short run for CI: fewer and shorter rounds, and ratios held within generous bounds only. */
  readonly short: boolean;
  readonly figure: (figure: Figure) => void;
  readonly progress: (text: string) => void;
}

/** Machines are noisy, and a short run more so: it guards against ruin, not against the odd percent. */
const SHORT_TOLERANCE = 0.5;

/** undefined: nothing was promised. */
export function holds({ value, want }: Figure, short: boolean): boolean | undefined {
  if (want === undefined) return undefined;
  const tolerance = short ? SHORT_TOLERANCE : 1;
  return 'atLeast' in want ? value >= want.atLeast * tolerance : value <= want.atMost / tolerance;
}

export function printFigure(figure: Figure, short: boolean): string {
  const { name, value, unit, want } = figure;
  const held = holds(figure, short);
  const wanted = want && ('atLeast' in want ? `at least ${want.atLeast}` : `at most ${want.atMost}`);
  const verdict = held === undefined ? '' : `${held ? 'ok  ' : 'FAIL'} (${wanted} ${unit})`;
  return `${name.padEnd(56)} ${formatted(value).padStart(10)} ${unit.padEnd(4)} ${verdict}`.trimEnd();
}

const formatted = (value: number): string => (value >= 1000 ? Math.round(value).toString() : value.toPrecision(3));

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [below, above] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  if (below === undefined || above === undefined) throw new RangeError('there is no median of nothing');
  return (below + above) / 2;
}
