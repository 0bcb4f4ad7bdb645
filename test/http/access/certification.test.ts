/**
 * The certification scenario of AuthZEN, rule by rule (openid/authzen, certification/authorization-api-1_0-scenario.md), against the folder
 * and the data of examples/authzen-certification. The names of the tests are those of the scenario.
 */

import path from 'node:path';
import { expect } from 'chai';
import { importInto } from '../../support/access.ts';
import { ROOT } from '../../support/cli.ts';
import { startService, type TestService } from '../../support/service.ts';

const EXAMPLE = path.join(ROOT, 'examples', 'authzen-certification');
const BASE = 'https://pdp.example.com';

interface Got {
  readonly status: number;
  readonly headers: Headers;
  readonly body: {
    readonly decision?: unknown;
    readonly context?: Record<string, unknown>;
    readonly evaluations?: readonly { readonly decision: unknown; readonly context?: Record<string, unknown> }[];
    readonly results?: readonly Record<string, unknown>[];
    readonly page?: { readonly next_token: unknown; readonly count?: unknown };
    readonly [name: string]: unknown;
  };
}

const ALICE = { type: 'user', id: 'alice' };
const BOB = { type: 'user', id: 'bob' };
const ADMIN = { ...BOB, properties: { role: 'admin' } };
const [READ, WRITE] = [{ name: 'read' }, { name: 'write' }];
const RECORD_1 = { type: 'record', id: 'record-1' };
const RECORD_2 = { type: 'record', id: 'record-2' };
const ACTIVE = { ...RECORD_1, properties: { status: 'active' } };
const ARCHIVED = { ...RECORD_2, properties: { status: 'archived' } };
const FIXTURE = { subject: ALICE, action: READ, resource: RECORD_1 };

