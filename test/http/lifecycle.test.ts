/** Health, readiness, and the headers of every answer. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { startProxy } from '../support/proxy.ts';
import { insertKey, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';
import { askRaw, expectFailure, type HeaderList } from './wire.ts';

/** As in readiness.ts: the least time from the end of a look until the next. */
const REST_MS = 250;

describe('health and readiness', () => {
  let service: TestService;
  let proxy: Awaited<ReturnType<typeof startProxy>>;

  before(async () => {
    proxy = await startProxy(await newDatabase());
    service = await startService({ DATABASE_URL: proxy.url });
  });
  after(async () => {
    await service?.close();
    await proxy?.close();
  });

  const READY = { database: true, migrations: true, log: true, current: true, draining: false };
  const ready = (): Promise<Reply> => service.ask('/readyz', undefined, { authorization: '' });
  const expectUnready = (reply: Reply, missing: Partial<typeof READY>): void => {
    expect(reply.status).to.equal(503);
    expect(reply.headers.get('retry-after')).to.equal('1');
    expect(reply.body).to.include({ Success: false, Code: 'UNAVAILABLE' });
    expect(reply.body.Data).to.include(missing);
  };

  it('need no caller token', async () => {
    for (const address of ['/healthz', '/readyz']) {
      const reply = await askRaw(service.address, `GET ${address}`);
      expect(reply.status).to.equal(200);
      expect(reply.body).to.include({ Success: true, Code: 'OK' });
    }
    expect((await ready()).body.Data).to.include(READY);
    expect((await ready()).body.Data?.['policy']).to.match(/^sha256:[0-9a-f]{64}$/);
  });

  it('answer HEAD without a body', async () => {
    for (const address of ['/healthz', '/readyz']) {
      const reply = await fetch(service.address + address, { method: 'HEAD' });
      expect([reply.status, await reply.text()]).to.deep.equal([200, '']);
    }
  });

  it('tell a process that is up from one that has lost its database, until that is back', async () => {
    const apiKey = await insertKey(service, {
      user_id: (await service.db('users').insert({ id: 'ann' }).returning('id'))[0].id,
    });
    const ask = () => service.ask('/authorize', { apiKey, action: 'account:read' });
    expect((await ask()).body.Code).to.equal('OK');
    await proxy.refuse();
    expectUnready(await ready(), { database: false, migrations: false });
    expect((await service.ask('/healthz')).status).to.equal(200);
    expectFailure(await ask(), 'UNAVAILABLE', [apiKey]);
    await proxy.heal();
    await eventually(async () => (await ready()).status === 200);
    await eventually(async () => (await ask()).body.Code === 'OK');
  });

  it('tell that nothing could be recorded before anybody asks for a decision', async () => {
    const database = new URL(proxy.url).pathname.slice(1);
    const faults: [string, string][] = [
      [`alter database ${database} set default_transaction_read_only = on`, `alter database ${database} reset all`],
      ['alter table chain_heads rename to aside', 'alter table aside rename to chain_heads'],
      [
        `create function fault() returns trigger language plpgsql as 'begin return null; end';
        create trigger fault before insert on decision_records for each row execute function fault()`,
        'drop function fault cascade',
      ],
    ];
    const endSessions = () =>
      service.db.raw(
        'select pg_terminate_backend(pid) from pg_stat_activity where datname = ? and pid <> pg_backend_pid()',
        [database],
      );
    for (const [begin, end] of faults) {
      await service.db.raw(begin);
      await endSessions();
      await eventually(async () => (await ready()).body.Data?.['log'] === false);
      expectUnready(await ready(), { log: false });
      await service.db.raw(`begin read write; ${end}; commit`);
      await endSessions();
      await eventually(async () => (await ready()).status === 200);
    }
    expect(await service.db('decisions').where({ caller_id: 'readiness' })).to.have.length(0);
  });

  it('tell that the process cannot prove that it is current', async () => {
    const trx = await service.db.transaction();
    await trx.raw('lock table changes in access exclusive mode');
    try {
      await eventually(async () => (await ready()).status === 503);
      expectUnready(await ready(), { current: false, database: true, migrations: true });
    } finally {
      await trx.rollback();
    }
    await eventually(async () => (await ready()).status === 200);
  });

  it('look once for all who ask meanwhile', async () => {
    const { db } = service;
    // A number that is taken stays taken when the record is rolled back.
    await db.raw(`create sequence looks;
      create function look() returns trigger language plpgsql as 'begin perform nextval(''looks''); return new; end';
      create trigger look before insert on decision_records for each row execute function look()`);
    const since = performance.now();
    for (let wave = 0; wave < 3; wave += 1)
      for (const { status } of await Promise.all(Array.from({ length: 100 }, ready))) expect(status).to.equal(200);
    const most = 3 + (performance.now() - since) / REST_MS;
    const { rows } = await db.raw('select last_value::int as looks from looks');
    await db.raw('drop function look cascade; drop sequence looks');
    // However slowly they come.
    expect(rows[0].looks).to.be.within(1, most);
  });

  it('tell of a migration that is missing, or breaks this version, and of no other', async () => {
    const [row] = await service.db('knex_migrations').select().orderBy('id');
    const first = () => service.db('knex_migrations').where({ name: row.name });
    const changes: [() => Promise<unknown>, () => Promise<unknown>][] = [
      [() => first().delete(), () => service.db('knex_migrations').insert(row)],
      [
        () => service.db('knex_migrations').insert({ name: '999_later', batch: 2, breaking: '999_later' }),
        () => service.db('knex_migrations').where({ name: '999_later' }).delete(),
      ],
      [
        () => first().update({ name: '001_other' }),
        () => service.db('knex_migrations').where({ name: '001_other' }).update({ name: row.name }),
      ],
      [
        () => service.db.raw('alter table knex_migrations rename to aside'),
        () => service.db.raw('alter table aside rename to knex_migrations'),
      ],
    ];
    for (const [change, undo] of changes) {
      await change();
      expectUnready(await ready(), { migrations: false });
      await undo();
      await eventually(async () => (await ready()).status === 200);
    }
    await service.db('knex_migrations').insert({ name: '999_later', batch: 2 });
    await service.db('knex_migrations').insert({ name: '999_old', batch: 2, breaking: row.name });
    expect((await ready()).status).to.equal(200);
    await service.db('knex_migrations').where('name', 'like', '999%').delete();
  });
});

