/**
 * Time zones, as the runtime knows them (ICU, by way of Intl): which names there are, and how far their clocks are from UTC. See
 * docs/adr/0017-schedules.md for why this needs no library.
 */

import { runToEnd } from '../time-slices.ts';

export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

/** The moments, in milliseconds since 1970, for which what can occur is enumerated: the years 2000 to 2060. */
export const PROVED_FROM = Date.UTC(2000, 0, 1);
export const PROVED_UNTIL = Date.UTC(2061, 0, 1);

/** A span of moments in which the clocks of a zone are equally far from UTC: milliseconds since 1970, the end exclusive. */
export interface OffsetSpan {
  readonly from: number;
  readonly until: number;
  /** Milliseconds that the clocks of the zone are ahead of UTC. */
  readonly offset: number;
}

export interface Zone {
  /** The spans of the years 2000 to 2060, in order and without gaps. */
  readonly spans: readonly OffsetSpan[];
  /** The span of a moment; one outside of those years is cut at midnight UTC. */
  readonly spanAt: (moment: number) => OffsetSpan;
}

const PLACE = /^[A-Za-z]+(?:\/[A-Za-z0-9_+-]+)+$/;
// What Intl spells otherwise itself it corrects; of its aliases (Europe/Kyiv, before ICU 78) it only knows that they are ones.
const MISSPELT = /(?:^|\/)[a-z]|[A-Z]{4}/;

/** undefined for `UTC` and the IANA name of a zone that the runtime knows, in its own spelling; else what to write. */
export function faultOfZone(name: string): string | undefined {
  if (name === 'UTC') return undefined;
  if (/^(?:UTC|GMT)?[+-]?\d/i.test(name))
    return `a difference from UTC such as ${JSON.stringify(name)} says nothing of daylight saving; write a place, such as Europe/Berlin, or UTC`;
  if (!PLACE.test(name))
    return `${JSON.stringify(name)} is no place, and the short names of zones mean several; write one such as Europe/Berlin, or UTC`;
  let known: string;
  try {
    known = new Intl.DateTimeFormat('en-US', { timeZone: name }).resolvedOptions().timeZone;
  } catch {
    return `no time zone ${JSON.stringify(name)} is known here; write the IANA name of one, such as Europe/Berlin, or UTC`;
  }
  if (known !== name && known.toLowerCase() === name.toLowerCase())
    return `the name of this zone is spelt ${known}; write that`;
  return MISSPELT.test(name)
    ? `write ${JSON.stringify(name)} with the capitals that IANA gives it, such as Europe/Berlin`
    : undefined;
}

// A zone is the same as long as the process lives: its data is that of the runtime.
const known = new Map<string, Zone>();

/** The zone of a name for which `faultOfZone` found no fault. Takes about 25 ms the first time, in slices of a few. */
export function* readZone(name: string): Generator<void, Zone> {
  const before = known.get(name);
  if (before) return before;
  const offsetAt = offsetsOf(name);
  const spans = yield* spansBetween(offsetAt, PROVED_FROM, PROVED_UNTIL);
  const zone: Zone = {
    spans,
    spanAt: (moment) => {
      const midnight = Math.floor(moment / DAY_MS) * DAY_MS;
      const isProved = moment >= PROVED_FROM && moment < PROVED_UNTIL;
      return findSpan(isProved ? spans : runToEnd(spansBetween(offsetAt, midnight, midnight + DAY_MS)), moment);
    },
  };
  known.set(name, zone);
  return zone;
}

/**
 * The spans of equal offsets from one midnight UTC to another.
 *
 * INVARIANT: none is missed unless a zone changes its clocks twice between two midnights and has the first offset again at
 * the second. No zone has ever; the closest two changes since 2000 are a week apart. test/policy/declared/zones.test.ts holds it against PostgreSQL.
 */
function* spansBetween(offsetAt: OffsetAt, from: number, until: number): Generator<void, OffsetSpan[]> {
  const spans: OffsetSpan[] = [];
  let start = from;
  let offset = offsetAt(from);
  for (let midnight = from; midnight < until; midnight += DAY_MS) {
    if (midnight % SLICE_MS === 0) yield;
    const next = offsetAt(midnight + DAY_MS);
    if (next === offset) continue;
    const change = changeBetween(offsetAt, midnight, midnight + DAY_MS);
    spans.push({ from: start, until: change, offset });
    start = change;
    offset = next;
  }
  if (start < until) spans.push({ from: start, until, offset });
  return spans;
}

/** Of the moments that are read in one slice. */
const SLICE_MS = 1000 * DAY_MS;

type OffsetAt = (moment: number) => number;

/** The first moment of the new offset, which is a whole second. */
function changeBetween(offsetAt: OffsetAt, from: number, until: number): number {
  const before = offsetAt(from);
  let [low, high] = [from / 1000, until / 1000];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (offsetAt(middle * 1000) === before) low = middle;
    else high = middle;
  }
  return high * 1000;
}

function findSpan(spans: readonly OffsetSpan[], moment: number): OffsetSpan {
  let [low, high] = [0, spans.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (moment < (spans[middle] as OffsetSpan).until) high = middle;
    else low = middle + 1;
  }
  const span = spans[low];
  if (!span || moment < span.from || moment >= span.until) throw new Error(`no span of a time zone holds ${moment}`);
  return span;
}

const OFFSET = /GMT(?:(?<sign>[+-])(?<hours>\d{2}):(?<minutes>\d{2})(?::(?<seconds>\d{2}))?)?$/;

/** INVARIANT: throws where Intl prints no offset, so that none is ever guessed. */
function offsetsOf(timeZone: string): OffsetAt {
  const format = new Intl.DateTimeFormat('en-US', { timeZone, timeZoneName: 'longOffset', year: 'numeric' });
  return (moment) => {
    const groups = OFFSET.exec(format.format(moment))?.groups;
    if (!groups) throw new Error(`Intl printed no offset of ${timeZone}`);
    const { sign, hours = '0', minutes = '0', seconds = '0' } = groups;
    const offset = 1000 * (3600 * Number(hours) + 60 * Number(minutes) + Number(seconds));
    return sign === '-' ? -offset : offset;
  };
}
