/** The grammar of times on the command line: what is read, in which zone, and what is refused. PostgreSQL's own data of time zones are the oracle. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { periodText, readDuration, readMoment, readPeriod, readWholePeriod } from '../../src/cli/terminal/moment.ts';
import { printMoment, readClock, UTC } from '../../src/cli/terminal/zone.ts';
import { connect } from '../../src/db/connect.ts';
import { PROVED_FROM, readZone } from '../../src/policy/declared/zones.ts';
import { runToEnd } from '../../src/policy/time-slices.ts';
import { SEED } from '../policy/texts.ts';
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

  it(`in any zone is that of PostgreSQL, around each change of clocks (seed ${SEED})`, async function () {
    this.timeout(60_000);
    const db: Knex = connect({ url: await newDatabase(undefined, 'template1'), poolSize: 1 });
    try {
      for (const zone of [
        'Europe/Berlin',
        'America/Santiago',
        'Australia/Lord_Howe',
        'Africa/Casablanca',
        'Pacific/Chatham',
      ])
        await agrees(db, zone);
    } finally {
      await db.destroy();
    }
  });

  async function agrees(db: Knex, zone: string): Promise<void> {
    const { spans } = runToEnd(readZone(zone));
    const near = fc.tuple(fc.constantFrom(...spans), fc.integer({ min: -1600, max: 1600 }));
    const walls = fc
      .sample(near, { numRuns: 300, seed: SEED })
      .map(([{ from, offset }, minutes]) => Math.max(PROVED_FROM, from) + offset + minutes * 60_000)
      .map((wall) => new Date(wall).toISOString().slice(0, 16).replace('T', ' '));
    const { rows } = await db.raw<{ rows: { at: Date; again: string }[] }>(
      `select at, to_char(at at time zone :zone, 'YYYY-MM-DD HH24:MI') as again
       from unnest(string_to_array(:walls, ',')) with ordinality as wall (text, n), lateral (select text::timestamp at time zone :zone as at) as moment
       order by n`,
      { zone, walls: walls.join(',') },
    );
    rows.forEach(({ at, again }, index) => {
      const wall = walls[index] ?? '';
      const moment = attempt(() => read(wall, zone));
      if (again !== wall) expect(moment, `${zone} ${wall}`).to.include('never');
      else if (moment.includes('twice'))
        expect(moment, `${zone} ${wall}`).to.include(printMoment(+at, readClock({ zone }, {})));
      else expect(moment, `${zone} ${wall}`).to.equal(at.toISOString());
    });
  }

  it(`that is a weekday is the last such day before today (seed ${SEED})`, () => {
    const names = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 4e12 }), fc.constantFrom(...names), (now, name) => {
        let day = Math.floor(now / DAY_MS) * DAY_MS - DAY_MS;
        while (new Date(day).getUTCDay() !== names.indexOf(name)) day -= DAY_MS;
        // Before 1970 there is no log.
        if (day >= 0) expect(read(name, 'UTC', now)).to.equal(new Date(day).toISOString());
      }),
      { seed: SEED },
    );
  });
});

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