describe('every answer', () => {
  let service: TestService;

  withService((started) => {
    ({ service } = started);
  });

  const QUESTION = { action: 'a:b' };
  const ANSWERS: Record<string, (headers: Record<string, string>) => Promise<Reply>> = {
    'a decision': (headers) => service.ask('/authorize', QUESTION, headers),
    'a batch': (headers) => service.ask('/authorize/batch', { requests: [QUESTION] }, headers),
    'a bad request': (headers) => service.ask('/authorize', '{', headers),
    'a stranger': (headers) => service.ask('/authorize', QUESTION, { ...headers, authorization: 'x' }),
    'a wrong address': (headers) => service.ask('/', undefined, headers),
    'a wrong method': (headers) => service.ask('/authorize', undefined, headers),
    health: (headers) => service.ask('/healthz', undefined, headers),
    readiness: (headers) => service.ask('/readyz', undefined, headers),
  };
  for (const [name, ask] of Object.entries(ANSWERS)) {
    it(`has the fixed headers, and the request's id, for ${name}`, async () => {
      const { headers } = await ask({ 'x-request-id': 'Req_1.2:3-4' });
      expect(headers.get('x-request-id')).to.equal('Req_1.2:3-4');
      expect(headers.get('content-type')).to.equal('application/json; charset=utf-8');
      expect(headers.get('cache-control')).to.equal('no-store');
      expect(headers.get('x-content-type-options')).to.equal('nosniff');
      expect(headers.get('x-powered-by')).to.equal(null);
      expect(headers.get('server')).to.equal(null);
      expect((await ask({})).headers.get('x-request-id')).to.match(/^[0-9a-f]{8}-[0-9a-f]{4}-7/);
    });
  }

  it('has an id of its own where the given one is bad', async () => {
    const ids: HeaderList[] = [
      ...[
        '',
        ' ',
        'a b',
        'a/b',
        'é',
        'x'.repeat(129),
        '<script>',
        '"x"',
        '{}',
        'a,b',
        `iqra_svc_${'x'.repeat(24)}`,
      ].map((id): HeaderList => [['X-Request-Id', id]]),
      [
        ['X-Request-Id', 'a'],
        ['X-Request-Id', 'b'],
      ],
    ];
    for (const headers of ids) {
      const reply = await askRaw(service.address, 'GET /healthz', headers);
      expect(reply.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
    }
    const longest = 'x'.repeat(128);
    expect(
      (await askRaw(service.address, 'GET /healthz', [['X-Request-Id', longest]])).headers.get('x-request-id'),
    ).to.equal(longest);
  });
});
