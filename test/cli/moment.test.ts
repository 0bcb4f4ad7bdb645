/** The grammar of times on the command line: what is read, in which zone, and what is refused. PostgreSQL's own data of time zones are the oracle. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import {
  periodText,
  readComing,
  readDuration,
  readMoment,
  readPeriod,
  readWholePeriod,
} from '../../src/cli/terminal/moment.ts';
import { printMoment, readClock, UTC } from '../../src/cli/terminal/zone.ts';
import { connect } from '../../src/db/connect.ts';
import { Refusal } from '../../src/errors.ts';
import { PROVED_FROM, readZone } from '../../src/policy/declared/zones.ts';
import { runToEnd } from '../../src/policy/time-slices.ts';
import { SEED, times } from '../policy/texts.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';

/** A Wednesday. */
const NOW = Date.parse('2026-11-25T10:20:30.400Z');
const DAY_MS = 86_400_000;
const read = (text: string, zone = 'UTC', now = NOW): string =>
  new Date(readMoment(text, { now, clock: readClock({ zone }, {}) })).toISOString();

describe('a time on the command line', () => {
  for (const [text, utc, berlin] of [
    ['2026-11-24T23:30:00Z', '2026-11-24T23:30:00.000Z', '2026-11-24T23:30:00.000Z'],
    ['2026-11-24t23:30:00.5+01:00', '2026-11-24T22:30:00.500Z', '2026-11-24T22:30:00.500Z'],
    ['2026-11-24 23:30Z', '2026-11-24T23:30:00.000Z', '2026-11-24T23:30:00.000Z'],
    ['2026-11-24', '2026-11-24T00:00:00.000Z', '2026-11-23T23:00:00.000Z'],
    ['2026-11-24 14:30', '2026-11-24T14:30:00.000Z', '2026-11-24T13:30:00.000Z'],
    ['2026-11-24T14:30:15', '2026-11-24T14:30:15.000Z', '2026-11-24T13:30:15.000Z'],
    ['2026-11-24T14:30:15.250', '2026-11-24T14:30:15.250Z', '2026-11-24T13:30:15.250Z'],
    ['now', '2026-11-25T10:20:30.400Z', '2026-11-25T10:20:30.400Z'],
    ['90m', '2026-11-25T08:50:30.400Z', '2026-11-25T08:50:30.400Z'],
    ['36h ago', '2026-11-23T22:20:30.400Z', '2026-11-23T22:20:30.400Z'],
    ['7d', '2026-11-18T10:20:30.400Z', '2026-11-18T10:20:30.400Z'],
    ['in 7d', '2026-12-02T10:20:30.400Z', '2026-12-02T10:20:30.400Z'],
    ['today', '2026-11-25T00:00:00.000Z', '2026-11-24T23:00:00.000Z'],
    ['Yesterday', '2026-11-24T00:00:00.000Z', '2026-11-23T23:00:00.000Z'],
    ['tomorrow 09:00', '2026-11-26T09:00:00.000Z', '2026-11-26T08:00:00.000Z'],
    ['tuesday', '2026-11-24T00:00:00.000Z', '2026-11-23T23:00:00.000Z'],
    ['Wed', '2026-11-18T00:00:00.000Z', '2026-11-17T23:00:00.000Z'],
    ['thursday 22:15', '2026-11-19T22:15:00.000Z', '2026-11-19T21:15:00.000Z'],
  ] as const)
    it(`${text} is ${utc}, and ${berlin} in Berlin`, () => {
      expect([read(text), read(text, 'Europe/Berlin')]).to.deep.equal([utc, berlin]);
    });

  for (const text of [
    '',
    'soon',
    '2026-02-30',
    '2026-13-01',
    '2026-11-24 25:00',
    '2026-11-24 14:60',
    '24.11.2026',
    '11/24/2026',
    '7',
    '7w',
    '-7d',
    'in 7d ago',
    '1969-12-31',
    'tues',
    '2026-11-24T14:30:00+25:00',
    '1795602030',
  ])
    it(`${JSON.stringify(text)} is none, and it is said how one is written`, () => {
      expect(() => read(text)).to.throw(/is no time(?:;[\s\S]*2030-01-31T12:00:00Z| of a day)/);
    });

  it('is of today by the clocks of the zone, which may have another date', () => {
    const late = Date.parse('2026-11-25T23:30:00Z');
    expect(read('today', 'Europe/Berlin', late)).to.equal('2026-11-25T23:00:00.000Z');
    expect(read('today', '-05:00', Date.parse('2026-11-25T03:00:00Z'))).to.equal('2026-11-24T05:00:00.000Z');
  });

  it('is never guessed where the clocks show it twice or never', () => {
    expect(() => read('2026-10-25 02:30', 'Europe/Berlin')).to.throw(
      'twice; write 2026-10-25T02:30:00.000+02:00 or 2026-10-25T02:30:00.000+01:00',
    );
    expect(() => read('2026-03-29 02:30', 'Europe/Berlin')).to.throw('never; write it with its offset');
  });

  it('that is a day begins with its first moment, also where its midnight is skipped or comes twice', () => {
    expect(read('2026-04-24', 'Africa/Cairo')).to.equal('2026-04-23T22:00:00.000Z');
    expect(read('2026-11-01', 'America/Havana')).to.equal('2026-11-01T04:00:00.000Z');
    expect(read('2011-12-30', 'Pacific/Apia')).to.equal('2011-12-30T10:00:00.000Z');
  });

  it('is in the zone of the machine with local, which TZ names', () => {
    const local = readClock({ zone: 'local' }, { TZ: 'America/St_Johns' });
    expect(printMoment('2026-07-01T12:00:00Z', local)).to.equal('2026-07-01T09:30:00.000-02:30');
    expect(() => readClock({ zone: 'local' }, { TZ: 'EST5EDT' })).to.throw('write one such as Europe/Berlin, or UTC');
    for (const zone of ['Europe/Atlantis', 'CET', '+15:00', '+2', 'europe/berlin'])
      expect(() => readClock({ zone }, {}), zone).to.throw(`--zone ${zone}: `);
  });

  it(`is a day, and perhaps a time of it, as PostgreSQL has them by its own data of time zones (seed ${SEED})`, async function () {
    this.timeout(60_000);
    const db: Knex = connect({ url: await newDatabase(undefined, 'template1'), poolSize: 1 });
    try {
      const asked = ZONES.flatMap((zone) => fc.sample(askedIn(zone), times(amount(120, 3000))));
      const { rows } = await db.raw<{ rows: { moments: Date[] }[] }>(ORACLE, [
        JSON.stringify(asked.map((one, n) => ({ ...one, n }))),
      ]);
      rows.forEach(({ moments }, index) => {
        const { text, zone, now, wall } = asked[index] as Asked;
        const [first, second] = moments.map((moment) => moment.toISOString());
        const got = attempt(() => read(text, zone, now));
        const says = `${text} in ${zone} at ${new Date(now).toISOString()}`;
        if (wall === null) expect(first === undefined || got === first, `${says}: ${got}, not ${first}`).to.equal(true);
        else if (first === undefined) expect(got, says).to.include('never');
        else if (second === undefined) expect(got, says).to.equal(first);
        else
          for (const moment of [first, second])
            expect(got, says).to.include(printMoment(moment, readClock({ zone }, {})));
      });
    } finally {
      await db.destroy();
    }
  });

  it(`is a moment that there is a log of, or is refused with the text as it was written (seed ${SEED})`, () => {
    const parts = fc.constantFrom(
      ...'2026 -02 -29 T 24:00 :00 .5 Z +14:00 9999999 99 d h m in ago now today tue 12:30'.split(' '),
      ' ',
      '',
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(parts, { maxLength: 6 }).map((some) => some.join('')),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          expect(read(text)).to.match(/^(?:19[7-9]|[2-9]\d\d)\d-/);
        } catch (error) {
          expect(error).to.be.instanceOf(Refusal);
          expect((error as Refusal).message).to.include(JSON.stringify(text));
        }
      }),
      times(amount(2000, 100_000)),
    );
  });
});

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/Santiago',
  'Australia/Lord_Howe',
  'Africa/Cairo',
  'America/Havana',
  'Africa/Casablanca',
  'Pacific/Apia',
];
const NAMES = ['sunday', 'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday'];

