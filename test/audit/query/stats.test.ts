/** Statistics: every count agrees with one that was made by hand, over any filter. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import type { By } from '../../../src/audit/query/dimensions.ts';
import type { DecisionFilter } from '../../../src/audit/query/filters.ts';
import { countDecisions } from '../../../src/audit/query/stats.ts';
import { connect } from '../../../src/db/connect.ts';
import { SEED } from '../../policy/texts.ts';
import { amount } from '../../support/long.ts';
import { newDatabase } from '../../support/postgres.ts';
import { drawer, insertRecords, makeRecord, type TestRecord } from '../records.ts';

const DAY = 86_400_000;
const HOUR = 3_600_000;
const NOON = Math.floor(Date.now() / DAY) * DAY - DAY / 2;
const iso = (time: number): string => new Date(time).toISOString();
const EVER = { from: iso(NOON - 5 * DAY), to: iso(NOON + DAY) };

/** What a record is counted under. */
const VALUES: Record<By, (record: TestRecord) => string | null> = {
  code: ({ code }) => code,
  key: ({ api_key_id }) => api_key_id,
  user: ({ user_id }) => user_id,
  business: ({ business_id }) => business_id,
  caller: ({ caller_id }) => caller_id,
  action: ({ action }) => action,
  minute: ({ at }) => `${at.slice(0, 16)}:00Z`,
  hour: ({ at }) => `${at.slice(0, 13)}:00:00Z`,
  day: ({ at }) => `${at.slice(0, 10)}T00:00:00Z`,
  rule: ({ rule }) => rule,
  policy: ({ policy }) => policy,
  ip: ({ ip }) => ip && plain(ip),
  network: ({ ip }) => ip && (ip.startsWith('2001:') ? '2001:db8::/48' : plain(ip).replace(/\.\d+$/, '.0/24')),
  userAgent: ({ user_agent }) => user_agent,
  fingerprint: ({ fingerprint }) => fingerprint,
  weekday: ({ at }) => new Date(at).toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' }).toLowerCase(),
  hourOfDay: ({ at }) => at.slice(11, 13),
};
const plain = (ip: string): string => ip.replace('::ffff:', '');
/** The length of a bucket. */
const BUCKETS: Partial<Record<By, number>> = { minute: 60_000, hour: HOUR, day: DAY };
/** All that there can be of a range, in the order in which it is told. */
const ALL_OF: Partial<Record<By, (from: string, to: string) => string[]>> = {
  ...Object.fromEntries(
    Object.entries(BUCKETS).map(([by, length]) => [
      by,
      (from: string, to: string) => {
        const all: string[] = [];
        for (let at = Math.floor(Date.parse(from) / length) * length; at < Date.parse(to); at += length)
          all.unshift(iso(at).replace('.000', ''));
        return all;
      },
    ]),
  ),
  weekday: () => ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'],
  hourOfDay: () => Array.from({ length: 24 }, (_, hour) => (hour < 10 ? `0${hour}` : `${hour}`)),
};

const FILTERS: readonly [filter: DecisionFilter, has: (record: TestRecord) => boolean][] = [
  [EVER, () => true],
  [{ ...EVER, apiKeyId: 'k1' }, ({ api_key_id }) => api_key_id === 'k1'],
  [{ ...EVER, code: 'INVALID_API_KEY' }, ({ code }) => code === 'INVALID_API_KEY'],
  [
    { ...EVER, action: 'call:*', businessId: 'b1' },
    ({ action, business_id }) => action.startsWith('call:') && business_id === 'b1',
  ],
  [{ from: iso(NOON - 10 * HOUR), to: iso(NOON) }, ({ at }) => at >= iso(NOON - 10 * HOUR) && at < iso(NOON)],
  [{ ...EVER, requestId: 'never' }, () => false],
];

