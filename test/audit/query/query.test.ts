/** Queries of the decision log: each filter alone and any two of them agree with a plain scan, in pages of any size. */

import { randomBytes } from 'node:crypto';
import { BlockList, isIPv6 } from 'node:net';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { decisionQuery, getDecision, listDecisions, type OnSearched } from '../../../src/audit/query/decisions.ts';
import type { DecisionFilter } from '../../../src/audit/query/filters.ts';
import { connect } from '../../../src/db/connect.ts';
import { createCursors } from '../../../src/db/page.ts';
import { Failure } from '../../../src/errors.ts';
import { amount } from '../../support/long.ts';
import { newDatabase } from '../../support/postgres.ts';
import { drawer, insertRecords, makeRecord, newestFirst, POLICIES, shown, type TestRecord } from '../records.ts';

const DAY = 86_400_000;
const NOON = Math.floor(Date.now() / DAY) * DAY - DAY / 2;
const START = NOON - 3 * DAY;
const iso = (time: number): string => new Date(time).toISOString();
/** All of the records, since without a range only the last day would be found. */
const EVER = { from: iso(START - DAY), to: iso(NOON + DAY) };
const MIDDLE = iso(NOON - DAY - 5000);

/** Name -> the values to look for, and whether a record has one: written without a look at how the filters do it. */
const FILTERS: Record<
  string,
  readonly [values: readonly string[], has: (record: TestRecord, value: string) => boolean]
> = {
  apiKeyId: [['k1', 'k9'], (record, value) => record.api_key_id === value],
  userId: [['u2'], (record, value) => record.user_id === value],
  businessId: [['b1', 'b2'], (record, value) => record.business_id === value],
  callerId: [['billing'], (record, value) => record.caller_id === value],
  action: [
    ['call:read', 'call:*', 'user:*', 'user:usage:*', 'user:usage_:*'],
    (record, value) => {
      const [words, sought] = [record.action.split(':'), value.split(':')];
      if (sought.at(-1) !== '*') return record.action === value;
      return words.length >= sought.length && sought.slice(0, -1).every((word, index) => word === words[index]);
    },
  ],
  code: [['OK', 'USER_DISABLED', 'NEVER'], (record, value) => record.code === value],
  effect: [['allow', 'deny'], (record, value) => record.effect === value],
  rule: [['rule-ok'], (record, value) => record.rule === value],
  policy: [
    [POLICIES[0] ?? '', (POLICIES[1] ?? '').slice(0, 15), (POLICIES[0] ?? '').slice(7, 20)],
    (record, value) => record.policy.slice(7).startsWith(value.replace(/^sha256:/, '')),
  ],
  ip: [
    [
      '203.0.113.7',
      '203.0.113.0/24',
      '203.0.112.0/22',
      '198.51.100.0/24',
      '0.0.0.0/0',
      '2001:DB8::/32',
      '::/0',
      '2001:db8::1',
    ],
    ({ ip }, value) => isWithin(ip, value),
  ],
  userAgent: [['curl/8.5', 'CURL', 'url/8', 'wget'], ({ user_agent }, value) => hasPart(user_agent, value)],
  fingerprint: [['00112233445566aa', '00112233445566ff'], (record, value) => record.fingerprint === value],
  withoutCredential: [['true'], ({ api_key_id, fingerprint }) => api_key_id === null && fingerprint === null],
  not: [
    [
      'code=OK',
      'apiKeyId=k1',
      'ip=203.0.113.0/24',
      'userAgent=curl',
      'action=call:*',
      'requestId=r1',
      'code=OK;effect=deny;apiKeyId=k2',
    ],
    (record, value) =>
      value.split(';').every((pair) => {
        const [name = '', ...rest] = pair.split('=');
        return !FILTERS[name]?.[1](record, rest.join('='));
      }),
  ],
  requestId: [['r1', 'c1', '%'], (record, value) => record.request_id === value || record.caller_request_id === value],
  traceId: [['0a'.repeat(16), '0b'.repeat(16)], (record, value) => record.trace_id === value],
  from: [[MIDDLE, iso(NOON)], (record, value) => Date.parse(record.at) >= Date.parse(value)],
  to: [[MIDDLE], (record, value) => Date.parse(record.at) < Date.parse(value)],
};

/** Of each filter so many values are tried with those of each other: all of them are a thousand queries. */
const PAIRED = amount(2, 3, 9);

/** By Node's own table of networks, in which mapped addresses are of IPv4 too. */
function isWithin(ip: string | null, network: string): boolean {
  const [address = '', prefix] = network.split('/');
  const family = isIPv6(address) ? 'ipv6' : 'ipv4';
  const list = new BlockList();
  list.addSubnet(address, Number(prefix ?? (family === 'ipv6' ? 128 : 32)), family);
  return ip !== null && plain(ip).includes(':') === (family === 'ipv6') && list.check(plain(ip), family);
}
const plain = (ip: string): string => ip.replace(/^::ffff:(?=\d+\.)/i, '');
const hasPart = (text: string | null, part: string): boolean =>
  text?.toLowerCase().includes(part.toLowerCase()) ?? false;

