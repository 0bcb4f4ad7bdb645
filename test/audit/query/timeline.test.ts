/** Timelines: what an oracle finds in plain lists of decisions, events, freezes and policies, in one order, from wherever it is gone on. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { readTimeline } from '../../../src/audit/query/timeline.ts';
import type { Subject } from '../../../src/audit/query/timeline-scope.ts';
import { connect } from '../../../src/db/connect.ts';
import { SEED } from '../../policy/texts.ts';
import { newDatabase } from '../../support/postgres.ts';
import { drawer, idAt, insertRecords, makeRecord, POLICIES, type TestRecord } from '../records.ts';

const HOUR = 3_600_000;
const START = Date.now() - 6 * HOUR;
const iso = (time: number): string => new Date(time).toISOString();
const RANGE = { from: iso(START + HOUR), to: iso(START + 5 * HOUR) };

interface TestEvent {
  readonly id: string;
  readonly at: string;
  readonly kind: string;
  readonly subject: string;
  readonly before: Readonly<Record<string, unknown>> | null;
  readonly after: Readonly<Record<string, unknown>> | null;
}

interface TestFreeze {
  readonly id: string;
  readonly until: number;
  readonly lifted: boolean;
  readonly key: string | null;
  readonly user: string | null;
  readonly business: string | null;
}

/** k1 and k2 are of u1, k3 of u2; k3 is gone, and known by its events alone. */
const OWNER: Readonly<Record<string, string>> = { k1: 'u1', k2: 'u1', k3: 'u2' };
const RESTRICTED: Readonly<Record<string, string[] | null>> = { k1: ['b1'], k2: null, k3: ['b2', 'b3'] };