describe('the certification scenario of AuthZEN', () => {
  let service: TestService;
  const post = async (endpoint: string, body: unknown, headers: Record<string, string> = {}): Promise<Got> =>
    (await service.ask(`/access/v1/${endpoint}`, body, headers)) as unknown as Got;

  before(async () => {
    service = await startService({ POLICY_DIR: path.join(EXAMPLE, 'policies'), AUTHZEN_BASE_URL: BASE });
    await importInto(service, path.join(EXAMPLE, 'data.json'));
  });
  after(() => service?.close());

  const decides = async (body: object, decision: boolean): Promise<Got> => {
    const got = await post('evaluation', body);
    expect([got.status, got.body.decision], JSON.stringify(got.body)).to.deep.equal([200, decision]);
    expect(got.headers.get('content-type')).to.match(/^application\/json/);
    return got;
  };
  const refuses = async (endpoint: string, body: unknown, headers?: Record<string, string>): Promise<void> => {
    const { status, body: said } = await post(endpoint, body, headers);
    expect(status, `${JSON.stringify(body)}: ${JSON.stringify(said)}`).to.equal(400);
  };
  const decideAll = async (body: object, ...decisions: (boolean | 'any')[]): Promise<Got> => {
    const got = await post('evaluations', body);
    expect(got.status, JSON.stringify(got.body)).to.equal(200);
    expect(got.body).to.not.have.property('decision');
    const found = got.body.evaluations?.map(({ decision }, at) =>
      typeof decision === 'boolean' && decisions[at] === 'any' ? 'any' : decision,
    );
    expect(found, JSON.stringify(got.body)).to.deep.equal(decisions);
    return got;
  };

  describe('Basic', () => {
    it('c-2-2-1: a permit', () => decides(FIXTURE, true));
    it('c-2-2-2: a deny', () => decides({ subject: BOB, action: WRITE, resource: RECORD_1 }, false));
    it('c-2-2-3: a context', () =>
      decides({ ...FIXTURE, context: { time: '2025-06-27T18:03-07:00', ip: '192.168.1.1' } }, true));
    it('c-2-2-4: a deny by a property of the resource', () =>
      decides({ subject: ALICE, action: WRITE, resource: ARCHIVED }, false));
    it('c-2-2-5: a permit by a property of the subject', () =>
      decides({ subject: ADMIN, action: WRITE, resource: ARCHIVED }, true));
    it('c-2-2-6: a permit by a property of the action', () =>
      decides({ ...FIXTURE, action: { name: 'delete', properties: { soft: true } } }, true));
    it('c-2-2-7: a deny by a property of the action', () =>
      decides({ ...FIXTURE, action: { name: 'delete', properties: { soft: false } } }, false));
    it('c-2-2-8: properties that nothing reads', () =>
      decides(
        {
          subject: { ...ALICE, properties: { department: 'Sales', role: 'manager' } },
          action: { ...READ, properties: { method: 'GET' } },
          resource: { ...RECORD_1, properties: { status: 'active', owner: 'bob' } },
        },
        true,
      ));
    it('c-2-2-9: members that nothing reads', () =>
      decides({ ...FIXTURE, foo: 'bar', futureField: { nested: true, number: -1.5e3 } }, true));
    it('c-2-3-1, c-2-3-2: the form of a decision', async () => {
      const { body } = await decides(FIXTURE, true);
      expect(body.context).to.be.an('object');
    });
    it('c-2-4-1: a missing member', async () => {
      for (const name of Object.keys(FIXTURE)) await refuses('evaluation', { ...FIXTURE, [name]: undefined });
    });
    it('c-2-4-2: a missing member of a member', async () => {
      await refuses('evaluation', { ...FIXTURE, subject: { id: 'alice' } });
      await refuses('evaluation', { ...FIXTURE, subject: { type: 'user' } });
      await refuses('evaluation', { ...FIXTURE, action: {} });
      await refuses('evaluation', { ...FIXTURE, resource: { id: 'record-1' } });
      await refuses('evaluation', { ...FIXTURE, resource: { type: 'record' } });
    });
    it('c-2-4-3: another media type', async () => {
      for (const type of ['text/plain', 'application/xml', 'application/json; charset=latin1'])
        await refuses('evaluation', JSON.stringify(FIXTURE), { 'content-type': type });
    });
    it('c-2-4-4: what is no JSON', () => refuses('evaluation', '{"subject":'));
    it('c-2-4-5: no body', () => refuses('evaluation', ''));
    it('c-2-4-6: members of other types', async () => {
      await refuses('evaluation', { ...FIXTURE, subject: 'alice' });
      await refuses('evaluation', { ...FIXTURE, action: { name: 123 } });
    });
    it('c-2-5-1: X-Request-ID comes back', async () => {
      for (const id of ['bfe9eb29-ab87-4ca3-be83-a1d5d8305716', 'any text; with "signs" = 1', 'x'.repeat(300)]) {
        for (const body of [FIXTURE, {}]) {
          const { headers } = await post('evaluation', body, { 'X-Request-ID': id });
          expect(headers.get('x-request-id')).to.equal(id);
        }
      }
    });
    it('c-2-5-2: without X-Request-ID', async () => {
      const { headers } = await decides(FIXTURE, true);
      expect(headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
    });
    it('c-2-6: again and again', async () => {
      for (let n = 0; n < 5; n += 1) await decides(FIXTURE, true);
    });
  });

  describe('Batch', () => {
    const FIRST = { subject: ALICE, action: READ };
    it('c-3-2-1: evaluations', () =>
      decideAll({ ...FIRST, evaluations: [{ resource: RECORD_1 }, { resource: RECORD_2 }] }, 'any', 'any'));
    it('c-3-2-2: in their order', () =>
      decideAll({ subject: BOB, resource: RECORD_1, evaluations: [{ action: READ }, { action: WRITE }] }, true, false));
    it('c-3-2-3: with properties', () =>
      decideAll(
        { subject: ALICE, action: WRITE, evaluations: [{ resource: ACTIVE }, { resource: ARCHIVED }] },
        true,
        false,
      ));
    it('c-3-2-4: with properties of subjects', () =>
      decideAll(
        { action: WRITE, resource: ARCHIVED, evaluations: [{ subject: ALICE }, { subject: ADMIN }] },
        false,
        true,
      ));
    it('c-3-2-5: without defaults', () =>
      decideAll({ evaluations: [FIXTURE, { subject: BOB, action: WRITE, resource: RECORD_1 }] }, true, false));
    it('c-3-2-6: with a context that is inherited, or replaced', () =>
      decideAll(
        {
          ...FIRST,
          context: { time: '2025-06-27T18:03-07:00' },
          evaluations: [
            { resource: RECORD_1 },
            { resource: RECORD_2, context: { time: '2025-06-27T19:00-07:00', source: 'batch-override' } },
          ],
        },
        'any',
        'any',
      ));
    it('c-3-2-7: a default is replaced as a whole, but for a type or id that is missing', () =>
      decideAll(
        {
          subject: ALICE,
          action: WRITE,
          resource: { type: 'record' },
          evaluations: [{ resource: { id: 'record-1', properties: { status: 'active' } } }, { resource: ARCHIVED }],
        },
        true,
        false,
      ));
    it('c-3-3-1 to c-3-3-4: as many as were asked, in order, and no decision beside them', () =>
      decideAll(
        {
          resource: RECORD_1,
          evaluations: Array.from({ length: 6 }, (_, n) => ({ subject: n % 2 ? BOB : ALICE, action: WRITE })),
        },
        ...[true, false, true, false, true, false],
      ));
    it('c-3-4-1: a faulty evaluation is denied by itself', async () => {
      const { body } = await decideAll({ ...FIRST, evaluations: [{ resource: RECORD_1 }, {}] }, true, false);
      expect(body.evaluations?.[1]?.context).to.have.nested.property('error.status', 400);
    });
    it('c-3-4-2, c-3-4-3: without evaluations it is one', async () => {
      for (const more of [{}, { evaluations: [] }]) {
        const { status, body } = await post('evaluations', { ...FIXTURE, ...more });
        expect([status, body.decision]).to.deep.equal([200, true]);
        expect(body).to.not.have.property('evaluations');
      }
    });
  });

  describe('Search', () => {
    const finds = async (what: string, body: object, ...expected: object[]): Promise<Got> => {
      const got = await post(`search/${what}`, body);
      expect(got.status, JSON.stringify(got.body)).to.equal(200);
      expect(got.headers.get('content-type')).to.match(/^application\/json/);
      expect(got.body.results).to.be.an('array').and.to.deep.include.members(expected);
      const [only] = [body as { subject: { type: string }; resource: { type: string } }];
      for (const result of got.body.results ?? []) {
        if (what === 'action') expect(result).to.have.all.keys('name');
        else {
          expect(result).to.have.all.keys('type', 'id');
          expect(result['type']).to.equal(what === 'subject' ? only?.subject.type : only?.resource.type);
        }
      }
      expect(got.body.page?.next_token).to.be.a('string');
      return got;
    };
    const USERS = { subject: { type: 'user' }, action: READ, resource: RECORD_1 };
    const RECORDS = { subject: ALICE, action: READ, resource: { type: 'record' } };
    const ACTIONS = { subject: ALICE, resource: RECORD_1 };

    it('c-4-2-1: subjects', () => finds('subject', USERS, ALICE, BOB));
    it('c-4-2-2: subjects, with a context', () =>
      finds('subject', { ...USERS, context: { time: 'now', ip: '192.168.1.1' } }, ALICE, BOB));
    it('c-4-2-3: subjects, though an id is sent', () =>
      finds('subject', { ...USERS, subject: { type: 'user', id: 'nobody' } }, ALICE, BOB));
    it('c-4-2-4: subjects, with properties of the resource', async () => {
      const { body } = await finds('subject', { ...USERS, action: WRITE, resource: ARCHIVED }, BOB);
      expect(body.results).to.deep.equal([BOB]);
    });
    it('c-4-3-1: resources', () => finds('resource', RECORDS, RECORD_1));
    it('c-4-3-2: resources, though an id is sent', () =>
      finds('resource', { ...RECORDS, resource: { type: 'record', id: 'none' } }, RECORD_1));
    it('c-4-3-3: resources, with properties of the subject', () =>
      finds('resource', { ...RECORDS, subject: ADMIN, action: WRITE }, RECORD_2));
    it('c-4-4-1: actions', () => finds('action', ACTIONS, READ, WRITE));
    it('c-4-4-2: actions, with a context', () => finds('action', { ...ACTIONS, context: { a: 1 } }, READ, WRITE));
    it('c-4-4-3: actions, with properties', () => finds('action', { subject: ADMIN, resource: ARCHIVED }, WRITE));
    it('c-4-5-1, c-4-5-2, c-4-5-3: pages', async () => {
      const first = await finds('subject', { ...USERS, page: { limit: 1 } }, ALICE);
      expect(first.body.results).to.have.length(1);
      expect(Object.keys(first.body)[0]).to.equal('page');
      expect(first.body.page?.count).to.equal(1);
      expect(first.body.page?.next_token).to.not.equal('');
      const second = await finds('subject', { ...USERS, page: { token: first.body.page?.next_token } }, BOB);
      expect(second.body.page?.next_token).to.equal('');
    });
    it('c-4-6-1: an id that nobody has', async () => {
      const { body } = await finds('action', { ...ACTIONS, subject: { type: 'user', id: 'nonexistent-user' } });
      expect(body.results).to.deep.equal([]);
    });
    it('c-4-6-2: a type that there is not', async () => {
      const { body } = await finds('subject', { ...USERS, subject: { type: 'spaceship' } });
      expect(body.results).to.deep.equal([]);
    });
    it('c-4-7-1: a missing member', async () => {
      await refuses('search/subject', { ...USERS, action: undefined });
      await refuses('search/resource', { ...RECORDS, subject: undefined });
      await refuses('search/action', { ...ACTIONS, resource: undefined });
    });
    it('c-4-7-2: a missing member of a member', async () => {
      await refuses('search/subject', { ...USERS, resource: { type: 'record' } });
      await refuses('search/resource', { ...RECORDS, subject: { type: 'user' } });
    });
  });

  it('c-5: unknown members are ignored, and missing ones refused, in a batch, too', async () => {
    await decideAll({ ...FIXTURE, foo: [1.5], evaluations: [{ bar: null }] }, true);
    await refuses('evaluations', { subject: ALICE, action: READ });
    const { headers } = await post('evaluations', FIXTURE, { 'X-Request-ID': 'one two' });
    expect(headers.get('x-request-id')).to.equal('one two');
  });

  it('c-6-1 to c-6-5: discovery', async () => {
    const { status, headers, body } = (await service.ask('/.well-known/authzen-configuration')) as unknown as Got;
    expect(status).to.equal(200);
    expect(headers.get('content-type')).to.match(/^application\/json/);
    expect(body['policy_decision_point']).to.equal(BASE);
    expect(body['access_evaluation_endpoint']).to.equal(`${BASE}/access/v1/evaluation`);
    for (const url of Object.values(body)) expect(new URL(String(url)).protocol).to.equal('https:');
  });

  it('c-6-6: no discovery without a base URL', async () => {
    const other = await startService({ POLICY_DIR: path.join(EXAMPLE, 'policies') });
    try {
      expect((await other.ask('/.well-known/authzen-configuration')).status).to.equal(404);
    } finally {
      await other.close();
    }
  });
});
