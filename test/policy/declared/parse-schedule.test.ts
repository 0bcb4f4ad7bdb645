/** What facts.yaml can say of a schedule, as what, and what is said of everything else. */

import { expect } from 'chai';
import { parseSchedule } from '../../../src/policy/declared/parse-schedule.ts';

const OFFICE = { days: 'mon-fri', from: '08:00', to: '18:00', zone: 'Europe/Berlin', except: ['2026-12-25'] };
const WEEK = [0, 1, 2, 3, 4, 5, 6];

const parsed = (changes: object): unknown => parseSchedule({ ...OFFICE, ...changes }).schedule;
const said = (value: unknown): string[] =>
  parseSchedule(value).faults.map(({ path, message }) => `${path.join('.')}: ${message}`);

describe('a schedule of facts.yaml', () => {
  it('is days, hours, a zone and excepted dates', () =>
    expect(parseSchedule(OFFICE)).to.deep.equal({
      schedule: { days: [1, 2, 3, 4, 5], from: 480, to: 1080, zone: 'Europe/Berlin', except: ['2026-12-25'] },
      faults: [],
    }));

  const DAYS: readonly (readonly [unknown, readonly number[]])[] = [
    ['mon-fri', [1, 2, 3, 4, 5]],
    ['fri-mon', [0, 1, 5, 6]],
    ['sat-sun', [0, 6]],
    ['sun-mon', [0, 1]],
    ['sun-sat', WEEK],
    ['mon-sun', WEEK],
    ['wed-tue', WEEK],
    ['daily', WEEK],
    ['sun', [0]],
    ['sat', [6]],
    [
      ['wed', 'mon', 'sun'],
      [0, 1, 3],
    ],
  ];
  for (const [days, expected] of DAYS) {
    it(`can be on ${JSON.stringify(days)}`, () => expect(parsed({ days })).to.have.deep.property('days', expected));
  }

  it('is the whole day without hours, and can cross midnight or end with the day', () => {
    expect(parseSchedule({ days: 'daily', zone: 'UTC' }).schedule).to.deep.equal({
      days: WEEK,
      from: 0,
      to: 1440,
      zone: 'UTC',
      except: [],
    });
    expect(parsed({ from: '22:30', to: '06:00' })).to.include({ from: 1350, to: 360 });
    expect(parsed({ from: '00:00', to: '24:00' })).to.include({ from: 0, to: 1440 });
    expect(parsed({ from: '18:00', to: '00:00' })).to.include({ from: 1080, to: 0 });
    expect(parsed({ from: '23:59', to: '24:00' })).to.include({ from: 1439, to: 1440 });
  });

  it('sorts its excepted dates, of which leap days are some', () =>
    expect(parsed({ except: ['2028-02-29', '2026-12-25', '2000-02-29'] })).to.have.deep.property('except', [
      '2000-02-29',
      '2026-12-25',
      '2028-02-29',
    ]));

  const dates = (count: number): string[] =>
    Array.from({ length: count }, (_, day) => new Date(Date.UTC(2026, 0, 1 + day)).toISOString().slice(0, 10));
  it('can except 400 dates', () => expect(parsed({ except: dates(400) })).to.have.deep.property('except', dates(400)));

  const REFUSED: Readonly<Record<string, readonly [changes: object, ...says: string[]]>> = {
    'no days': [{ days: undefined }, ': days is a range'],
    'a day that there is not': [{ days: 'mon-fry' }, 'days: days is a range'],
    'days of three parts': [{ days: 'mon-wed-fri' }, 'days: days is a range'],
    'capital letters': [{ days: 'Mon-Fri' }, 'days: days is a range'],
    'days as a number': [{ days: 5 }, 'days: days is a range'],
    'a range of one day': [{ days: 'mon-mon' }, 'days: write mon for that day alone, or daily'],
    'no day in a list': [{ days: [] }, 'days: name at least one day'],
    'a range in a list': [{ days: ['mon', 'wed-fri'] }, 'days.1: in a list each is a day'],
    'a day twice': [{ days: ['mon', 'mon', 'mon'] }, 'days.1: mon stands twice', 'days.2: mon stands twice'],
    'from alone': [{ to: undefined }, 'from: say to, too; for the whole day leave both out'],
    'to alone': [{ from: undefined }, 'to: say from, too; for the whole day leave both out'],
    'the same time twice': [{ to: '08:00' }, 'to: from and to are the same; for the whole day leave both out'],
    'hours without a zero': [{ from: '8:00' }, 'from: from is a time from "00:00" to "23:59", in quotes'],
    'hours as a number': [{ from: 800 }, 'from: from is a time'],
    'a time past the day': [{ to: '24:01' }, 'to: to is a time from "00:00" to "24:00"'],
    'minute 60': [{ to: '17:60' }, 'to: to is a time'],
    seconds: [{ to: '17:00:00' }, 'to: to is a time'],
    'a beginning at 24:00': [{ from: '24:00' }, 'from: a day begins at "00:00"'],
    'no zone': [{ zone: undefined }, ': say by the clocks of which zone'],
    'a zone as a number': [{ zone: 2 }, 'zone: zone is the IANA name'],
    'an offset for a zone': [{ zone: '+02:00' }, 'zone: a difference from UTC'],
    'an unknown zone': [{ zone: 'Europe/Bonn' }, 'zone: no time zone "Europe/Bonn"'],
    'a day that the month has not': [{ except: ['2026-02-30'] }, 'except.0: there is no 2026-02-30'],
    'a leap day in another year': [{ except: ['2024-02-29', '2026-02-29'] }, 'except.1: there is no 2026-02-29'],
    'month 13': [{ except: ['2026-13-01'] }, 'except.0: there is no 2026-13-01'],
    'day 0': [{ except: ['2026-01-00'] }, 'except.0: there is no 2026-01-00'],
    'a date twice': [{ except: ['2026-01-01', '2026-01-01'] }, 'except.1: 2026-01-01 stands twice'],
    'a year of another century': [{ except: ['0226-12-25'] }, 'except.0: each is a date of this century'],
    'a date with a time': [{ except: ['2026-12-25T00:00:00Z'] }, 'except.0: each is a date of this century'],
    'a date as a number': [{ except: [20261225] }, 'except.0: each is a date of this century'],
    'dates that are no list': [{ except: '2026-12-25' }, 'except: except is a list of dates'],
    '401 dates': [{ except: dates(401) }, 'except: except has 401 dates, of 400 at most'],
    'a field that nothing reads': [{ until: '18:00' }, 'until: nothing reads "until"'],
    'several at once': [{ days: 'x', to: 'x', zone: 'x', except: 'x' }, 'days: ', 'to: ', 'zone: ', 'except: '],
  };
  for (const [what, [changes, ...says]] of Object.entries(REFUSED)) {
    it(`with ${what} is refused`, () => {
      const given = Object.entries({ ...OFFICE, ...changes }).filter(([, value]) => value !== undefined);
      const faults = said(Object.fromEntries(given));
      expect(faults.length, faults.join('\n')).to.equal(says.length);
      for (const [index, text] of says.entries()) expect(faults[index]).to.include(text);
    });
  }

  it('that is no map is refused with the shape of one', () => {
    for (const value of [null, 'mon-fri', 5, [], [OFFICE]])
      expect(said(value).join()).to.match(/^: a schedule is \{days/);
  });
});