describe('queries of the decision log', function () {
  this.timeout(60_000);
  let db: Knex;
  let records: TestRecord[];
  const cursors = createCursors(randomBytes(32));

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    const draw = drawer(7);
    records = Array.from({ length: 900 }, (_, n) =>
      // Every third has the time of the one before; some stand at a midnight, where a partition begins.
      makeRecord(n % 97 === 0 ? NOON - DAY / 2 : START + (n - (n % 3)) * 300_000, draw),
    );
    await insertRecords(db, records);
  });
  after(() => db?.destroy());

  async function walk(filter: DecisionFilter, limit: number, onSearched?: OnSearched): Promise<string[]> {
    const found: string[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = await listDecisions(db, filter, { limit, cursor }, cursors, onSearched);
      expect(page.items.length).to.be.at.most(limit);
      found.push(...page.items.map(({ id }) => id));
      if (page.nextCursor === null) return found;
      cursor = page.nextCursor;
    }
  }

  /** What a plain scan finds. */
  const scan = (wanted: Readonly<Record<string, string>>): string[] =>
    newestFirst(records)
      .filter((record) => Object.entries(wanted).every(([name, value]) => FILTERS[name]?.[1](record, value)))
      .map(({ id }) => id);

  const filterOf = (wanted: Readonly<Record<string, string>>): DecisionFilter => {
    const { limit: _, ...filter } = decisionQuery.parse({ ...EVER, ...wanted });
    return filter;
  };

  for (const [name, [values]] of Object.entries(FILTERS)) {
    it(`agree with a plain scan by ${name}, alone, in pages of any size`, async () => {
      let found = 0;
      for (const value of values) {
        const wanted = { [name]: value };
        const expected = scan(wanted);
        found += expected.length;
        for (const limit of [7, 200]) expect(await walk(filterOf(wanted), limit), value).to.deep.equal(expected);
      }
      expect(found).to.be.above(0);
    });

    it(`agree with a plain scan by ${name} and any other`, async () => {
      for (const [other, [others]] of Object.entries(FILTERS)) {
        if (other <= name) continue;
        for (const value of values.slice(0, PAIRED)) {
          for (const second of others.slice(0, PAIRED)) {
            const wanted = { [name]: value, [other]: second };
            if (!decisionQuery.safeParse(wanted).success) continue;
            expect(await walk(filterOf(wanted), 200), JSON.stringify(wanted)).to.deep.equal(scan(wanted));
          }
        }
      }
    });
  }

  it('find the same in slices of time, the newest first, and say how far they are', async () => {
    const unindexed = {
      ip: '203.0.113.0/24',
      rule: 'rule-ok',
      userAgent: 'curl',
      not: 'code=OK',
      effect: 'deny',
      callerId: 'billing',
    };
    for (const [name, value] of Object.entries(unindexed)) {
      const wanted = { [name]: value };
      for (const limit of [7, 200])
        expect(await walk(filterOf(wanted), limit, () => undefined), name).to.deep.equal(scan(wanted));
    }
    const places: string[] = [];
    expect(await walk(filterOf({ requestId: 'never' }), 7, (at) => places.push(at))).to.deep.equal([]);
    expect(places.length).to.be.above(2);
    expect(places).to.deep.equal(places.toSorted().reverse());
    expect(places.at(-1)).to.equal(EVER.from);
    let searched = 0;
    await walk(filterOf({ apiKeyId: 'k1' }), 200, () => {
      searched += 1;
    });
    expect(searched, 'of what an index serves').to.equal(0);
  });

  it('find a credential by the ids and the fingerprints that it has had', async () => {
    const credential = { apiKeyIds: ['k1', 'k3'], fingerprints: ['00112233445566aa'] };
    const expected = newestFirst(records).filter(
      ({ api_key_id, fingerprint }) => api_key_id === 'k1' || api_key_id === 'k3' || fingerprint === '00112233445566aa',
    );
    const ids = (filtered: readonly TestRecord[]) => filtered.map(({ id }) => id);
    expect(await walk({ ...EVER, credential }, 11)).to.deep.equal(ids(expected));
    expect(await walk({ ...EVER, credential, effect: 'deny', businessId: 'b1' }, 3)).to.deep.equal(
      ids(expected.filter(({ effect, business_id }) => effect === 'deny' && business_id === 'b1')),
    );
  });

  it('show the whole record', async () => {
    const newest = newestFirst(records);
    const page = await listDecisions(db, EVER, { limit: 200 }, cursors);
    for (const [index, item] of page.items.entries()) expect(item).to.deep.include(shown(newest[index] as TestRecord));
    const [first] = page.items;
    expect(first).to.include({ boot: '00000000-0000-4000-8000-000000000000', hash: 'ab'.repeat(32), shadowCode: null });
    expect(await getDecision(db, first?.id ?? '')).to.deep.equal(first);
    for (const id of ['nonsense', '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e']) {
      const error = await getDecision(db, id).catch((thrown: unknown) => thrown);
      expect(error, id).to.be.instanceOf(Failure).and.have.property('code', 'NOT_FOUND');
    }
  });

  it('are of the last 24 hours unless they say otherwise, and keep to that from page to page', async () => {
    const now = Date.now();
    const hour = 3_600_000;
    const [old, edge, young] = [-25 * hour, -24 * hour + 1500, -hour].map((back) =>
      makeRecord(now + back, drawer(1), { caller_id: 'recent' }),
    ) as [TestRecord, TestRecord, TestRecord];
    await insertRecords(db, [old, edge, young]);
    const filter = { callerId: 'recent' };
    const first = await listDecisions(db, filter, { limit: 1 }, cursors);
    expect(first.items[0]?.id).to.equal(young.id);
    expect(Date.parse(first.from)).to.be.within(now - 24 * hour, Date.now() - 24 * hour);
    // By now the older one would be out of the range.
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, Date.parse(edge.at) + 24 * hour - Date.now() + 10)));
    expect((await listDecisions(db, filter, { limit: 1 }, cursors)).nextCursor).to.equal(null);
    const second = await listDecisions(db, filter, { limit: 1, cursor: first.nextCursor ?? '' }, cursors);
    expect(second).to.deep.include({ from: first.from, nextCursor: null });
    expect(second.items[0]?.id).to.equal(edge.id);
    const before = await listDecisions(db, { ...filter, to: iso(now - 20 * hour) }, { limit: 5 }, cursors);
    expect(before.items.map(({ id }) => id)).to.deep.equal([edge.id, old.id]);
    await db('decision_records').where({ caller_id: 'recent' }).delete();
  });

  it('neither repeat nor leave out anything while decisions are added, and skip the days that are pruned', async () => {
    const all = scan({});
    const first = await listDecisions(db, EVER, { limit: 10 }, cursors);
    await insertRecords(db, [makeRecord(NOON, drawer(2)), makeRecord(NOON + 1, drawer(3))]);
    const second = await listDecisions(db, EVER, { limit: 10, cursor: first.nextCursor ?? '' }, cursors);
    expect([...first.items, ...second.items].map(({ id }) => id)).to.deep.equal(all.slice(0, 20));
    // The day that the cursor stands in, and the oldest.
    const places = [second.items.at(-1)?.at ?? '', records[1]?.at ?? ''].map((at) => at.slice(0, 10));
    const days = [...new Set(places)];
    for (const day of days) await db.raw(`drop table decisions_${day.replaceAll('-', '')}`);
    records = records.filter(({ at }) => !days.includes(at.slice(0, 10)));
    const kept = new Set(records.map(({ id }) => id));
    const rest = await listDecisions(db, EVER, { limit: 200, cursor: second.nextCursor ?? '' }, cursors);
    expect(rest.items.map(({ id }) => id)).to.deep.equal(
      all
        .slice(20)
        .filter((id) => kept.has(id))
        .slice(0, 200),
    );
    expect(rest.items.length).to.be.above(100);
  });

  it('take a cursor only with the filters that it was made with', async () => {
    const { nextCursor } = await listDecisions(db, { ...EVER, effect: 'deny' }, { limit: 1 }, cursors);
    for (const filter of [EVER, { ...EVER, effect: 'allow' as const }, { effect: 'deny' as const }]) {
      const error = await listDecisions(db, filter, { limit: 1, cursor: nextCursor ?? '' }, cursors).catch((e) => e);
      expect(error).to.be.instanceOf(Failure).and.have.property('code', 'INVALID_REQUEST');
    }
  });

  it('say where no index serves them', async () => {
    const noteOf = async (filter: DecisionFilter) =>
      (await listDecisions(db, { ...EVER, ...filter }, { limit: 1 }, cursors)).note;
    for (const filter of [{}, { apiKeyId: 'k1' }, { userId: 'u1' }, { businessId: 'b1' }, { code: 'USER_DISABLED' }])
      expect(await noteOf(filter), JSON.stringify(filter)).to.equal(null);
    expect(await noteOf({ businessId: 'b1', code: 'USER_DISABLED' })).to.equal(null);
    expect(await noteOf({ fingerprint: '00112233445566aa' })).to.equal(null);
    expect(await noteOf({ not: [{ property: 'code', value: 'OK' }], withoutCredential: true })).to.include(
      'No index serves not and withoutCredential',
    );
    expect(await noteOf({ ip: '203.0.113.7' }))
      .to.include('No index serves ip: all decisions')
      .and.include(EVER.from);
    expect(await noteOf({ code: 'OK' })).to.include('code');
    expect(await noteOf({ apiKeyId: 'k1', rule: 'x' })).to.include('decisions of this apiKeyId');
  });
});
