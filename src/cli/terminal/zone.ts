/** The time zone of a command, `--zone`: in it moments are read that name none, and shown. See docs/audit-queries.md. */

import type { Command } from 'commander';
import { Refusal } from '../../errors.ts';
import { DAY_MS, faultOfZone, MINUTE_MS, readZone } from '../../policy/declared/zones.ts';
import { runToEnd } from '../../policy/time-slices.ts';

export interface ZoneOption {
  readonly zone?: string | undefined;
}

/** The clocks of a zone. Moments are milliseconds since 1970; a wall time is what its clocks show, as if that were UTC. */
export interface Clock {
  /** As it was asked for, or the IANA name of `local`. */
  readonly zone: string;
  /** Milliseconds that its clocks are ahead of UTC at a moment, and since when that has been so. */
  readonly spanAt: (moment: number) => { readonly from: number; readonly offset: number };
}

const fixed = (zone: string, offset: number): Clock => ({ zone, spanAt: () => ({ from: -Infinity, offset }) });

export const UTC = fixed('UTC', 0);

export const zoneOption = (command: Command): Command =>
  command.option(
    '--zone <zone>',
    'of times that name none, and as they are shown: Europe/Berlin, +02:00, local',
    'UTC',
  );

/** The clock of `--zone`; `local` is TZ, or else the zone of this machine. @throws Refusal: no such zone is known */
export function readClock({ zone = 'UTC' }: ZoneOption, env: NodeJS.ProcessEnv): Clock {
  if (/^(?:UTC|Z)$/i.test(zone)) return UTC;
  const [, sign, hours, minutes] = /^([+-])(0\d|1[0-4]):([0-5]\d)$/.exec(zone) ?? [];
  if (sign !== undefined)
    return fixed(zone, (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes)) * MINUTE_MS);
  const name = zone === 'local' ? env['TZ'] || Intl.DateTimeFormat().resolvedOptions().timeZone : zone;
  const fault = faultOfZone(name);
  if (fault !== undefined)
    throw new Refusal(`--zone ${zone}: ${fault}; an offset such as +02:00 or local will do, too`);
  return name === 'UTC' ? UTC : { zone: name, spanAt: runToEnd(readZone(name)).spanAt };
}

/** RFC 3339 with the offset of the zone, to the millisecond; `Z` for UTC. */
export function printMoment(moment: number | string, clock: Clock): string {
  const time = typeof moment === 'string' ? Date.parse(moment) : moment;
  const { offset } = clock.spanAt(time);
  const text = new Date(time + offset).toISOString();
  return clock.zone === 'UTC' ? text : text.replace('Z', printOffset(offset));
}

/** `+02:00`; zones had odd seconds before 1972 only, which RFC 3339 cannot say. */
function printOffset(offset: number): string {
  const minutes = Math.round(Math.abs(offset) / MINUTE_MS);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${offset < 0 ? '-' : '+'}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

/** The moments at which its clocks show a wall time, in order: one; none or two where they are changed. */
export function momentsOf(wall: number, { spanAt }: Clock): number[] {
  // The offset is that of the day before or that of the day after: no zone has changed its clocks twice within two days.
  const offsets = new Set([spanAt(wall - DAY_MS).offset, spanAt(wall + DAY_MS).offset]);
  return [...offsets]
    .map((offset) => wall - offset)
    .filter((moment) => spanAt(moment).offset === wall - moment)
    .sort((a, b) => a - b);
}

/** The first moment of the day that begins at the wall time `midnight`; where the clocks skip that, the one of the change. */
export function startOfDay(midnight: number, clock: Clock): number {
  const [first] = momentsOf(midnight, clock);
  return first ?? clock.spanAt(midnight - clock.spanAt(midnight - DAY_MS).offset).from;
}
