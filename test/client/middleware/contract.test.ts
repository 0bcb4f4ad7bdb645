/** One contract for the three middlewares: in front of a real service, with the real frameworks, by what a client of theirs sees. */

import { once } from 'node:events';
import { createServer, request as httpRequest } from 'node:http';
import { json } from 'node:stream/consumers';
import Router from '@koa/router';
import { expect } from 'chai';
import express from 'express';
import fastify from 'fastify';
import Koa from 'koa';
import { checkRequest } from '../../../packages/client/src/check-request.ts';
import { expressAuthz } from '../../../packages/client/src/express.ts';
import { fastifyAuthz } from '../../../packages/client/src/fastify.ts';
import { type Client, createClient } from '../../../packages/client/src/index.ts';
import { koaAuthz } from '../../../packages/client/src/koa.ts';
import { withService } from '../../support/client.ts';
import { rejection } from '../../support/rejection.ts';
import { insertKey, type TestService } from '../../support/service.ts';
import { allow, fail, type Pdp, startPdp } from '../pdp.ts';
import { FRAMEWORKS, type Ran, type Running } from './services.ts';

interface Seen {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: unknown;
}

/** Sends a request as it is written: neither its path nor its headers are put in order. */
async function send(url: string, path: string, headers: readonly string[] = [], method = 'GET'): Promise<Seen> {
  const sent = httpRequest(new URL(url), {
    path,
    method,
    headers: ['host', 'service', ...headers] as never,
    agent: false,
  });
  sent.end();
  const [response] = await once(sent, 'response');
  return {
    status: response.statusCode,
    headers: response.headers,
    body: await json(response).catch(() => undefined),
  };
}

