/**
 * AuthZEN evaluations of this service's own: who is asked about and how, what is counted and recorded, what nothing maps, and where a key may
 * stand. The policy is that of the certification scenario.
 */

import path from 'node:path';
import { expect } from 'chai';
import { showDecision } from '../../../src/audit/query/explanation.ts';
import { createToken } from '../../../src/credentials/token.ts';
import { mutate } from '../../../src/db/mutate.ts';
import { selfCheck } from '../../../src/rollout/replay.ts';
import { importInto } from '../../support/access.ts';
import { ROOT } from '../../support/cli.ts';
import { type Client, clientOf } from '../../support/client.ts';
import { insertCaller, startService, type TestService } from '../../support/service.ts';

const EXAMPLE = path.join(ROOT, 'examples', 'authzen-certification');
const HEADER = 'Iqra-Subject-Authorization';
const RECORD_1 = { type: 'record', id: 'record-1' };
const ALICE = { type: 'user', id: 'alice' };
const CREDENTIAL = { type: 'credential', id: 'header' };
const READ = { name: 'read' };

interface Got {
  readonly status: number;
  readonly body: {
    readonly decision?: boolean;
    readonly context?: Record<string, unknown>;
    readonly evaluations?: readonly { readonly decision: boolean; readonly context: Record<string, unknown> }[];
    readonly Message?: string;
    readonly Data?: { readonly issues?: readonly { readonly path: string; readonly message: string }[] };
  };
}

interface Row {
  readonly api_key_id: string | null;
  readonly user_id: string | null;
  readonly business_id: string | null;
  readonly action: string;
  readonly effect: string;
  readonly code: string;
  readonly rule: string;
  readonly caller_request_id: string | null;
  readonly facts: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
}