interface Asked {
  readonly text: string;
  readonly zone: string;
  readonly now: number;
  /** What the day is: a date, so many days from today, or the number of a weekday. */
  readonly date: string | null;
  readonly days: number | null;
  readonly weekday: number | null;
  readonly wall: string | null;
}

/** Half of them near a change of the clocks. */
function askedIn(zone: string): fc.Arbitrary<Asked> {
  const { spans } = runToEnd(readZone(zone));
  const near = fc.tuple(fc.constantFrom(...spans), fc.integer({ min: -3 * DAY_MS, max: 3 * DAY_MS }));
  const now = fc.oneof(
    near.map(([{ from }, off]) => Math.max(PROVED_FROM, from) + 4 * DAY_MS + off),
    fc.integer({ min: PROVED_FROM + 8 * DAY_MS, max: Date.UTC(2050, 0, 1) }),
  );
  const day = fc.oneof(
    fc.integer({ min: -9, max: 2 }).map((days) => ({ days })),
    fc.constantFrom(['yesterday', -1], ['today', 0], ['tomorrow', 1]).map(([name, days]) => ({ name, days })),
    fc.tuple(fc.integer({ min: 0, max: 6 }), fc.boolean()).map(([weekday, whole]) => ({
      name: NAMES[weekday]?.slice(0, whole ? undefined : 3),
      weekday,
    })),
  );
  const two = (most: number) => fc.integer({ min: 0, max: most }).map((value) => String(value).padStart(2, '0'));
  const clock = fc.tuple(two(4), two(59)).map((parts) => parts.join(':'));
  const wall = fc.option(
    fc.oneof(
      clock,
      clock.map((time) => `${time}:59`),
      clock.map((time) => `${time}:00.25`),
    ),
  );
  return fc
    .record({ now, day, wall, separator: fc.constantFrom(' ', 'T'), loud: fc.boolean() })
    .map(({ now, day, wall, separator, loud }) => {
      const { name, days = null, weekday = null } = day as { name?: string; days?: number; weekday?: number };
      const date = name === undefined ? new Date(now + (days ?? 0) * DAY_MS).toISOString().slice(0, 10) : null;
      const text = `${name ?? date}${wall === null ? '' : `${separator}${wall}`}`;
      return { text: loud ? text.toUpperCase() : text, zone, now, date, days: date ? null : days, weekday, wall };
    });
}

