/** The double for tests of other teams: what it does by itself, and that with rules it decides as a real service of the same folder. */

import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  type AuthzError,
  type Client,
  createClient,
  type Decision,
  type Question,
} from '../../packages/client/src/index.ts';
import { createTestClient, type FailureName, type TestClient } from '../../packages/client/src/testing.ts';
import { loadPolicy, type World, type WorldFreeze, type WorldKey } from '../../packages/policy/src/index.ts';
import { ROOT } from '../support/cli.ts';
import { clientOf, type Client as HttpClient } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

describe('the double of the client', () => {
  const question: Question = { authorization: 'Token x', action: 'call:create', businessId: 'bakery' };

  it('denies what it was not told to allow, and keeps what it was asked', async () => {
    const double = createTestClient();
    expect(await double.authorize(question)).to.deep.include({ allowed: false, Code: 'PERMISSION_DENIED' });
    double.allow({ action: 'call:create', businessId: 'bakery' });
    const others = [
      { ...question, action: 'call:read' },
      { ...question, businessId: 'garage' },
      { action: 'call:create', businessId: 'bakery' },
    ];
    const decisions = await double.authorizeAll([question, ...others]);
    expect(decisions.map(({ allowed }) => allowed)).to.deep.equal([true, false, false, false]);
    expect(decisions[0]?.Data).to.include({ status: 200, businessId: 'bakery', action: 'call:create' });
    expect(double.asked).to.deep.equal([question, question, ...others]);
    double.reset();
    expect([(await double.authorize(question)).allowed, double.asked.length]).to.deep.equal([false, 1]);
  });

  it('fails with each of the four errors, and recovers', async () => {
    const double = createTestClient();
    double.allow({});
    for (const name of ['Unavailable', 'TimedOut', 'NotPermitted', 'BadQuestion'] satisfies FailureName[]) {
      double.fail(name);
      const error = (await rejection(double.authorize(question, { requestId: 'r1' }))) as AuthzError;
      expect([error.name, error.requestId]).to.deep.equal([name, 'r1']);
      expect(JSON.stringify(error) + error.message).to.not.include('Token x');
    }
    double.recover();
    expect((await double.authorize(question)).allowed).to.equal(true);
    double.close();
    expect((await rejection(double.authorize(question))).name).to.equal('Unavailable');
  });

  it('stalls until the deadline, or until the signal says no more', async () => {
    const double = createTestClient({ deadlineMs: 20 });
    double.allow({});
    double.stall();
    expect((await rejection(double.authorize(question))).name).to.equal('TimedOut');
    const given = new AbortController();
    const pending = rejection(double.authorizeAll([question], { deadlineMs: 60_000, signal: given.signal }));
    given.abort(new Error('enough'));
    expect((await pending).message).to.equal('enough');
  });

  it('has of keys and freezes what the test gives it, and fails else', async () => {
    const double = createTestClient({ keys: { delete: async () => undefined } });
    await double.keys.delete('ada-main');
    const { name, message } = await rejection(double.freezes.list());
    expect([name, message]).to.deep.equal([
      'Unavailable',
      'This double has no freezes.list: give it as createTestClient({ freezes: { list } }).',
    ]);
  });

  it('takes what rules throw for no answer', async () => {
    const double = createTestClient({
      rules: {
        decide: () => {
          throw new Error('a rule failed');
        },
      },
    });
    expect((await rejection(double.authorize(question))).name).to.equal('Unavailable');
    expect(() => double.allow({})).to.throw(TypeError, 'world');
  });
});

const FACTS = `
attributes: { user: { plan: [free, pro] }, key: { can: { grants: [sms, recordings] } }, business: { region: [eu, us] } }
networks: { office: ["203.0.113.0/24"] }
asked: { soft: boolean, state: [active, archived] }
`;
const ROWS = `p, plan, trial:*, "r.user.plan != 'pro' && !r.asked.soft", deny, PERMISSION_DENIED
p, sms, sms:*, "!r.key.can.sms && !r.network.office", deny, PERMISSION_DENIED
p, region, region:*, "r.target.region != 'eu' && r.asked.state != 'active'", deny, PERMISSION_DENIED
`;

