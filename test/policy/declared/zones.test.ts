/** Time zones: which names are taken, and that offsets and their changes are those of PostgreSQL, which has its own data. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../../src/db/connect.ts';
import { DAY_MS, faultOfZone, PROVED_FROM, PROVED_UNTIL, readZone } from '../../../src/policy/declared/zones.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { amount } from '../../support/long.ts';
import { newDatabase } from '../../support/postgres.ts';
import { changesByPostgres, offsetsByPostgres } from './schedules-oracle.ts';

/** Both hemispheres, 30 and 45 minutes, daylight saving of half an hour, at Ramadan, and the other way round in winter. */
const ZONES = [
  'Australia/Lord_Howe',
  'Pacific/Chatham',
  'Africa/Casablanca',
  'Europe/Dublin',
  'America/New_York',
  'America/St_Johns',
  'America/Santiago',
  'America/Havana',
  'Asia/Kathmandu',
  'Asia/Gaza',
  'Asia/Tehran',
  'Pacific/Apia',
  'Antarctica/Troll',
  'America/Recife',
  'Africa/Cairo',
  'Europe/Istanbul',
  'America/Argentina/Tucuman',
];

describe('a time zone', () => {
  let db: Knex;
  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
  });
  after(() => db.destroy());

  const few = ZONES.slice(0, amount(1, 2, ZONES.length));
  it(`changes its offset when PostgreSQL says so, every half hour of 2000 to 2060: ${few.length} zones`, async () => {
    for (const zone of few) {
      const [, ...changes] = runToEnd(readZone(zone)).spans.map(({ from, offset }) => [from, offset]);
      expect(changes, zone).to.deep.equal(await changesByPostgres(db, zone, PROVED_FROM, PROVED_UNTIL));
    }
  });

  const many = amount(0, 0, 1) ? Intl.supportedValuesOf('timeZone') : ZONES;
  it(`has the offset of PostgreSQL around each change, and each midnight of 2000 to 2060: ${many.length} zones`, async () => {
    const midnights = Array.from(
      { length: (PROVED_UNTIL - PROVED_FROM) / DAY_MS },
      (_, day) => PROVED_FROM + day * DAY_MS,
    );
    const different: unknown[] = [];
    for (const zone of many) {
      const { spans, spanAt } = runToEnd(readZone(zone));
      const moments = [...midnights, ...spans.flatMap(({ from, until }) => [from, until - 1])];
      const expected = await offsetsByPostgres(db, zone, moments);
      const at = moments.findIndex((moment, index) => spanAt(moment).offset !== expected[index]);
      if (at >= 0) different.push([zone, new Date(moments[at] ?? Number.NaN)]);
    }
    // Of all zones some differ by their data: that of Node 20.20 is 2025c, that of the embedded PostgreSQL knows what was enacted since.
    if (different.length > 0) console.log(`        by their data: ${JSON.stringify(different)}`);
    expect(different.length).to.be.at.most(amount(0, 0, 5));
  });

  it('has spans without gaps, and outside of the proved years the offset of the day', () => {
    for (const zone of ZONES) {
      const { spans, spanAt } = runToEnd(readZone(zone));
      expect([spans[0]?.from, spans.at(-1)?.until]).to.deep.equal([PROVED_FROM, PROVED_UNTIL]);
      for (const [index, span] of spans.entries()) {
        expect(spanAt(span.from)).to.equal(span);
        expect(spanAt(span.until - 1)).to.equal(span);
        if (index > 0) expect(span.from).to.equal(spans[index - 1]?.until);
      }
    }
    const kathmandu = runToEnd(readZone('Asia/Kathmandu')).spanAt;
    const change = Date.parse('1985-12-31T18:30:00Z');
    expect(kathmandu(change - 1)).to.include({ until: change, offset: 5.5 * 3_600_000 });
    expect(kathmandu(change)).to.include({ from: change, offset: 5.75 * 3_600_000 });
    expect(runToEnd(readZone('Europe/Berlin')).spanAt(Date.parse('2090-07-01T00:00:00Z'))).to.include({
      offset: 2 * 3_600_000,
    });
  });

  for (const name of [
    'UTC',
    'Europe/Berlin',
    'Europe/Kyiv',
    'Europe/Kiev',
    'Asia/Kolkata',
    'America/Argentina/Buenos_Aires',
    'America/Port-au-Prince',
    'America/North_Dakota/New_Salem',
    'Antarctica/DumontDUrville',
    'Antarctica/McMurdo',
    'Etc/GMT+5',
    'US/Eastern',
  ]) {
    it(`can be called ${name}`, () => expect(faultOfZone(name)).to.equal(undefined));
  }

  const REFUSED: Readonly<Record<string, string>> = {
    '+02:00': 'write a place',
    '-3': 'write a place',
    'UTC+2': 'write a place',
    'europe/berlin': 'spelt Europe/Berlin',
    'America/new_york': 'spelt America/New_York',
    'europe/Kyiv': 'capitals',
    'EUROPE/KYIV': 'capitals',
    'Europe/Berlinn': 'IANA name',
    'Mars/Olympus_Mons': 'IANA name',
    // To ICU, Bangladesh.
    BST: 'is no place',
    CET: 'is no place',
    PST: 'is no place',
    GMT: 'is no place',
    utc: 'is no place',
    Z: 'is no place',
    '': 'is no place',
    'Europe/Berlin ': 'is no place',
    '../Europe/Berlin': 'is no place',
  };
  for (const [name, says] of Object.entries(REFUSED)) {
    it(`cannot be called ${JSON.stringify(name)}`, () => expect(faultOfZone(name)).to.include(says));
  }
});
