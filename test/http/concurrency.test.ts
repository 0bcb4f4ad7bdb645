/** Concurrent requests: no lost update, no key that escapes a revocation, and no deadlock that becomes a failure. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { createBreaker } from '../../src/db/breaker.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { type Client, withService } from '../support/client.ts';
import type { Reply, TestService } from '../support/service.ts';

const times = <T>(count: number, make: (index: number) => T): T[] => Array.from({ length: count }, (_, n) => make(n));
const statuses = (replies: readonly Reply[]): number[] => replies.map(({ status }) => status).sort();

describe('concurrent requests:', () => {
  let service: TestService;
  let client: Client;

  withService((started) => {
    ({ service, client } = started);
  });

  /** Does something in a transaction of the test's, sends requests that wait for it, does more, and lets them go on. */
  async function whileWaiting(
    first: (trx: Knex.Transaction) => PromiseLike<unknown>,
    requests: () => Promise<Reply>[],
    then: (trx: Knex.Transaction) => PromiseLike<unknown> = async () => undefined,
  ): Promise<Reply[]> {
    const trx = await service.db.transaction();
    try {
      await first(trx);
      const sent = requests();
      await client.blocked(sent.length);
      await then(trx);
      await trx.commit();
      return await Promise.all(sent);
    } catch (error) {
      await trx.rollback();
      throw error;
    }
  }

  it('of many PATCHes with the same If-Match one succeeds, and the others get 412', async () => {
    await client.newUser('patch');
    const { id, etag } = await client.newKey('patch');
    const before = await client.contents();
    const replies = await Promise.all(
      times(20, (n) => client.call('PATCH', `/keys/${id}`, { friendlyName: `n${n}` }, { 'if-match': etag })),
    );
    expect(statuses(replies)).to.deep.equal([200, ...times(19, () => 412)]);
    const winner = replies.find(({ status }) => status === 200);
    expect(await client.data('GET', `/keys/${id}`)).to.deep.equal(winner?.body.Data);
    const after = await client.contents();
    expect(after['admin_events']).to.have.length((before['admin_events']?.length ?? 0) + 1);
  });

  it('a PATCH does not overwrite other fields that another has changed', async () => {
    await client.newUser('fields', 'f1');
    const { id } = await client.newKey('fields');
    const changes = [
      { friendlyName: 'another' },
      { environment: 'test' },
      { allowUserManagementApiRequests: true },
      { restrictedBusinessIds: ['f1'] },
      { expiresAt: '2999-01-01T00:00:00.000Z' },
      { rateLimit: { requests: 1, windowSeconds: 1 } },
    ];
    const replies = await Promise.all(changes.map((change) => client.call('PATCH', `/keys/${id}`, change)));
    expect(statuses(replies)).to.deep.equal(changes.map(() => 200));
    expect(await client.data('GET', `/keys/${id}`)).to.deep.include(Object.assign({}, ...changes));
  });

  it('one of many rotations makes a key', async () => {
    await client.newUser('rotate');
    const { id } = await client.newKey('rotate');
    const body = { overlapSeconds: 60 };
    const replies = await Promise.all(times(10, () => client.call('POST', `/keys/${id}/rotate`, body)));
    expect(statuses(replies)).to.deep.equal([201, ...times(9, () => 409)]);
    expect((await client.data('GET', '/keys?userId=rotate'))['items']).to.have.length(2);
  });

  it('no key survives the revocation of all, whatever is rotated or made meanwhile', async () => {
    for (let round = 0; round < 5; round += 1) {
      const user = `revoke${round}`;
      await client.newUser(user);
      const keys = await Promise.all(times(4, () => client.newKey(user)));
      const [revoked, ...others] = await Promise.all([
        client.call('POST', `/users/${user}/revoke-keys`),
        ...keys.map(({ id }) => client.call('POST', `/keys/${id}/rotate`, { overlapSeconds: 60 })),
      ]);
      expect(revoked?.status).to.equal(200);
      for (const { status } of others) expect(status).to.be.oneOf([201, 409]);
      const live = [...keys, ...others.flatMap(({ body }) => (body.Data as { apiKey: string } | undefined) ?? [])];
      for (const { apiKey } of live)
        expect(await client.decide(apiKey, undefined, 'account:read')).to.equal('INVALID_API_KEY');
      const { items } = await client.data('GET', `/keys?userId=${user}`);
      expect(new Set((items as { status: string }[]).map(({ status }) => status))).to.deep.equal(new Set(['revoked']));
    }
  });

  it('a user that many make at once is made once', async () => {
    const replies = await Promise.all(times(10, () => client.call('PUT', '/users/once', { disabled: true })));
    expect(statuses(replies)).to.deep.equal([...times(9, () => 200), 201]);
    expect(await service.db('admin_events').where({ subject_id: 'once' })).to.have.length(1);
    const bodies = new Set(replies.map(({ body }) => JSON.stringify(body.Data)));
    expect(bodies.size).to.equal(1);
  });

  it('a PUT creates the resource again when it is deleted while the PUT waits', async () => {
    await client.newUser('anew', 'anew-shop');
    const replies = await whileWaiting(
      async (trx) => {
        await trx('users').where({ id: 'anew' }).forUpdate();
        await trx('businesses').where({ id: 'anew-shop' }).forUpdate();
      },
      () => ['/users/anew', '/businesses/anew-shop'].map((path) => client.call('PUT', path, {})),
      async (trx) => {
        await trx('users').where({ id: 'anew' }).delete();
        await trx('businesses').where({ id: 'anew-shop' }).delete();
      },
    );
    expect(statuses(replies)).to.deep.equal([201, 201]);
    const path = '/businesses/anew-shop/members/anew';
    await client.data('PUT', path, { role: 'member' });
    const place = { business_id: 'anew-shop', user_id: 'anew' };
    const [member] = await whileWaiting(
      (trx) => trx('business_members').where(place).forUpdate(),
      () => [client.call('PUT', path, { role: 'owner' })],
      (trx) => trx('business_members').where(place).delete(),
    );
    expect(member?.status).to.equal(201);
    expect((await client.data('GET', '/businesses/anew-shop/members'))['items']).to.deep.equal([member?.body.Data]);
  });

  it('no key is left of a user that is deleted while it is made', async () => {
    for (let round = 0; round < 5; round += 1) {
      await client.newUser('brief');
      const body = { userId: 'brief', friendlyName: 'a key', allowUserManagementApiRequests: false };
      const [deleted, ...made] = await Promise.all([
        client.call('DELETE', '/users/brief'),
        ...times(4, () => client.call('POST', '/keys', body)),
      ]);
      expect(deleted?.status).to.equal(204);
      for (const { status } of made) expect(status).to.be.oneOf([201, 400]);
      expect((await client.data('GET', '/keys?userId=brief'))['items']).to.deep.equal([]);
    }
  });

  it('a business that is deleted and made anew meanwhile is in no restriction', async () => {
    await client.newUser('ghost', 'haunted');
    const old = await client.newKey('ghost', { restrictedBusinessIds: ['haunted'] });
    const free = await client.newKey('ghost');
    const body = { userId: 'ghost', friendlyName: 'a key', allowUserManagementApiRequests: false };
    const restrictedBusinessIds = ['haunted'];
    const [made, changed, rotated] = await whileWaiting(
      (trx) => trx('businesses').where({ id: 'haunted' }).delete(),
      () => [
        client.call('POST', '/keys', { ...body, restrictedBusinessIds }),
        client.call('PATCH', `/keys/${free.id}`, { restrictedBusinessIds }),
        client.call('POST', `/keys/${old.id}/rotate`, { overlapSeconds: 60 }),
      ],
      async (trx) => {
        await trx('businesses').insert({ id: 'haunted' });
        await trx('business_members').insert({ business_id: 'haunted', user_id: 'ghost', role: 'owner' });
      },
    );
    expect([made?.status, changed?.status, rotated?.status]).to.deep.equal([400, 400, 201]);
    const { apiKey, key } = (rotated?.body.Data ?? {}) as { apiKey: string; key: object };
    expect(key).to.deep.include({ restrictedBusinessIds: [] });
    for (const restricted of [apiKey, old.apiKey])
      expect(await client.decide(restricted, 'haunted')).to.equal('PERMISSION_DENIED');
  });

  it('a deadlock is retried, not reported, and the change is made once', async () => {
    // A number from a sequence stays taken when the transaction that took it is ended, so the third attempt succeeds.
    await service.db.raw(`
      create sequence attempts;
      create function untie() returns trigger language plpgsql as $$ begin
        if nextval('attempts') < 3 then raise exception using errcode = 'deadlock_detected'; end if;
        return new;
      end $$;
      create trigger circle before insert on admin_events for each row execute function untie()`);
    try {
      expect((await client.call('PUT', '/users/circle', {})).status).to.equal(201);
      expect(await service.db('admin_events').where({ subject_id: 'circle' })).to.have.length(1);
      await service.db.raw(`alter sequence attempts minvalue -1000 restart with -1000`);
      await client.refuses([503, 'UNAVAILABLE'], 'DELETE', '/users/circle');
    } finally {
      await service.db.raw('drop function untie cascade; drop sequence attempts');
    }
  });

  it('any mix of requests: none fails, and every change is recorded', async () => {
    const names = ['s1', 's2', 's3'];
    for (const name of names) await client.newUser(name, ...names.map((business) => `${business}-biz`));
    const keys = await Promise.all(
      times(6, (n) => client.newKey(names[n % 3] ?? '', { restrictedBusinessIds: names.map((name) => `${name}-biz`) })),
    );
    const any = (n: number, salt: number): string => names[(n * 7 + salt * 3) % 3] ?? '';
    const asks: ((n: number) => Promise<Reply>)[] = [
      (n) => client.call('DELETE', `/businesses/${any(n, 1)}-biz`),
      (n) => client.call('PUT', `/businesses/${any(n, 2)}-biz`, { disabled: n % 2 === 0 }),
      (n) => client.call('PUT', `/businesses/${any(n, 3)}-biz/members/${any(n, 4)}`, { role: 'owner' }),
      (n) => client.call('DELETE', `/businesses/${any(n, 5)}-biz/members/${any(n, 6)}`),
      (n) => client.call('PATCH', `/keys/${keys[n % 6]?.id}`, { restrictedBusinessIds: [`${any(n, 7)}-biz`] }),
      (n) =>
        client.call('PATCH', `/keys/${keys[n % 6]?.id}`, { restrictedBusinessIds: names.map((name) => `${name}-biz`) }),
      (n) => client.call('POST', `/keys/${keys[n % 6]?.id}/rotate`, { overlapSeconds: 60 }),
      (n) => client.call('PUT', `/users/${any(n, 8)}`, { disabled: n % 2 === 0 }),
      (n) => client.call(n % 5 === 0 ? 'DELETE' : 'GET', `/users/${any(n, 9)}`),
      (n) => client.call('POST', `/users/${any(n, 10)}/revoke-keys`),
    ];
    const replies = await Promise.all(times(120, (n) => asks[(n * 13) % asks.length]?.(n)));
    const failed = replies.filter((reply) => reply && reply.status >= 500);
    expect(failed.map((reply) => reply?.body)).to.deep.equal([]);
    const { rows } = await service.db.raw(
      'select (select last from change_counter) as last, (select count(distinct seq) from changes) as numbers',
    );
    expect(rows[0].last).to.equal(rows[0].numbers);
  });

  it('what PostgreSQL rolls back for the sake of another transaction is done again, as long as nothing was answered', async () => {
    const { db } = service;
    await client.newUser('racer');
    const { apiKey } = await client.newKey('racer');
    for (const [code, times] of [
      ['40001', 2],
      ['40P01', 3],
    ] as const) {
      // A number that is taken stays taken, whatever is rolled back.
      await db.raw(`create sequence races;
        create function lose() returns trigger language plpgsql as $$ begin
          if nextval('races') <= ${times} then raise exception 'lost' using errcode = '${code}'; end if;
          return new;
        end $$;
        create trigger lose before insert on decision_records for each row execute function lose();
        create trigger lose before insert on users for each row execute function lose()`);
      try {
        expect(await client.decide(apiKey, undefined, 'account:read')).to.equal('OK');
        await db.raw(`select setval('races', 1, false)`);
        expect((await client.call('PUT', `/users/racer-${code}`, {})).status).to.equal(201);
        await db.raw(`select setval('races', 1, false)`);
        const read = createBreaker();
        const lost = `do $$ begin if nextval('races') <= ${times} then raise exception 'lost' using errcode = '${code}'; end if; end $$`;
        await read(async () => db.raw(lost), deadlineIn(5000));
      } finally {
        await db.raw('drop function lose cascade; drop sequence races');
      }
    }
  });
});