const SEED = Number(process.env['FC_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));

describe('the double of the client, with rules', () => {
  let folder: string;
  let service: TestService;
  let http: HttpClient;
  let client: Client;
  let double: TestClient<World>;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'contract-policy-'));
    await cp(path.join(ROOT, 'policies'), folder, { recursive: true });
    const facts = path.join(folder, 'facts.yaml');
    await writeFile(facts, (await readFile(facts, 'utf8')) + FACTS);
    await writeFile(path.join(folder, '45-more.csv'), ROWS);
    // One after the other: each checks the policy, and a connection waits for its turn of the event loop only so long.
    const rules = await loadPolicy(folder);
    service = await startService({ POLICY_DIR: folder });
    http = clientOf(service);
    client = createClient({ url: service.address, token: service.token, deadlineMs: 30_000 });
    double = createTestClient<World>({ rules });
    expect(rules.digest).to.equal(service.service.live.policy().digest);
    expect(rules.codes).to.deep.equal([...service.service.live.policy().codes.keys()]);
  });
  after(async () => {
    client?.close();
    await service?.close();
    await rm(folder, { recursive: true });
  });

  it(`decides as the service does: random worlds, and questions in them (FC_SEED=${SEED})`, async () => {
    let run = 0;
    const codes = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(
        drawnWorld,
        fc.array(drawnQuestion, { minLength: 100, maxLength: 100 }),
        async (drawn, drawnQuestions) => {
          run += 1;
          const name = (id: string) => `w${run}-${id}`;
          const world = await store(service, http, drawn, name);
          const keys = Object.values(world.keys ?? {}).map(({ apiKey = '' }) => apiKey);
          const questions = drawnQuestions.map(
            ({ key, form, business, ...rest }): Question => ({
              ...rest,
              ...credentialOf(keys[key % (keys.length + 1)] ?? 'unknown', form),
              ...(business !== undefined && { businessId: business === null ? null : name(business) }),
            }),
          );
          double.setWorld(world);
          const [real, doubled] = await Promise.all([client.authorizeAll(questions), double.authorizeAll(questions)]);
          for (const [at, one] of real.entries()) {
            expect(plainly(doubled[at]), JSON.stringify(questions[at])).to.deep.equal(plainly(one));
            codes.set(one.Code, (codes.get(one.Code) ?? 0) + 1);
          }
        },
      ),
      { numRuns: 4, seed: SEED, endOnFailure: true },
    );
    expect([...codes.keys()]).to.include.members(['OK', 'INVALID_API_KEY', 'PERMISSION_DENIED']);
  });

  it('evaluates as the service does where a key is shown, and denies the rest', async () => {
    const name = (id: string) => `evaluated-${id}`;
    const [drawn] = fc.sample(drawnWorld, { numRuns: 1, seed: SEED });
    const world = await store(service, http, drawn as Drawn, name);
    double.setWorld(world);
    const evaluated = async (asked: Pick<Client, 'evaluate'>, key: string, action: string, type: string) => {
      const evaluation = {
        subject: { type: 'credential', id: 'header' },
        action: { name: action },
        resource: { type, id: name('bakery') },
      };
      const { decision, context } = await asked.evaluate(evaluation, { subjectAuthorization: `Token ${key}` });
      const { decisionId, rateLimit, retryAfterSeconds, ...rest } = context;
      return { decision, ...rest };
    };
    for (const { apiKey = '' } of Object.values(world.keys ?? {}))
      for (const action of ['call:create', 'user:read'])
        expect(await evaluated(double, apiKey, action, 'business')).to.deep.equal(
          await evaluated(client, apiKey, action, 'business'),
        );
    const [{ apiKey = '' }] = Object.values(world.keys ?? {}) as [WorldKey];
    expect((await evaluated(double, apiKey, 'call:create', 'record')).decision).to.equal(false);
  });

  it('goes by the times of the world, and takes none that cannot be read', async () => {
    const at = '2026-01-31T12:00:00Z';
    const freeze = { businessId: 'bakery', reason: 'It is looked into.' };
    const outcome = async (expiresAt: string | null, until: string, now = at): Promise<string> => {
      double.setWorld({
        users: { ada: {} },
        businesses: { bakery: { members: { ada: 'owner' } } },
        keys: { 'ada-main': { userId: 'ada', expiresAt } },
        freezes: [{ ...freeze, until }],
        at: now,
      });
      const question = { apiKey: 'ada-main', action: 'call:create', businessId: 'bakery' };
      return double.authorize(question).then(
        ({ Code }) => Code,
        ({ name }) => name,
      );
    };
    expect(await outcome(null, at)).to.equal('OK');
    expect(await outcome('2026-01-31T12:00:01Z', at)).to.equal('OK');
    expect(await outcome(at, at)).to.equal('INVALID_API_KEY');
    expect(await outcome(null, '2026-01-31T12:00:01Z')).to.equal('FROZEN');
    for (const none of ['tomorrow', '']) {
      expect(await outcome(none, at), none).to.equal('Unavailable');
      expect(await outcome(null, none), none).to.equal('Unavailable');
      expect(await outcome(null, at, none), none).to.equal('Unavailable');
    }
  });

  it('refuses the questions that the service refuses, with the same paths', async () => {
    double.setWorld({});
    const question = { authorization: 'Token x', action: 'call:create', businessId: 'b' };
    const bad: readonly Question[] = [
      { ...question, apiKey: 'x' },
      { ...question, action: 'Call' },
      { ...question, businessId: '..' },
      { ...question, businessId: '' },
      { ...question, context: { attributes: { soft: 'yes' } } },
      { ...question, context: { attributes: { state: 'gone', hard: true } } },
    ];
    for (const one of bad) {
      const [real, doubled] = await Promise.all(
        [client, double].map(async (asked) => (await rejection(asked.authorize(one))) as AuthzError),
      );
      const seen = (error: AuthzError | undefined) => [error?.name, error?.code, error?.issues.map(({ path }) => path)];
      expect(seen(doubled), JSON.stringify(one)).to.deep.equal(seen(real));
      const batch = (await rejection(double.authorizeAll([question, one]))) as AuthzError;
      expect(batch.issues.map(({ path }) => path)).to.deep.equal(real?.issues.map(({ path }) => `requests[1].${path}`));
    }
  });
});