describe('statistics of the decision log', function () {
  this.timeout(60_000);
  let db: Knex;
  let records: TestRecord[];

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    const draw = drawer(11);
    records = Array.from({ length: 1000 }, (_, n) => makeRecord(NOON - 2 * DAY + (n - (n % 4)) * 170_000, draw));
    await insertRecords(db, records);
  });
  after(() => db?.destroy());

  for (const by of Object.keys(VALUES) as By[]) {
    it(`by ${by} count what a plain count counts`, async () => {
      for (const [filter, has] of FILTERS) {
        const ranges =
          by === 'minute' && filter.from === EVER.from
            ? { ...filter, from: iso(NOON - DAY), to: iso(NOON - DAY + 4 * HOUR) }
            : filter;
        const found = records.filter(
          (record) => has(record) && record.at >= (ranges.from ?? '') && record.at < (ranges.to ?? ''),
        );
        const counts = new Map<string | null, number>();
        for (const record of found) counts.set(VALUES[by](record), (counts.get(VALUES[by](record)) ?? 0) + 1);
        const stats = await countDecisions(db, [by], ranges, 200);
        const values = ALL_OF[by]?.(ranges.from ?? '', ranges.to ?? '') ?? byCount(counts);
        const expected = values.map((value) => ({ value, count: counts.get(value) ?? 0 }));
        expect(stats.groups, JSON.stringify(filter)).to.deep.equal(expected);
        expect(stats.total).to.equal(found.length);
        expect(stats.distinct).to.equal([...counts.keys()].filter((value) => value !== null).length);
      }
    });
  }

  /** The largest first, and null last. */
  const byCount = (counts: ReadonlyMap<string | null, number>): (string | null)[] =>
    [...counts]
      .sort(([a, m], [b, n]) => Number(a === null) - Number(b === null) || n - m || ((a ?? '') < (b ?? '') ? -1 : 1))
      .map(([value]) => value);

  it(`by any two count what a plain count counts (seed ${SEED})`, async () => {
    const two = fc.shuffledSubarray(Object.keys(VALUES) as By[], { minLength: 2, maxLength: 2 });
    const range = { from: iso(NOON - 10 * HOUR), to: iso(NOON + HOUR) };
    for (const [first, second] of fc.sample(two, { numRuns: amount(20, 60, 240), seed: SEED }) as [By, By][]) {
      const filter = { ...range, effect: 'deny' as const };
      const found = records.filter(({ at, effect }) => effect === 'deny' && at >= range.from && at < range.to);
      const expected = new Map<string, number>();
      for (const record of found) {
        const cell = JSON.stringify([VALUES[first](record), VALUES[second](record)]);
        expected.set(cell, (expected.get(cell) ?? 0) + 1);
      }
      const { by, groups, total } = await countDecisions(db, [first, second], filter, 200);
      expect([by, total]).to.deep.equal([`${first},${second}`, found.length]);
      const cells = groups.map(({ value, second: other, count }) => [JSON.stringify([value, other]), count] as const);
      expect(new Set(cells.map(([cell]) => cell)).size).to.equal(cells.length);
      expect(new Map(cells.filter(([, count]) => count > 0)), by).to.deep.equal(expected);
      // A grid of few cells is told whole, where one of the two is of time: each value of the one with each of the other.
      const sizes = ([first, second] as const).map(
        (axis) => ALL_OF[axis]?.(range.from, range.to).length ?? new Set(found.map(VALUES[axis])).size,
      );
      const grid = sizes.reduce((product, size) => product * size, 1);
      if ((ALL_OF[first] || ALL_OF[second]) && grid <= 1500) expect(groups.length, by).to.equal(grid);
      else expect(cells.every(([, count]) => count > 0)).to.equal(true);
    }
  });

  it('show the largest groups, and count those that they do not show', async () => {
    const all = await countDecisions(db, ['action'], EVER, 200);
    const some = await countDecisions(db, ['action'], EVER, 2);
    expect(some.groups).to.deep.equal(all.groups.slice(0, 2));
    expect(some).to.include({ total: 1000, distinct: all.groups.length });
  });

  it('are of the last 24 hours unless they say otherwise', async () => {
    const { from, to, total } = await countDecisions(db, ['code'], {}, 50);
    expect(total).to.equal(records.filter(({ at }) => at >= from).length);
    expect(to).to.equal(null);
  });

  it('refuse more than 1500 time buckets', async () => {
    const error = await countDecisions(db, ['minute'], EVER, 50).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('code', 'INVALID_REQUEST');
    expect(JSON.stringify(error)).to.include('more than 1500 buckets of a minute');
  });
});
