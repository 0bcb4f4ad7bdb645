/** The users over HTTP: what each request answers, and what it does to the decisions on their keys. */

import { expect } from 'chai';
import { type Client, withService } from '../support/client.ts';

const NEW = { disabled: false, disabledReason: null, disabledAt: null, businessesDisabled: false, rateLimit: null };

describe('/users', () => {
  let client: Client;

  withService((started) => {
    ({ client } = started);
  });

  it('makes a user, and shows it', async () => {
    const made = await client.call('PUT', '/users/ann', {});
    expect(made.status).to.equal(201);
    expect(made.body).to.include({ Success: true, Code: 'OK' });
    expect(made.body.Data).to.include({ id: 'ann', ...NEW });
    expect(await client.data('GET', '/users/ann')).to.deep.equal(made.body.Data);
  });

  it('takes the same PUT again for done', async () => {
    const body = {
      disabled: true,
      disabledReason: 'Closed.',
      businessesDisabled: true,
      rateLimit: { requests: 5, windowSeconds: 9 },
    };
    const made = await client.call('PUT', '/users/same', body);
    const before = await client.contents();
    const again = await client.call('PUT', '/users/same', body);
    expect(again.status).to.equal(200);
    expect(again.body.Data).to.deep.equal(made.body.Data);
    expect(await client.contents()).to.deep.equal(before);
  });

  it('resets what a PUT leaves out', async () => {
    await client.data('PUT', '/users/reset', {
      disabled: true,
      disabledReason: 'Closed.',
      businessesDisabled: true,
      rateLimit: { requests: 5, windowSeconds: 9 },
    });
    const reply = await client.call('PUT', '/users/reset', {});
    expect(reply.status).to.equal(200);
    expect(reply.body.Data).to.include({ id: 'reset', ...NEW });
  });

  it('keeps the time since which a user is disabled, through other changes', async () => {
    const first = await client.data('PUT', '/users/since', { disabled: true });
    const second = await client.data('PUT', '/users/since', { disabled: true, disabledReason: 'Closed.' });
    expect(first['disabledAt']).to.be.a('string');
    expect(second).to.include({ disabledAt: first['disabledAt'], disabledReason: 'Closed.' });
  });

  it('has each state of a user in the next decision', async () => {
    await client.newUser('eve', 'eves');
    const { apiKey } = await client.newKey('eve');
    const states = [
      [{}, 'OK'],
      [{ disabled: true, disabledReason: 'Closed on request.' }, 'USER_DISABLED'],
      [{ businessesDisabled: true }, 'BUSINESS_DISABLED'],
      [{}, 'OK'],
    ] as const;
    for (const [state, code] of states) {
      await client.data('PUT', '/users/eve', state);
      expect(await client.decide(apiKey, 'eves')).to.equal(code);
    }
  });

  it('shows the reason of a disabled user', async () => {
    await client.newUser('why');
    const { apiKey } = await client.newKey('why');
    await client.data('PUT', '/users/why', { disabled: true, disabledReason: 'Closed on request.' });
    const reply = await client.call('POST', '/authorize', { apiKey, action: 'account:read' });
    expect(reply.body.Message).to.match(/Closed on request\.$/);
  });

  it('compares and sorts ids byte by byte', async () => {
    const ids = ['0', '01', '1', 'A', 'Z', '_', 'a', 'a-', 'a.', 'a:', 'aA', 'aa', 'b'];
    for (const id of ids) expect((await client.call('PUT', `/users/x${id}`, {})).status).to.equal(201);
    const { items } = await client.data('GET', '/users?limit=200');
    const listed = (items as { id: string }[]).map(({ id }) => id);
    expect(listed).to.deep.equal([...listed].sort());
    expect(listed).to.include.members(ids.map((id) => `x${id}`));
    await client.refuses([404, 'NOT_FOUND', 'XA'], 'GET', '/users/XA');
  });

  it('deletes a user with its keys and memberships, for good', async () => {
    await client.newUser('bob', 'bobs');
    const { apiKey, id } = await client.newKey('bob', { restrictedBusinessIds: ['bobs'] });
    expect((await client.call('DELETE', '/users/bob')).status).to.equal(204);
    await client.refuses([404, 'NOT_FOUND', 'bob'], 'DELETE', '/users/bob');
    await client.refuses([404, 'NOT_FOUND'], 'GET', '/users/bob');
    await client.refuses([404, 'NOT_FOUND'], 'GET', `/keys/${id}`);
    expect(await client.decide(apiKey, 'bobs')).to.equal('INVALID_API_KEY');

    await client.data('PUT', '/users/bob', {});
    expect(await client.decide(apiKey, 'bobs')).to.equal('INVALID_API_KEY');
    expect((await client.data('GET', '/businesses/bobs/members'))['items']).to.deep.equal([]);
    const { apiKey: other } = await client.newKey('bob');
    expect(await client.decide(other, 'bobs')).to.equal('PERMISSION_DENIED');
  });

  it('revokes all keys of a user at once, and no others', async () => {
    await client.newUser('max', 'maxes');
    await client.data('PUT', '/users/moe', {});
    const keys = [await client.newKey('max'), await client.newKey('max')];
    const other = await client.newKey('moe');
    const path = '/users/max/revoke-keys';
    expect(await client.data('POST', path, { reason: 'Stolen laptop.' })).to.deep.equal({ revoked: 2 });
    for (const { apiKey, id } of keys) {
      expect(await client.decide(apiKey, 'maxes')).to.equal('INVALID_API_KEY');
      expect(await client.data('GET', `/keys/${id}`)).to.include({
        status: 'revoked',
        revokedReason: 'Stolen laptop.',
      });
    }
    expect(await client.decide(other.apiKey, undefined, 'account:read')).to.equal('OK');

    const before = await client.contents();
    expect(await client.data('POST', path)).to.deep.equal({ revoked: 0 });
    expect(await client.contents()).to.deep.equal(before);
    expect(await client.decide((await client.newKey('max')).apiKey, 'maxes')).to.equal('OK');
    // Whatever the number, it reads right.
    expect((await client.call('POST', path)).body.Message).to.equal('Keys that this revoked: 1.');
  });

  it('has nothing to revoke of an unknown user', () =>
    client.refuses([404, 'NOT_FOUND', 'nobody'], 'POST', '/users/nobody/revoke-keys'));
});
