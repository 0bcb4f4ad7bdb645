/**
 * Schedules: whether a moment lies in the hours that `facts.yaml` declares, and which combinations of several schedules one
 * moment can produce, so that the analysis proves these and no others.
 *
 * A moment lies in a schedule exactly when the local date and time that the clocks of its zone show at it do. So an hour that
 * is skipped in spring never is, and one that the clocks show twice in autumn is in it, or out of it, both times.
 */

import { closed } from '../facts.ts';
import { runToEnd } from '../time-slices.ts';
import type { DeclaredSchedule } from './declaration.ts';
import { MOST_GROUPS, TooManyGroups } from './networks.ts';
import { DAY_MS, MINUTE_MS, type OffsetSpan, PROVED_FROM, PROVED_UNTIL, readZone, type Zone } from './zones.ts';

/** By name: whether the moment lies in the schedule. Frozen, and the same object wherever the values are the same. */
export type ScheduleGroup = Readonly<Record<string, boolean>>;

/** What holds from one moment until another: milliseconds since 1970, the end exclusive. */
export interface ScheduleSpan {
  readonly group: ScheduleGroup;
  readonly from: number;
  readonly until: number;
}

export interface Schedules {
  /**
   * What holds at a moment, and a span around it in which nothing changes: so whoever keeps the span asks again only outside of
   * it. It ends at the next change or at a midnight before it.
   * @throws Error: no moment; UnprovedMoment: a combination that is not among `groups`, so that nothing was proved of it
   */
  readonly at: (moment: number) => ScheduleSpan;
  /** Every combination that a moment of the years 2000 to 2060 can produce. */
  readonly groups: readonly ScheduleGroup[];
}

/** At a moment the schedules combine as at none of the years 2000 to 2060: a zone had other clocks before. */
export class UnprovedMoment extends Error {}

/** For 64 schedules that except the same 400 dates, which take a second or two to compile. */
const MAX_EFFORT = 64 * 64 * 400;

/** Why so many schedules and excepted dates cannot be proved; undefined where they can. Counted, so the same on every machine. */
export function faultOfSchedules(schedules: readonly DeclaredSchedule[]): string | undefined {
  const dates = new Set(schedules.flatMap(({ except }) => except)).size;
  if (dates * schedules.length ** 2 <= MAX_EFFORT) return undefined;
  const most = Math.floor(MAX_EFFORT / schedules.length ** 2);
  return `${schedules.length} schedules except ${dates} different dates in all, of ${most} at most with so many schedules; leave out dates that have passed, or let schedules share theirs`;
}

/**
 * In slices, for the event loop: some 25 ms for each zone that was not read before, and 50 ms for 400 excepted dates.
 * @throws TooManyGroups: `faultOfSchedules` has a fault, or they combine in too many ways
 */
export function* compilingSchedules(schedules: readonly DeclaredSchedule[]): Generator<void, Schedules> {
  const fault = faultOfSchedules(schedules);
  if (fault !== undefined) throw new TooManyGroups(fault);
  const zones = new Map<string, Zone>();
  for (const { zone } of schedules) zones.set(zone, yield* readZone(zone));
  const [compiled, weekly] = [true, false].map((withExceptions) =>
    schedules.map((schedule) => compile(schedule, zones.get(schedule.zone) as Zone, withExceptions)),
  ) as [Compiled[], Compiled[]];
  const dates = schedules.flatMap(({ except }) => except);
  const groups = new Map<string, ScheduleGroup>();
  let steps = 0;
  for (const key of combinations(compiled, weekly, dates)) {
    steps += 1;
    if (steps % SLICE === 0) yield;
    if (groups.has(key)) continue;
    if (groups.size === MOST_GROUPS)
      throw new TooManyGroups(
        `these schedules combine in more than ${MOST_GROUPS} ways; declare fewer, or such as begin and end together in one zone`,
      );
    groups.set(key, closed(Object.fromEntries(schedules.map(({ name }, index) => [name, key[index] === '1']))));
  }
  return {
    groups: Object.freeze([...groups.values()]),
    at: (moment) => {
      if (!Number.isFinite(moment)) throw new Error(`${moment} is no moment`);
      const { key, from, until } = evaluate(compiled, moment);
      const group = groups.get(key);
      // INVARIANT: nothing is decided on a combination of schedules that the analysis has not seen.
      if (!group) throw new UnprovedMoment(`no schedule was proved at ${new Date(moment).toISOString()}`);
      return Object.freeze({ group, from, until });
    },
  };
}

/** As `compilingSchedules`, at once. */
export const compileSchedules = (schedules: readonly DeclaredSchedule[]): Schedules =>
  runToEnd(compilingSchedules(schedules));

/** Steps of a walk in one slice. */
const SLICE = 500;