describe('the middlewares', () => {
  let service: TestService;
  let pdp: Pdp;
  let client: Client;
  let ofPdp: Client;
  const keys: Record<string, string> = {};

  withService(async (started) => {
    ({ service } = started);
    const { db } = service;
    await started.client.newUser('ann', '42', '7');
    await db('users').insert({ id: 'cut', disabled_at: db.fn.now(), disabled_reason: 'It was closed.' });
    keys['ann'] = await insertKey(service, { user_id: 'ann', id: 'ann-main' });
    keys['cut'] = await insertKey(service, { user_id: 'cut' });
    keys['limited'] = await insertKey(service, {
      user_id: 'ann',
      rate_limit_requests: 1,
      rate_limit_window_seconds: 86_400,
    });
    pdp = await startPdp();
    client = createClient({ url: service.address, token: service.token, deadlineMs: 30_000 });
    ofPdp = createClient({ url: pdp.url, token: 'iqra_svc_any', deadlineMs: 30_000 });
  });
  after(() => pdp?.close());

  const token = (name: string): string[] => ['authorization', `Token ${keys[name]}`];
  const records = async (): Promise<number> => {
    const { rows } = await service.db.raw('select count(*)::int as n from decisions');
    return rows[0].n;
  };

  for (const { name, start, unmapped } of FRAMEWORKS)
    describe(name, () => {
      let running: Running;
      let besidePdp: Running;
      const ran: Ran[] = [];
      before(async () => {
        running = await start(client, (what) => ran.push(what));
        besidePdp = await start(ofPdp, (what) => ran.push(what));
      });
      after(() => Promise.all([running.close(), besidePdp.close()]));
      beforeEach(() => {
        ran.length = 0;
        pdp.heard.length = 0;
      });

      it('runs the handler, with the decision, where the key may; and the log knows the client', async () => {
        const sent = await send(running.url, '/businesses/42/calls', [
          ...token('ann'),
          ...['user-agent', 'curl/8.5', 'x-request-id', `of-${name}`],
        ]);
        expect([sent.status, sent.body]).to.deep.equal([200, { handled: true }]);
        const [{ business, decision } = {} as Ran] = ran;
        expect(business).to.equal('42');
        expect(decision?.Data).to.include({ apiKeyId: 'ann-main', businessId: '42', action: 'call:read' });
        const { body } = await service.ask(`/audit/decisions/${decision?.Data.decisionId}`);
        expect(JSON.stringify(body.Data)).to.include(`of-${name}`).and.include('curl/8.5').and.include('127.0.0.1');
      });

      it('answers a denial with its status and the three public fields', async () => {
        const denied = async (path: string, headers: string[], method?: string) => {
          const { status, headers: got, body } = await send(running.url, path, headers, method);
          return { status, retry: got['retry-after'], scheme: got['www-authenticate'], body };
        };
        const { Message } = (await service.ask('/authorize', { action: 'call:read', businessId: '42' })).body;
        expect(await denied('/businesses/42/calls', [])).to.deep.equal({
          status: 401,
          retry: undefined,
          scheme: 'Token',
          body: { Success: false, Code: 'INVALID_API_KEY', Message },
        });
        const cut = await denied('/businesses/42/calls', token('cut'), 'POST');
        expect(cut).to.deep.include({ status: 403, retry: undefined, scheme: undefined });
        expect(cut.body).to.have.keys('Success', 'Code', 'Message').and.include({ Code: 'USER_DISABLED' });
        expect((await denied('/businesses/nowhere/calls', token('ann'))).body).to.include({
          Code: 'PERMISSION_DENIED',
        });

        await service.ask('/authorize', { apiKey: keys['limited'], action: 'call:read', businessId: '42' });
        const limited = await denied('/businesses/42/calls', token('limited'));
        expect(limited).to.deep.include({ status: 429, scheme: undefined });
        expect(Number(limited.retry)).to.be.within(1, 86_400);
        expect(ran).to.deep.equal([]);
      });

      it('hands the header on as it came, and refuses two', async () => {
        const odd = ['Token', 'token  x', `Bearer ${keys['ann']}`, `Token ${keys['ann']} `, 'Basic \u00fc\u00ff', '"'];
        for (const value of odd) await send(besidePdp.url, '/account', ['authorization', value]);
        // Blanks around a value are no part of it (RFC 9112, 5).
        expect(pdp.heard.map(({ body }) => (body as { authorization: string }).authorization)).to.deep.equal(
          odd.map((value) => value.trim()),
        );
        const before = await records();
        const two = await send(running.url, '/businesses/42/calls', [...token('ann'), ...['Authorization', 'Token x']]);
        expect([two.status, (two.body as { Code: string }).Code]).to.deep.equal([400, 'INVALID_REQUEST']);
        expect(await records()).to.equal(before);
        expect(ran.every(({ decision }) => decision?.Data.action === 'account:read')).to.equal(true);
      });

      it('answers every failure with a 503 that tells nothing of it', async () => {
        const failures = [
          fail(401, 'UNAUTHENTICATED'),
          fail(403, 'FORBIDDEN'),
          fail(400, 'INVALID_REQUEST', {}, { issues: [{ path: 'action', message: 'secret' }] }),
          fail(500, 'INTERNAL'),
          fail(503, 'UNAVAILABLE', { 'retry-after': '77777' }),
        ];
        for (const behave of failures) {
          pdp.behave = behave;
          const { status, headers, body } = await send(besidePdp.url, '/businesses/42/calls', token('ann'));
          expect(status).to.equal(503);
          expect(body).to.have.keys('Success', 'Code', 'Message').and.include({ Success: false, Code: 'UNAVAILABLE' });
          expect(headers['retry-after']).to.equal(behave === failures[4] ? '77777' : '1');
        }
        expect(ran).to.deep.equal([]);
      });

      it('takes what is no decision for a failure', async () => {
        for (const answer of [{}, { allowed: true }, { allowed: 1, Code: 'OK' }, { allowed: false }, undefined]) {
          const odd = await start({ authorize: async () => answer as never }, (what) => ran.push(what));
          expect((await send(odd.url, '/account')).status, JSON.stringify(answer)).to.equal(503);
          await odd.close();
        }
        expect(ran).to.deep.equal([]);
      });

      it('blames the client for what only the client can mend', async () => {
        pdp.behave = fail(
          400,
          'INVALID_REQUEST',
          {},
          { issues: [{ path: 'context.userAgent', message: 'holds a key' }] },
        );
        expect((await send(besidePdp.url, '/account', token('ann'))).status).to.equal(400);
        const bad = [
          '/businesses/a%20b/calls',
          '/businesses/%2e%2e/calls',
          '/asked',
          '/asked?business=1&business=2',
          '/asked?business=',
        ];
        for (const path of bad)
          expect((await send(running.url, path, token('ann'))).status, path).to.be.oneOf([400, 404]);
        expect(ran).to.deep.equal([]);
      });

      it('asks about the handler that runs, however the request is written', async () => {
        const paths = [
          '42',
          '7',
          'nowhere',
          '4%32',
          '42?business=7',
          '42/',
          '42;x=7',
          '42%2f..%2f7',
          '../businesses/42',
          './42',
          '42%00',
          '%34%32',
        ];
        const written = paths.flatMap((middle) =>
          [
            `/businesses/${middle}/calls`,
            `/BUSINESSES/${middle}/CALLS`,
            `//businesses/${middle}/calls/`,
            `/businesses/${middle}//calls`,
            `http://other/businesses/${middle}/calls`,
          ].flatMap((path) => ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE'].map((method) => ({ path, method }))),
        );
        const override = ['x-http-method-override', 'GET', 'x-original-url', '/open', 'x-rewrite-url', '/open'];
        for (const { path, method } of written) {
          ran.length = 0;
          const { status } = await send(running.url, path, [...token('ann'), ...override], method);
          const about = `${method} ${path}: ${status}`;
          for (const { business, decision } of ran) {
            expect(decision?.allowed, about).to.equal(true);
            expect(decision?.Data.businessId, about).to.equal(business);
            expect(decision?.Data.action, about).to.equal(method === 'POST' ? 'call:create' : 'call:read');
          }
          if (ran.length === 0 && method !== 'OPTIONS') expect(status, about).to.be.at.least(400);
        }
        expect((await send(running.url, '/businesses/7/calls', token('ann'))).status).to.equal(200);
      }).timeout(120_000);

      it('lets everybody in where a route is public, and hands a trace on', async () => {
        expect((await send(running.url, '/open')).status).to.equal(200);
        expect(ran.map(({ decision }) => decision ?? undefined)).to.deep.equal([undefined]);
        pdp.behave = fail(503, 'UNAVAILABLE');
        const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
        await send(besidePdp.url, '/account', ['traceparent', trace]);
        await send(besidePdp.url, '/account', ['traceparent', 'junk']);
        expect(pdp.heard.map(({ headers }) => headers['traceparent'])).to.deep.equal([trace, undefined]);
      });

      for (const [what, [make, says]] of Object.entries(unmapped))
        it(`refuses ${what} before it starts`, async () => {
          expect((await rejection((async () => make(client))())).message).to.include(says);
        });
    });

  it('refuse a client that hides its address by closing', async () => {
    const before = pdp.heard.length;
    const closing = async (ip: string | undefined, isGone: boolean): Promise<number | undefined> => {
      const incoming = { request: {}, rawHeaders: [], ip, isGone, params: {} };
      return (await checkRequest(ofPdp, { action: 'account:read' }, incoming)).refusal?.status;
    };
    expect([await closing(undefined, true), await closing('', true), await closing('nowhere', false)]).to.deep.equal([
      400, 400, 400,
    ]);
    expect(pdp.heard.length).to.equal(before);
    pdp.behave = allow;
    expect([await closing(undefined, false), await closing('::1%eth0', true)]).to.deep.equal([undefined, undefined]);
    expect(pdp.heard.slice(before).map(({ body }) => (body as { context: object }).context)).to.deep.equal([
      {},
      { ip: '::1' },
    ]);
  });

  it('seal a router that is used twice, and what was sealed before', () => {
    const [authz, shared] = [expressAuthz(ofPdp), express.Router()];
    shared.get('/x', authz.public(), () => undefined);
    const app = express().use('/a', shared).use('/b', shared);
    authz.seal(authz.seal(app));
    const [koa, inner, outer] = [koaAuthz(ofPdp), new Router(), new Router()];
    inner.get('/x', koa.public(), () => undefined);
    koa.seal(inner);
    outer.use('/a', inner.routes()).use('/b', inner.routes());
    koa.seal(koa.seal(outer));
    expect(() => shared.get('/late', authz.public(), () => undefined)).to.throw('No route can be added');
  });

  it('let nothing through where nobody sealed the router', async () => {
    const router = new Router();
    router.get('/x', koaAuthz(ofPdp).check({ action: 'account:read' }), (context) => {
      context.body = 'through';
    });
    const koa = new Koa().use(router.routes());
    koa.silent = true;
    const app = express();
    app.set('env', 'test');
    app.get('/x', expressAuthz(ofPdp).check({ action: 'account:read' }), (_request, response) => {
      response.send('through');
    });
    for (const listener of [koa.callback(), app]) {
      const server = createServer(listener).listen(0, '127.0.0.1');
      await once(server, 'listening');
      const { port } = server.address() as { port: number };
      expect((await send(`http://127.0.0.1:${port}`, '/x')).status).to.equal(500);
      server.close();
    }
  });

  it('let nothing through where the plugin of Fastify is not registered, or only for others', async () => {
    const authz = fastifyAuthz(ofPdp);
    const nowhere = fastify();
    nowhere.get('/x', authz.check({ action: 'account:read' }), () => 'through');
    const elsewhere = fastify();
    await elsewhere.register(async (nested) => void (await nested.register(authz.plugin)));
    elsewhere.get('/x', authz.check({ action: 'account:read' }), () => 'through');
    for (const app of [nowhere, elsewhere]) expect((await app.inject('/x')).statusCode).to.equal(500);
  });
});
