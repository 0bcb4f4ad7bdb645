/** Parses what `facts.yaml` says of a schedule: strictly, so that hours that were mistyped are never others than those that were meant. */

import type { DeclaredSchedule } from './declaration.ts';
import { faultOfZone } from './zones.ts';

export interface ScheduleFault {
  /** Where in the entry, such as `['from']` or `['except', 2]`; empty: the whole. */
  readonly path: readonly (string | number)[];
  /** What is wrong, and what to write. */
  readonly message: string;
}

export type ParsedSchedule =
  | { readonly schedule: Omit<DeclaredSchedule, 'name'>; readonly faults: readonly [] }
  | { readonly schedule?: undefined; readonly faults: readonly ScheduleFault[] };

const SHAPE =
  'a schedule is {days, from, to, zone, except}, such as { days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlin, except: ["2026-12-25"] }';
const FIELDS = ['days', 'from', 'to', 'zone', 'except'];
/** In the order of their numbers in DeclaredSchedule. */
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const ALL_DAYS: readonly number[] = [...DAYS.keys()];
const WHOLE_DAY = { from: 0, to: 1440 };
/** Stands for a schedule that has a finding, so that the rows which use it have none for that. */
export const ALWAYS: Omit<DeclaredSchedule, 'name'> = { days: ALL_DAYS, ...WHOLE_DAY, zone: 'UTC', except: [] };
const MAX_EXCEPT = 400;

type Fault = (message: string, ...path: (string | number)[]) => undefined;

/** A schedule from the plain value of its entry, or every fault of it. */
export function parseSchedule(value: unknown): ParsedSchedule {
  const faults: ScheduleFault[] = [];
  const fault: Fault = (message, ...path) => void faults.push({ path, message });
  if (typeof value !== 'object' || value === null || Array.isArray(value)) fault(SHAPE);
  if (faults.length > 0) return { faults };
  const entry = value as Readonly<Record<string, unknown>>;
  for (const field of Object.keys(entry).filter((name) => !FIELDS.includes(name)))
    fault(`nothing reads ${JSON.stringify(field)}; ${SHAPE}`, field);
  const days = parseDays(entry['days'], fault);
  const hours = parseHours(entry, fault);
  const zone = parseZone(entry['zone'], fault);
  const except = parseExcept(entry['except'], fault);
  return faults.length === 0 && days && hours && zone !== undefined && except
    ? { schedule: { days, ...hours, zone, except }, faults: [] }
    : { faults };
}

const DAYS_SHAPE =
  'days is a range such as mon-fri, a list such as [mon, wed], or daily; days are mon tue wed thu fri sat sun';

function parseDays(value: unknown, fault: Fault): readonly number[] | undefined {
  if (Array.isArray(value)) return parseDayList(value, fault);
  if (typeof value !== 'string') return fault(DAYS_SHAPE, ...(value === undefined ? [] : ['days']));
  if (value === 'daily') return ALL_DAYS;
  const [first = '', last = first, ...rest] = value.split('-');
  const [from, to] = [DAYS.indexOf(first), DAYS.indexOf(last)];
  if (from < 0 || to < 0 || rest.length > 0) return fault(DAYS_SHAPE, 'days');
  if (from === to && value !== first) return fault(`write ${first} for that day alone, or daily for every day`, 'days');
  // fri-mon goes on past Saturday.
  return ALL_DAYS.filter((day) => (day - from + 7) % 7 <= (to - from + 7) % 7);
}

function parseDayList(names: readonly unknown[], fault: Fault): readonly number[] | undefined {
  if (names.length === 0)
    return fault('name at least one day; a schedule without days would hold at no moment', 'days');
  let sound = true;
  const wrong = (message: string, index: number): void => {
    sound = false;
    fault(message, 'days', index);
  };
  for (const [index, name] of names.entries()) {
    if (typeof name !== 'string' || !DAYS.includes(name)) wrong(`in a list each is a day: ${DAYS.join(' ')}`, index);
    else if (names.indexOf(name) !== index) wrong(`${name} stands twice; leave one out`, index);
  }
  return sound ? ALL_DAYS.filter((day) => names.includes(DAYS[day])) : undefined;
}

type Hours = Pick<DeclaredSchedule, 'from' | 'to'>;

function parseHours(entry: Readonly<Record<string, unknown>>, fault: Fault): Hours | undefined {
  if (entry['from'] === undefined && entry['to'] === undefined) return WHOLE_DAY;
  for (const [one, other] of [
    ['from', 'to'],
    ['to', 'from'],
  ] as const) {
    if (entry[one] === undefined) return fault(`say ${one}, too; for the whole day leave both out`, other);
  }
  const from = parseTime(entry['from'], 'from', fault);
  const to = parseTime(entry['to'], 'to', fault);
  if (from === undefined || to === undefined) return undefined;
  if (from === to)
    return fault('from and to are the same; for the whole day leave both out, else write when it ends', 'to');
  return { from, to };
}

/** Minutes after midnight. */
function parseTime(value: unknown, field: 'from' | 'to', fault: Fault): number | undefined {
  const time =
    typeof value === 'string' ? /^(?<hours>[01]\d|2[0-3]):(?<minutes>[0-5]\d)$/.exec(value)?.groups : undefined;
  if (time) return 60 * Number(time['hours']) + Number(time['minutes']);
  if (value !== '24:00')
    return fault(`${field} is a time from "00:00" to "${field === 'to' ? '24:00' : '23:59'}", in quotes`, field);
  return field === 'to' ? 1440 : fault('a day begins at "00:00"; 24:00 is where one ends', field);
}

function parseZone(value: unknown, fault: Fault): string | undefined {
  if (typeof value !== 'string')
    return value === undefined
      ? fault('say by the clocks of which zone, such as zone: Europe/Berlin')
      : fault('zone is the IANA name of a time zone, such as Europe/Berlin, or UTC', 'zone');
  const message = faultOfZone(value);
  return message === undefined ? value : fault(message, 'zone');
}

function parseExcept(value: unknown, fault: Fault): readonly string[] | undefined {
  if (value === undefined) return [];
  if (!Array.isArray(value)) return fault('except is a list of dates, such as ["2026-12-25"]', 'except');
  const dates: readonly unknown[] = value;
  if (dates.length > MAX_EXCEPT)
    return fault(
      `except has ${dates.length} dates, of ${MAX_EXCEPT} at most; leave out those that have passed`,
      'except',
    );
  let sound = true;
  for (const [index, date] of dates.entries()) {
    const message =
      faultOfDate(date) ?? (dates.indexOf(date) === index ? undefined : `${date} stands twice; leave one out`);
    if (message === undefined) continue;
    sound = false;
    fault(message, 'except', index);
  }
  return sound ? (dates as readonly string[]).toSorted() : undefined;
}

function faultOfDate(value: unknown): string | undefined {
  if (typeof value !== 'string' || !/^20\d{2}-\d{2}-\d{2}$/.test(value))
    return 'each is a date of this century, such as "2026-12-25", in quotes';
  const moment = Date.parse(value);
  // Where the month has no such day, Date.parse takes one of the next.
  const isThere = !Number.isNaN(moment) && new Date(moment).toISOString().startsWith(value);
  return isThere ? undefined : `there is no ${value}; write a day of the calendar`;
}