interface Compiled {
  readonly zone: Zone;
  /** Whether a period begins on a day, which is counted from 1970-01-01. */
  readonly begins: (day: number) => boolean;
  /** Milliseconds after the midnight of its day at which a period begins and ends; the end can lie in the next day. */
  readonly from: number;
  readonly to: number;
  /** Milliseconds after midnight at which what holds can change. */
  readonly bounds: readonly number[];
}

const dayOf = (date: string): number => Date.parse(date) / DAY_MS;

function compile({ days, from, to, except }: DeclaredSchedule, zone: Zone, withExceptions: boolean): Compiled {
  const excepted = new Set(withExceptions ? except.map(dayOf) : []);
  const span = { from: from * MINUTE_MS, to: to * MINUTE_MS + (to < from ? DAY_MS : 0) };
  return {
    zone,
    // 1970-01-01 was a Thursday.
    begins: (day) => days.includes((((day + 4) % 7) + 7) % 7) && !excepted.has(day),
    ...span,
    bounds: [span.from, span.to % DAY_MS],
  };
}

interface Evaluated {
  /** `1` for each schedule that the moment lies in, `0` for each other. */
  readonly key: string;
  readonly from: number;
  readonly until: number;
}

function evaluate(schedules: readonly Compiled[], moment: number): Evaluated {
  let [key, from, until] = ['', Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (const schedule of schedules) {
    const span = schedule.zone.spanAt(moment);
    const local = evaluateLocal(schedule, moment + span.offset);
    key += local.isIn ? '1' : '0';
    from = Math.max(from, span.from, local.from - span.offset);
    until = Math.min(until, span.until, local.until - span.offset);
  }
  return { key, from, until };
}

/** Whether a local time lies in a period, and from when until when on its day that is so. */
function evaluateLocal(schedule: Compiled, local: number): { isIn: boolean; from: number; until: number } {
  const { begins, from, to, bounds } = schedule;
  const day = Math.floor(local / DAY_MS);
  const midnight = day * DAY_MS;
  const time = local - midnight;
  let [since, until] = [0, DAY_MS];
  for (const bound of bounds) {
    if (bound <= time) since = Math.max(since, bound);
    else until = Math.min(until, bound);
  }
  // A period that crosses midnight belongs to the day on which it begins, and so do the excepted dates.
  const isIn = time < to - DAY_MS ? begins(day - 1) : time >= from && time < to && begins(day);
  return { isIn, from: midnight + since, until: midnight + until };
}

/**
 * Every combination of the years 2000 to 2060, with repetitions. A schedule repeats itself each week while the clocks of its
 * zone keep their distance from UTC; so of each combination of offsets one week is walked, and of the excepted dates themselves the
 * days around.
 */
function* combinations(
  compiled: readonly Compiled[],
  /** The same without excepted dates. */
  weekly: readonly Compiled[],
  dates: readonly string[],
): Generator<string> {
  const walked = new Set<string>();
  for (const { from, until, offsets } of commonSpans([...new Set(compiled.map(({ zone }) => zone))])) {
    if (walked.has(offsets)) continue;
    if (until - from >= WEEK_MS) walked.add(offsets);
    yield* walk(weekly, from, Math.min(until, from + WEEK_MS));
  }
  for (const [from, until] of daysAround(dates)) yield* walk(compiled, from, until);
}

const WEEK_MS = 7 * DAY_MS;

function* walk(schedules: readonly Compiled[], from: number, until: number): Generator<string> {
  for (let moment = from; moment < until; ) {
    const evaluated = evaluate(schedules, moment);
    yield evaluated.key;
    moment = evaluated.until;
  }
}

/** The spans in which no zone changes its offset. */
function* commonSpans(zones: readonly Zone[]): Generator<{ from: number; until: number; offsets: string }> {
  for (let from = PROVED_FROM; from < PROVED_UNTIL; ) {
    const spans: OffsetSpan[] = zones.map(({ spanAt }) => spanAt(from));
    const until = Math.min(PROVED_UNTIL, ...spans.map((span) => span.until));
    yield { from, until, offsets: spans.map(({ offset }) => offset).join() };
    from = until;
  }
}

/**
 * Spans of moments, in order and apart, that hold each excepted date and the day after it, to which a period of it can reach: by the
 * clocks of any zone, which are less than a day from UTC.
 */
function daysAround(dates: readonly string[]): [from: number, until: number][] {
  const spans: [number, number][] = [];
  for (const day of [...new Set(dates.map(dayOf))].sort((a, b) => a - b)) {
    const [from, until] = [(day - 1) * DAY_MS, (day + 3) * DAY_MS];
    const last = spans.at(-1);
    if (last && from <= last[1]) last[1] = until;
    else spans.push([from, until]);
  }
  return spans;
}
