/** The businesses and their members over HTTP, and what each request does to the decisions on them. */

import { expect } from 'chai';
import { type Client, withService } from '../support/client.ts';

describe('/businesses', () => {
  let client: Client;

  withService((started) => {
    ({ client } = started);
  });

  it('makes a business, shows it, and answers the same PUT again with 200', async () => {
    const made = await client.call('PUT', '/businesses/1', { disabled: true, disabledReason: 'Unpaid.' });
    expect(made.status).to.equal(201);
    expect(made.body.Data).to.include({ id: '1', disabled: true, disabledReason: 'Unpaid.' });
    expect(await client.data('GET', '/businesses/1')).to.deep.equal(made.body.Data);

    const before = await client.contents();
    const again = await client.call('PUT', '/businesses/1', { disabled: true, disabledReason: 'Unpaid.' });
    expect(again.status).to.equal(200);
    expect(again.body.Data).to.deep.equal(made.body.Data);
    expect(await client.contents()).to.deep.equal(before);
  });

  it('resets what a PUT leaves out', async () => {
    await client.data('PUT', '/businesses/2', { disabled: true, disabledReason: 'Unpaid.' });
    const reset = await client.data('PUT', '/businesses/2', {});
    expect(reset).to.include({ disabled: false, disabledReason: null, disabledAt: null });
  });

  it('decides by each state of a business at once, with its reason', async () => {
    await client.newUser('ann', 'shop');
    const { apiKey } = await client.newKey('ann');
    expect(await client.decide(apiKey, 'shop')).to.equal('OK');
    await client.data('PUT', '/businesses/shop', { disabled: true, disabledReason: 'Unpaid.' });
    const reply = await client.call('POST', '/authorize', { apiKey, action: 'call:create', businessId: 'shop' });
    expect(reply.body.Code).to.equal('BUSINESS_DISABLED');
    expect(reply.body.Message).to.match(/Unpaid\.$/);
    await client.data('PUT', '/businesses/shop', {});
    expect(await client.decide(apiKey, 'shop')).to.equal('OK');
  });

  it('deletes a business with its memberships, and a new one of the same id has none of them', async () => {
    await client.newUser('bob', 'gone');
    const { apiKey } = await client.newKey('bob');
    expect((await client.call('DELETE', '/businesses/gone')).status).to.equal(204);
    await client.refuses([404, 'NOT_FOUND', 'gone'], 'DELETE', '/businesses/gone');
    await client.refuses([404, 'NOT_FOUND', 'gone'], 'GET', '/businesses/gone');
    await client.refuses([404, 'NOT_FOUND', 'gone'], 'GET', '/businesses/gone/members');
    expect(await client.decide(apiKey, 'gone')).to.equal('PERMISSION_DENIED');
    await client.data('PUT', '/businesses/gone', {});
    expect((await client.data('GET', '/businesses/gone/members'))['items']).to.deep.equal([]);
    expect(await client.decide(apiKey, 'gone')).to.equal('PERMISSION_DENIED');
  });

  describe('/members', () => {
    before(async () => {
      await client.newUser('carl');
      await client.data('PUT', '/businesses/cafe', {});
    });

    it('gives a user access, changes the role, and answers the same PUT again with 200', async () => {
      const { apiKey } = await client.newKey('carl');
      expect(await client.decide(apiKey, 'cafe')).to.equal('PERMISSION_DENIED');
      const path = '/businesses/cafe/members/carl';
      const made = await client.call('PUT', path, { role: 'member' });
      expect(made.status).to.equal(201);
      expect(made.body.Data).to.deep.equal({ businessId: 'cafe', userId: 'carl', role: 'member' });
      expect(await client.decide(apiKey, 'cafe')).to.equal('OK');

      const changed = await client.call('PUT', path, { role: 'owner' });
      expect(changed.status).to.equal(200);
      expect((await client.data('GET', '/businesses/cafe/members'))['items']).to.deep.equal([changed.body.Data]);
      const before = await client.contents();
      expect((await client.call('PUT', path, { role: 'owner' })).status).to.equal(200);
      expect(await client.contents()).to.deep.equal(before);

      expect((await client.call('DELETE', path)).status).to.equal(204);
      expect(await client.decide(apiKey, 'cafe')).to.equal('PERMISSION_DENIED');
      await client.refuses([404, 'NOT_FOUND', 'carl'], 'DELETE', path);
    });

    it('lists members in the order of the ids of their users', async () => {
      await client.data('PUT', '/businesses/club', {});
      for (const id of ['b', 'B', 'a1', 'a', '_']) {
        await client.data('PUT', `/users/m${id}`, {});
        await client.data('PUT', `/businesses/club/members/m${id}`, { role: 'member' });
      }
      const { items } = await client.data('GET', '/businesses/club/members');
      expect((items as { userId: string }[]).map(({ userId }) => userId)).to.deep.equal([
        'mB',
        'm_',
        'ma',
        'ma1',
        'mb',
      ]);
    });

    const faults: [
      name: string,
      method: string,
      path: string,
      body: unknown,
      status: number,
      code: string,
      says: string,
    ][] = [
      ['an unknown business', 'PUT', '/businesses/no/members/carl', { role: 'owner' }, 404, 'NOT_FOUND', 'business no'],
      ['an unknown user', 'PUT', '/businesses/cafe/members/no', { role: 'owner' }, 404, 'NOT_FOUND', 'user no'],
      ['no membership', 'DELETE', '/businesses/cafe/members/no', undefined, 404, 'NOT_FOUND', 'no member'],
      [
        'an unknown role',
        'PUT',
        '/businesses/cafe/members/carl',
        { role: 'admin' },
        400,
        'INVALID_REQUEST',
        'owner or',
      ],
      ['no role', 'PUT', '/businesses/cafe/members/carl', {}, 400, 'INVALID_REQUEST', 'role'],
      ['a stray field', 'PUT', '/businesses/cafe/members/carl', { role: 'owner', a: 1 }, 400, 'INVALID_REQUEST', '"a"'],
      [
        'an id outside the grammar',
        'PUT',
        '/businesses/cafe/members/%C3%A9',
        { role: 'owner' },
        400,
        'INVALID_REQUEST',
        'userId',
      ],
    ];
    for (const [name, method, path, body, status, code, says] of faults) {
      it(`refuses ${name}`, () => client.refuses([status, code, says], method, path, body));
    }
  });
});
