/**
 * Schedules: whether a moment lies in one, held against PostgreSQL and against the clocks that Intl shows; that spans are exact; and that
 * the combinations which are proved are those that occur.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../../src/db/connect.ts';
import type { DeclaredSchedule } from '../../../src/policy/declared/declaration.ts';
import { TooManyGroups } from '../../../src/policy/declared/networks.ts';
import { parseSchedule } from '../../../src/policy/declared/parse-schedule.ts';
import { compileSchedules, faultOfSchedules, type Schedules } from '../../../src/policy/declared/schedules.ts';
import { DAY_MS, PROVED_FROM, PROVED_UNTIL, readZone } from '../../../src/policy/declared/zones.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { inheritsNothing } from '../../support/facts.ts';
import { amount } from '../../support/long.ts';
import { newDatabase } from '../../support/postgres.ts';
import { SEED, times } from '../texts.ts';
import { heldByPostgres } from './schedules-oracle.ts';

const ZONES = [
  'UTC',
  'Europe/Berlin',
  'America/New_York',
  'America/Santiago',
  'Australia/Sydney',
  'Australia/Lord_Howe',
  'Asia/Kathmandu',
  'Pacific/Chatham',
  'Africa/Casablanca',
  'Pacific/Apia',
];
const HOUR_MS = 3_600_000;

const schedule = (entry: object, name = 'hours'): DeclaredSchedule => {
  const parsed = parseSchedule(entry);
  if (!parsed.schedule) throw new Error(parsed.faults.map(({ message }) => message).join());
  return { name, ...parsed.schedule };
};

/** Whether a moment, RFC 3339, lies in the one schedule. */
const holds = (compiled: Schedules, at: string): boolean | undefined => compiled.at(Date.parse(at)).group['hours'];

/** Moments of a schedule, each with whether it lies in it. */
type Example = readonly [what: string, entry: object, moments: Readonly<Record<string, boolean>>];

