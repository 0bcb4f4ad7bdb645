/** Schedules in the facts.yaml of a folder: what a row can say by them, and where each fault of them is reported. */

import { expect } from 'chai';
import type { Policy } from '../../../src/policy/decide.ts';
import { FACTS_FILE } from '../../../src/policy/folder/files.ts';
import { compilePolicy } from '../../../src/policy/policy.ts';
import { shippedTexts } from '../texts.ts';

const ROW = 'p, out-of-hours, call:create, "!r.schedule.office_hours && !r.schedule.nights", deny, PERMISSION_DENIED\n';

/** The shipped folder with these schedules and the row; the findings as `line:column rule message`. */
async function withSchedules(lines: readonly string[]): Promise<{ policy: Policy | undefined; findings: string[] }> {
  const texts = new Map(await shippedTexts());
  texts.set(FACTS_FILE, ['schedules:', ...lines.map((line) => `  ${line}`), ''].join('\n'));
  texts.set('32-hours.csv', ROW);
  const { policy, findings } = compilePolicy(texts);
  return {
    policy,
    findings: findings.map(({ line, column, rule, message }) => `${line}:${column} ${rule} ${message}`),
  };
}

const OFFICE =
  'office_hours: { days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlin, except: ["2026-12-25"] }';
const NIGHTS = 'nights: { days: daily, from: "22:00", to: "06:00", zone: Europe/Berlin }';

describe('schedules in facts.yaml', () => {
  it('are facts of the policy, in the combinations that a moment can produce', async () => {
    const { policy, findings } = await withSchedules([OFFICE, NIGHTS]);
    expect(findings).to.deep.equal([]);
    expect(policy?.schema.factsOf('schedule').map(([name]) => name)).to.deep.equal(['office_hours', 'nights']);
    expect(policy?.schema.schedules.groups.map((group) => ({ ...group }))).to.have.deep.members([
      { office_hours: true, nights: false },
      { office_hours: false, nights: true },
      { office_hours: false, nights: false },
    ]);
  });

  const FAULTY: Readonly<Record<string, readonly [line: string, ...findings: string[]]>> = {
    'an unknown zone': ['nights: { days: daily, zone: Europe/Bonn }', '3:32 facts nights: no time zone "Europe/Bonn"'],
    'an offset': ['nights: { days: daily, zone: "+02:00" }', '3:32 facts nights: a difference from UTC'],
    'a day that there is not': [
      'nights: { days: daily, zone: UTC, except: ["2026-01-01", "2026-02-30"] }',
      '3:60 facts nights: there is no 2026-02-30',
    ],
    'several faults': [
      'nights: { days: mon-fry, from: 8, to: "06:00", zone: UTC }',
      '3:19 facts nights: days is a range',
      '3:34 facts nights: from is a time',
    ],
    'no map': ['nights: daily', '3:11 facts nights: a schedule is {days'],
  };
  for (const [what, [line, ...expected]] of Object.entries(FAULTY)) {
    it(`with ${what} are findings with their places`, async () => {
      const { policy, findings } = await withSchedules([OFFICE, line]);
      expect(policy).to.equal(undefined);
      expect(findings, findings.join('\n')).to.have.length(expected.length);
      for (const [index, begins] of expected.entries())
        expect(findings[index]?.slice(0, begins.length)).to.equal(begins);
    });
  }

  it('that except too many dates are one finding, and the rows that use them none', async () => {
    const entry = (_: unknown, index: number): string => {
      const dates = Array.from({ length: 400 }, (_, day) => new Date(Date.UTC(2026, index, 1 + day)).toISOString());
      const except = index < 2 ? dates.map((date) => date.slice(0, 10)) : [];
      return `s${index}: { days: daily, zone: UTC, except: ${JSON.stringify(except).replaceAll(',', ',\n      ')} }`;
    };
    const { findings } = await withSchedules([OFFICE, NIGHTS, ...Array.from({ length: 62 }, entry)]);
    expect(findings, findings.join('\n').slice(0, 2000)).to.have.length(1);
    expect(findings[0])
      .to.include('64 schedules except 431 different dates in all, of 400 at most')
      .and.include('leave out dates that have passed');
  });
});
