/** Moments and periods of time as options of commands: one grammar for all of them. docs/audit-queries.md says it to people. */

import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';
import { instantSchema } from '../../input/scalars.ts';
import { type Clock, momentsOf, printMoment, readClock, startOfDay, type ZoneOption, zoneOption } from './zone.ts';

const UNITS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 };
const DAY_MS = 86_400_000;
const WEEKDAYS = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

const HOW = `write 2030-01-31T12:00:00Z, 2030-01-31, "2030-01-31 12:00", 7d, 36h or 90m (ago), "in 7d", now, today, yesterday, tomorrow,
a weekday such as tuesday (the last one before today), or such a day with a time: "tuesday 14:30"`;

export const MOMENT_HELP = `
A time is RFC 3339, a day or a day with a time, or how long ago: 2030-01-31T12:00:00Z, 2030-01-31, "2030-01-31 12:00", 7d, 36h, 90m,
now, today, yesterday, tuesday (the last one before today), "tuesday 14:30". A day alone is its beginning. Days and times are
those of --zone.`;

/** When it is now, and by whose clocks the day is told. */
export interface Now {
  readonly now: number;
  readonly clock: Clock;
}

const readNow = (options: ZoneOption, env: NodeJS.ProcessEnv): Now => ({
  now: Date.now(),
  clock: readClock(options, env),
});

/** A moment for a field that takes RFC 3339. @throws Refusal, as readMoment */
export const readTime = (text: string, zone: ZoneOption, env: NodeJS.ProcessEnv): string =>
  new Date(readMoment(text, readNow(zone, env))).toISOString();

/** As readTime, of what is still to come: there `90d`, which is in the past, was meant otherwise. @throws Refusal, as readMoment */
export function readComing(text: string, zone: ZoneOption, env: NodeJS.ProcessEnv): string {
  if (/^\d+[mhd]$/i.test(text.trim()))
    throw new Refusal(`${JSON.stringify(text)} is how long ago; write "in ${text.trim()}"`);
  return readTime(text, zone, env);
}

const END = Date.UTC(10_000, 0);

/** A time of a day without seconds, which RFC 3339 asks for and people leave out. */
const MINUTE = /T\d\d:\d\d(?=Z|[+-])/;

/** Milliseconds since 1970. @throws Refusal: it cannot be read, lies before 1970 or after 9999, or the clocks of the zone show it never or twice */
export function readMoment(text: string, now: Now): number {
  const moment = momentOf(text, now);
  if (moment < 0 || moment >= END) throw new Refusal(`${JSON.stringify(text)} does not lie between 1970 and 9999`);
  return moment;
}

function momentOf(text: string, { now, clock }: Now): number {
  const words = text.trim().toLowerCase();
  if (words === 'now') return now;
  const [, ahead, amount, unit = ''] = /^(?:(in )(?!.*ago))?(\d{1,6})([mhd])(?: ago)?$/.exec(words) ?? [];
  if (amount !== undefined) return now + (ahead ? 1 : -1) * Number(amount) * (UNITS[unit] ?? 0);
  const exact = instantSchema.safeParse(
    words
      .toUpperCase()
      .replace(/ (?=\d)/, 'T')
      .replace(MINUTE, '$&:00'),
  );
  if (exact.success) return Date.parse(exact.data);
  const [, day = '', time] = /^(\S+?)(?:[t ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?))?$/.exec(words) ?? [];
  const midnight = midnightOf(day, { now, clock });
  if (midnight === undefined) throw new Refusal(`${JSON.stringify(text)} is no time; ${HOW}`);
  if (time === undefined) return startOfDay(midnight, clock);
  const sinceMidnight = instantSchema.safeParse(`1970-01-01T${time}Z`.replace(MINUTE, '$&:00'));
  if (!sinceMidnight.success) throw new Refusal(`${JSON.stringify(text)}: ${time} is no time of a day`);
  return onlyMoment(text, midnight + Date.parse(sinceMidnight.data), clock);
}

/** The wall time at which a day begins; undefined: it is no day. */
function midnightOf(day: string, { now, clock }: Now): number | undefined {
  const date = /^\d{4}-\d\d-\d\d$/.test(day) ? instantSchema.safeParse(`${day}T00:00:00Z`) : undefined;
  if (date) return date.success ? Date.parse(date.data) : undefined;
  const today = Math.floor((now + clock.spanAt(now).offset) / DAY_MS);
  if (day === 'today') return today * DAY_MS;
  if (day === 'yesterday') return (today - 1) * DAY_MS;
  if (day === 'tomorrow') return (today + 1) * DAY_MS;
  const weekday = WEEKDAYS.findIndex((name) => day === name || day === name.slice(0, 3));
  if (weekday === -1) return undefined;
  // 1970-01-01 was a Thursday.
  const since = (today + 4 - weekday) % 7;
  return (today - (since || 7)) * DAY_MS;
}

