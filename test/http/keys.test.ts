/** The life of a key over HTTP: each change, and the decision that shows its effect. */

import { expect } from 'chai';
import { isToken } from '../../src/credentials/token.ts';
import { type Client, withService } from '../support/client.ts';
import type { TestService } from '../support/service.ts';

const FUTURE = '2999-01-01T00:00:00.000Z';

describe('/keys', () => {
  let service: TestService;
  let client: Client;

  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ann', 'a', 'b', 'c');
  });

  it('makes a key from what must be said, and fills in the rest', async () => {
    const reply = await client.call('POST', '/keys', {
      userId: 'ann',
      friendlyName: 'Büro ☎ 7',
      allowUserManagementApiRequests: false,
    });
    expect(reply.status).to.equal(201);
    const { apiKey, key } = reply.body.Data as { apiKey: string; key: Record<string, unknown> };
    expect(isToken('apiKey', apiKey)).to.equal(true);
    const { id, createdAt, ...rest } = key;
    expect(rest).to.deep.equal({
      userId: 'ann',
      friendlyName: 'Büro ☎ 7',
      hint: `${apiKey.slice(0, 9)}...${apiKey.slice(-4)}`,
      allowUserManagementApiRequests: false,
      restrictedBusinessIds: null,
      environment: 'production',
      rateLimit: null,
      attributes: {},
      expiresAt: null,
      revokedAt: null,
      revokedReason: null,
      rotatedFrom: null,
      rotatedTo: null,
      lastUsedAt: null,
      status: 'active',
    });
    expect(Date.parse(String(createdAt))).to.be.closeTo(Date.now(), 60_000);
    expect(await client.decide(apiKey, 'a')).to.equal('OK');

    const shown = await client.call('GET', `/keys/${id}`);
    expect(shown.body.Data).to.deep.equal(key);
    expect(shown.headers.get('etag')).to.equal(reply.headers.get('etag'));
    expect(JSON.stringify(shown.body)).to.not.include(apiKey);
  });

  it('makes a key with all that can be said', async () => {
    const grants = {
      allowUserManagementApiRequests: true,
      restrictedBusinessIds: ['c', 'a', 'a'],
      environment: 'staging-2',
      expiresAt: '2999-01-01T02:00:00+02:00',
      rateLimit: { requests: 2 ** 31 - 1, windowSeconds: 86_400 },
    };
    const { id, apiKey } = await client.newKey('ann', grants);
    expect(await client.data('GET', `/keys/${id}`)).to.deep.include({
      ...grants,
      restrictedBusinessIds: ['a', 'c'],
      expiresAt: FUTURE,
    });
    expect(await client.decide(apiKey, 'c')).to.equal('OK');
    expect(await client.decide(apiKey, 'b')).to.equal('PERMISSION_DENIED');
    expect(await client.decide(apiKey, undefined, 'user:read')).to.equal('OK');
  });

  it('allows two keys of one name, which their ids tell apart', async () => {
    const [one, two] = [await client.newKey('ann'), await client.newKey('ann')];
    expect(one.id).to.not.equal(two.id);
    expect(one.apiKey).to.not.equal(two.apiKey);
  });

  it('lists the keys of a user in the order of their making, and none in clear', async () => {
    await client.newUser('lea');
    const made = [];
    for (let n = 0; n < 3; n += 1) made.push(await client.newKey('lea'));
    const reply = await client.call('GET', '/keys?userId=lea');
    const { items, nextCursor } = reply.body.Data as { items: { id: string }[]; nextCursor: null };
    expect(items.map(({ id }) => id)).to.deep.equal(made.map(({ id }) => id));
    expect(nextCursor).to.equal(null);
    for (const { apiKey } of made) expect(JSON.stringify(reply.body)).to.not.include(apiKey);
    const all = await client.data('GET', '/keys?limit=200');
    expect(all['items']).to.deep.include.members(items);
    expect((await client.data('GET', '/keys?userId=nobody'))['items']).to.deep.equal([]);
  });

  it('changes each field by itself, leaves the rest, and has it in the next decision', async () => {
    const { id, apiKey, etag } = await client.newKey('ann');
    const path = `/keys/${id}`;
    let expected = await client.data('GET', path);
    const changes = [
      [{ friendlyName: 'Another' }, 'b', 'call:create', 'OK'],
      [{ allowUserManagementApiRequests: true }, undefined, 'user:read', 'OK'],
      [{ allowUserManagementApiRequests: false }, undefined, 'user:read', 'PERMISSION_DENIED'],
      [{ restrictedBusinessIds: ['a'] }, 'b', 'call:create', 'PERMISSION_DENIED'],
      [{ restrictedBusinessIds: ['a', 'b'] }, 'b', 'call:create', 'OK'],
      [{ restrictedBusinessIds: ['b'] }, 'a', 'call:create', 'PERMISSION_DENIED'],
      [{ restrictedBusinessIds: null }, 'a', 'call:create', 'OK'],
      [{ environment: 'test' }, 'a', 'call:create', 'OK'],
      [{ expiresAt: FUTURE }, 'a', 'call:create', 'OK'],
      [{ expiresAt: null }, 'a', 'call:create', 'OK'],
      [{ rateLimit: { requests: 1000, windowSeconds: 1 } }, 'a', 'call:create', 'OK'],
      [{ rateLimit: null }, 'a', 'call:create', 'OK'],
    ] as const;
    const seen = new Set([etag]);
    for (const [change, business, action, code] of changes) {
      const reply = await client.call('PATCH', path, change);
      expected = { ...expected, ...change };
      expect(reply.body.Data).to.deep.equal(expected);
      expect(await client.data('GET', path)).to.deep.equal(expected);
      seen.add(reply.headers.get('etag') ?? '');
      expect(await client.decide(apiKey, business, action), JSON.stringify(change)).to.equal(code);
    }
    expect(seen.size).to.equal(changes.length + 1);
  });

  it('changes nothing, its ETag neither, when it is as asked', async () => {
    const { id, etag } = await client.newKey('ann', { restrictedBusinessIds: ['a', 'b'], expiresAt: FUTURE });
    const before = await client.contents();
    for (const change of [{}, { restrictedBusinessIds: ['b', 'a', 'b'], expiresAt: FUTURE, friendlyName: 'a key' }]) {
      const reply = await client.call('PATCH', `/keys/${id}`, change);
      expect(reply.status).to.equal(200);
      expect(reply.headers.get('etag')).to.equal(etag);
    }
    expect(await client.contents()).to.deep.equal(before);
  });

  it('changes only the version that If-Match names', async () => {
    const { id, etag } = await client.newKey('ann');
    const path = `/keys/${id}`;
    const first = await client.call('PATCH', path, { friendlyName: 'first' }, { 'if-match': etag });
    expect(first.status).to.equal(200);
    const stale = [412, 'PRECONDITION_FAILED', 'Read it again'] as const;
    for (const header of [etag, `W/${first.headers.get('etag')}`, '"x"', `${etag}, "x"`]) {
      await client.refuses(stale, 'PATCH', path, { friendlyName: 'second' }, { 'if-match': header });
    }
    for (const header of [`"x" , ${first.headers.get('etag')}`, '*']) {
      const reply = await client.call('PATCH', path, { friendlyName: header }, { 'if-match': header });
      expect(reply.status).to.equal(200);
    }
    for (const header of ['1', 'x', '"1', '', '*, "1"']) {
      await client.refuses([400, 'INVALID_REQUEST', 'If-Match'], 'PATCH', path, {}, { 'if-match': header });
    }
  });

  describe('rotate', () => {
    it('makes a key with the same grants, and ends the old one', async () => {
      const grants = { restrictedBusinessIds: ['a'], environment: 'test', expiresAt: FUTURE };
      const old = await client.newKey('ann', { ...grants, rateLimit: { requests: 9, windowSeconds: 9 } });
      const before = await client.data('GET', `/keys/${old.id}`);
      const reply = await client.call('POST', `/keys/${old.id}/rotate`);
      expect(reply.status).to.equal(201);
      const { apiKey, key } = reply.body.Data as { apiKey: string; key: Record<string, unknown> };
      const { id, hint, createdAt } = key;
      expect(key).to.deep.equal({ ...before, id, hint, createdAt, rotatedFrom: old.id });
      expect([id, hint]).to.not.include.members([old.id, before['hint']]);
      expect(await client.decide(apiKey, 'a')).to.equal('OK');
      expect(await client.decide(apiKey, 'b')).to.equal('PERMISSION_DENIED');
      expect(await client.decide(old.apiKey, 'a')).to.equal('INVALID_API_KEY');
      expect(await client.data('GET', `/keys/${old.id}`)).to.include({ status: 'expired', rotatedTo: id });
      await client.refuses([409, 'CONFLICT', 'is expired'], 'POST', `/keys/${old.id}/rotate`);
    });

    it('lets no later end bring the old key back, and an earlier one end it sooner', async () => {
      const old = await client.newKey('ann');
      await client.data('POST', `/keys/${old.id}/rotate`, { overlapSeconds: 3600 });
      for (const expiresAt of [null, FUTURE]) {
        await client.refuses([409, 'CONFLICT', 'replaced by'], 'PATCH', `/keys/${old.id}`, { expiresAt });
      }
      const sooner = new Date(Date.now() + 60_000).toISOString();
      expect(await client.data('PATCH', `/keys/${old.id}`, { expiresAt: sooner })).to.include({ expiresAt: sooner });
      await service.db('api_keys').where({ id: old.id }).update({ expires_at: '2020-01-01T00:00:00Z', version: 9 });
      await client.refuses([409, 'CONFLICT', 'replaced by'], 'PATCH', `/keys/${old.id}`, { expiresAt: null });
      expect(await client.decide(old.apiKey, 'a')).to.equal('INVALID_API_KEY');
    });

    it('lets the old key work for the overlap, but not past its own end', async () => {
      const soon = new Date(Date.now() + 1000_000).toISOString();
      const ends = [
        [{}, 3600, 3600],
        [{ expiresAt: soon }, 3600, 1000],
        [{ expiresAt: FUTURE }, 2_592_000, 2_592_000],
      ] as const;
      for (const [grants, overlapSeconds, seconds] of ends) {
        const old = await client.newKey('ann', grants);
        const { key } = await client.data('POST', `/keys/${old.id}/rotate`, { overlapSeconds });
        const { expiresAt } = await client.data('GET', `/keys/${old.id}`);
        expect(Date.parse(String(expiresAt)) - Date.now()).to.be.closeTo(seconds * 1000, 30_000);
        expect(await client.decide(old.apiKey, 'a')).to.equal('OK');
        const { id } = key as { id: string };
        await client.refuses([409, 'CONFLICT', id], 'POST', `/keys/${old.id}/rotate`);
      }
    });

    it('refuses a key that is revoked, expired or unknown', async () => {
      const { id } = await client.newKey('ann');
      await client.data('POST', `/keys/${id}/revoke`);
      await client.refuses([409, 'CONFLICT', 'is revoked'], 'POST', `/keys/${id}/rotate`);
      const other = await client.newKey('ann');
      await service.db('api_keys').where({ id: other.id }).update({ expires_at: '2020-01-01T00:00:00Z' });
      await client.refuses([409, 'CONFLICT', 'is expired'], 'POST', `/keys/${other.id}/rotate`);
      await client.refuses([404, 'NOT_FOUND', 'nothing'], 'POST', '/keys/nothing/rotate');
    });
  });

  describe('revoke and delete', () => {
    it('revokes at once and for good; again, it stays as it was', async () => {
      const { id, apiKey } = await client.newKey('ann');
      const revoked = await client.data('POST', `/keys/${id}/revoke`, { reason: 'Posted in a channel.' });
      expect(revoked).to.include({ status: 'revoked', revokedReason: 'Posted in a channel.' });
      expect(await client.decide(apiKey, 'a')).to.equal('INVALID_API_KEY');
      const before = await client.contents();
      expect(await client.data('POST', `/keys/${id}/revoke`, { reason: 'Another.' })).to.deep.equal(revoked);
      expect(await client.contents()).to.deep.equal(before);

      await client.data('PATCH', `/keys/${id}`, { expiresAt: FUTURE, friendlyName: 'still dead' });
      expect(await client.decide(apiKey, 'a')).to.equal('INVALID_API_KEY');
    });

    it('deletes at once, and keeps the id in the log', async () => {
      const { id, apiKey } = await client.newKey('ann', { restrictedBusinessIds: ['a'] });
      expect(await client.decide(apiKey, 'a')).to.equal('OK');
      expect((await client.call('DELETE', `/keys/${id}`)).status).to.equal(204);
      expect(await client.decide(apiKey, 'a')).to.equal('INVALID_API_KEY');
      await client.refuses([404, 'NOT_FOUND', id], 'GET', `/keys/${id}`);
      await client.refuses([404, 'NOT_FOUND', id], 'DELETE', `/keys/${id}`);
      expect(await service.db('decisions').where({ api_key_id: id })).to.have.length(1);
    });
  });
});
