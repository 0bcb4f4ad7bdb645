/** /audit over HTTP: what is answered, what is refused, and that nobody reads the log without an event of it. */

import { expect } from 'chai';
import type { DecisionRecord } from '../../src/audit/columns.ts';
import { type Client, withService } from '../support/client.ts';
import { insertCaller, type TestService } from '../support/service.ts';
import { drawer, insertRecords, makeRecord, newestFirst, shown, type TestRecord } from './records.ts';

interface Event {
  readonly actor: string;
  readonly action: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly after: Record<string, unknown> | null;
  readonly request_id: string | null;
}

describe('/audit', () => {
  let service: TestService;
  let client: Client;
  let records: TestRecord[];

  withService(async (started) => {
    ({ service, client } = started);
    const draw = drawer(5);
    const start = Date.now() - 3_600_000;
    records = newestFirst(Array.from({ length: 120 }, (_, n) => makeRecord(start + n * 1000, draw)));
    await insertRecords(service.db, records);
  });

  const events = (): Promise<Event[]> => service.db('admin_events').where('action', 'like', 'audit.%').orderBy('id');

  it('decisions come newest first, in pages, with the range that they are of', async () => {
    const first = await client.data('GET', '/audit/decisions');
    const items = first['items'] as object[];
    expect(items).to.have.length(50);
    for (const [index, item] of items.entries()) expect(item).to.deep.include(shown(records[index] as TestRecord));
    expect(first).to.include({ to: null, note: null });
    const second = await client.data('GET', `/audit/decisions?limit=200&cursor=${first['nextCursor']}`);
    expect(second['items']).to.have.length(70);
    expect(second).to.include({ nextCursor: null, from: first['from'] });
  });

  it('decisions are found by every filter of the contract', async () => {
    const record = records.find(
      ({ api_key_id, ip, request_id, business_id }) => api_key_id && ip && request_id && business_id,
    );
    if (!record) throw new Error('no record has it all');
    const filters = {
      apiKeyId: record.api_key_id,
      userId: record.user_id,
      businessId: record.business_id,
      callerId: record.caller_id,
      action: `${record.action.split(':')[0]}:*`,
      code: record.code,
      effect: record.effect,
      rule: record.rule,
      policy: record.policy,
      ip: record.ip,
      requestId: record.request_id,
      from: record.at,
      to: new Date(Date.parse(record.at) + 1).toISOString(),
    };
    const query = Object.entries(filters).map(([name, value]) => `${name}=${encodeURIComponent(value ?? '')}`);
    const { items } = await client.data('GET', `/audit/decisions?${query.join('&')}`);
    expect((items as { id: string }[]).map(({ id }) => id)).to.deep.equal([record.id]);
  });

  it('refuses unknown filters and bad values, and leaves no event of them', async () => {
    const before = await events();
    const bad = {
      'key=k1': 'nothing reads this field',
      'apiKeyId=a%20b': 'must be 1-64',
      'action=call': 'must be an action such as call:create',
      'action=*': 'must be an action',
      'action=cal*': 'must be an action',
      'code=ok': 'must be a code',
      'effect=maybe': 'must be allow or deny',
      'policy=sha256:abc': 'its first 8',
      'ip=1.2.3': 'must be an IPv4 or IPv6 address',
      'ip=203.0.113.0/33': 'or a network such as',
      'ip=fe80::1%25eth0': 'or a network such as',
      'not=code': 'must be property=value',
      'not=cod=OK': 'did you mean code?',
      'not=ip=1.2.3': 'ip must be an IPv4',
      'withoutCredential=yes': 'must be true, or left out',
      'from=yesterday': 'RFC 3339',
      'from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z': 'must not be before from',
      'requestId=': 'must have 1-128',
      [`requestId=iqra_${'a'.repeat(36)}`]: 'looks like an API key',
      [`apiKeyId=iqra_${'a'.repeat(36)}`]: 'looks like an API key',
      'limit=201': 'must be 1 to 200',
      'cursor=AAAA': 'is no cursor of this list',
    };
    for (const [query, says] of Object.entries(bad))
      await client.refuses([400, 'INVALID_REQUEST', says], 'GET', `/audit/decisions?${query}`);
    await client.refuses([400, 'INVALID_REQUEST', 'must be code, key'], 'GET', '/audit/stats');
    await client.refuses([400, 'INVALID_REQUEST', 'must be code, key'], 'GET', '/audit/stats?by=iq');
    await client.refuses([400, 'INVALID_REQUEST', 'or two that differ'], 'GET', '/audit/stats?by=ip,ip');
    await client.refuses([404, 'NOT_FOUND', 'no decision'], 'GET', '/audit/decisions/nonsense');
    expect(await events()).to.deep.equal(before);
  });

  it('a decision is shown with its facts, and statistics add up', async () => {
    const record = records[3] as TestRecord;
    const data = await client.data('GET', `/audit/decisions/${record.id}`);
    expect(data).to.deep.include(shown(record));
    expect(data['explanation']).to.equal(null);
    expect(data['note']).to.include(`no policy of the digest ${record.policy}`);
    const stats = (await client.data('GET', '/audit/stats?by=code&effect=deny')) as {
      total: number;
      groups: { value: string; count: number }[];
    };
    expect(stats.total).to.equal(records.filter(({ effect }) => effect === 'deny').length);
    const both = (await client.data('GET', '/audit/stats?by=network,code&not=code=OK;ip=::/0')) as typeof stats;
    expect(both.total).to.equal(records.filter(({ code, ip }) => code !== 'OK' && ip !== '2001:db8::1').length);
    expect(stats.groups.reduce((sum, { count }) => sum + count, 0)).to.equal(stats.total);
  });

  it('a decision is found as soon as it is answered', async () => {
    await client.newUser('ann', 'shop');
    const { apiKey, id } = await client.newKey('ann');
    const context = { ip: '2001:db8::7', userAgent: 'curl/8.5', requestId: 'r-77' };
    const ask = (key: string) =>
      client.data('POST', '/authorize', { apiKey: key, action: 'call:create', businessId: 'shop', context });
    const answers = [await ask(apiKey), await ask('no key at all')];
    const { items } = (await client.data('GET', '/audit/decisions?requestId=r-77')) as { items: DecisionRecord[] };
    const found = items.toReversed();
    expect(found.map((item) => item.id)).to.deep.equal(answers.map(({ decisionId }) => decisionId));
    expect(found[0]).to.deep.include({
      apiKeyId: id,
      userId: 'ann',
      businessId: 'shop',
      code: 'OK',
      fingerprint: null,
    });
    expect(found[0]).to.deep.include({ ip: context.ip, userAgent: context.userAgent, requestId: context.requestId });
    expect(found[1]).to.include({ apiKeyId: null, code: 'INVALID_API_KEY' });
    expect(found[1]?.fingerprint).to.match(/^[0-9a-f]{16}$/);
  });

  it("a decision is found by what the caller calls its own request, and by what it calls its client's", async () => {
    const ask = async (headers: Record<string, string>, context: object): Promise<string> => {
      const { body } = await service.ask('/authorize', { action: 'account:read', context }, headers);
      return String(body.Data?.['decisionId']);
    };
    const [one, both, other, unusable, none] = [
      await ask({ 'x-request-id': 'gateway-1' }, {}),
      await ask({ 'x-request-id': 'gateway-2' }, { requestId: 'gateway-1' }),
      await ask({ 'x-request-id': 'gateway-3' }, { requestId: 'r-1' }),
      await ask({ 'x-request-id': 'no plain text' }, {}),
      await ask({}, {}),
    ];
    const rows = new Map<string, string | null>(
      (await service.db('decisions').select('id', 'caller_request_id')).map((row) => [row.id, row.caller_request_id]),
    );
    expect([one, both, other, unusable, none].map((id) => rows.get(id))).to.deep.equal([
      'gateway-1',
      'gateway-2',
      'gateway-3',
      null,
      null,
    ]);
    const found = async (id: string) => {
      const { items } = (await client.data('GET', `/audit/decisions?requestId=${id}`)) as { items: DecisionRecord[] };
      return items.map(({ id: decision, callerRequestId, requestId }) => [decision, callerRequestId, requestId]);
    };
    expect(await found('gateway-1')).to.deep.equal([
      [both, 'gateway-2', 'gateway-1'],
      [one, 'gateway-1', null],
    ]);
    expect(await found('gateway-3')).to.deep.equal([[other, 'gateway-3', 'r-1']]);
  });

  it('needs the scope audit', async () => {
    const authorization = `Bearer ${await insertCaller(service, ['authorize', 'keys', 'directory', 'policy'])}`;
    for (const path of ['decisions', 'decisions/x', 'stats?by=code', 'admin'])
      await client.refuses([403, 'FORBIDDEN'], 'GET', `/audit/${path}`, undefined, { authorization });
  });

  it('every read leaves an event of who asked for what', async () => {
    await service.db('admin_events').delete();
    const authorization = `Bearer ${await insertCaller(service, ['audit'], { id: 'auditor' })}`;
    const changes = await service.db('changes').count();
    const ask = (path: string) => client.call('GET', path, undefined, { authorization, 'x-request-id': 'case-9' });
    await ask('/audit/decisions?userId=u1&from=2030-01-01T00:00:00Z&limit=7');
    await ask(`/audit/decisions/${records[0]?.id}`);
    await ask('/audit/stats?by=key&effect=deny');
    await ask('/audit/admin?kind=log');
    const left = await events();
    for (const event of left) expect(event).to.include({ actor: 'auditor', request_id: 'case-9' });
    expect(left.map(({ action, subject_kind, subject_id }) => [action, subject_kind, subject_id])).to.deep.equal([
      ['audit.query', 'log', 'decisions'],
      ['audit.show', 'decision', records[0]?.id],
      ['audit.stats', 'log', 'decisions'],
      ['audit.admin', 'log', 'admin_events'],
    ]);
    expect(left[0]?.after).to.deep.equal({ userId: 'u1', from: '2030-01-01T00:00:00.000Z', limit: 7 });
    expect(left[2]?.after).to.deep.include({ by: 'key', effect: 'deny' });
    expect(await service.db('changes').count()).to.deep.equal(changes);
  });

  it('shows nothing where the event cannot be written', async () => {
    await service.db.raw(`
      create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end';
      create trigger refuse before insert on admin_events execute function refuse()`);
    try {
      for (const path of ['decisions', `decisions/${records[0]?.id}`, 'stats?by=code', 'admin']) {
        const { status, body } = await client.call('GET', `/audit/${path}`);
        expect([status, body.Code, body.Data], path).to.deep.equal([503, 'UNAVAILABLE', undefined]);
      }
    } finally {
      await service.db.raw('drop trigger refuse on admin_events');
    }
  });
});