/** Evidence is asked for by its moment, so none is guessed. */
function onlyMoment(text: string, wall: number, clock: Clock): number {
  const [first, second] = momentsOf(wall, clock);
  const says = `${JSON.stringify(text)}: the clocks of ${clock.zone} are changed then, and show this time`;
  if (first === undefined) throw new Refusal(`${says} never; write it with its offset, or in UTC`);
  if (second === undefined) return first;
  throw new Refusal(`${says} twice; write ${printMoment(first, clock)} or ${printMoment(second, clock)}`);
}

export interface PeriodOptions extends ZoneOption {
  readonly from?: string | undefined;
  readonly to?: string | undefined;
  readonly on?: string | undefined;
}

/** Adds --from, --to, --on and --zone. `from` is the text that stands for no `--from`, for the help. */
export const periodOptions = (command: Command, from: string): Command =>
  zoneOption(
    command
      .option('--from <time>', `the beginning, inclusive; default: ${from}`)
      .option('--to <time>', 'the end, exclusive; default: now')
      .option('--on <day>', 'the whole of this day, in place of --from and --to'),
  ).addHelpText('after', MOMENT_HELP);

/** What of a period was named, RFC 3339 in UTC; from inclusive, to exclusive. */
export interface NamedPeriod extends Now {
  readonly from: string | undefined;
  readonly to: string | undefined;
}

/** @throws Refusal: a moment that cannot be read, or a period that is empty or only begins after now */
export function readPeriod({ from, to, on, ...zone }: PeriodOptions, env: NodeJS.ProcessEnv): NamedPeriod {
  const now = readNow(zone, env);
  const [begin, end] = on === undefined ? [from, to].map((text) => maybe(text, now)) : wholeDay(on, from ?? to, now);
  if (begin !== undefined && end !== undefined && begin >= end)
    throw new Refusal(
      `the period is empty: it begins at ${printMoment(begin, now.clock)}, and ends at ${printMoment(end, now.clock)}`,
    );
  if (begin !== undefined && begin >= now.now)
    throw new Refusal(`the period begins at ${printMoment(begin, now.clock)}, which is still to come`);
  return { ...now, from: isoOf(begin), to: isoOf(end) };
}

const maybe = (text: string | undefined, now: Now): number | undefined =>
  text === undefined ? undefined : readMoment(text, now);
const isoOf = (moment: number | undefined): string | undefined =>
  moment === undefined ? undefined : new Date(moment).toISOString();

function wholeDay(text: string, other: string | undefined, now: Now): [number, number] {
  if (other !== undefined) throw new Refusal('--on names the whole of a day; leave out --from and --to');
  const midnight = midnightOf(text.trim().toLowerCase(), now);
  if (midnight === undefined) throw new Refusal(`--on takes a day, such as 2030-01-31, yesterday or tuesday`);
  return [startOfDay(midnight, now.clock), startOfDay(midnight + DAY_MS, now.clock)];
}

/** `readPeriod` for what needs both ends: from 24 hours before its end, to now. */
export function readWholePeriod(
  options: PeriodOptions,
  env: NodeJS.ProcessEnv,
): { readonly period: { readonly from: string; readonly to: string }; readonly clock: Clock } {
  const { from, to, now, clock } = readPeriod(options, env);
  const end = to ?? new Date(now).toISOString();
  return { period: { from: from ?? new Date(Date.parse(end) - DAY_MS).toISOString(), to: end }, clock };
}

/** What of a period must stand behind a cursor: `7d` is another range a second later, and of an option the last one counts. */
export const fixedOptions = (
  { from, to }: Pick<NamedPeriod, 'from' | 'to'>,
  named: Pick<PeriodOptions, 'from' | 'to'>,
): string => [named.from === undefined ? '' : ` --from ${from}`, named.to === undefined ? '' : ` --to ${to}`].join('');

/** `from A to B`, in UTC; and in the zone, where that is another. */
export function periodText({ from, to }: { from: string; to: string | null }, clock: Clock): string {
  const utc = `from ${from} to ${to ?? 'now'}`;
  if (clock.zone === 'UTC') return utc;
  const end = to === null ? 'now' : printMoment(to, clock);
  return `${utc} (in ${clock.zone}: ${printMoment(from, clock)} to ${end})`;
}

/** Seconds of `90m`, `2h` or `7d`. @throws Refusal */
export function readDuration(text: string): number {
  const [, amount, unit = ''] = /^(\d{1,6})([mhd])$/.exec(text) ?? [];
  if (amount === undefined) throw new Refusal(`${JSON.stringify(text)} is no length of time; write 90m, 2h or 7d`);
  return (Number(amount) * (UNITS[unit] ?? 0)) / 1000;
}
