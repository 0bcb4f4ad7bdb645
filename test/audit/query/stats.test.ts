/** Statistics: every count agrees with one that was made by hand, over any filter. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import type { DecisionFilter } from '../../../src/audit/query/filters.ts';
import { type By, countDecisions } from '../../../src/audit/query/stats.ts';
import { connect } from '../../../src/db/connect.ts';
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
};
const BUCKETS: readonly By[] = ['minute', 'hour', 'day'];

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
        const expected = [...counts].map(([value, count]) => ({ value, count }));
        const stats = await countDecisions(db, by, ranges, 200);
        expect(stats.groups, JSON.stringify(filter)).to.have.deep.members(expected);
        expect(stats.total).to.equal(found.length);
        expect(stats.distinct).to.equal(expected.filter(({ value }) => value !== null).length);
        const named = stats.groups.filter(({ value }) => value !== null);
        const sorted = BUCKETS.includes(by)
          ? named.toSorted((a, b) => ((a.value ?? '') < (b.value ?? '') ? 1 : -1))
          : named.toSorted((a, b) => b.count - a.count || ((a.value ?? '') < (b.value ?? '') ? -1 : 1));
        expect(named).to.deep.equal(sorted);
      }
    });
  }

  it('show the largest groups, and count those that they do not show', async () => {
    const all = await countDecisions(db, 'action', EVER, 200);
    const some = await countDecisions(db, 'action', EVER, 2);
    expect(some.groups).to.deep.equal(all.groups.slice(0, 2));
    expect(some).to.include({ total: 1000, distinct: all.groups.length });
  });

  it('are of the last 24 hours unless they say otherwise', async () => {
    const { from, to, total } = await countDecisions(db, 'code', {}, 50);
    expect(total).to.equal(records.filter(({ at }) => at >= from).length);
    expect(to).to.equal(null);
  });

  it('refuse more than 1500 time buckets', async () => {
    const error = await countDecisions(db, 'minute', EVER, 50).catch((thrown: unknown) => thrown);
    expect(error).to.have.property('code', 'INVALID_REQUEST');
    expect(JSON.stringify(error)).to.include('more than 1500 buckets of a minute');
  });
});