const EXAMPLES: readonly Example[] = [
  [
    'an hour that spring skips never is, in the north',
    { days: 'daily', from: '02:00', to: '03:00', zone: 'Europe/Berlin' },
    {
      '2026-03-28T01:30:00Z': true,
      '2026-03-29T00:59:59.999Z': false,
      '2026-03-29T01:00:00Z': false,
      '2026-03-30T00:00:00Z': true,
    },
  ],
  [
    'an hour that autumn repeats is twice, in the north',
    { days: 'daily', from: '02:00', to: '03:00', zone: 'Europe/Berlin' },
    {
      '2026-10-24T23:59:59.999Z': false,
      '2026-10-25T00:00:00Z': true,
      '2026-10-25T01:00:00Z': true,
      '2026-10-25T01:59:59.999Z': true,
      '2026-10-25T02:00:00Z': false,
    },
  ],
  [
    'an end in the repeated hour ends it twice',
    { days: 'daily', from: '01:00', to: '02:30', zone: 'Europe/Berlin' },
    {
      '2026-10-25T00:29:59.999Z': true,
      '2026-10-25T00:30:00Z': false,
      '2026-10-25T00:59:59.999Z': false,
      '2026-10-25T01:00:00Z': true,
      '2026-10-25T01:30:00Z': false,
    },
  ],
  [
    'an hour that is skipped in October and one that is repeated in April, in the south',
    { days: 'daily', from: '02:00', to: '03:00', zone: 'Australia/Sydney' },
    {
      '2026-10-03T15:59:59.999Z': false,
      '2026-10-03T16:00:00Z': false,
      '2026-04-04T15:00:00Z': true,
      '2026-04-04T16:30:00Z': true,
      '2026-04-04T17:00:00Z': false,
    },
  ],
  [
    'half an hour that Lord Howe repeats',
    { days: 'daily', from: '01:30', to: '02:00', zone: 'Australia/Lord_Howe' },
    {
      '2026-04-04T14:29:59.999Z': false,
      '2026-04-04T14:30:00Z': true,
      '2026-04-04T15:00:00Z': true,
      '2026-04-04T15:29:59.999Z': true,
      '2026-04-04T15:30:00Z': false,
    },
  ],
  [
    'a zone 5:45 ahead',
    { days: 'mon', from: '00:00', to: '00:01', zone: 'Asia/Kathmandu' },
    { '2026-11-29T18:14:59.999Z': false, '2026-11-29T18:15:00Z': true, '2026-11-29T18:16:00Z': false },
  ],
  [
    'a zone 13:45 ahead in its summer',
    { days: 'fri', zone: 'Pacific/Chatham' },
    { '2026-12-31T10:14:59.999Z': false, '2026-12-31T10:15:00Z': true, '2027-01-01T10:15:00Z': false },
  ],
  [
    'a night belongs to the day on which it begins, from Sunday to Monday too',
    { days: 'sun', from: '22:00', to: '06:00', zone: 'UTC' },
    {
      '2026-11-29T03:00:00Z': false,
      '2026-11-29T21:59:59.999Z': false,
      '2026-11-29T22:00:00Z': true,
      '2026-11-30T05:59:59.999Z': true,
      '2026-11-30T06:00:00Z': false,
      '2026-11-30T22:00:00Z': false,
    },
  ],
  [
    'an excepted date takes away the night that begins on it, and not the one that ends on it',
    { days: 'daily', from: '22:00', to: '06:00', zone: 'UTC', except: ['2026-12-31'] },
    {
      '2026-12-31T05:59:59.999Z': true,
      '2026-12-31T22:00:00Z': false,
      '2027-01-01T00:00:00Z': false,
      '2027-01-01T05:00:00Z': false,
      '2027-01-01T22:00:00Z': true,
    },
  ],
  [
    'an excepted date is one of the zone',
    { days: 'daily', zone: 'America/New_York', except: ['2026-12-25'] },
    {
      '2026-12-25T04:59:59.999Z': true,
      '2026-12-25T05:00:00Z': false,
      '2026-12-26T04:59:59.999Z': false,
      '2026-12-26T05:00:00Z': true,
    },
  ],
  [
    'a leap day is a day',
    { days: 'tue', zone: 'UTC', except: ['2028-02-28'] },
    { '2028-02-29T00:00:00Z': true, '2028-02-29T23:59:59.999Z': true, '2028-03-01T00:00:00Z': false },
  ],
  [
    'an excepted leap day is one',
    { days: 'daily', zone: 'Europe/Berlin', except: ['2028-02-29'] },
    { '2028-02-28T22:59:59.999Z': true, '2028-02-28T23:00:00Z': false, '2028-02-29T23:00:00Z': true },
  ],
  [
    'the day that Samoa left out never was',
    { days: 'fri', zone: 'Pacific/Apia' },
    { '2011-12-30T09:59:59.999Z': false, '2011-12-30T10:00:00Z': false, '2012-01-05T10:00:00Z': true },
  ],
];

const days = fc.uniqueArray(fc.nat(6), { minLength: 1, maxLength: 7 }).map((list) => list.toSorted());
const date = fc
  .integer({ min: PROVED_FROM / DAY_MS, max: PROVED_UNTIL / DAY_MS - 1 })
  .map((day) => new Date(day * DAY_MS).toISOString().slice(0, 10));
const someSchedule = (zones: readonly string[], dates: number): fc.Arbitrary<Omit<DeclaredSchedule, 'name'>> =>
  fc
    .record({
      days,
      from: fc.oneof(fc.constantFrom(0, 60, 120, 1320), fc.nat(1439)),
      to: fc.oneof(fc.constantFrom(0, 120, 150, 180, 360, 1440), fc.nat(1440)),
      zone: fc.constantFrom(...zones),
      except: fc.uniqueArray(date, { maxLength: dates }).map((list) => list.toSorted()),
    })
    .filter(({ from, to }) => from !== to);
