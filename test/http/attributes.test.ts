/** Attributes and roles over HTTP: what is accepted is read back and decides at once; what the live policy does not declare is refused. */

import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Client, clientOf } from '../support/client.ts';
import { declaringFolder, GRANTED } from '../support/declaring.ts';
import { insertCaller, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';

const SMS = 'sms:send';

describe('attributes', () => {
  let folder: string;
  let service: TestService;
  let client: Client;

  before(async () => {
    folder = await declaringFolder();
    service = await startService({ POLICY_DIR: folder });
    client = clientOf(service);
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true });
  });

  /** A user, a business of it and a key, with all that `sms:send` needs. */
  async function granted(name: string): Promise<{ apiKey: string; id: string; etag: string }> {
    await client.data('PUT', `/users/${name}`, { attributes: GRANTED.user });
    await client.data('PUT', `/businesses/${name}`, { attributes: GRANTED.business });
    await client.data('PUT', `/businesses/${name}/members/${name}`, { role: 'member' });
    return client.newKey(name, { attributes: GRANTED.key });
  }

  it('of users, businesses and keys, and roles, are in the next decision', async () => {
    const { apiKey, id } = await granted('ann');
    const states: [method: string, path: string, denying: object, allowing: object][] = [
      ['PUT', '/users/ann', {}, { attributes: GRANTED.user }],
      ['PUT', '/users/ann', { attributes: { plan: 'free' } }, { attributes: GRANTED.user }],
      ['PUT', '/businesses/ann', {}, { attributes: GRANTED.business }],
      ['PUT', '/businesses/ann', { attributes: { region: 'us' } }, { attributes: GRANTED.business }],
      ['PUT', '/businesses/ann/members/ann', { role: 'viewer' }, { role: 'owner' }],
      ['PATCH', `/keys/${id}`, { attributes: {} }, { attributes: { can: ['sms', 'recordings'] } }],
      ['PATCH', `/keys/${id}`, { attributes: { can: ['recordings'] } }, { attributes: GRANTED.key }],
    ];
    expect(await client.decide(apiKey, 'ann', SMS)).to.equal('OK');
    for (const [method, path, denying, allowing] of states) {
      await client.data(method, path, denying);
      expect(await client.decide(apiKey, 'ann', SMS), `${path} ${JSON.stringify(denying)}`).to.equal('NOT_GRANTED');
      await client.data(method, path, allowing);
      expect(await client.decide(apiKey, 'ann', SMS), `${path} ${JSON.stringify(allowing)}`).to.equal('OK');
    }
  });

  it('are replaced by a PUT, and by a PATCH that names them', async () => {
    const { id } = await granted('put');
    expect(await client.data('GET', '/users/put')).to.deep.include({ attributes: GRANTED.user });
    expect(await client.data('PUT', '/users/put', { disabled: true })).to.deep.include({ attributes: {} });
    expect(await client.data('PUT', '/businesses/put', {})).to.deep.include({ attributes: {} });
    expect(await client.data('PATCH', `/keys/${id}`, { friendlyName: 'x' })).to.deep.include({
      attributes: GRANTED.key,
    });
    expect(await client.data('PATCH', `/keys/${id}`, { attributes: {} })).to.deep.include({ attributes: {} });
  });

  it('of a key change its ETag, and a PATCH that changes nothing does not, in whatever order grants stand', async () => {
    const { id, etag } = await granted('tag');
    const path = `/keys/${id}`;
    const both = await client.call('PATCH', path, { attributes: { can: ['sms', 'recordings'] } });
    expect(both.headers.get('etag')).to.not.equal(etag);
    const before = await client.contents();
    const again = await client.call('PATCH', path, { attributes: { can: ['recordings', 'sms'] } });
    expect(again.headers.get('etag')).to.equal(both.headers.get('etag'));
    expect(await client.contents()).to.deep.equal(before);
    await client.refuses([412, 'PRECONDITION_FAILED'], 'PATCH', path, { attributes: {} }, { 'if-match': etag });
  });

  it('of a key with user management are changed only with the scope keys:grant-user-management', async () => {
    await granted('scope');
    const { id } = await client.newKey('scope', { allowUserManagementApiRequests: true, attributes: GRANTED.key });
    const plain = clientOf({ ...service, token: await insertCaller(service, ['keys']) });
    const path = `/keys/${id}`;
    const wider = { attributes: { can: ['sms', 'recordings'] } };
    await eventually(async () => (await plain.call('GET', path)).status === 200);
    await plain.refuses([403, 'FORBIDDEN', 'keys:grant-user-management'], 'PATCH', path, wider);
    expect((await plain.call('PATCH', path, { attributes: GRANTED.key, friendlyName: 'x' })).status).to.equal(200);
  });

  it('of a key are those of the key that it is rotated to', async () => {
    const { id } = await granted('turn');
    const { key } = (await client.data('POST', `/keys/${id}/rotate`)) as { key: { attributes: object } };
    expect(key.attributes).to.deep.equal(GRANTED.key);
  });

  it('are before and after in the events of their changes', async () => {
    const { id } = await granted('told');
    await client.data('PUT', '/users/told', {});
    await client.data('PUT', '/businesses/told', { attributes: { region: 'us' } });
    await client.data('PUT', '/businesses/told/members/told', { role: 'viewer' });
    await client.data('PATCH', `/keys/${id}`, { attributes: {} });
    const { items } = await client.data('GET', '/audit/admin?limit=4');
    type Event = { before: Record<string, unknown>; after: Record<string, unknown> };
    const [key, member, business, user] = (items as Event[]).map(({ before, after }) => [before, after]);
    expect(user?.map((one) => one?.['attributes'])).to.deep.equal([GRANTED.user, {}]);
    expect(business?.map((one) => one?.['attributes'])).to.deep.equal([GRANTED.business, { region: 'us' }]);
    expect(member?.map((one) => one?.['role'])).to.deep.equal(['member', 'viewer']);
    expect(key?.map((one) => one?.['attributes'])).to.deep.equal([GRANTED.key, {}]);
  });

  const bad: [method: string, path: string, body: unknown, says: string][] = [
    ['PUT', '/users/new', { attributes: { plan: 'gold' } }, '"attributes.plan","message":"must be free or pro"'],
    ['PUT', '/users/new', { attributes: { plan: ['pro'] } }, 'must be free or pro'],
    ['PUT', '/users/new', { attributes: { region: 'eu' } }, 'declares only plan here'],
    ['PUT', '/users/new', '{"attributes":{"__proto__":"pro"}}', 'declares only plan here'],
    ['PUT', '/users/new', { attributes: [] }, 'must be an object'],
    ['PUT', '/users/new', { attributes: null }, 'must be an object'],
    ['PUT', '/businesses/new', { attributes: { region: null } }, 'must be eu or us'],
    ['PUT', '/businesses/bad/members/bad', { role: 'boss' }, '"role","message":"must be owner, member or viewer"'],
    ['PUT', '/businesses/bad/members/bad', { role: 'other' }, 'must be owner, member or viewer'],
    ['POST', '/keys', { attributes: { can: 'sms' } }, 'must be a list of any of sms and recordings'],
    ['POST', '/keys', { attributes: { can: ['sms', 'sms'] } }, 'twice'],
    ['PATCH', '/keys/KEY', { attributes: { can: ['fax'] } }, 'must be a list of any of sms and recordings'],
    ['PATCH', '/keys/KEY', { attributes: null }, 'must be an object'],
  ];
  for (const [method, path, body, says] of bad) {
    it(`are refused: ${method} ${path} ${JSON.stringify(body)}`, async () => {
      await client.newUser('bad', 'bad');
      const { id } = await client.newKey('bad');
      const grants = { userId: 'bad', friendlyName: 'x', allowUserManagementApiRequests: false };
      const sent = method === 'POST' ? { ...grants, ...(body as object) } : body;
      await client.refuses([400, 'INVALID_REQUEST', says], method, path.replace('KEY', id), sent);
    });
  }

  it('that are stored and no longer declared count for nothing, and are no failure', async () => {
    const { apiKey, id } = await granted('old');
    await service
      .db('api_keys')
      .where({ id })
      .update({ attributes: { can: ['sms', 'fax'], was: 'there', odd: { a: 1 } } });
    await service
      .db('users')
      .where({ id: 'old' })
      .update({ attributes: { plan: 'gold' } });
    await service.db('business_members').where({ business_id: 'old' }).update({ role: 'auditor' });
    await client.data('PUT', '/businesses/old', { attributes: { region: 'eu' }, disabled: true });
    await client.data('PUT', '/businesses/old', { attributes: { region: 'eu' } });
    expect(await client.decide(apiKey, 'old')).to.equal('PERMISSION_DENIED');
    await client.data('PUT', '/businesses/old/members/old', { role: 'member' });
    expect(await client.decide(apiKey, 'old')).to.equal('OK');
    expect(await client.decide(apiKey, 'old', SMS)).to.equal('NOT_GRANTED');
    await client.data('PUT', '/users/old', { attributes: { plan: 'pro' } });
    expect(await client.decide(apiKey, 'old', SMS)).to.equal('OK');
    expect(await client.data('GET', `/keys/${id}`)).to.deep.include({
      attributes: { can: ['fax', 'sms'], odd: { a: 1 }, was: 'there' },
    });
  });

  it('that are accepted are read back equal, and decide what they say', async () => {
    await granted('any');
    const list = (...words: string[]) => fc.shuffledSubarray(words);
    const user = fc.record({ plan: fc.constantFrom('free', 'pro') }, { requiredKeys: [] });
    const business = fc.record({ region: fc.constantFrom('eu', 'us') }, { requiredKeys: [] });
    const key = fc.record({ can: list('sms', 'recordings') }, { requiredKeys: [] });
    const { apiKey, id } = await client.newKey('any');
    await fc.assert(
      fc.asyncProperty(
        user,
        business,
        key,
        fc.constantFrom('owner', 'viewer'),
        async (ofUser, ofBusiness, ofKey, role) => {
          await client.data('PUT', '/users/any', { attributes: ofUser });
          await client.data('PUT', '/businesses/any', { attributes: ofBusiness });
          await client.data('PUT', '/businesses/any/members/any', { role });
          await client.data('PATCH', `/keys/${id}`, { attributes: ofKey });
          expect((await client.data('GET', '/users/any'))['attributes']).to.deep.equal(ofUser);
          expect((await client.data('GET', '/businesses/any'))['attributes']).to.deep.equal(ofBusiness);
          const sorted = ofKey.can ? { can: ofKey.can.toSorted() } : {};
          expect((await client.data('GET', `/keys/${id}`))['attributes']).to.deep.equal(sorted);
          const all =
            ofUser.plan === 'pro' && ofBusiness.region === 'eu' && role === 'owner' && ofKey.can?.includes('sms');
          expect(await client.decide(apiKey, 'any', SMS)).to.equal(all ? 'OK' : 'NOT_GRANTED');
        },
      ),
      { numRuns: 40 },
    );
  });
});