describe(`timelines of the decision log (seed ${SEED})`, function () {
  this.timeout(60_000);
  let db: Knex;
  let decisions: TestRecord[];
  let events: TestEvent[];
  let freezes: TestFreeze[];
  const stored = [START + 2 * HOUR, START + 3 * HOUR, START];

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    const draw = drawer(SEED);
    // At few moments, so that many things happen in one millisecond.
    const moment = (): number => START + draw(900) * 24_000;
    const pick = <T>(values: readonly T[]): T => values[draw(values.length)] as T;
    decisions = Array.from({ length: 3000 }, () => {
      const key = pick(['k1', 'k2', 'k3']);
      return makeRecord(moment(), draw, { api_key_id: key, user_id: OWNER[key] ?? null, fingerprint: null });
    });
    await insertRecords(db, decisions);
    const subjects: readonly (() => Omit<TestEvent, 'id' | 'at'>)[] = [
      () => {
        const key = pick(Object.keys(OWNER));
        const is = { userId: OWNER[key], restrictedBusinessIds: RESTRICTED[key] };
        return { kind: 'key', subject: key, before: pick([null, is]), after: is };
      },
      () => ({ kind: 'user', subject: pick(['u1', 'u2']), before: null, after: null }),
      () => ({ kind: 'member', subject: `${pick(['b1', 'b2'])}/${pick(['u1', 'u2'])}`, before: null, after: null }),
      () => ({ kind: 'business', subject: pick(['b1', 'b2', 'b3']), before: null, after: null }),
      () => ({ kind: 'directory', subject: 'all.jsonl', before: null, after: null }),
      () => ({ kind: 'log', subject: 'decisions', before: null, after: null }),
      () => ({ kind: 'caller', subject: 'voice', before: null, after: null }),
      () => ({
        kind: 'freeze',
        subject: 'f',
        before: null,
        after: { apiKeyId: pick([null, 'k1']), userId: pick([null, 'u1', 'u2']), businessId: pick([null, 'b1', 'b2']) },
      }),
    ];
    events = Array.from({ length: 1200 }, () => {
      const at = moment();
      return { id: idAt(at), at: iso(at), ...pick(subjects)() };
    });
    await db('admin_events').insert(
      events.map(({ kind, subject, ...event }) => ({
        ...event,
        ...{ actor: 'a', action: `${kind}.x`, subject_kind: kind, subject_id: subject },
      })),
    );
    for (const id of ['u1', 'u2']) await db('users').insert({ id });
    for (const [index, id] of ['k1', 'k2'].entries())
      await db('api_keys').insert({
        ...{
          id,
          user_id: OWNER[id],
          friendly_name: id,
          hint: `iqra_${index}…abcd`,
          restricted: false,
          environment: 'x',
        },
        ...{ digest: Buffer.alloc(32, index), pepper_id: 'p', allow_user_management: false },
      });
    freezes = Array.from({ length: 30 }, () => ({
      id: idAt(START),
      until: moment(),
      lifted: draw(3) === 0,
      key: pick([null, 'k1', 'k2']),
      user: pick([null, 'u1', 'u2']),
      business: pick([null, 'b1', 'b2']),
    }));
    await db('freezes').insert(
      freezes.map(({ id, until, lifted, key, user, business }) => ({
        ...{ id, key_id: key, user_id: user, business_id: business, reason: 'why', until: iso(until) },
        lifted_at: lifted ? iso(until) : null,
      })),
    );
    await db('policies').insert(
      stored.map((at, index) => ({ digest: POLICIES[index] ?? 'sha256:c', texts: '{}', first_seen_at: iso(at) })),
    );
  });
  after(() => db?.destroy());

  /** What happened to a subject, each as its time, type and id, in the order that is promised. */
  function oracle({ apiKeyId, userId, businessId }: Subject): string[] {
    const keys = apiKeyId ? [apiKeyId] : userId ? Object.keys(OWNER).filter((key) => OWNER[key] === userId) : undefined;
    const user = userId ?? (apiKeyId && OWNER[apiKeyId]);
    const mayBe = (named: unknown, ids: readonly (string | undefined)[] | undefined): boolean =>
      named == null || ids === undefined || ids.includes(named as string);
    const covers = (key: unknown, owner: unknown, business: unknown): boolean =>
      mayBe(key, keys) &&
      mayBe(owner, user ? [user] : undefined) &&
      mayBe(business, businessId ? [businessId] : undefined);
    const concerns = ({ kind, subject, before, after }: TestEvent): boolean => {
      const is = after ?? before ?? {};
      const [business, member] = subject.split('/');
      if (kind === 'directory') return true;
      if (kind === 'freeze') return covers(is['apiKeyId'], is['userId'], is['businessId']);
      if (kind === 'member') return businessId ? business === businessId : member === user;
      if (kind === 'user') return subject === user;
      if (kind === 'business') return subject === businessId;
      if (kind !== 'key') return false;
      return businessId
        ? (is['restrictedBusinessIds'] as string[] | null)?.includes(businessId) === true
        : keys?.includes(subject) === true;
    };
    const has = ({ api_key_id, user_id, business_id }: TestRecord): boolean =>
      apiKeyId ? api_key_id === apiKeyId : userId ? user_id === userId : business_id === businessId;
    const all = [
      ...events.filter(concerns).map(({ at, id }) => [at, 0, 'event', id] as const),
      ...freezes
        .filter(({ lifted, key, user: owner, business }) => !lifted && covers(key, owner, business))
        .map(({ until, id }) => [iso(until), 1, 'freeze-end', id] as const),
      ...stored.map((at, index) => [iso(at), 2, 'policy', POLICIES[index] ?? 'sha256:c'] as const),
      ...decisions.filter(has).map(({ at, id }) => [at, 3, 'decision', id] as const),
    ].filter(([at]) => at >= RANGE.from && at < RANGE.to);
    return all
      .sort((a, b) => (a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : a[1] - b[1] || (a[3] < b[3] ? -1 : 1)))
      .map(([at, , type, id]) => `${at} ${type} ${id}`);
  }

  /** The whole, read to the end, or gone on behind every so many items as after a cut. */
  async function walk(subject: Subject, cuts: () => number): Promise<{ told: string[]; policies: (string | null)[] }> {
    const told: string[] = [];
    const policies: (string | null)[] = [];
    for (let place = ''; ; ) {
      let left = cuts();
      let ended = true;
      reading: for await (const part of readTimeline(db, subject, RANGE, place))
        for (const { item, place: here } of part) {
          if (left === 0) {
            ended = false;
            break reading;
          }
          left -= 1;
          place = here;
          const id = { event: 'event', 'freeze-end': 'freeze', policy: 'policy', decision: 'decision' }[item.type];
          const told_ = (item as unknown as Record<string, { id?: string; digest?: string }>)[id];
          told.push(`${item.at} ${item.type} ${told_?.id ?? told_?.digest}`);
          if (item.type === 'decision') policies.push(item.policyBefore);
        }
      if (ended) return { told, policies };
    }
  }

  for (const subject of [
    ...Object.keys(OWNER).map((apiKeyId) => ({ apiKeyId })),
    ...['u1', 'u2'].map((userId) => ({ userId })),
    ...['b1', 'b2'].map((businessId) => ({ businessId })),
    { apiKeyId: 'nobody' },
  ])
    it(`of ${JSON.stringify(subject)} are whole and in order, also where they are cut and gone on`, async () => {
      const expected = oracle(subject);
      const { told, policies } = await walk(subject, () => Number.POSITIVE_INFINITY);
      expect(told).to.deep.equal(expected);
      const draw = drawer(SEED);
      const cut = await walk(subject, () => 1 + draw(400));
      expect(cut.told).to.deep.equal(expected);
      expect(cut.policies).to.deep.equal(policies);
      const records = expected.flatMap((line) => decisions.find(({ id }) => line.endsWith(`decision ${id}`)) ?? []);
      const changed = records
        .slice(1)
        .map(({ policy }, index) => (policy === records[index]?.policy ? null : records[index]?.policy));
      expect(policies.slice(1)).to.deep.equal(changed);
    });
});
