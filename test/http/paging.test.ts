/** Keyset pages of every list: each item once, in order, whatever is inserted meanwhile; and cursors that cannot be forged. */

import { expect } from 'chai';
import { type Client, clientOf, withService } from '../support/client.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const COUNT = 12;
const ids = (prefix: string): string[] => Array.from({ length: COUNT }, (_, n) => `${prefix}${(n * 5) % COUNT}`);

/** Path of a list, and what tells its items apart. */
const LISTS: readonly [path: string, key: string][] = [
  ['/users', 'id'],
  ['/businesses', 'id'],
  ['/businesses/b0/members', 'userId'],
  ['/keys', 'id'],
  ['/keys?userId=u0', 'id'],
];

describe('lists', () => {
  let service: TestService;
  let client: Client;

  withService(async (started) => {
    ({ service, client } = started);
    const { db } = service;
    const created_at = '2030-01-01T00:00:00Z';
    await db('users').insert(ids('u').map((id) => ({ id, created_at })));
    await db('businesses').insert(ids('b').map((id) => ({ id, created_at })));
    const member = (user_id: string) => ({ business_id: 'b0', user_id, role: 'member' });
    await db('business_members').insert(ids('u').map(member));
    for (const id of ids('k')) await insertKey(service, { id, user_id: 'u0', created_at });
    for (const id of ['k-other', 'j-other']) await insertKey(service, { id, user_id: 'u1', created_at });
  });

  const page = async (path: string, key: string, parameters: Record<string, string | number>) => {
    const query = Object.entries(parameters).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
    const data = await client.data('GET', `${path}${path.includes('?') ? '&' : '?'}${query.join('&')}`);
    const { items, nextCursor } = data as { items: Record<string, string>[]; nextCursor: string | null };
    return { keys: items.map((item) => item[key] ?? ''), nextCursor };
  };

  const walk = async (path: string, key: string, limit: number): Promise<string[][]> => {
    const pages: string[][] = [];
    for (let cursor: string | null | undefined; cursor !== null; ) {
      const { keys, nextCursor } = await page(path, key, { limit, ...(cursor !== undefined && { cursor }) });
      pages.push(keys);
      cursor = nextCursor;
    }
    return pages;
  };

  for (const [path, key] of LISTS) {
    it(`${path} comes whole, once and in order, in pages of any size`, async () => {
      const { keys: all, nextCursor } = await page(path, key, { limit: 200 });
      expect(nextCursor).to.equal(null);
      expect(all).to.deep.equal([...all].sort());
      expect(all.length).to.be.within(COUNT, COUNT + 2);
      for (const limit of [1, 5, all.length - 1, all.length]) {
        const pages = await walk(path, key, limit);
        expect(pages.flat()).to.deep.equal(all);
        expect(pages).to.have.length(Math.ceil(all.length / limit));
      }
    });
  }

  it('have 50 items a page unless asked otherwise', async () => {
    const more = Array.from({ length: 50 }, (_, n) => ({ id: `page-${n}` }));
    await service.db('businesses').insert(more);
    const { keys, nextCursor } = await page('/businesses', 'id', {});
    expect(keys).to.have.length(50);
    expect(nextCursor).to.be.a('string');
    await service
      .db('businesses')
      .whereIn(
        'id',
        more.map(({ id }) => id),
      )
      .delete();
  });

  it('neither repeat nor leave out anything when items come and go', async () => {
    const { keys: all } = await page('/users', 'id', { limit: 200 });
    const first = await page('/users', 'id', { limit: 5 });
    const cursor = first.nextCursor ?? '';
    await client.data('PUT', '/users/a-before', {});
    await client.data('PUT', '/users/z-after', {});
    // The very item that the cursor stands on.
    await service
      .db('users')
      .where({ id: first.keys.at(-1) })
      .delete();
    const rest = await page('/users', 'id', { limit: 200, cursor });
    expect([...first.keys, ...rest.keys]).to.deep.equal([...all, 'z-after']);
  });

  it('end with null also when the last page is full, and are empty without items', async () => {
    const { keys } = await page('/businesses', 'id', { limit: 200 });
    expect((await page('/businesses', 'id', { limit: keys.length })).nextCursor).to.equal(null);
    expect(await page('/businesses/b1/members', 'userId', {})).to.deep.equal({ keys: [], nextCursor: null });
  });

  it('refuse a cursor of another list, and one that was made up', async () => {
    const cursorOf = async (path: string, key: string) => (await page(path, key, { limit: 1 })).nextCursor ?? '';
    const genuine = await cursorOf('/keys?userId=u0', 'id');
    const bytes = Buffer.from(genuine, 'base64url');
    const flipped = Buffer.from(bytes);
    flipped[0] = (flipped[0] ?? 0) ^ 1;
    const moved = Buffer.concat([bytes.subarray(0, 12), Buffer.from('zzz')]);
    const forged = {
      'of all keys': await cursorOf('/keys', 'id'),
      'of users': await cursorOf('/users', 'id'),
      'of members': await cursorOf('/businesses/b0/members', 'userId'),
      'with a bit flipped': flipped.toString('base64url'),
      'moved on': moved.toString('base64url'),
      'cut short': genuine.slice(0, 10),
      'of nothing but a signature': bytes.subarray(0, 12).toString('base64url'),
      padded: `${genuine}=`,
      'in another alphabet': `${genuine}+/`,
      empty: '',
      'an id': 'k3',
      'too long': 'A'.repeat(1025),
    };
    for (const [name, cursor] of Object.entries(forged)) {
      const path = `/keys?userId=u0&cursor=${encodeURIComponent(cursor)}`;
      await client.refuses([400, 'INVALID_REQUEST', '"cursor"'], 'GET', path).catch((error: Error) => {
        throw new Error(`${name}: ${error.message}`);
      });
    }
    for (const path of ['/keys', '/keys?userId=u1', '/businesses/b1/members', '/users', '/audit/admin']) {
      const foreign = `${path}${path.includes('?') ? '&' : '?'}cursor=${genuine}`;
      await client.refuses([400, 'INVALID_REQUEST', 'take nextCursor of its last page'], 'GET', foreign);
    }
  });

  it('refuse a cursor of a service with another pepper', async () => {
    const other = await startService();
    try {
      for (const id of ['x', 'y']) await clientOf(other).data('PUT', `/users/${id}`, {});
      const { nextCursor } = await clientOf(other).data('GET', '/users?limit=1');
      await client.refuses([400, 'INVALID_REQUEST', '"cursor"'], 'GET', `/users?cursor=${nextCursor}`);
    } finally {
      await other.close();
    }
  });
});
