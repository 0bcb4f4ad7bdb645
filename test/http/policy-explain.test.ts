/** POST /policy/explain: live facts, nothing recorded or counted but one admin event, and what it refuses. */

import { expect } from 'chai';
import type { LiveExplanation } from '../../src/what-if/explain-live.ts';
import { type Client, clientOf, type MadeKey, withService } from '../support/client.ts';
import { insertCaller, type TestService } from '../support/service.ts';
import { countDecisions } from './wire.ts';

const ROUTE = '/policy/explain';

describe('POST /policy/explain', () => {
  let service: TestService;
  let client: Client;
  let key: MadeKey;

  withService(
    async (started) => {
      ({ service, client } = started);
      await client.newUser('ann', 'bakery');
      await client.newUser('bob', 'kiosk');
      key = await client.newKey('ann', { rateLimit: { requests: 1, windowSeconds: 86_400 } });
    },
    { RATE_LIMIT: '1000/60' },
  );

  const ask = async (more: object = {}, of: Client = client): Promise<LiveExplanation> =>
    (await of.data('POST', ROUTE, {
      apiKeyId: key.id,
      action: 'call:create',
      businessId: 'bakery',
      ...more,
    })) as unknown as LiveExplanation;
  const events = async (): Promise<Record<string, unknown>[]> =>
    (await client.data('GET', '/audit/admin?action=policy.explain'))['items'] as Record<string, unknown>[];

  it('says what the live policy decides of a key, by its id and in clear, and each row that was tried', async () => {
    const byId = await ask();
    expect(byId).to.deep.include({
      decision: { effect: 'allow', code: 'OK', rule: 'allow-on-target' },
      status: 200,
      message: 'The API key may do this.',
      policy: service.service.live.policy().digest,
      smallestChanges: [],
      note: null,
    });
    expect(byId.tried).to.have.lengthOf(service.service.live.policy().rows.length);
    expect(byId.facts.user).to.deep.equal({ id: 'ann', status: 'active', businesses: 'active' });
    const { at: _, ...inClear } = await ask({ apiKeyId: undefined, apiKey: key.apiKey });
    expect(byId).to.deep.include(inClear);
  });

  it('gives the smallest changes of a denial, each with what to do', async () => {
    const { decision, status, smallestChanges } = await ask({ businessId: 'kiosk' });
    expect(decision).to.deep.equal({ effect: 'deny', code: 'PERMISSION_DENIED', rule: 'target-without-access' });
    expect(status).to.equal(403);
    expect(smallestChanges).to.deep.equal([
      {
        changes: [{ path: 'r.target.role', from: 'none', to: { anyOf: ['owner', 'member'] } }],
        advice: [
          {
            says: 'make the user ann owner or member of the business kiosk',
            command: 'authz member put kiosk ann --role member',
          },
        ],
      },
    ]);
  });

  it('says of a key that there is not what it would take', async () => {
    const { decision, smallestChanges } = await ask({
      apiKeyId: undefined,
      apiKey: 'no key',
      businessId: undefined,
      action: 'account:read',
    });
    expect(decision.code).to.equal('INVALID_API_KEY');
    expect(smallestChanges.map(({ advice }) => advice.map(({ command }) => command))).to.deep.equal([
      ['authz key create --user USER --name NAME'],
    ]);
  });

  it('takes facts as if they were otherwise, at another moment, and the reason and the freezes of then', async () => {
    expect((await ask({ set: { 'r.limit.exceeded': true } })).decision.code).to.equal('RATE_LIMITED');
    const { smallestChanges } = await ask({ set: { 'r.limit.exceeded': true, 'r.user.status': 'active' } });
    expect(smallestChanges[0]?.advice).to.deep.equal([
      { says: 'set r.limit.exceeded to false, or leave it as it is stored', command: null },
    ]);
    await client.data('POST', '/freezes', {
      businessId: 'bakery',
      until: '2098-01-01T00:00:00Z',
      reason: 'Looked into.',
    });
    const frozen = await ask();
    expect(frozen).to.deep.include({ message: 'This is frozen for now. Looked into.' });
    expect(frozen.freezes.map(({ until, reason }) => [until, reason])).to.deep.equal([
      ['2098-01-01T00:00:00.000Z', 'Looked into.'],
    ]);
    const after = await ask({ at: '2098-01-01T00:00:00Z' });
    expect(after.decision.code).to.equal('OK');
    expect(after).to.deep.include({ at: '2098-01-01T00:00:00.000Z', freezes: [] });
    const { items } = await client.data('GET', '/freezes');
    await client.call('DELETE', `/freezes/${(items as { id: string }[])[0]?.id}`);
    expect((await ask()).decision.code).to.equal('OK');
  });

  it('is of an expiry at that moment', async () => {
    const brief = await client.newKey('ann', { expiresAt: '2098-01-01T00:00:00Z' });
    const codes = [];
    for (const at of ['2097-12-31T23:59:59.999Z', '2098-01-01T00:00:00Z', undefined])
      codes.push((await ask({ apiKeyId: brief.id, ...(at && { at }) })).decision.code);
    expect(codes).to.deep.equal(['OK', 'INVALID_API_KEY', 'OK']);
    await service
      .db('api_keys')
      .where({ id: brief.id })
      .update({ expires_at: new Date('2020-01-01') });
    expect((await ask({ apiKeyId: brief.id })).decision.code).to.equal('INVALID_API_KEY');
    expect((await ask({ apiKeyId: brief.id, at: '2019-12-31T00:00:00Z' })).decision.code).to.equal('OK');
  });

  it('records no decision, uses no point of the limit and no key, and leaves one event without a secret', async () => {
    const [decisions, before] = [await countDecisions(service), (await events()).length];
    for (let count = 0; count < 3; count += 1)
      await ask({ apiKeyId: undefined, apiKey: key.apiKey, context: { ip: '192.0.2.1' } });
    expect(await countDecisions(service)).to.equal(decisions);
    const left = (await events()).slice(0, -before || undefined);
    expect(left).to.have.lengthOf(3);
    expect(left[0]).to.deep.include({
      actor: 'bootstrap',
      action: 'policy.explain',
      kind: 'policy',
      subject: service.service.live.policy().digest,
      before: null,
    });
    expect(left[0]?.['after']).to.deep.include({
      apiKeyId: key.id,
      action: 'call:create',
      businessId: 'bakery',
      set: {},
    });
    expect(JSON.stringify(left)).to.not.include(key.apiKey.slice(5, 20));
    // The one point of the key's limit is there still.
    expect(await client.decide(key.apiKey, 'bakery')).to.equal('OK');
    expect(await client.decide(key.apiKey, 'bakery')).to.equal('RATE_LIMITED');
    expect((await ask()).decision.code).to.equal('OK');
  });

  it('refuses what it cannot take, and then leaves no event', async () => {
    const refuses = (body: object, says: string): Promise<void> =>
      client.refuses([400, 'INVALID_REQUEST', says], 'POST', ROUTE, {
        apiKeyId: key.id,
        action: 'call:create',
        ...body,
      });
    await refuses({ apiKeyId: undefined }, 'name the key');
    await refuses({ apiKey: key.apiKey }, 'not both');
    await refuses({ action: 'Call' }, 'lower-case');
    await refuses({ at: 'tomorrow' }, 'RFC 3339');
    await refuses({ context: { ip: '1.2.3' } }, 'IPv4 or IPv6');
    await refuses({ context: { attributes: { soft: true } } }, 'context.attributes.soft');
    await refuses({ set: { 'r.user.state': 'active' } }, 'did you mean r.user.status?');
    await refuses({ set: { 'r.user.status': 'gone' } }, 'must be one of active, disabled, unknown');
    await refuses({ set: JSON.parse('{"__proto__": true}') }, 'no such fact');
    await refuses({ set: { 'r.key.id': `${key.apiKey}` } }, 'looks like an API key');
    await refuses({ set: { 'r.limit.exceeded': ['yes'] } }, 'must be an object');
    await refuses({ set: { 'r.limit.exceeded': 'yes' } }, 'must be true or false');
    await refuses({ set: { 'r.limit.exceeded': 'yes' } }, 'set.r.limit.exceeded');
    await refuses({ set: { 'r.key.environment': 'A B' } }, 'must be text');
    await refuses({ set: { 'r.request.action': 'user:read' } }, 'ask about another action');
    await refuses({ set: { 'r.key.status': 'unknown' } }, 'contradict each other');
    await refuses(
      { apiKeyId: undefined, apiKey: 'abcdefghijklmnopqrstuvwxyz0123', businessId: 'abcdefghijklmnopqrstuvwxyz0123' },
      'own field',
    );
    await refuses(
      {
        apiKeyId: undefined,
        apiKey: 'abcdefghijklmnopqrstuvwxyz0123',
        set: { 'r.key.environment': 'abcdefghijklmnopqrstuvwxyz0123' },
      },
      'own field',
    );
    await client.refuses([404, 'NOT_FOUND', 'no key nobody'], 'POST', ROUTE, {
      apiKeyId: 'nobody',
      action: 'call:create',
    });
  });

  it('is open to the scope policy:read, and to policy, and to no bound caller: it shows the rows', async () => {
    const body = { apiKeyId: key.id, action: 'account:read' };
    for (const scope of ['policy', 'policy:read']) {
      const reader = clientOf({ ...service, token: await insertCaller(service, [scope]) });
      expect((await reader.call('POST', ROUTE, body)).status).to.equal(200);
    }
    const others = clientOf({ ...service, token: await insertCaller(service, ['authorize', 'audit', 'keys']) });
    await others.refuses([403, 'FORBIDDEN', 'scope policy:read'], 'POST', ROUTE, body);
    const bound = clientOf({ ...service, token: await insertCaller(service, ['policy'], { bound_users: ['ann'] }) });
    await bound.refuses([403, 'FORBIDDEN', 'bound'], 'POST', ROUTE, body);
  });
});