/** Without what differs from one answer to the next; whether there is a rate limit, and not how it stands. */
function plainly(decision: Decision | undefined): unknown {
  if (!decision) return undefined;
  const { requestId, Data, ...rest } = decision;
  const { decisionId, rateLimit, retryAfterSeconds, ...data } = Data;
  return { ...rest, Data: { ...data, isLimited: [rateLimit, retryAfterSeconds].map((one) => one !== undefined) } };
}

const credentialOf = (key: string, form: string): Partial<Question> => {
  if (form === 'none') return {};
  return form === 'key' ? { apiKey: key } : { authorization: form.replace('KEY', key) };
};

const [USERS, BUSINESSES] = [
  ['ann', 'bob'],
  ['bakery', 'garage', 'kiosk'],
];
const maybe = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const rarely = fc.integer({ max: 5, min: 0 }).map((drawn) => drawn === 0);
const reason = fc.constantFrom(null, 'It was closed on request.');
const past = '2020-01-01T00:00:00.000Z';
const future = '2999-01-01T00:00:00.000Z';

const drawnKey = fc.record({
  user: fc.constantFrom(...USERS),
  allowUserManagementApiRequests: fc.boolean(),
  restrictedBusinessIds: fc.option(fc.uniqueArray(fc.constantFrom(...BUSINESSES), { minLength: 1 })),
  environment: fc.constantFrom('production', 'staging'),
  expiresAt: fc.constantFrom(null, null, past, future),
  revoked: rarely,
  rateLimitExceeded: rarely,
  can: maybe(fc.uniqueArray(fc.constantFrom('sms', 'recordings'))),
});
const drawnFreeze = fc.record({
  action: fc.constantFrom(null, 'call:*', 'call:create', 'trial:*'),
  user: fc.constantFrom(null, ...USERS),
  business: fc.constantFrom(...BUSINESSES),
  forSeconds: fc.constant(1800),
});
const KIOSK = { action: null, user: null, business: 'kiosk' };
const drawnWorld = fc.record({
  users: fc.array(
    fc.record({
      disabled: rarely,
      disabledReason: reason,
      businessesDisabled: rarely,
      plan: maybe(fc.constantFrom('free', 'pro')),
    }),
    { minLength: USERS.length, maxLength: USERS.length },
  ),
  businesses: fc.array(
    fc.record({
      disabled: rarely,
      disabledReason: reason,
      region: maybe(fc.constantFrom('eu', 'us')),
      roles: fc.array(fc.constantFrom(undefined, 'owner', 'member'), {
        minLength: USERS.length,
        maxLength: USERS.length,
      }),
    }),
    { minLength: BUSINESSES.length, maxLength: BUSINESSES.length },
  ),
  keys: fc.array(drawnKey, { minLength: 6, maxLength: 6 }),
  // Of the two that cover all of the kiosk, the one that lasts longer is told.
  freezes: drawnFreeze.map((one) => [one, ...[7200, 3600].map((forSeconds) => ({ ...KIOSK, forSeconds }))]),
});
type Drawn = typeof drawnWorld extends fc.Arbitrary<infer T> ? T : never;