describe('an AuthZEN evaluation', () => {
  let service: TestService;
  let client: Client;
  let keys: Readonly<Record<string, string>>;

  before(async () => {
    service = await startService({ POLICY_DIR: path.join(EXAMPLE, 'policies') });
    client = clientOf(service);
    keys = await importInto(service, path.join(EXAMPLE, 'data.json'));
  });
  after(() => service?.close());

  const ask = async (body: unknown, headers: Record<string, string> = {}, endpoint = 'evaluation'): Promise<Got> =>
    (await service.ask(`/access/v1/${endpoint}`, body, headers)) as unknown as Got;
  const shown = (name: string) => ({ [HEADER]: `Token ${keys[name]}` });
  const evaluation = (subject: object, action: object = READ, resource: object = RECORD_1) => ({
    subject,
    action,
    resource,
  });
  const count = async (): Promise<number> => Number((await service.db('decisions').count({ n: '*' }).first())?.['n']);
  const recordOf = async ({ body }: Got): Promise<Row> => {
    const [row] = await service.db<Row & { id: string }>('decisions').where('id', String(body.context?.['decisionId']));
    return row as Row;
  };
  const asCaller = async (...scopes: string[]): Promise<Record<string, string>> => ({
    authorization: `Bearer ${await insertCaller(service, scopes)}`,
  });
  /** Refused as a whole, and nothing is recorded. */
  const refuses = async (got: () => Promise<Got>, status: number, says: string): Promise<void> => {
    const before = await count();
    const { status: found, body } = await got();
    expect(found, JSON.stringify(body)).to.equal(status);
    expect(JSON.stringify(body)).to.include(says);
    for (const key of Object.values(keys)) expect(JSON.stringify(body)).to.not.include(key.slice(5));
    expect(await count()).to.equal(before);
  };

  describe('of a credential', () => {
    it('decides about the key of the header, or of the properties, as /authorize does', async () => {
      const native = await service.ask('/authorize', {
        apiKey: keys['bob-key'],
        action: 'record:write',
        businessId: 'record-1',
      });
      for (const [subject, headers] of [
        [CREDENTIAL, shown('bob-key')],
        [{ ...CREDENTIAL, properties: { authorization: `Token ${keys['bob-key']}` } }, {}],
      ] as const) {
        const got = await ask(evaluation(subject, { name: 'write' }), headers);
        expect(got.body.decision).to.equal(false);
        expect(got.body.context).to.include({ code: native.body.Code, status: native.body.Data?.['status'] });
        expect(got.body.context).to.deep.include({
          reason_user: { 403: native.body.Message },
          reason_admin: { 403: native.body.Data?.['rule'] },
        });
        expect(got.body.context).to.not.have.property('assumes');
        const row = await recordOf(got);
        expect(row).to.include({
          api_key_id: 'bob-key',
          user_id: 'bob',
          business_id: 'record-1',
          action: 'record:write',
        });
        expect(row.facts['request']).to.include({ byId: false });
        expect(row.facts['asked']).to.include({ subject_role: 'admin', resource_status: 'unknown' });
      }
    });

    it('is a denial without a live key, whatever is sent for one', async () => {
      for (const headers of [{}, { [HEADER]: 'Bearer x' }, { [HEADER]: `Token ${createToken('apiKey')}` }]) {
        const got = await ask(evaluation(CREDENTIAL), headers as Record<string, string>);
        expect(got.body.context).to.include({ code: 'INVALID_API_KEY', status: 401 });
        expect(await recordOf(got)).to.include({ effect: 'deny', api_key_id: null });
      }
    });

    it('refuses a key that is sent twice, or as no text', async () => {
      const both = { ...CREDENTIAL, properties: { authorization: `Token ${keys['bob-key']}` } };
      await refuses(() => ask(evaluation(both), shown('bob-key')), 400, 'not both');
      const odd = { ...CREDENTIAL, properties: { authorization: 7 } };
      await refuses(() => ask(evaluation(odd)), 400, 'must be text');
    });

    it('alone uses the limit of the key', async () => {
      const { id, apiKey } = await client.newKey('alice', { rateLimit: { requests: 2, windowSeconds: 3600 } });
      const named = evaluation({ type: 'api_key', id });
      const asked = () => ask(evaluation(CREDENTIAL), { [HEADER]: `Token ${apiKey}` });
      expect((await asked()).body.context?.['rateLimit']).to.include({ limit: 2, remaining: 1 });
      for (let n = 0; n < 3; n += 1) {
        const { body } = await ask(named);
        expect(body.decision).to.equal(true);
        expect(body.context?.['assumes']).to.deep.equal({ 'limit.exceeded': false });
        expect(body.context).to.not.have.property('rateLimit');
      }
      expect((await asked()).body.decision).to.equal(true);
      const { body } = await asked();
      expect(body.decision).to.equal(false);
      expect(body.context).to.include({ code: 'RATE_LIMITED', status: 429 });
      expect(body.context?.['retryAfterSeconds']).to.be.within(1, 3600);
      expect((await ask(named)).body.decision).to.equal(true);
      await client.call('DELETE', `/keys/${id}`);
    });
  });

  describe('of a key that is named', () => {
    it('is recorded as asked without the credential', async () => {
      const got = await ask(evaluation({ type: 'api_key', id: 'bob-key' }, { name: 'write' }), {
        'x-request-id': 'from-a-pep',
      });
      expect(got.body.decision).to.equal(false);
      const row = await recordOf(got);
      expect(row).to.include({
        api_key_id: 'bob-key',
        user_id: 'bob',
        rule: 'viewers-only-read',
        caller_request_id: 'from-a-pep',
      });
      expect(row.facts['request']).to.include({ byId: true });
    });

    it('is a denial where there is none', async () => {
      const got = await ask(evaluation({ type: 'api_key', id: 'nobody' }));
      expect(got.body.context).to.include({ code: 'INVALID_API_KEY' });
      expect(await recordOf(got)).to.include({ rule: 'key-not-active', business_id: 'record-1' });
    });

    it('is denied as soon as the key is revoked', async () => {
      const { id } = await client.newKey('alice');
      expect((await ask(evaluation({ type: 'api_key', id }))).body.decision).to.equal(true);
      await client.call('POST', `/keys/${id}/revoke`, {});
      expect((await ask(evaluation({ type: 'api_key', id }))).body.decision).to.equal(false);
      await client.call('DELETE', `/keys/${id}`);
    });
  });

  describe('of a user', () => {
    before(async () => {
      await client.newUser('carl', 'shop', 'cafe');
    });

    it('is an allow where one key would be allowed, and names that key', async () => {
      const onlyShop = await client.newKey('carl', { restrictedBusinessIds: ['shop'] });
      const onlyCafe = await client.newKey('carl', { restrictedBusinessIds: ['cafe'] });
      const dead = await client.newKey('carl');
      await client.call('POST', `/keys/${dead.id}/revoke`, {});
      for (const [id, key] of [
        ['shop', onlyShop],
        ['cafe', onlyCafe],
      ] as const) {
        const got = await ask(evaluation({ type: 'user', id: 'carl' }, READ, { type: 'record', id }));
        expect(got.body.decision, id).to.equal(true);
        expect(await recordOf(got)).to.include({ api_key_id: key.id, user_id: 'carl' });
      }
      const elsewhere = await ask(evaluation({ type: 'user', id: 'carl' }));
      expect(elsewhere.body.decision).to.equal(false);
      expect(await recordOf(elsewhere)).to.include({ user_id: 'carl', code: 'PERMISSION_DENIED' });
    });

    it('looks past a key that is frozen to one that is not', async () => {
      await client.newUser('fred', 'bar');
      const made = [await client.newKey('fred'), await client.newKey('fred')].map(({ id }) => id).sort();
      const frozen = await client.data('POST', '/freezes', { apiKeyId: made[0], forSeconds: 3600, reason: 'a try' });
      const subject = { type: 'user', id: 'fred' };
      const got = await ask(evaluation(subject, READ, { type: 'business', id: 'bar' }));
      expect(got.body.decision).to.equal(true);
      expect(await recordOf(got)).to.include({ api_key_id: made[1] });
      await client.data('POST', '/freezes', { apiKeyId: made[1], forSeconds: 3600, reason: 'a try' });
      const none = await ask(evaluation(subject, READ, { type: 'business', id: 'bar' }));
      expect(none.body.context).to.include({ code: 'FROZEN' });
      expect(frozen).to.have.property('id');
    });

    it('is a denial without a key, or a user', async () => {
      await client.newUser('dora', 'shop');
      for (const id of ['dora', 'nobody']) {
        const got = await ask(evaluation({ type: 'user', id }, READ, { type: 'record', id: 'shop' }));
        expect(got.body.context).to.include({ code: 'INVALID_API_KEY' });
        expect(await recordOf(got)).to.include({ api_key_id: null, business_id: 'shop' });
      }
    });

    it('names a dead key where there is no other, so that the record names the user', async () => {
      await client.newUser('ezra', 'shop');
      const { id } = await client.newKey('ezra');
      await client.call('POST', `/keys/${id}/revoke`, {});
      const got = await ask(evaluation({ type: 'user', id: 'ezra' }));
      expect(got.body.context).to.include({ code: 'INVALID_API_KEY' });
      expect(await recordOf(got)).to.include({ api_key_id: id, user_id: 'ezra' });
    });
  });

  describe('without a scope', () => {
    it('is refused, and each kind of subject takes its own', async () => {
      const [authorize, evaluate, search] = [
        await asCaller('authorize'),
        await asCaller('evaluate'),
        await asCaller('search'),
      ];
      const credential = evaluation(CREDENTIAL);
      expect((await ask(credential, { ...authorize, ...shown('alice-key') })).body.decision).to.equal(true);
      await refuses(() => ask(credential, { ...evaluate, ...shown('alice-key') }), 403, 'scope authorize');
      for (const type of ['user', 'api_key']) {
        const named = evaluation({ type, id: 'alice' });
        expect((await ask(named, evaluate)).status).to.equal(200);
        await refuses(() => ask(named, authorize), 403, 'scope evaluate');
        const items = { evaluations: [evaluation(CREDENTIAL), named] };
        await refuses(() => ask(items, { ...authorize, ...shown('alice-key') }, 'evaluations'), 403, 'scope evaluate');
      }
      await refuses(() => ask(credential, search), 403, 'scope authorize or evaluate');
    });

    it('is refused to a caller that is bound to other businesses', async () => {
      const bound = {
        authorization: `Bearer ${await insertCaller(service, ['authorize', 'evaluate'], { bound_businesses: ['record-2'] })}`,
      };
      await refuses(() => ask(evaluation(ALICE), bound), 403, 'bound');
      await refuses(() => ask(evaluation(ALICE, READ, { type: 'account', id: '' }), bound), 403, 'bound');
      expect((await ask(evaluation(ALICE, READ, { type: 'record', id: 'record-2' }), bound)).body.decision).to.equal(
        true,
      );
    });
  });

  describe('of what nothing maps', () => {
    const UNMAPPED: readonly (readonly [what: string, body: object, action: string])[] = [
      ['a type of subjects', evaluation({ type: 'spaceship', id: 'alice' }), 'record:read'],
      ['an id that is none', evaluation({ type: 'user', id: 'alice@example.com' }), 'record:read'],
      ['an empty id', evaluation({ type: 'user', id: '' }), 'record:read'],
      ['a type of resources', evaluation(ALICE, READ, { type: 'spaceship', id: 'record-1' }), 'record:read'],
      ['a resource whose id is none', evaluation(ALICE, READ, { type: 'record', id: 'a b' }), 'record:read'],
      ['an action', evaluation(ALICE, { name: 'fly' }), 'unmapped:action'],
      [
        'a member of every object',
        evaluation(ALICE, { name: 'constructor' }, { type: '__proto__', id: 'x' }),
        'unmapped:action',
      ],
    ];

    for (const [what, body, action] of UNMAPPED) {
      it(`is a denial with a rule of its own: ${what}`, async () => {
        const got = await ask(body);
        expect([got.status, got.body.decision], JSON.stringify(got.body)).to.deep.equal([200, false]);
        expect(got.body.context).to.deep.include({ code: 'PERMISSION_DENIED', reason_admin: { 403: '(unmapped)' } });
        const row = await recordOf(got);
        expect(row).to.include({ rule: '(unmapped)', effect: 'deny', action });
        expect(row.facts['request']).to.include({ byId: true });
      });
    }

    it('says in the log what it is, and is no defect of the policy in a replay', async () => {
      const got = await ask(evaluation(ALICE, { name: 'fly' }));
      const { explanation, note } = await showDecision(
        service.db,
        { id: 'test' },
        String(got.body.context?.['decisionId']),
      );
      expect(explanation).to.equal(null);
      expect(note).to.include('names.yaml');
      const period = {
        from: new Date(Date.now() - 3_600_000).toISOString(),
        to: new Date(Date.now() + 60_000).toISOString(),
      };
      const report = await selfCheck(service.db, period, () => undefined);
      expect([report.changed, report.ruleChanged, report.reasons]).to.deep.equal([0, 0, []]);
      expect(report.replayed).to.be.above(10);
    });

    it('is asked in our own words as well', async () => {
      const own = evaluation(ALICE, { name: 'record:read' }, { type: 'business', id: 'record-1' });
      expect((await ask(own)).body.decision).to.equal(true);
      const account = evaluation(ALICE, { name: 'account:read' }, { type: 'account', id: 'any' });
      expect(await recordOf(await ask(account))).to.include({ business_id: null, rule: 'allow-without-target' });
    });
  });

  describe('with properties', () => {
    const write = (subject: object, resource: object) => evaluation(subject, { name: 'write' }, resource);
    const archived = (status: unknown = 'archived') => ({ type: 'record', id: 'record-2', properties: { status } });

    it('that are not brought takes what is stored, and what is brought comes first', async () => {
      const bob = { type: 'user', id: 'bob' };
      expect((await ask(write(bob, archived()))).body.decision).to.equal(true);
      expect((await ask(write({ ...bob, properties: { role: null } }, archived()))).body.decision).to.equal(true);
      for (const role of ['manager', '', 7, true, ['admin'], { admin: true }]) {
        const got = await ask(write({ ...bob, properties: { role } }, archived()));
        expect(got.body.decision, JSON.stringify(role)).to.equal(false);
        expect((await recordOf(got)).facts['asked']).to.include({ subject_role: 'unknown' });
      }
    });

    it('of another value or type takes them for unknown, or false', async () => {
      for (const status of ['molten', 7, false, null, {}]) {
        const got = await ask(write(ALICE, archived(status)));
        expect((await recordOf(got)).facts['asked'], JSON.stringify(status)).to.include({ resource_status: 'unknown' });
      }
      for (const soft of ['true', 1, null, undefined]) {
        const got = await ask(evaluation(ALICE, { name: 'delete', properties: { soft } }));
        expect(got.body.decision, JSON.stringify(soft)).to.equal(false);
      }
    });
  });

  describe('of several', () => {
    const batch = (semantic: string | undefined, ...names: string[]) => ({
      subject: { type: 'user', id: 'bob' },
      resource: RECORD_1,
      evaluations: names.map((name) => (name === 'faulty' ? { action: {} } : { action: { name } })),
      ...(semantic && { options: { evaluations_semantic: semantic } }),
    });
    const decisions = async (body: object, headers: Record<string, string> = {}) => {
      const before = await count();
      const got = await ask(body, headers, 'evaluations');
      expect(got.status, JSON.stringify(got.body)).to.equal(200);
      const found = got.body.evaluations ?? [];
      return { found: found.map(({ decision }) => decision), recorded: (await count()) - before, all: found };
    };
    const [T, F] = [true, false];
    const CASES: readonly (readonly [string | undefined, string[], boolean[], recorded: number])[] = [
      [undefined, ['read', 'write', 'read'], [T, F, T], 3],
      ['execute_all', ['write', 'write'], [F, F], 2],
      ['deny_on_first_deny', ['read', 'write', 'read'], [T, F], 2],
      ['deny_on_first_deny', ['read', 'read'], [T, T], 2],
      ['deny_on_first_deny', ['read', 'faulty', 'read'], [T, F], 1],
      ['deny_on_first_deny', ['faulty', 'read'], [F], 0],
      ['permit_on_first_permit', ['write', 'write', 'read', 'write'], [F, F, T], 3],
      ['permit_on_first_permit', ['faulty', 'read', 'write'], [F, T], 1],
      ['permit_on_first_permit', ['write', 'faulty'], [F, F], 1],
      [undefined, ['faulty', 'fly', 'read'], [F, F, T], 2],
    ];

    for (const [semantic, names, expected, recorded] of CASES) {
      it(`${semantic ?? 'by default'}: ${names} is ${expected}, and ${recorded} are recorded`, async () => {
        const { found, recorded: made } = await decisions(batch(semantic, ...names));
        expect([found, made]).to.deep.equal([expected, recorded]);
      });
    }

    it('counts what was asked, and nothing behind the decision that ends it', async () => {
      const { apiKey, id } = await client.newKey('bob', { rateLimit: { requests: 100, windowSeconds: 3600 } });
      const body = { ...batch('deny_on_first_deny', 'read', 'write', 'read', 'read'), subject: CREDENTIAL };
      const { found } = await decisions(body, { [HEADER]: `Token ${apiKey}` });
      expect(found).to.deep.equal([T, F]);
      const { body: next } = await ask(evaluation(CREDENTIAL), { [HEADER]: `Token ${apiKey}` });
      expect(next.context?.['rateLimit']).to.include({ remaining: 97 });
      await client.call('DELETE', `/keys/${id}`);
    });

    it('has a credential each', async () => {
      const item = (name: string) => ({
        subject: { ...CREDENTIAL, id: name, properties: { authorization: `Token ${keys[name]}` } },
        action: { name: 'write' },
        resource: RECORD_1,
      });
      const { found } = await decisions({ evaluations: [item('alice-key'), item('bob-key')] });
      expect(found).to.deep.equal([T, F]);
    });

    it('is refused where its defaults are larger than an evaluation, of which each item would be made', async () => {
      const of = (size: number) => ({ ...batch(undefined, 'read'), context: { text: 'x y'.repeat(size / 3) } });
      expect((await decisions(of(15_000))).found).to.deep.equal([T]);
      await refuses(() => ask(of(18_000), {}, 'evaluations'), 413, 'Move what');
    });

    it('is refused as a whole where that is at fault', async () => {
      const many = { ...batch(undefined, 'read'), evaluations: Array.from({ length: 101 }, () => ({ action: READ })) };
      await refuses(() => ask(many, {}, 'evaluations'), 400, 'at most 100');
      await refuses(() => ask(batch('all', 'read'), {}, 'evaluations'), 400, 'execute_all');
      await refuses(() => ask({ ...batch(undefined, 'read'), evaluations: {} }, {}, 'evaluations'), 400, 'list');
    });
  });

  describe('with a key where none belongs', () => {
    const key = createToken('apiKey');
    // The form is enough: the checksum of this one is wrong.
    const like = `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`;
    const placed = (text: string): readonly (readonly [where: string, body: object])[] => [
      ['subject.id', evaluation({ type: 'user', id: text })],
      ['subject.type', evaluation({ type: text, id: 'x' })],
      ['action.name', evaluation(ALICE, { name: text })],
      ['resource.id', evaluation(ALICE, READ, { type: 'record', id: text })],
      ['subject.properties.token', evaluation({ ...ALICE, properties: { token: text } })],
      [
        'resource.properties.authorization',
        evaluation(ALICE, READ, { ...RECORD_1, properties: { authorization: text } }),
      ],
      ['context.headers.x[0]', { ...evaluation(ALICE), context: { headers: { x: [`Token ${text}`] } } }],
      ['?', { ...evaluation(ALICE), [text]: 1 }],
      ['?', { ...evaluation(ALICE), 'subject.properties.authorization': text }],
      ['subject.?', evaluation({ ...ALICE, 'properties.authorization': text })],
      ['evaluations[0].subject.id', { ...evaluation(ALICE), evaluations: [{ subject: { type: 'user', id: text } }] }],
    ];
    for (const [where, body] of placed(like)) {
      it(`is refused, and told where it belongs: ${where}`, async () => {
        const endpoint = where.startsWith('evaluations') ? 'evaluations' : 'evaluation';
        await refuses(() => ask(body, {}, endpoint), 400, HEADER);
        const { body: said } = await ask(body, {}, endpoint);
        expect(said.Data?.issues?.[0]?.path).to.equal(where);
        expect(JSON.stringify(said)).to.not.include(like.slice(5, 30));
      });
    }

    it('is refused as X-Request-ID, which does not come back', async () => {
      const response = await service.ask('/access/v1/evaluation', evaluation(ALICE), { 'x-request-id': like });
      expect(response.status).to.equal(400);
      expect(response.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
      const piece = String(keys['alice-key']).slice(10, 36);
      const other = await service.ask('/access/v1/evaluation', evaluation(CREDENTIAL), {
        ...shown('alice-key'),
        'x-request-id': piece,
      });
      expect(other.status).to.equal(400);
      expect(other.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
    });

    it('is refused as a piece of the credential beside it, and so is a batch that has one', async () => {
      const piece = String(keys['alice-key']).slice(10, 36);
      const beside = evaluation(CREDENTIAL, READ, { type: 'record', id: piece });
      await refuses(() => ask(beside, shown('alice-key')), 400, HEADER);
      const batch = { ...evaluation(CREDENTIAL), evaluations: [{}, { resource: { type: 'record', id: piece } }] };
      await refuses(() => ask(batch, shown('alice-key'), 'evaluations'), 400, HEADER);
    });
  });

  it('reads nothing in two ways', async () => {
    const text = JSON.stringify(evaluation(ALICE));
    const with_ = (more: string): string => `${text.slice(0, -1)},${more}}`;
    const deep = `${'['.repeat(16)}${']'.repeat(16)}`;
    for (const body of [
      with_('"x":1,"x":2'),
      with_('"subject":{}'),
      with_('"x":"\\u0000"'),
      with_('"x":"\\ud800"'),
      with_(`"x":${deep}`),
    ])
      await refuses(() => ask(body), 400, 'INVALID_REQUEST');
    expect((await ask(with_('"x":[-1.5e3,1e400]'))).status).to.equal(200);
    await refuses(() => ask({ ...evaluation(ALICE), context: { ip: 'here' } }), 400, 'context.ip');
    await refuses(() => ask(with_(`"x":"${'x'.repeat(16_384)}"`)), 413, 'PAYLOAD_TOO_LARGE');
  });

  it('cuts what the log has room for between characters, as halves of them cannot be written', async () => {
    const context = { userAgent: `${'x'.repeat(511)}\u{1f600}`, requestId: `${'x'.repeat(127)}\u{1f600}` };
    const got = await ask({ ...evaluation(ALICE), context });
    expect(got.body.decision, JSON.stringify(got.body)).to.equal(true);
    const [row] = await service.db('decisions').where('id', String(got.body.context?.['decisionId']));
    expect(row).to.include({ user_agent: 'x'.repeat(511), request_id: 'x'.repeat(127) });
    const resource = { type: 'record', id: context.requestId };
    const search = evaluation({ type: 'user' }, READ, resource);
    expect((await ask(search, {}, 'search/subject')).status).to.equal(200);
  });

  it('is recorded with the policy whose names it was made from', async () => {
    const { names, digest } = service.service.live.policy();
    expect(names.actions.get('read')).to.equal('record:read');
    const got = await ask(evaluation(ALICE));
    const [row] = await service.db('decisions').where('id', String(got.body.context?.['decisionId']));
    expect(row.policy).to.equal(digest);
  });

  it('of a user whose keys are of too many kinds is refused, and not guessed', async () => {
    await mutate(service.db, { id: 'test' }, async (trx) => {
      await trx('users').insert({ id: 'many' });
      await trx.raw(`insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment)
        select 'many-' || n, 'many', 'a key', sha256(n::text::bytea), 'test', 'iqra_...', n % 2 = 0, true, 'env-' || n % 1100
        from generate_series(1, 2000) n`);
      return { result: undefined, events: [], changes: [{ kind: '*', id: '' }] };
    });
    const many = evaluation({ type: 'user', id: 'many' });
    await refuses(() => ask(many), 400, 'more than 1000 keys that differ');
    // All of a batch is decided in one go.
    const batch = { ...many, evaluations: Array.from({ length: 100 }, () => ({})) };
    await refuses(() => ask(batch, {}, 'evaluations'), 400, 'more than 50 keys that differ');
  });
});
