/** Times as options: `--from` and `--to` of a period of the log, a moment or how long ago; and how long something lasts. */

import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';
import type { Period } from '../../rollout/replay.ts';

export interface PeriodOptions {
  readonly from: string;
  readonly to?: string;
}

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const HOW = 'a moment is written 2030-01-31T12:00:00Z, or as how long ago: 90m, 24h, 7d';

/** Adds --from and --to. */
export const periodOptions = (command: Command, from = '24h'): Command =>
  command
    .option('--from <when>', 'the beginning, inclusive: 2030-01-31T12:00:00Z, or how long ago (90m, 24h, 7d)', from)
    .option('--to <when>', 'the end, exclusive; without it: now');

/** @throws Refusal: a moment that cannot be read, or a period that is empty */
export function readPeriod({ from, to }: PeriodOptions, now = Date.now()): Period {
  const [begin, end] = [readMoment(from, now), to === undefined ? now : readMoment(to, now)];
  if (begin >= end) throw new Refusal('the period is empty: --from is not before --to');
  return { from: new Date(begin).toISOString(), to: new Date(end).toISOString() };
}

function readMoment(text: string, now: number): number {
  const [, amount, unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  if (amount !== undefined) return now - Number(amount) * (UNITS[unit] ?? 0);
  const moment = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (Number.isNaN(moment)) throw new Refusal(`${JSON.stringify(text)} is no moment; ${HOW}`);
  return moment;
}

/** Seconds of `90m`, `2h` or `7d`. @throws Refusal */
export function readDuration(text: string): number {
  const [, amount, unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  if (amount === undefined) throw new Refusal(`${JSON.stringify(text)} is no length of time; write 90m, 2h or 7d`);
  return (Number(amount) * (UNITS[unit] ?? 0)) / 1000;
}
