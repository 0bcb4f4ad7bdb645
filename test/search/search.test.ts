/**
 * A search finds those, and only those, of whom an evaluation would say yes: held to the evaluation of each candidate, under random rows that
 * read whatever can be stored of one, in random directories with freezes; in pages, each exactly once and in order.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { type LoadNamed, type Named, namedLoader } from '../../src/facts/load-named.ts';
import { covering, type Freeze, indexFreezes } from '../../src/freezes/covering.ts';
import { withFreeze } from '../../src/freezes/in-force.ts';
import { createMatcher } from '../../src/policy/casbin/matcher.ts';
import { parseRule } from '../../src/policy/casbin/rule.ts';
import { decide, type Policy } from '../../src/policy/decide.ts';
import type { Declaration, DeclaredGrants, DeclaredValues } from '../../src/policy/declared/declaration.ts';
import { NO_ROUTES } from '../../src/policy/declared/gateway.ts';
import { NO_NAMES } from '../../src/policy/declared/names.ts';
import { type AskedAttributes, factsUnder, type StoredSource } from '../../src/policy/facts-under.ts';
import { schemaOf } from '../../src/policy/schema.ts';
import { searchActions } from '../../src/search/actions.ts';
import { MOST_CLASSES } from '../../src/search/classes.ts';
import { type Found, searchBusinesses, searchSubjects } from '../../src/search/search.ts';
import { SEED } from '../policy/texts.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';

const values = (...of: string[]) => ({ kind: 'values' as const, values: of, withholds: false });
const ACTIONS = ['call:read', 'call:create', 'call:log:read', 'sms:send'];
const DECLARED: Declaration = {
  attributes: {
    user: new Map([['plan', values('free', 'pro')]]),
    business: new Map([['region', values('eu', 'us')]]),
    key: new Map<string, DeclaredValues | DeclaredGrants>([
      ['can', { kind: 'grants', grants: ['sms', 'fax'], withholds: false }],
      ['plan', values('pro', 'max')],
    ]),
  },
  roles: ['viewer'],
  networks: [],
  schedules: [],
  asked: new Map([
    ['tier', values('free', 'pro', 'max')],
    ['zone', values('eu', 'mars')],
  ]),
  actions: {
    strict: false,
    known: new Map(ACTIONS.map((one) => [one, 'An action'])),
    groups: new Map([['reads', ['call:read']]]),
  },
};
const SCHEMA = schemaOf(DECLARED);

const LITERALS = [
  "r.key.environment == 'staging'",
  "(r.key.environment in ['test', 'staging'])",
  "r.key.id == 'k3'",
  "r.key.id != 'k5'",
  'r.key.userManagement',
  "r.user.id == 'u2'",
  "r.user.businesses == 'disabled'",
  "r.target.id == 'b2'",
  "(r.target.id in ['b1', 'b4'])",
  "r.target.status == 'disabled'",
  "r.target.status == 'none'",
  "r.target.role == 'owner'",
  "r.target.role == 'viewer'",
  "r.target.role != 'none'",
  "r.target.role == 'other'",
  'r.target.inRestriction',
  "r.user.plan == 'pro'",
  "r.key.plan == 'unknown'",
  "r.target.region != 'eu'",
  'r.key.can.sms',
  "r.asked.tier == 'pro'",
  "r.asked.tier == 'unknown'",
  "r.asked.zone == 'eu'",
  // More often than others: what is stored stands in for it.
  "r.asked.tier != 'unknown'",
  "r.asked.tier == 'max'",
  "r.asked.zone != 'eu'",
  'r.request.byId',
  'r.request.group.reads',
  'r.limit.exceeded',
];
const condition = fc
  .array(fc.tuple(fc.constantFrom(...LITERALS), fc.boolean(), fc.boolean()), { minLength: 1, maxLength: 4 })
  .map((terms) =>
    terms
      .map(([literal, not]) => (not ? `!(${literal})` : `(${literal})`))
      .reduce((before, term, index) => `(${before} ${terms[index]?.[2] ? '||' : '&&'} ${term})`),
  );
const rowArbitrary = fc.record({
  action: fc.constantFrom('*', 'call:*', 'call:log:*', 'sms:send', ...ACTIONS),
  when: condition,
  allow: fc.boolean(),
});
type RandomRow = typeof rowArbitrary extends fc.Arbitrary<infer R> ? R : never;

function policyOf(given: readonly RandomRow[], otherwise: boolean): Policy {
  const all = [
    { action: '*', when: "r.key.status != 'active' || r.user.status != 'active' || r.freeze.active", allow: false },
    ...given,
    { action: '*', when: 'true', allow: otherwise },
  ];
  const rows = all.map(({ action, when, allow }, index) => ({
    id: `row-${index}`,
    action,
    when: parseRule(when, SCHEMA),
    effect: allow ? ('allow' as const) : ('deny' as const),
    code: allow ? 'OK' : 'PERMISSION_DENIED',
    file: '10-rows.csv',
    line: index + 1,
  }));
  return {
    digest: 'sha256:random',
    codes: new Map(),
    names: NO_NAMES,
    gateway: NO_ROUTES,
    rows,
    ...createMatcher(rows, SCHEMA),
  };
}

const attribute = <T>(of: readonly T[]) => fc.option(fc.constantFrom(...of), { nil: undefined });
const [USERS, BUSINESSES, KEYS] = [
  ['u1', 'u2', 'u3', 'U3'],
  ['b1', 'b2', 'b3', 'b4', 'B4'],
  ['k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'K6'],
];
const worldArbitrary = fc.record({
  users: fc.tuple(
    ...USERS.map((id) =>
      fc.record({
        id: fc.constant(id),
        disabled: fc.constant(id === 'u3'),
        businessesDisabled: fc.constantFrom(false, false, true),
        plan: attribute(['free', 'pro', 'gold']),
      }),
    ),
  ),
  businesses: fc.tuple(
    ...BUSINESSES.map((id) =>
      fc.record({ id: fc.constant(id), disabled: fc.boolean(), region: attribute(['eu', 'us', 'mars']) }),
    ),
  ),
  members: fc.uniqueArray(
    fc.record({
      user: fc.constantFrom(...USERS),
      business: fc.constantFrom(...BUSINESSES),
      role: fc.constantFrom('owner', 'member', 'viewer', 'auditor'),
    }),
    { selector: ({ user, business }) => `${user} ${business}`, minLength: 6, maxLength: 16 },
  ),
  keys: fc.tuple(
    ...KEYS.map((id) =>
      fc.record({
        id: fc.constant(id),
        user: fc.constantFrom(...USERS),
        management: fc.boolean(),
        environment: fc.constantFrom('production', 'staging', 'test'),
        state: fc.constantFrom('live', 'live', 'live', 'live', 'revoked', 'expired', 'expiring'),
        restriction: fc.option(fc.subarray([...BUSINESSES]), { nil: undefined }),
        can: attribute([[], ['sms'], ['sms', 'fax'], 'sms']),
        plan: attribute(['pro', 'max', 'gold', ['pro']]),
      }),
    ),
  ),
  freezes: fc.array(
    fc.record({
      action: attribute(['call:read', 'call:*', '*']),
      key: attribute(KEYS),
      user: attribute(USERS),
      business: attribute(BUSINESSES),
      state: fc.constantFrom('in force', 'in force', 'ended', 'lifted'),
    }),
    { minLength: 2, maxLength: 4 },
  ),
});
type World = typeof worldArbitrary extends fc.Arbitrary<infer W> ? W : never;

async function fill(db: Knex, { users, businesses, members, keys, freezes }: World): Promise<readonly Freeze[]> {
  await db.raw('truncate users, businesses, freezes cascade');
  const json = (value: object): string => JSON.stringify(value);
  const time = '2000-01-01T00:00:00Z';
  await db('users').insert(
    users.map(({ id, disabled, businessesDisabled, plan }) => ({
      id,
      disabled_at: disabled ? time : null,
      businesses_disabled_at: businessesDisabled ? time : null,
      attributes: json({ plan }),
    })),
  );
  await db('businesses').insert(
    businesses.map(({ id, disabled, region }) => ({
      id,
      disabled_at: disabled ? time : null,
      attributes: json({ region }),
    })),
  );
  await db('business_members').insert(
    members.map(({ user, business, role }) => ({ user_id: user, business_id: business, role })),
  );
  await db('api_keys').insert(
    keys.map(({ id, user, management, environment, state, restriction, can, plan }) => ({
      id,
      user_id: user,
      friendly_name: id,
      digest: Buffer.from(id.padEnd(32)),
      pepper_id: 'test',
      hint: '...',
      allow_user_management: management,
      restricted: restriction !== undefined,
      environment,
      attributes: json({ can, plan }),
      revoked_at: state === 'revoked' ? time : null,
      expires_at: state === 'expired' ? time : state === 'expiring' ? '2999-01-01T00:00:00Z' : null,
    })),
  );
  const restrictions = keys.flatMap(({ id, restriction = [] }) =>
    restriction.map((one) => ({ key_id: id, business_id: one })),
  );
  if (restrictions.length > 0) await db('api_key_businesses').insert(restrictions);
  const rows = freezes.map(({ action, key, user, business, state }, index) => ({
    id: `f${index}`,
    action: action ?? null,
    key_id: key ?? null,
    user_id: user ?? null,
    business_id: business ?? null,
    reason: 'a try',
    until: state === 'ended' ? time : '2999-01-01T00:00:00Z',
    lifted_at: state === 'lifted' ? time : null,
  }));
  if (rows.length > 0) await db('freezes').insert(rows);
  return rows
    .filter(({ until, lifted_at }) => until > '2500' && lifted_at === null)
    .map(({ id, action, key_id, user_id, business_id, reason, until }) => ({
      id,
      action,
      keyId: key_id,
      userId: user_id,
      businessId: business_id,
      reason,
      until: Date.parse(until),
    }));
}

interface Asking {
  readonly attributes: AskedAttributes;
  readonly stored: ReadonlyMap<string, StoredSource>;
}
const BOTH = new Map<string, StoredSource>([
  ['tier', { owners: ['key', 'user'], name: 'plan' }],
  ['zone', { owners: ['business'], name: 'region' }],
]);
const askingArbitrary: fc.Arbitrary<Asking> = fc.record({
  attributes: fc.constantFrom({}, { tier: 'pro' }, { zone: 'eu' }),
  stored: fc.constantFrom<Asking['stored']>(
    new Map(),
    new Map([['tier', { owners: ['key', 'user'], name: 'plan' }]]),
    BOTH,
  ),
});

/** Of which only what is stored of the candidates decides, in place of what the question could have brought. */
const BY_PROPERTIES = [
  [{ action: '*', when: "(r.asked.tier == 'pro' || r.asked.tier == 'max') && r.asked.zone != 'eu'", allow: true }],
  false,
  { attributes: {}, stored: BOTH },
] as const;