const someSchedules = (zones: readonly string[], dates: number): fc.Arbitrary<DeclaredSchedule[]> =>
  fc
    .array(someSchedule(zones, dates), { minLength: 1, maxLength: 4 })
    .map((list) => list.map((each, index) => ({ name: `s${index}`, ...each })));

/** Every change of the offset of a zone, and the moments around it. */
const around = (zone: string): number[] =>
  runToEnd(readZone(zone)).spans.flatMap(({ from }) =>
    [0, 0.5, 1, 2, 24].flatMap((hours) => [from - hours * HOUR_MS, from - hours * HOUR_MS - 1, from + hours * HOUR_MS]),
  );

const valuesOf = ({ group }: { group: Readonly<Record<string, boolean>> }): boolean[] => Object.values(group);

describe(`schedules (seed ${SEED})`, () => {
  let db: Knex;
  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
  });
  after(() => db.destroy());

  for (const [what, entry, moments] of EXAMPLES) {
    it(what, async () => {
      const one = schedule(entry);
      const compiled = compileSchedules([one]);
      const held = Object.fromEntries(Object.keys(moments).map((at) => [at, holds(compiled, at)]));
      expect(held).to.deep.equal(moments);
      const byPostgres = await heldByPostgres(db, [one], Object.keys(moments).map(Date.parse));
      expect(byPostgres.flat()).to.deep.equal(Object.values(moments));
    });
  }

  it('hold as in PostgreSQL around every change of the offset', async () => {
    const edges = { days: [0, 1, 2, 3, 4, 5, 6], except: [] };
    const all = ZONES.flatMap((zone) => [
      { ...edges, name: `early ${zone}`, zone, from: 0, to: 150 },
      { ...edges, name: `late ${zone}`, zone, from: 1350, to: 60, days: [6] },
      { ...edges, name: `sunday ${zone}`, zone, from: 0, to: 1440, days: [0] },
    ]);
    for (const zone of ZONES) {
      const own = all.filter((each) => each.zone === zone);
      const compiled = compileSchedules(own);
      const moments = around(zone).filter((moment) => moment >= PROVED_FROM && moment < PROVED_UNTIL);
      expect(
        moments.map((moment) => valuesOf(compiled.at(moment))),
        zone,
      ).to.deep.equal(await heldByPostgres(db, own, moments));
    }
  });

  it('hold as in PostgreSQL at random moments and at the bounds of their spans, in which nothing changes', async () => {
    const moment = fc.integer({ min: PROVED_FROM, max: PROVED_UNTIL - 1 });
    const property = fc.asyncProperty(
      someSchedules(ZONES, 5),
      fc.array(moment, { minLength: 40, maxLength: 40 }),
      async (schedules, given) => {
        const { at, groups } = compileSchedules(schedules);
        const near = schedules.flatMap(({ except }) =>
          except.flatMap((day) => [-12, 0, 5, 17, 29, 41].map((hours) => Date.parse(day) + hours * HOUR_MS)),
        );
        const changes = schedules.flatMap(({ zone }) =>
          runToEnd(readZone(zone))
            .spans.slice(1)
            .map(({ from }) => from),
        );
        const beside = changes.slice(-10).flatMap((change) => [change - HOUR_MS, change, change + HOUR_MS]);
        const asked = [...given, ...near.filter((each) => each >= PROVED_FROM), ...beside];
        const spans = asked.map((each) => ({ each, ...at(each) }));
        const moments = spans.flatMap(({ each, from, until }) => {
          expect(from <= each && each < until && until - from <= DAY_MS).to.equal(true);
          return [each, from, until - 1, (from + until) / 2, from - 1, until];
        });
        const held = await heldByPostgres(db, schedules, moments);
        for (const [index, { group }] of spans.entries()) {
          expect(groups).to.include(group);
          for (const of of held.slice(6 * index, 6 * index + 4)) expect(valuesOf({ group })).to.deep.equal(of);
          expect(valuesOf(at(moments[6 * index + 4] as number))).to.deep.equal(held[6 * index + 4]);
          expect(valuesOf(at(moments[6 * index + 5] as number))).to.deep.equal(held[6 * index + 5]);
        }
      },
    );
    await fc.assert(property, times(amount(25, 50, 500)));
  });

  it('hold as the clocks show that Intl prints', () => {
    const property = fc.property(
      someSchedule(ZONES, 5),
      fc.integer({ min: PROVED_FROM, max: PROVED_UNTIL - 1 }),
      (one, at) => {
        const compiled = compileSchedules([{ name: 'hours', ...one }]);
        expect(compiled.at(at).group['hours']).to.equal(shownByClocks(one, at));
      },
    );
    fc.assert(property, times(amount(300, 600, 10_000)));
  });

  it('prove every combination that a moment can produce, and no other', () => {
    const property = fc.property(
      fc.subarray(ZONES, { minLength: 1, maxLength: 2 }).chain((zones) => someSchedules(zones, 2)),
      (schedules) => {
        expectExactly(compileSchedules(schedules));
      },
    );
    fc.assert(property, times(amount(10, 20, 200)));
  });

  const TOGETHER: readonly (readonly [what: string, one: object, other: object])[] = [
    [
      'only because an excepted date reaches into the next day, far in the west',
      { days: 'daily', from: '23:00', to: '22:59', zone: 'Pacific/Pago_Pago', except: ['2026-12-31'] },
      { days: 'daily', from: '22:00', to: '22:59', zone: 'Pacific/Pago_Pago' },
    ],
    [
      'only because an excepted date begins the day before, far in the east',
      { days: 'daily', from: '00:00', to: '00:02', zone: 'Pacific/Kiritimati', except: ['2026-12-31'] },
      { days: 'daily', from: '00:00', to: '00:01', zone: 'Pacific/Kiritimati' },
    ],
    [
      'only while one zone has changed its clocks and the other has not, at first for five hours',
      { days: 'wed', from: '18:00', to: '18:01', zone: 'Europe/Berlin' },
      { days: 'wed', from: '13:00', to: '13:01', zone: 'America/New_York' },
    ],
    [
      'though the first week of its kind has an excepted date',
      { days: 'mon', zone: 'UTC', except: ['2000-01-03'] },
      { days: 'mon', from: '12:00', to: '13:00', zone: 'UTC' },
    ],
  ];
  for (const [what, one, other] of TOGETHER) {
    it(`prove what they can produce together ${what}`, () => {
      expectExactly(compileSchedules([schedule(one, 'one'), schedule(other, 'other')]));
    });
  }

  it('that exclude each other are never proved together', () => {
    const { groups } = compileSchedules([
      schedule({ days: 'daily', from: '08:00', to: '18:00', zone: 'Europe/Berlin' }, 'day'),
      schedule({ days: 'daily', from: '18:00', to: '08:00', zone: 'Europe/Paris' }, 'night'),
    ]);
    expect(groups.map((group) => ({ ...group }))).to.have.deep.members([
      { day: true, night: false },
      { day: false, night: true },
    ]);
  });

  it('give one frozen object without a prototype for equal values', () => {
    const { at, groups } = compileSchedules([schedule({ days: 'mon', zone: 'UTC' })]);
    const group = at(Date.parse('2026-11-30T12:00:00Z')).group;
    expect(at(Date.parse('2026-12-07T12:00:00Z')).group).to.equal(group);
    expect(Object.isFrozen(group) && Object.isFrozen(groups)).to.equal(true);
    expect(inheritsNothing(group)).to.equal(true);
    expect(groups).to.have.length(2);
  });

  it('of more excepted dates than can be proved are refused, by count', () => {
    const some = (count: number, shift: number): DeclaredSchedule[] =>
      Array.from({ length: count }, (_, index) => ({
        ...schedule({ days: 'mon', zone: 'UTC' }, `s${index}`),
        except: Array.from({ length: 400 }, (_, day) =>
          new Date(PROVED_FROM + (index * shift + day) * DAY_MS).toISOString().slice(0, 10),
        ),
      }));
    expect(faultOfSchedules(some(64, 0))).to.equal(undefined);
    expect(faultOfSchedules(some(5, 400))).to.equal(undefined);
    const says = '64 schedules except 463 different dates in all, of 400 at most';
    expect(faultOfSchedules(some(64, 1))).to.include(says);
    expect(() => compileSchedules(some(64, 1))).to.throw(TooManyGroups, says);
  });

  it('that combine in more ways than can be proved are refused', () => {
    // On each of so many dates others of the sixteen do not hold.
    const some = (dates: number): DeclaredSchedule[] =>
      Array.from({ length: 16 }, (_, index) => ({
        ...schedule({ days: 'daily', zone: 'UTC' }, `s${index}`),
        except: Array.from({ length: dates }, (_, day) => day + 1)
          .filter((day) => (day >> index) % 2 === 1)
          .map((day) => new Date(PROVED_FROM + day * DAY_MS).toISOString().slice(0, 10)),
      }));
    expect(compileSchedules(some(4095)).groups).to.have.length(4096);
    expect(() => compileSchedules(some(4096))).to.throw(TooManyGroups, 'combine in more than 4096 ways');
  });

  it('of none are one empty combination, for ever', () => {
    const { at, groups } = compileSchedules([]);
    expect(at(0)).to.deep.equal({
      group: groups[0],
      from: Number.NEGATIVE_INFINITY,
      until: Number.POSITIVE_INFINITY,
    });
    expect(Object.keys(groups[0] ?? { none: 0 })).to.deep.equal([]);
  });

  it('fail at a moment whose combination was not proved, and at what is no moment', () => {
    // Until 1986 the clocks of Nepal were a quarter of an hour nearer to UTC.
    const { at } = compileSchedules([
      schedule({ days: 'daily', from: '18:30', to: '18:45', zone: 'UTC' }, 'utc'),
      schedule({ days: 'daily', from: '00:00', to: '00:15', zone: 'Asia/Kathmandu' }, 'nepal'),
    ]);
    expect({ ...at(Date.parse('1990-06-01T18:15:00Z')).group }).to.deep.equal({ utc: false, nepal: true });
    expect(() => at(Date.parse('1980-06-01T18:30:00Z'))).to.throw('no schedule was proved at 1980-06-01T18:30:00.000Z');
    for (const moment of [Number.NaN, Number.POSITIVE_INFINITY]) expect(() => at(moment)).to.throw('no moment');
  });
});

