/** ADMIN_PORT: what is no question has a listener of its own, and the main one knows nothing of it. */

import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { expect } from 'chai';
import { FAILURES } from '../../src/errors.ts';
import { createApp } from '../../src/http/app.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import { authz } from '../support/cli.ts';
import { checker, type Document } from '../support/openapi.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';
import { askRaw, dial, expectFailure, request } from './wire.ts';

/** Written out: whatever else there is must not be reached where questions are asked. */
const QUESTIONS = [
  '/authorize',
  '/authorize/batch',
  '/access/v1/evaluation',
  '/access/v1/evaluations',
  '/access/v1/search/subject',
  '/access/v1/search/resource',
  '/access/v1/search/action',
  '/.well-known/authzen-configuration',
  '/gateway/nginx',
  '/gateway/forwarded',
  '/gateway/haproxy',
  '/gateway/envoy/{path}',
];

describe('ADMIN_PORT', () => {
  let service: TestService;
  let main: string;
  let admin: string;
  let document: Document;

  before(async () => {
    service = await startService({ ADMIN_PORT: '0', AUTHZEN_BASE_URL: 'https://pdp.example.com' });
    main = service.address;
    admin = service.adminAddress ?? '';
    document = (await (await fetch(`${admin}/openapi.json`)).json()) as Document;
  });
  after(() => service?.close());

  /** Whether there is a route at the path: no route takes this method. */
  async function has(address: string, path: string): Promise<boolean> {
    const reply = await askRaw(address, `PROPFIND ${path.replaceAll(/\{\w+\}/g, 'x')}`);
    if (reply.status !== 404) return true;
    expectFailure(reply, 'NOT_FOUND');
    return false;
  }

  it('parts the routes: each is at one of the two, and /healthz at both', async () => {
    const paths = Object.keys(document.paths);
    expect(paths).to.include.members(['/metrics', '/readyz', '/openapi.json', '/keys', '/audit/decisions', '/freezes']);
    expect(paths.length).to.be.above(30);
    const found = { main: [] as string[], admin: [] as string[] };
    for (const path of paths) {
      if (await has(main, path)) found.main.push(path);
      if (await has(admin, path)) found.admin.push(path);
    }
    expect(found.main).to.have.members([...QUESTIONS, '/healthz']);
    expect(found.admin).to.have.members(paths.filter((path) => !QUESTIONS.includes(path)));
  });

  it('does so with FAST_PATH off, too, and where an address is spelt otherwise', async () => {
    const config = { ...service.service.config, FAST_PATH: 'off' as const };
    const server = createServer(createApp({ ...service.service, config }, () => 'serving').main);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const slow = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      for (const address of [main, slow]) {
        for (const path of [
          '/metrics',
          '/metrics/',
          '/metrics?x=1',
          '//metrics',
          '/METRICS',
          '/%6detrics',
          '/x/../metrics',
        ])
          expectFailure(await askRaw(address, `GET ${path}`), 'NOT_FOUND');
        expectFailure(await askRaw(address, 'GET http://test/metrics'), 'NOT_FOUND');
        expect((await askRaw(address, 'GET /healthz')).status).to.equal(200);
      }
    } finally {
      server.close();
    }
  });

  it('decides at the one what the other administers', async () => {
    const at = (address: string, path: string, body: unknown, method = 'POST'): Promise<Reply> =>
      askRaw(
        address,
        `${method} ${path}`,
        [
          ['Authorization', `Bearer ${service.token}`],
          ['Content-Type', 'application/json'],
        ],
        JSON.stringify(body),
      );
    for (const [path, body] of [
      ['/users/ada', {}],
      ['/businesses/bakery', {}],
      ['/businesses/bakery/members/ada', { role: 'owner' }],
    ] as const) {
      expectFailure(await at(main, path, body, 'PUT'), 'NOT_FOUND');
      expect((await at(admin, path, body, 'PUT')).status, path).to.be.oneOf([200, 201]);
    }
    const apiKey = await insertKey(service, { id: 'main', user_id: 'ada' });
    const question = { apiKey, action: 'call:create', businessId: 'bakery' };
    expect((await at(main, '/authorize', question)).body.Code).to.equal('OK');
    expect((await at(main, '/authorize/batch', { requests: [question] })).body.Code).to.equal('OK');
    expectFailure(await at(admin, '/authorize', question), 'NOT_FOUND');
    expect((await at(admin, '/keys/main/revoke', {})).status).to.equal(200);
    expect((await at(main, '/authorize', question)).body.Code).to.equal('INVALID_API_KEY');
  });

  it('is said by the OpenAPI document: questions have a server of their own', async () => {
    checker(document);
    expect(document.servers).to.deep.equal([{ url: '/' }]);
    const servers = Object.entries(document.paths).map(([path, item]) => [
      path,
      'servers' in item ? item['servers'] : [],
    ]);
    for (const [path, own] of servers)
      expect(own, String(path)).to.deep.equal(
        [...QUESTIONS, '/healthz'].includes(String(path)) ? [{ url: 'https://pdp.example.com' }] : [],
      );
  });

  it('is where authz health --ready asks; whether the process is up is asked where its clients are', async () => {
    const env = { PORT: new URL(main).port, ADMIN_PORT: new URL(admin).port, HOST: '0.0.0.0', ADMIN_HOST: '127.0.0.1' };
    const asked = async (...args: string[]) => JSON.parse((await authz(['health', '--json', ...args], env)).stdout);
    expect(await asked('--ready')).to.include({ url: `${admin}/readyz`, healthy: true });
    expect(await asked()).to.include({ url: `${main}/healthz`, healthy: true });
    expect(await asked('--url', admin)).to.include({ url: `${admin}/healthz`, healthy: true });
    expect(await asked('--ready', '--url', main)).to.include({ healthy: false, status: 404 });
    const { stderr } = await authz(['health', '--ready'], { ADMIN_PORT: '0' });
    expect(stderr).to.include('ADMIN_PORT is 0');
  });

  it('is refused where its port is taken, or there is an ADMIN_HOST alone, and leaves nothing behind', async () => {
    const taken = createTcpServer().listen(0, '127.0.0.1');
    await once(taken, 'listening');
    const { port } = taken.address() as AddressInfo;
    const { config } = service.service;
    const free = createTcpServer().listen(0, '127.0.0.1');
    await once(free, 'listening');
    const { port: PORT } = free.address() as AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    const start = (settings: object) => listen({ ...service.service, config: { ...config, PORT, ...settings } });
    expect(String(await rejection(start({ ADMIN_PORT: port })))).to.include('set ADMIN_HOST or ADMIN_PORT to another');
    expect(String(await rejection(start({ ADMIN_PORT: PORT })))).to.include('set ADMIN_HOST or ADMIN_PORT to another');
    const alone = start({ ADMIN_HOST: '127.0.0.1', ADMIN_PORT: undefined });
    expect(String(await rejection(alone))).to.include('ADMIN_PORT must be too');
    taken.close();
    await (await start({ ADMIN_PORT: 0 })).close();
  });

  it('has the limits of connections of the main listener, and counts its own', async () => {
    const { service: parts } = service;
    const log = createLog('silent');
    const config = { ...parts.config, MAX_CONNECTIONS: 1 };
    const server = await listen({ ...parts, log, config });
    const both = [server.address, server.adminAddress ?? ''];
    const first = await Promise.all(both.map(dial));
    const served = (wires: typeof first) =>
      eventually(() => {
        for (const wire of wires) if (wire.text() === '') wire.send(request('GET /healthz'));
        return wires.every((wire) => wire.text().includes('up.'));
      });
    await served(first);
    // Each takes the place of the one of the same listener.
    const [, second] = await Promise.all([served(first), dial(both[0] ?? '')]);
    expect(await first[0]?.replies()).to.have.length.of.at.least(1);
    await served([second]);
    expect(first[1]?.socket.destroyed).to.equal(false);
    await server.close();
    await first[1]?.replies();
  });

  it('stops as the main listener does: fails readiness first, answers what it has accepted, and closes', async () => {
    const own = await startService({ ADMIN_PORT: '0', DATABASE_URL: await newDatabase(), DRAIN_DELAY_MS: '3000' });
    const apart = own.adminAddress ?? '';
    const accepted = await dial(apart);
    const lock = await own.db.transaction();
    await lock.raw('lock table users in access exclusive mode');
    const token = [['Authorization', `Bearer ${own.token}`]] as const;
    accepted.send(request('GET /users/nobody', token));
    const closing = own.close();
    await eventually(async () => (await askRaw(apart, 'GET /readyz')).status === 503);
    expect((await askRaw(own.address, 'POST /authorize', token)).status).to.equal(
      FAILURES.UNSUPPORTED_MEDIA_TYPE.status,
    );
    for (const address of [own.address, apart])
      await eventually(() =>
        dial(address).then(
          ({ socket }) => !socket.destroy(),
          () => true,
        ),
      );
    expect(accepted.text()).to.equal('');
    await lock.rollback();
    const [reply] = await accepted.replies();
    expect(reply?.status).to.equal(404);
    expect(reply?.headers.get('connection')).to.equal('close');
    await closing;
  });
});