/** As the shipped rows do. */
const BY_ACCESS = [
  [{ action: '*', when: "r.target.inRestriction && (r.target.role in ['owner', 'member'])", allow: true }],
  false,
  { attributes: {}, stored: new Map() },
] as const;

describe(`a search (seed ${SEED})`, function () {
  this.timeout(170_000);
  let db: Knex;
  let loadNamed: LoadNamed;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 2 });
    loadNamed = namedLoader(db, (read) => read());
  });
  after(() => db?.destroy());

  const pages = async (
    find: (place: { after: readonly string[] | undefined; limit: number }) => Promise<Found>,
    limit: number,
  ) => {
    const all: (readonly string[])[] = [];
    for (let after: readonly string[] | undefined; ; after = all.at(-1)) {
      const found = await find({ after, limit });
      all.push(...found.slice(0, limit));
      if (found.length <= limit) return all;
    }
  };

  it('finds whom an evaluation allows, and nobody else', async () => {
    const totals = { found: 0, asked: 0, worlds: 0 };
    // Few runs, of which each is to be as mixed as any: the first of a biased series would have next to nothing in them.
    const property = fc.asyncProperty(
      fc.noBias(worldArbitrary),
      fc.noBias(
        fc.array(fc.tuple(fc.array(rowArbitrary, { maxLength: 6 }), fc.boolean(), askingArbitrary), {
          minLength: 6,
          maxLength: 6,
        }),
      ),
      async (world, policies) => {
        totals.worlds += 1;
        const freezes = indexFreezes(await fill(db, world));
        const targets = [undefined, ...BUSINESSES];
        const known = new Map(
          await Promise.all(
            targets.map(async (businessId) => {
              const questions = KEYS.map((keyId) => ({ named: { keyId }, businessId }));
              const found = await loadNamed(questions, [], deadlineIn(60_000));
              return [businessId, found.map(([one]) => one)] as const;
            }),
          ),
        );
        for (const [rows, otherwise, asking] of [...policies, BY_PROPERTIES, BY_ACCESS] as typeof policies) {
          const policy = policyOf(rows, otherwise);
          for (const action of ACTIONS.slice(0, 2)) {
            const asked = { action, ip: undefined, moment: undefined, byId: true, ...asking };
            const allows = (keyId: string, businessId: string | undefined, of = asked): boolean => {
              const one = known.get(businessId)?.[KEYS.indexOf(keyId)];
              if (!one) throw new Error('a key was not loaded');
              const freeze = covering(freezes, { ...one, request: of }, Date.now());
              return decide(policy, withFreeze(factsUnder(SCHEMA, one, of), freeze)).effect === 'allow';
            };
            const userOf = (keyId: string): string => String(world.keys.find(({ id }) => id === keyId)?.user);
            const search = { db, policy, question: asked };
            for (const businessId of targets) {
              const expected = KEYS.filter((id) => allows(id, businessId)).map((id) => [userOf(id), id]);
              const keys = await pages((place) => searchSubjects({ ...search, place }, 'api_key', businessId), 2);
              expect(keys, `${action} on ${businessId}: ${JSON.stringify(rows)}`).to.deep.equal(expected.sort());
              const users = await pages((place) => searchSubjects({ ...search, place }, 'user', businessId), 1);
              expect(users.flat()).to.deep.equal([...new Set(expected.map(([user]) => user))].sort());
              totals.found += keys.length;
              totals.asked += 2;
            }
            const named: readonly (readonly [Named, readonly string[]])[] = [
              ...KEYS.slice(0, 3).map((keyId) => [{ keyId }, [keyId]] as const),
              ...USERS.slice(0, 2).map((userId) => [{ userId }, KEYS.filter((id) => userOf(id) === userId)] as const),
            ];
            for (const [who, ids] of named) {
              const expected = BUSINESSES.filter((business) => ids.some((id) => allows(id, business))).sort();
              const found = await pages((place) => searchBusinesses({ ...search, place }, who), 2);
              expect(found.flat(), `${JSON.stringify(who)}: ${JSON.stringify(rows)}`).to.deep.equal(expected);
              totals.asked += 1;
            }
            if (action !== ACTIONS[0]) continue;
            for (const [who, ids] of named) {
              const found = await searchActions({
                loadNamed,
                freezes: { current: () => (question) => covering(freezes, question, Date.now()) },
                policy,
                named: who,
                businessId: 'b1',
                question: asked,
                deadline: deadlineIn(60_000),
              });
              const expected = ACTIONS.filter((one) => ids.some((id) => allows(id, 'b1', { ...asked, action: one })));
              expect(found).to.deep.equal(expected.sort());
            }
          }
        }
      },
    );
    await fc.assert(property, { seed: SEED, numRuns: amount(3, 6, 40), endOnFailure: true });
    expect(totals.found).to.be.above(100);
    console.log(`      ${JSON.stringify(totals)}`);
  });

  it('refuses what tells too many kinds apart, and says how many', async () => {
    const ids = (fact: string): string =>
      Array.from({ length: 30 }, (_, n) => `${fact} == '${fact.split('.')[1]}-${n}'`).join(' || ');
    const rows = ['r.key.id', 'r.user.id', 'r.key.environment'].map((fact) => ({
      action: '*',
      when: ids(fact),
      allow: false,
    }));
    const policy = policyOf(rows, true);
    const question = { action: 'call:read', ip: undefined, attributes: undefined, moment: undefined };
    const search = { db, policy, question, place: { after: undefined, limit: 1 } };
    const failure = await rejection(searchSubjects(search, 'user', undefined));
    expect(failure).to.include({ code: 'INVALID_REQUEST' });
    expect(JSON.stringify((failure as { issues?: unknown }).issues))
      .to.include(`${31 ** 3} kinds`)
      .and.to.include(`${MOST_CLASSES}`);
  });
});