/** Walks through all moments of the proved years: each is of a combination that was proved (else `at` throws), and each of these occurs. */
function expectExactly({ at, groups }: Schedules): void {
  const seen = new Set<unknown>();
  for (let moment = PROVED_FROM; moment < PROVED_UNTIL; ) {
    const { group, until } = at(moment);
    seen.add(group);
    moment = until;
  }
  expect(groups.filter((group) => !seen.has(group))).to.deep.equal([]);
}

/** Whether the clocks of the zone show a time of the schedule: by dates as texts, without any arithmetic of offsets. */
function shownByClocks({ days, from, to, zone, except }: Omit<DeclaredSchedule, 'name'>, at: number): boolean {
  const options = { timeZone: zone, hourCycle: 'h23', dateStyle: 'short', timeStyle: 'short' } as const;
  const [day = '', time = ''] = new Intl.DateTimeFormat('sv-SE', options).format(at).split(' ');
  const minutes = Number(time.slice(0, 2)) * 60 + Number(time.slice(3));
  const begins = (text: string): boolean => days.includes(new Date(text).getUTCDay()) && !except.includes(text);
  const before = new Date(Date.parse(day) - DAY_MS).toISOString().slice(0, 10);
  if (to >= from) return begins(day) && minutes >= from && minutes < to;
  return (begins(day) && minutes >= from) || (begins(before) && minutes < to);
}
