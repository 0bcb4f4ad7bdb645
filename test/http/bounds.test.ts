/** A caller that is bound to users or to businesses: what it sees, what it may change, and that all else is closed. */

import { expect } from 'chai';
import type { NewCaller } from '../../src/directory/callers.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { authz } from '../support/cli.ts';
import { type Client, clientOf, withService } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertCaller, type TestService } from '../support/service.ts';
import { settingsOf } from './process.ts';
import { countDecisions } from './wire.ts';

const SCOPES = [
  'authorize',
  'keys',
  'directory',
  'audit',
  'policy',
  'freeze',
  'evaluate',
  'search',
  'keys:grant-user-management',
];
const NEW = { friendlyName: 'x', allowUserManagementApiRequests: false };
const FORBIDDEN = [403, 'FORBIDDEN', 'bound'] as const;
const GONE = [404, 'NOT_FOUND'] as const;

describe('a bound caller', () => {
  let service: TestService;
  let client: Client;
  let ofBakery: Client;
  let ofAnn: Client;
  /** Keys of ann: restricted to the bakery, to bakery and garage, and to nothing; and one of bob's, to the bakery. */
  const keys: Record<'bakery' | 'both' | 'all' | 'bobs', { apiKey: string; id: string }> = {} as never;

  const bound = async (row: object): Promise<Client> =>
    clientOf({ ...service, token: await insertCaller(service, SCOPES, row) });
  const idsOf = async (of: Client, path: string, field = 'id'): Promise<unknown[]> =>
    ((await of.data('GET', path))['items'] as Record<string, unknown>[]).map((item) => item[field]);

  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ann', 'bakery', 'garage');
    await client.newUser('bob', 'bakery');
    await client.newUser('eve', 'kiosk');
    keys.bakery = await client.newKey('ann', { restrictedBusinessIds: ['bakery'] });
    keys.both = await client.newKey('ann', { restrictedBusinessIds: ['bakery', 'garage'] });
    keys.all = await client.newKey('ann');
    keys.bobs = await client.newKey('bob', { restrictedBusinessIds: ['bakery'] });
    await client.newKey('eve');
    ofBakery = await bound({ bound_businesses: ['bakery', 'new'] });
    ofAnn = await bound({ bound_users: ['ann', 'newcomer'] });
  });

  describe('of businesses', () => {
    it('asks about these, and about no other business or none: 403 before anything is loaded', async () => {
      expect(await ofBakery.decide(keys.bakery.apiKey, 'bakery')).to.equal('OK');
      const before = await countDecisions(service);
      const lock = await service.db.transaction();
      await lock.raw('lock table api_keys in access exclusive mode');
      const question = { apiKey: 'iqra_x', action: 'call:create' };
      for (const businessId of ['garage', 'unknown', 'Bakery', undefined, null]) {
        const reply = await ofBakery.call('POST', '/authorize', { ...question, businessId });
        expect([reply.status, reply.body.Code], String(businessId)).to.deep.equal([403, 'FORBIDDEN']);
        const requests = [
          { ...question, businessId: 'bakery' },
          { ...question, businessId },
        ];
        const batch = await ofBakery.call('POST', '/authorize/batch', { requests });
        expect([batch.status, batch.body.Code]).to.deep.equal([403, 'FORBIDDEN']);
      }
      await lock.rollback();
      expect(await countDecisions(service)).to.equal(before);
      const requests = [{ apiKey: keys.bakery.apiKey, action: 'call:create', businessId: 'bakery' }];
      expect((await ofBakery.call('POST', '/authorize/batch', { requests })).status).to.equal(200);
    });

    it('sees the keys that are restricted to these alone, its members, and these', async () => {
      expect(await idsOf(ofBakery, '/keys')).to.have.members([keys.bakery.id, keys.bobs.id]);
      expect(await idsOf(ofBakery, '/keys?userId=ann')).to.deep.equal([keys.bakery.id]);
      expect(await idsOf(ofBakery, '/keys?userId=eve')).to.deep.equal([]);
      expect(await idsOf(ofBakery, '/users')).to.deep.equal(['ann', 'bob']);
      expect(await idsOf(ofBakery, '/businesses')).to.deep.equal(['bakery']);
      expect(await idsOf(ofBakery, '/businesses/bakery/members', 'userId')).to.deep.equal(['ann', 'bob']);
      for (const path of [`/keys/${keys.bakery.id}`, '/users/ann', '/businesses/bakery'])
        expect((await ofBakery.call('GET', path)).status, path).to.equal(200);
      for (const path of [`/keys/${keys.both.id}`, `/keys/${keys.all.id}`, '/users/eve', '/businesses/garage'])
        await ofBakery.refuses(GONE, 'GET', path);
      await ofBakery.refuses(GONE, 'GET', '/businesses/garage/members');
      const page = await ofBakery.data('GET', '/keys?limit=1');
      expect(await idsOf(ofBakery, `/keys?limit=1&cursor=${page['nextCursor']}`)).to.have.length(1);
    });

    it('changes keys within these, and no other', async () => {
      const made = await ofBakery.newKey('ann', { restrictedBusinessIds: ['bakery'] });
      expect((await ofBakery.call('PATCH', `/keys/${made.id}`, { friendlyName: 'y' })).status).to.equal(200);
      for (const restrictedBusinessIds of [null, ['garage'], ['bakery', 'garage']]) {
        await ofBakery.refuses(FORBIDDEN, 'PATCH', `/keys/${made.id}`, { restrictedBusinessIds });
        await ofBakery.refuses(FORBIDDEN, 'POST', '/keys', { ...NEW, userId: 'ann', restrictedBusinessIds });
      }
      // Who is no member and who does not exist are told apart by nothing.
      const says = async (userId: string): Promise<string> => {
        const body = { ...NEW, userId, restrictedBusinessIds: ['bakery'] };
        const reply = await ofBakery.call('POST', '/keys', body);
        expect(reply.status).to.equal(400);
        return JSON.stringify(reply.body).replaceAll(userId, 'WHO');
      };
      expect(await says('eve')).to.equal(await says('nobody'));
      const rotated = await ofBakery.call('POST', `/keys/${made.id}/rotate`);
      expect(rotated.status).to.equal(201);
      expect((await ofBakery.call('POST', `/keys/${made.id}/revoke`)).status).to.equal(200);
      expect((await ofBakery.call('DELETE', `/keys/${made.id}`)).status).to.equal(204);
      for (const { id } of [keys.both, keys.all]) {
        await ofBakery.refuses(GONE, 'PATCH', `/keys/${id}`, { friendlyName: 'y' });
        await ofBakery.refuses(GONE, 'POST', `/keys/${id}/rotate`);
        await ofBakery.refuses(GONE, 'POST', `/keys/${id}/revoke`);
        await ofBakery.refuses(GONE, 'DELETE', `/keys/${id}`);
      }
      await ofBakery.refuses(FORBIDDEN, 'POST', '/users/ann/revoke-keys');
    });

    it('changes these and their members, and no user', async () => {
      expect((await ofBakery.call('PUT', '/businesses/new', {})).status).to.equal(201);
      expect((await ofBakery.call('PUT', '/businesses/new/members/ann', { role: 'owner' })).status).to.equal(201);
      expect((await ofBakery.call('DELETE', '/businesses/new/members/ann')).status).to.equal(204);
      expect((await ofBakery.call('DELETE', '/businesses/new')).status).to.equal(204);
      await ofBakery.refuses(FORBIDDEN, 'PUT', '/businesses/garage', {});
      await ofBakery.refuses(FORBIDDEN, 'PUT', '/businesses/garage/members/bob', { role: 'owner' });
      await ofBakery.refuses(GONE, 'DELETE', '/businesses/garage/members/ann');
      await ofBakery.refuses(GONE, 'DELETE', '/businesses/garage');
      await ofBakery.refuses(FORBIDDEN, 'PUT', '/users/ann', { disabled: true });
      await ofBakery.refuses(FORBIDDEN, 'DELETE', '/users/ann');
    });

    it('takes no user in that is a member of none of these: it would see it then, and make keys of it', async () => {
      const says = async (userId: string): Promise<string> => {
        const reply = await ofBakery.call('PUT', `/businesses/bakery/members/${userId}`, { role: 'member' });
        expect(reply.status, userId).to.equal(404);
        return JSON.stringify(reply.body).replaceAll(userId, 'WHO');
      };
      expect(await says('eve')).to.equal(await says('nobody'));
      await ofBakery.refuses(GONE, 'GET', '/users/eve');
      expect((await ofBakery.call('PUT', '/businesses/bakery/members/bob', { role: 'owner' })).status).to.equal(200);
    });
  });

  describe('of users', () => {
    it('asks nothing: whose key it is, is not known before it is loaded', async () => {
      const body = { apiKey: keys.all.apiKey, action: 'call:create', businessId: 'bakery' };
      await ofAnn.refuses(FORBIDDEN, 'POST', '/authorize', body);
      await ofAnn.refuses(FORBIDDEN, 'POST', '/authorize/batch', { requests: [body] });
    });

    it('sees these, their keys, and the businesses that they are members of', async () => {
      expect(new Set(await idsOf(ofAnn, '/keys', 'userId'))).to.deep.equal(new Set(['ann']));
      expect(await idsOf(ofAnn, '/keys')).to.include.members([keys.bakery.id, keys.both.id, keys.all.id]);
      expect(await idsOf(ofAnn, '/keys?userId=bob')).to.deep.equal([]);
      expect(await idsOf(ofAnn, '/users')).to.deep.equal(['ann']);
      expect(await idsOf(ofAnn, '/businesses')).to.deep.equal(['bakery', 'garage']);
      expect(await idsOf(ofAnn, '/businesses/bakery/members', 'userId')).to.deep.equal(['ann']);
      for (const path of [`/keys/${keys.bobs.id}`, '/users/bob', '/businesses/kiosk', '/businesses/kiosk/members'])
        await ofAnn.refuses(GONE, 'GET', path);
    });

    it('changes these and their keys, and no business or membership', async () => {
      const { id } = await ofAnn.newKey('ann');
      expect((await ofAnn.call('PATCH', `/keys/${id}`, { restrictedBusinessIds: ['garage'] })).status).to.equal(200);
      expect((await ofAnn.call('POST', `/keys/${id}/rotate`)).status).to.equal(201);
      await ofAnn.refuses(FORBIDDEN, 'POST', '/keys', { ...NEW, userId: 'bob' });
      await ofAnn.refuses(FORBIDDEN, 'POST', '/keys', { ...NEW, userId: 'nobody' });
      await ofAnn.refuses(GONE, 'DELETE', `/keys/${keys.bobs.id}`);
      await ofAnn.refuses(GONE, 'POST', '/users/bob/revoke-keys');
      await ofAnn.refuses(FORBIDDEN, 'PUT', '/users/bob', {});
      await ofAnn.refuses(GONE, 'DELETE', '/users/bob');
      await ofAnn.refuses(FORBIDDEN, 'PUT', '/businesses/bakery', { disabled: true });
      await ofAnn.refuses(FORBIDDEN, 'DELETE', '/businesses/bakery');
      await ofAnn.refuses(FORBIDDEN, 'PUT', '/businesses/kiosk/members/ann', { role: 'owner' });
      await ofAnn.refuses(FORBIDDEN, 'DELETE', '/businesses/bakery/members/ann');
      expect((await ofAnn.call('PUT', '/users/newcomer', {})).status).to.equal(201);
      expect((await ofAnn.call('POST', '/users/newcomer/revoke-keys')).status).to.equal(200);
      expect((await ofAnn.call('DELETE', '/users/newcomer')).status).to.equal(204);
    });
  });

  it('of both sees and changes only what lies within both', async () => {
    const both = await bound({ bound_users: ['ann'], bound_businesses: ['bakery'] });
    expect(await idsOf(both, '/keys')).to.deep.equal([keys.bakery.id]);
    expect(await idsOf(both, '/users')).to.deep.equal(['ann']);
    expect(await idsOf(both, '/businesses')).to.deep.equal(['bakery']);
    expect(await idsOf(both, '/businesses/bakery/members', 'userId')).to.deep.equal(['ann']);
    await both.refuses(FORBIDDEN, 'PUT', '/businesses/bakery/members/bob', { role: 'owner' });
    await both.refuses(FORBIDDEN, 'PUT', '/users/ann', {});
    await both.refuses(FORBIDDEN, 'PUT', '/businesses/bakery', {});
    await both.refuses(FORBIDDEN, 'POST', '/authorize', {
      apiKey: keys.bakery.apiKey,
      action: 'a:b',
      businessId: 'bakery',
    });
  });

  it('is refused by every route that does not say how it heeds bounds', async () => {
    const open = allRoutes({ config: {} } as Service, () => false).filter(
      ({ scope, heedsBounds }) => scope !== null && !heedsBounds,
    );
    expect(open.map(({ path }) => path)).to.include.members([
      '/audit/decisions',
      '/audit/admin',
      '/audit/findings',
      '/policy',
    ]);
    for (const { method, path } of open) {
      const address = path.replace('{id}', 'ann');
      for (const each of [ofAnn, ofBakery]) await each.refuses(FORBIDDEN, method.toUpperCase(), address);
    }
  });

  it('is made, shown and rotated by commands, with scopes that its bounds leave something of', async () => {
    const url = await newDatabase();
    const env = settingsOf(service, url);
    const create = async (...options: string[]) => {
      const { code, stdout, stderr } = await authz(['caller', 'create', '--name', 'x', '--json', ...options], env);
      return { code, stderr, made: code === 0 ? (JSON.parse(stdout) as NewCaller) : undefined };
    };
    const { made } = await create('--scope', 'authorize,keys', '--business', 'bakery,kiosk', '--business', 'garage');
    expect(made?.caller).to.deep.include({ boundUsers: null, boundBusinesses: ['bakery', 'kiosk', 'garage'] });
    const rotated = await authz(['caller', 'rotate', made?.caller.id ?? '', '--json'], env);
    expect((JSON.parse(rotated.stdout) as NewCaller).caller.boundBusinesses).to.deep.equal(
      made?.caller.boundBusinesses,
    );
    const ofUsers = await create('--scope', 'keys:read', '--user', 'ann');
    expect(ofUsers.made?.caller).to.deep.include({ boundUsers: ['ann'], boundBusinesses: null });
    for (const [option, scope, says] of [
      ['--user', 'authorize', 'authorize'],
      ['--user', 'audit', 'audit'],
      ['--business', 'policy:read', 'policy:read'],
      ['--business', 'audit', 'audit'],
      ['--business', 'keys,keys:grant-user-management', 'keys:grant-user-management'],
    ] as const) {
      const { code, stderr } = await create('--scope', scope, option, 'x');
      expect([code, stderr.includes(says)], stderr).to.deep.equal([1, true]);
    }
    expect((await create('--scope', 'keys', '--user', 'a b')).code).to.equal(1);
  });
});