const drawnQuestion = fc.record({
  key: fc.nat(),
  form: fc.constantFrom(
    'key',
    'key',
    'key',
    'key',
    'Token KEY',
    'Token KEY',
    'Token KEY',
    'token KEY',
    'Bearer KEY',
    'Token  KEY',
    'KEY',
    '',
    'none',
  ),
  action: fc.constantFrom(
    'call:create',
    'call:read',
    'user:read',
    'account:read',
    'trial:start',
    'sms:send',
    'region:read',
  ),
  business: fc.constantFrom(undefined, null, ...BUSINESSES, ...BUSINESSES, 'nowhere'),
  context: maybe(
    fc.record(
      {
        ip: fc.constantFrom('203.0.113.7', '198.51.100.7', '::ffff:203.0.113.9'),
        attributes: fc.record(
          { soft: fc.boolean(), state: fc.constantFrom('active', 'archived') },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: [] },
    ),
  ),
});

/** Stores a drawn world in the service, its ids with their names, and returns it as the double is given it. */
async function store(
  service: TestService,
  http: HttpClient,
  drawn: Drawn,
  name: (id: string) => string,
): Promise<World> {
  const users: Record<string, object> = {};
  for (const [at, { plan, ...user }] of drawn.users.entries()) {
    const given = { ...user, ...(user.disabled ? {} : { disabledReason: null }), attributes: plan ? { plan } : {} };
    users[name(USERS[at] as string)] = given;
    await http.data('PUT', `/users/${name(USERS[at] as string)}`, given);
  }
  const businesses: Record<string, object> = {};
  for (const [at, { region, roles, ...business }] of drawn.businesses.entries()) {
    const id = name(BUSINESSES[at] as string);
    const given = {
      ...business,
      ...(business.disabled ? {} : { disabledReason: null }),
      attributes: region ? { region } : {},
    };
    await http.data('PUT', `/businesses/${id}`, given);
    const members = Object.fromEntries(
      roles.flatMap((role, user) => (role ? [[name(USERS[user] as string), role] as const] : [])),
    );
    for (const [user, role] of Object.entries(members))
      await http.data('PUT', `/businesses/${id}/members/${user}`, { role });
    businesses[id] = { ...given, members };
  }
  const keys: Record<string, WorldKey> = {};
  for (const [at, { user, restrictedBusinessIds, can, ...grants }] of drawn.keys.entries()) {
    const id = name(`key${at}`);
    const restricted = restrictedBusinessIds?.map(name);
    const attributes = can ? { can } : {};
    const row = {
      id,
      user_id: name(user),
      allow_user_management: grants.allowUserManagementApiRequests,
      environment: grants.environment,
      expires_at: grants.expiresAt,
      revoked_at: grants.revoked ? past : null,
      attributes: JSON.stringify(attributes),
      ...(grants.rateLimitExceeded && { rate_limit_requests: 1, rate_limit_window_seconds: 86_400 }),
    };
    const apiKey = await insertKey(service, row, restricted);
    // The only one that its limit lets through, where it counts.
    if (grants.rateLimitExceeded) await http.decide(apiKey);
    keys[id] = { ...grants, apiKey, userId: name(user), restrictedBusinessIds: restricted ?? null, attributes };
  }
  const freezes: WorldFreeze[] = [];
  for (const { action, user, business, forSeconds } of drawn.freezes) {
    const freeze = {
      action,
      userId: user && name(user),
      businessId: name(business),
      reason: `It takes ${forSeconds} seconds.`,
    };
    const { until } = await http.data('POST', '/freezes', { ...freeze, forSeconds });
    freezes.push({ ...freeze, until: String(until) });
  }
  return { users, businesses, keys, freezes };
}
