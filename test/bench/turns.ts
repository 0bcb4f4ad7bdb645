/** Servers under load in turns: what a machine does meanwhile hits all of them alike, and ratios of one round are compared. */

import { machineSeconds, type ServerProcess } from './processes.ts';
import { type Bench, type LoadFigure, median, printLoad } from './report.ts';
import type { Questions, World } from './world.ts';

/** Until nearly all that is run has been compiled; on a busy machine there is an end to it. */
const WARM_UP = { questions: 15_000, milliseconds: 8000, slice: 500 };

/** Something that is asked for a while, once a round. */
export interface Turn {
  readonly questions: Questions;
  readonly server: ServerProcess;
  /** Other processes that take part, beside PostgreSQL and the load generator: a name, and its seconds on a core so far. */
  readonly others?: Readonly<Record<string, () => number>>;
  /** Questions in a request; 1 by default. */
  readonly inRequest?: number;
}

/** Of each round, in order. */
export interface Rounds {
  /** Questions answered in a second. */
  readonly rates: number[];
  /** Milliseconds. */
  readonly p50: number[];
  readonly p99: number[];
  /** Microseconds on a core for each question, by process. */
  readonly cpu: Record<string, number[]>;
  /** Cores that others took. */
  readonly others: number[];
}

export interface Length {
  readonly rounds: number;
  readonly milliseconds: number;
  /** Whether the processes are warm already. */
  readonly warm?: boolean;
}

/**
 * Runs each turn once a round, every other round backwards, so that none is always the first; before, each until its process is
 * warm.
 */
export async function inTurns<Name extends string>(
  bench: Bench,
  world: World,
  turns: Readonly<Record<Name, Turn>>,
  { rounds, milliseconds, warm = false }: Length,
  afterRound: () => Promise<void> = async () => undefined,
): Promise<Record<Name, Rounds>> {
  const names = Object.keys(turns) as Name[];
  const all = Object.fromEntries(names.map((name) => [name, noRounds()])) as Record<Name, Rounds>;
  for (const name of warm ? [] : names) await warmUp(bench, world, name, turns[name]);
  for (let round = 1; round <= rounds; round += 1) {
    for (const name of round % 2 === 1 ? names : [...names].reverse())
      addTo(all[name], await runOnce(bench, world, `${name} (${round} of ${rounds})`, turns[name], milliseconds));
    await afterRound();
  }
  return all;
}

async function warmUp(bench: Bench, world: World, name: string, turn: Turn): Promise<void> {
  const since = performance.now();
  for (let questions = 0; questions < WARM_UP.questions && performance.now() - since < WARM_UP.milliseconds; ) {
    const { rate } = await runOnce(bench, world, `${name} (warm-up)`, turn, WARM_UP.slice);
    questions += (rate * WARM_UP.slice) / 1000;
  }
}

export const noRounds = (): Rounds => ({ rates: [], p50: [], p99: [], cpu: {}, others: [] });

export function addTo({ rates, p50, p99, cpu, others }: Rounds, run: LoadFigure): void {
  rates.push(run.rate);
  p50.push(run.p50);
  p99.push(run.p99);
  if (run.others !== undefined) others.push(run.others);
  for (const [process, micros] of Object.entries(run.cpu)) {
    cpu[process] ??= [];
    cpu[process].push(micros);
  }
}

/** @throws Error where a request failed: what was measured is not what was meant */
export async function runOnce(
  bench: Bench,
  { generator, databaseSeconds }: World,
  name: string,
  { questions, server, others = {}, inRequest = 1 }: Turn,
  milliseconds: number,
): Promise<LoadFigure> {
  const spent = async (): Promise<Record<string, number>> => ({
    server: server.cpuSeconds(),
    PostgreSQL: await databaseSeconds(),
    ...Object.fromEntries(Object.entries(others).map(([process, seconds]) => [process, seconds()])),
  });
  const before = await spent();
  const busy = machineSeconds();
  const { failed, succeeded, failure, seconds, cpuSeconds, p50, p99 } = await generator.run({
    ...questions,
    milliseconds,
  });
  const after = await spent();
  const busyMeanwhile = machineSeconds() - busy;
  if (failed > 0 || succeeded === 0)
    throw new Error(`${name}: ${failed} of ${failed + succeeded} requests failed, the first with\n${failure}`);
  const answered = succeeded * inRequest;
  const micros = (time: number): number => (time / answered) * 1e6;
  const cpu = Object.fromEntries(
    Object.entries(after)
      .map(([process, time]): [string, number] => [process, micros(time - (before[process] ?? Number.NaN))])
      .filter(([, time]) => !Number.isNaN(time)),
  );
  const ours = Object.values(cpu).reduce((sum, each) => sum + each, micros(cpuSeconds));
  const beside = (busyMeanwhile - (ours * answered) / 1e6) / seconds;
  const run = {
    name,
    rate: answered / seconds,
    p50,
    p99,
    cpu: { ...cpu, load: micros(cpuSeconds) },
    ...(!Number.isNaN(beside) && { others: Math.max(0, beside) }),
  };
  bench.progress(printLoad(run));
  return run;
}

/** By round, `of` to the mean of `to`. */
export const ratios = (of: readonly number[], ...to: readonly (readonly number[])[]): number[] =>
  of.map((value, round) => value / (to.reduce((sum, values) => sum + (values[round] ?? Number.NaN), 0) / to.length));

/** As it stands in the table of what each did. */
export const loadFigure = (name: string, { rates, p50, p99, cpu, others }: Rounds): LoadFigure => ({
  name,
  rate: median(rates),
  p50: median(p50),
  p99: median(p99),
  cpu: Object.fromEntries(Object.entries(cpu).map(([process, micros]) => [process, median(micros)])),
  ...(others.length > 0 && { others: median(others) }),
});
