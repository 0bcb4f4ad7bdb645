/** Searches over HTTP: pages and their tokens, what they leave behind, who may search, and that they agree with evaluations. */

import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import { importInto } from '../support/access.ts';
import { ROOT } from '../support/cli.ts';
import { type Client, clientOf } from '../support/client.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { insertCaller, startService, type TestService } from '../support/service.ts';

interface Got {
  readonly status: number;
  readonly body: {
    readonly page?: { readonly next_token: string; readonly count: number };
    readonly results?: readonly Record<string, string>[];
    readonly context?: Record<string, unknown>;
    readonly decision?: boolean;
    readonly Data?: { readonly issues?: readonly { readonly path: string; readonly message: string }[] };
  };
}

const EXAMPLE = path.join(ROOT, 'examples', 'authzen-certification');
const READ = { name: 'read' };
const RECORD_1 = { type: 'record', id: 'record-1' };
const USERS = { subject: { type: 'user' }, action: READ, resource: RECORD_1 };

describe('a search over HTTP', () => {
  let service: TestService;
  let client: Client;

  before(async () => {
    service = await startService({ POLICY_DIR: path.join(EXAMPLE, 'policies') });
    client = clientOf(service);
    await importInto(service, path.join(EXAMPLE, 'data.json'));
    for (const id of ['carl', 'dora', 'ezra']) {
      await client.newUser(id);
      await client.data('PUT', `/businesses/record-1/members/${id}`, { role: 'member' });
      await client.newKey(id);
      await client.newKey(id, { restrictedBusinessIds: ['record-1'] });
    }
  });
  after(() => service?.close());

  const search = async (what: string, body: object, headers: Record<string, string> = {}): Promise<Got> =>
    (await service.ask(`/access/v1/search/${what}`, body, headers)) as unknown as Got;
  const count = async (table: string): Promise<number> =>
    Number((await service.db(table).count({ n: '*' }).first())?.['n']);
  const refuses = async (got: Promise<Got>, status: number, says: string): Promise<void> => {
    const { status: found, body } = await got;
    expect(found, JSON.stringify(body)).to.equal(status);
    expect(JSON.stringify(body)).to.include(says);
  };
  const allPages = async (what: string, body: object, limit: number): Promise<Record<string, string>[]> => {
    const all: Record<string, string>[] = [];
    for (let token: string | undefined; token !== ''; ) {
      const { status, body: got } = await search(what, { ...body, page: { limit, ...(token && { token }) } });
      expect(status).to.equal(200);
      expect(got.page?.count).to.equal(got.results?.length);
      all.push(...(got.results ?? []));
      token = got.page?.next_token;
    }
    return all;
  };

  it('comes in pages, in order, each result once', async () => {
    for (const [what, body] of [
      ['subject', USERS],
      ['subject', { ...USERS, subject: { type: 'api_key' } }],
      ['resource', { subject: { type: 'user', id: 'alice' }, action: READ, resource: { type: 'record' } }],
      ['action', { subject: { type: 'user', id: 'alice' }, resource: RECORD_1 }],
    ] as const) {
      const { body: whole } = await search(what, body);
      expect(whole.page?.next_token).to.equal('');
      expect(whole.context).to.deep.equal({ assumes: { 'limit.exceeded': false } });
      for (const limit of [1, 2, 7]) expect(await allPages(what, body, limit), what).to.deep.equal(whole.results);
    }
    const keys = await allPages('subject', { ...USERS, subject: { type: 'api_key' } }, 3);
    expect(keys).to.have.length(8);
  });

  it('agrees with the evaluation of each', async () => {
    const { body } = await search('subject', { ...USERS, action: { name: 'write' } });
    for (const id of ['alice', 'bob', 'carl', 'dora', 'ezra']) {
      const subject = { type: 'user', id };
      const evaluation = { subject, action: { name: 'write' }, resource: RECORD_1 };
      const got = (await service.ask('/access/v1/evaluation', evaluation)) as unknown as Got;
      expect(
        body.results?.some((one) => one['id'] === id),
        id,
      ).to.equal(got.body.decision);
    }
  });

  it('goes by the account where there is no business', async () => {
    const account = { ...USERS, action: { name: 'account:read' }, resource: { type: 'account', id: '' } };
    const { body } = await search('subject', account);
    expect(body.results?.map(({ id }) => id)).to.deep.equal(['alice', 'bob', 'carl', 'dora', 'ezra']);
  });

  it('takes no results at all, and a page that is longer than the longest', async () => {
    const { body } = await search('subject', { ...USERS, page: { limit: 0 } });
    expect(body.results).to.deep.equal([]);
    const { body: next } = await search('subject', { ...USERS, page: { token: body.page?.next_token } });
    expect(next.results?.[0]).to.deep.equal({ type: 'user', id: 'alice' });
    expect((await search('subject', { ...USERS, page: { limit: 1_000_000, token: '' } })).body.results).to.have.length(
      5,
    );
    for (const limit of [-1, 1.5, '1'])
      await refuses(search('subject', { ...USERS, page: { limit } }), 400, 'page.limit');
  });

  it('refuses a token of another question, caller or search, and one that was tampered with', async () => {
    const { body } = await search('subject', { ...USERS, page: { limit: 1 } });
    const token = body.page?.next_token ?? '';
    const says = 'no token of this search';
    // Members in another order are the same question.
    const { resource, action, subject } = USERS;
    expect((await search('subject', { page: { token }, resource, action, subject })).status).to.equal(200);
    const other = Buffer.from(token, 'base64url');
    other[other.length - 1] = (other.at(-1) ?? 0) ^ 1;
    for (const bad of ['x', `${token}A`, token.slice(1), other.toString('base64url')])
      await refuses(search('subject', { ...USERS, page: { token: bad } }), 400, says);
    for (const changed of [
      { action: { name: 'write' } },
      { resource: { type: 'record', id: 'record-2' } },
      { subject: { type: 'api_key' } },
      { context: { ip: '192.0.2.1' } },
      { resource: { ...RECORD_1, properties: { status: 'active' } } },
    ])
      await refuses(search('subject', { ...USERS, ...changed, page: { token } }), 400, says);
    const asOther = { authorization: `Bearer ${await insertCaller(service, ['search'])}` };
    await refuses(search('subject', { ...USERS, page: { token } }, asOther), 400, says);
    const alike = { subject: { type: 'user', id: 'x' }, action: READ, resource: RECORD_1 };
    const actions = await search('action', { ...alike, subject: { type: 'user', id: 'alice' }, page: { limit: 1 } });
    await refuses(search('resource', { ...alike, page: { token: actions.body.page?.next_token } }), 400, says);
  });

  it("is nobody's decision: it leaves one event and no record, and uses no point of a limit", async () => {
    const [records, events] = [await count('decisions'), await count('admin_events')];
    await search(
      'subject',
      { ...USERS, subject: { type: 'user', properties: { role: 'admin' } } },
      { 'x-request-id': 'from-a-pep' },
    );
    expect([await count('decisions'), await count('admin_events')]).to.deep.equal([records, events + 1]);
    const { items } = (await client.data('GET', '/audit/admin?limit=1')) as { items: Record<string, unknown>[] };
    expect(items[0]).to.include({
      action: 'access.search',
      requestId: 'from-a-pep',
      subject: service.service.live.policy().digest,
    });
    expect(items[0]?.['after']).to.deep.equal({
      search: 'subject',
      subject: { type: 'user' },
      action: 'read',
      resource: { type: 'record', id: 'record-1' },
    });
  });

  it('takes a scope of its own, and no bounds', async () => {
    for (const scopes of [['authorize', 'evaluate'], ['audit']])
      await refuses(
        search('subject', USERS, { authorization: `Bearer ${await insertCaller(service, scopes)}` }),
        403,
        'scope search',
      );
    const bound = await insertCaller(service, ['search'], { bound_businesses: ['record-1'] });
    await refuses(search('subject', USERS, { authorization: `Bearer ${bound}` }), 403, 'bound');
  });

  it('finds nothing by what nothing maps', async () => {
    const nothing = [
      ['subject', { ...USERS, subject: { type: 'credential' } }],
      ['subject', { ...USERS, action: { name: 'fly' } }],
      ['subject', { ...USERS, resource: { type: 'record', id: 'nowhere' } }],
      ['subject', { ...USERS, resource: { type: 'spaceship', id: 'record-1' } }],
      ['resource', { subject: { type: 'user', id: 'nobody' }, action: READ, resource: { type: 'record' } }],
      ['resource', { subject: { type: 'api_key', id: 'a b' }, action: READ, resource: { type: 'record' } }],
      ['resource', { subject: { type: 'user', id: 'alice' }, action: READ, resource: { type: 'account' } }],
      ['action', { subject: { type: 'credential', id: 'header' }, resource: RECORD_1 }],
      ['action', { subject: { type: 'user', id: 'alice' }, resource: { type: 'record', id: '' } }],
    ] as const;
    for (const [what, body] of nothing) {
      const got = await search(what, body);
      expect([got.status, got.body.results, got.body.page?.next_token], JSON.stringify(body)).to.deep.equal([
        200,
        [],
        '',
      ]);
    }
  });

  it('shows what was changed a moment ago', async () => {
    const ids = async (): Promise<(string | undefined)[]> =>
      ((await search('subject', USERS)).body.results ?? []).map(({ id }) => id);
    const frozen = await client.data('POST', '/freezes', { userId: 'dora', forSeconds: 3600, reason: 'a try' });
    await client.data('PUT', '/users/ezra', { disabled: true });
    expect(await ids()).to.deep.equal(['alice', 'bob', 'carl']);
    await client.call('DELETE', `/freezes/${String(frozen['id'])}`);
    await client.data('PUT', '/users/ezra', {});
    expect(await ids()).to.deep.equal(['alice', 'bob', 'carl', 'dora', 'ezra']);
  });

  it('that takes long holds up no change, however many there are', async () => {
    const { id } = await client.newKey('carl');
    const trx = await service.db.transaction();
    // No search goes on while somebody holds this; a revocation does not read it.
    await trx.raw('lock table business_members in access exclusive mode');
    const searches = Array.from({ length: 8 }, () => search('subject', USERS));
    try {
      await untilLockWaits(service.db, 'business_members', 3);
      const revoked = client.call('POST', `/keys/${id}/revoke`, {});
      expect(await Promise.race([revoked.then(({ status }) => status), setTimeout(10_000, 'held up')])).to.equal(200);
    } finally {
      await trx.rollback();
    }
    for (const { status } of await Promise.all(searches)) expect(status).to.equal(200);
  });
});