/** All moments that are meant: those at which the clocks show the time, or the whole of the day. Every offset is one of quarters of an hour. */
const ORACLE = `
  with asked as (
    select n, zone, wall, date, days, weekday, (to_timestamp(now / 1000.0) at time zone zone)::date as today
    from jsonb_to_recordset(?::jsonb) as asked (zone text, now float8, date date, days integer, weekday integer, wall time, n integer)),
  meant as (
    select n, zone, wall, coalesce(date, today + days, (
      select max(one)::date from generate_series(today - 7, today - 1, interval '1 day') as one where extract(dow from one) = weekday)) as day
    from asked)
  select array(
    select moment
    from generate_series(-60, 60) as quarter, lateral (
      select (day + coalesce(wall, '00:00')) at time zone 'UTC' + quarter * interval '15 minutes' as moment) as one
    where case when wall is null then (moment at time zone zone)::date = day else moment at time zone zone = day + wall end
    order by moment) as moments
  from meant order by n`;

describe('a period on the command line', () => {
  it('is what of it is named, or the whole of a day, which may have 23 hours', () => {
    expect(readPeriod({ from: '2026-03-01' }, {})).to.deep.include({ from: '2026-03-01T00:00:00.000Z', to: undefined });
    expect(readPeriod({ on: '2026-03-29', zone: 'Europe/Berlin' }, {})).to.deep.include({
      from: '2026-03-28T23:00:00.000Z',
      to: '2026-03-29T22:00:00.000Z',
    });
    const { from, to } = readWholePeriod({ to: '2026-03-29' }, {}).period;
    expect([from, to]).to.deep.equal(['2026-03-28T00:00:00.000Z', '2026-03-29T00:00:00.000Z']);
  });

  for (const [options, says] of [
    [{ from: 'today', to: 'yesterday' }, 'the period is empty'],
    [{ from: '2026-03-01', to: '2026-03-01' }, 'the period is empty'],
    [{ from: 'tomorrow' }, 'still to come'],
    [{ from: 'now' }, 'still to come'],
    [{ on: 'tuesday', from: 'monday' }, 'leave out --from and --to'],
    [{ on: 'tuesday 14:00' }, '--on takes a day'],
    [{ on: '7d' }, '--on takes a day'],
  ] as const)
    it(`${JSON.stringify(options)} is refused: an answer of nothing would look like innocence`, () => {
      expect(() => readPeriod(options, {})).to.throw(says);
    });

  it('is said in full, and in the zone that was asked for', () => {
    const period = { from: '2026-07-01T00:00:00.000Z', to: null };
    expect(periodText(period, UTC)).to.equal('from 2026-07-01T00:00:00.000Z to now');
    expect(periodText(period, readClock({ zone: 'Asia/Kathmandu' }, {}))).to.equal(
      'from 2026-07-01T00:00:00.000Z to now (in Asia/Kathmandu: 2026-07-01T05:45:00.000+05:45 to now)',
    );
  });

  it('that ends with a moment to come is not written as how long ago', () => {
    expect(() => readComing('90d', {}, {})).to.throw('"90d" is how long ago; write "in 90d"');
    expect(Date.parse(readComing('in 90d', {}, {}))).to.be.above(Date.now() + 89 * DAY_MS);
  });

  it('may be a length alone', () => {
    expect(['90m', '2h', '7d'].map(readDuration)).to.deep.equal([5400, 7200, 604_800]);
    expect(() => readDuration('2')).to.throw('write 90m, 2h or 7d');
  });
});

function attempt(run: () => string): string {
  try {
    return run();
  } catch (error) {
    return (error as Error).message;
  }
}
