/** What each scope opens: the read-only forms, and the one that user management is granted with. */

import { expect } from 'chai';
import { type Client, clientOf, withService } from '../support/client.ts';
import { insertCaller, type TestService } from '../support/service.ts';

const FUTURE = '2998-01-01T00:00:00.000Z';

describe('a scope', () => {
  let service: TestService;
  let client: Client;
  const clientWith = async (...scopes: string[]): Promise<Client> =>
    clientOf({ ...service, token: await insertCaller(service, scopes) });

  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ann', 'a', 'b');
    await client.newKey('ann', {});
  });

  it('that is read-only opens the reads, and the one that writes opens them too', async () => {
    const { id } = await client.newKey('ann');
    const reads: Record<string, string[]> = {
      keys: ['/keys', `/keys/${id}`],
      directory: ['/users', '/users/ann', '/businesses', '/businesses/a', '/businesses/a/members'],
      policy: ['/policy'],
    };
    for (const [scope, paths] of Object.entries(reads)) {
      for (const each of [scope, `${scope}:read`]) {
        const reader = await clientWith(each);
        for (const path of paths) expect((await reader.call('GET', path)).status, `${each} ${path}`).to.equal(200);
      }
      const others = await clientWith(...['keys', 'directory', 'policy', 'audit'].filter((other) => other !== scope));
      for (const path of paths) await others.refuses([403, 'FORBIDDEN', `scope ${scope}:read`], 'GET', path);
    }
  });

  it('that is read-only opens no change', async () => {
    const reader = await clientWith('keys:read', 'directory:read', 'policy:read', 'keys:grant-user-management');
    const { id } = await client.newKey('ann');
    const body = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false };
    const changes: [string, string, object?][] = [
      ['POST', '/keys', body],
      ['PATCH', `/keys/${id}`, { friendlyName: 'y' }],
      ['POST', `/keys/${id}/rotate`],
      ['POST', `/keys/${id}/revoke`],
      ['DELETE', `/keys/${id}`],
      ['POST', '/users/ann/revoke-keys'],
      ['PUT', '/users/ann', { disabled: true }],
      ['DELETE', '/users/ann'],
      ['PUT', '/businesses/a', { disabled: true }],
      ['DELETE', '/businesses/a'],
      ['PUT', '/businesses/a/members/ann', { role: 'owner' }],
      ['DELETE', '/businesses/a/members/ann'],
    ];
    for (const [method, path, sent] of changes) await reader.refuses([403, 'FORBIDDEN'], method, path, sent);
  });

  describe('keys:grant-user-management', () => {
    const MANAGED = { allowUserManagementApiRequests: true, restrictedBusinessIds: ['a'], expiresAt: FUTURE };
    const says = 'scope keys:grant-user-management';

    it('is needed to make a key with user management, to widen one, and to rotate one', async () => {
      const plain = await clientWith('keys', 'directory');
      const body = { userId: 'ann', friendlyName: 'x', ...MANAGED };
      await plain.refuses([403, 'FORBIDDEN', says], 'POST', '/keys', body);
      const { id: unmanaged } = await client.newKey('ann');
      await plain.refuses([403, 'FORBIDDEN', says], 'PATCH', `/keys/${unmanaged}`, {
        allowUserManagementApiRequests: true,
      });
      const { id } = await client.newKey('ann', MANAGED);
      for (const wider of [
        { expiresAt: null },
        { expiresAt: '2999-01-01T00:00:00Z' },
        { restrictedBusinessIds: null },
        { restrictedBusinessIds: ['b'] },
        { restrictedBusinessIds: ['a', 'b'] },
        { environment: 'staging' },
        { rateLimit: { requests: 1, windowSeconds: 1 } },
      ])
        await plain.refuses([403, 'FORBIDDEN', says], 'PATCH', `/keys/${id}`, wider);
      await plain.refuses([403, 'FORBIDDEN', says], 'POST', `/keys/${id}/rotate`);
    });

    it('is not needed to name, narrow, revoke or delete such a key, nor for keys without it', async () => {
      const plain = await clientWith('keys', 'directory');
      const { id } = await client.newKey('ann', { ...MANAGED, restrictedBusinessIds: ['a', 'b'] });
      for (const narrower of [
        { friendlyName: 'other' },
        { expiresAt: '2997-01-01T00:00:00.000Z' },
        { restrictedBusinessIds: ['b'] },
        { allowUserManagementApiRequests: true },
        { allowUserManagementApiRequests: false, expiresAt: null },
      ])
        expect((await plain.call('PATCH', `/keys/${id}`, narrower)).status).to.equal(200);
      expect((await plain.call('PATCH', `/keys/${id}`, { restrictedBusinessIds: null })).status).to.equal(200);
      expect((await plain.call('POST', `/keys/${id}/rotate`)).status).to.equal(201);
      const { id: other } = await client.newKey('ann', MANAGED);
      expect((await plain.call('POST', `/keys/${other}/revoke`)).status).to.equal(200);
      expect((await plain.call('DELETE', `/keys/${other}`)).status).to.equal(204);
    });

    it('opens all of that beside the scope keys, and nothing alone', async () => {
      const granting = await clientWith('keys', 'keys:grant-user-management');
      const { id } = await granting.newKey('ann', MANAGED);
      expect((await granting.call('PATCH', `/keys/${id}`, { restrictedBusinessIds: null })).status).to.equal(200);
      expect((await granting.call('POST', `/keys/${id}/rotate`)).status).to.equal(201);
      const alone = await clientWith('keys:grant-user-management');
      await alone.refuses([403, 'FORBIDDEN'], 'GET', '/keys');
    });
  });
});
