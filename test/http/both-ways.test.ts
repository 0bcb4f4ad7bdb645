/**
 * One contract for the two ways that a request can go, straight from node:http and through Koa: every route, and every
 * failure that it can have, is asked of both, and both have to give the same answer, which is asserted once.
 */

import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { SCOPES } from '../../src/directory/find-caller.ts';
import { FAILURES, type FailureCode } from '../../src/errors.ts';
import { createApp } from '../../src/http/app.ts';
import type { Phase } from '../../src/http/exchange.ts';
import type { Route } from '../../src/http/route.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { metricsOf } from '../support/metrics.ts';
import { newDatabase } from '../support/postgres.ts';
import { type Proxy as DatabaseProxy, startProxy } from '../support/proxy.ts';
import { insertCaller, insertKey, startService, type TestService } from '../support/service.ts';

/** A service of its own whose requests all go one way. The services of both ways hold the same. */
interface Way {
  readonly service: TestService;
  readonly database: DatabaseProxy;
  readonly address: string;
  readonly apiKey: string;
  /** Scope -> the token of a caller that has all other scopes. */
  /** By the scopes that it lacks, one or several with commas. */
  readonly lacking: ReadonlyMap<string, string>;
  readonly decisionId: string;
  readonly setPhase: (phase: Phase) => void;
  readonly close: () => Promise<void>;
}

interface Ask {
  readonly method: string;
  readonly path: string;
  /** Without Host, which is added. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body?: string | Buffer | undefined;
  readonly host?: false;
}

interface Answer {
  readonly status: number;
  /** Sorted; what differs between any two answers is replaced by its kind. */
  readonly headers: readonly string[];
  readonly body: string;
}

const JSON_TYPE = ['Content-Type', 'application/json'] as const;

async function listenTo(service: Service, phase: () => Phase) {
  // What `listen` sets, as far as it reaches the answers.
  const server = createServer({ requireHostHeader: false, keepAliveTimeout: 65_000 }, createApp(service, phase).main);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: () => new Promise<unknown>((resolve) => server.close(resolve).closeAllConnections()),
  };
}

async function start(fastPath: 'on' | 'off', token: string): Promise<Way> {
  const database = await startProxy(await newDatabase());
  const service = await startService({
    DATABASE_URL: database.url,
    BOOTSTRAP_TOKEN: token,
    FAST_PATH: fastPath,
    DECISION_DEADLINE_MS: '2000',
    RATE_LIMIT: '1000/3600',
    AUTHZEN_BASE_URL: 'https://authz.example.com',
  });
  const { db } = service;
  await db('users').insert(['ada', 'leaver', 'doomed'].map((id) => ({ id })));
  await db('businesses').insert(['bakery', 'garage', 'doomed'].map((id) => ({ id })));
  const members = ['bakery', 'garage', 'doomed'].map((id) => ({ business_id: id, user_id: 'ada', role: 'owner' }));
  await db('business_members').insert(members);
  // Of an action that nobody asks for.
  await db('freezes').insert({ id: 'nothing', action: 'nobody:asks', reason: 'none', until: '2999-01-01' });
  const apiKey = await insertKey(service, { id: 'main', user_id: 'ada' });
  for (const id of ['to-rotate', 'to-revoke', 'to-delete']) await insertKey(service, { id, user_id: 'ada' });
  await insertKey(service, { id: 'of-leaver', user_id: 'leaver' });
  const lacking = new Map<string, string>([
    ['authorize,evaluate', await insertCaller(service, ['keys', 'search'], { id: 'no-evaluations' })],
  ]);
  for (const scope of SCOPES) {
    const others = SCOPES.filter((other) => other !== scope && `${other}:read` !== scope);
    lacking.set(scope, await insertCaller(service, others, { id: `all-but-${scope}`, name: scope }));
  }
  const authorization = `Bearer ${token}`;
  const { body } = await service.ask('/authorize', { apiKey, action: 'account:read' }, { authorization });
  let phase: Phase = 'serving';
  const listener = await listenTo(service.service, () => phase);
  return {
    service,
    database,
    address: listener.address,
    apiKey,
    lacking,
    decisionId: String(body.Data?.['decisionId']),
    setPhase: (next) => {
      phase = next;
    },
    close: async () => {
      await listener.close();
      await service.close();
      await database.close();
    },
  };
}

const agent = new Agent({ keepAlive: true });

async function ask(address: string, { method, path, headers, body, host }: Ask): Promise<Answer> {
  const all = [...(host === false ? [] : [['Host', 'test'] as const]), ...headers];
  const length = body === undefined ? [] : [['Content-Length', String(Buffer.byteLength(body))] as const];
  const asking = request(address, {
    method,
    path,
    agent,
    setHost: false,
    headers: [...all, ...length].flat() as unknown as Record<string, string>,
  });
  asking.end(body);
  const [response] = (await once(asking, 'response')) as [IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const { rawHeaders } = response;
  const pairs = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${rawHeaders[at + 1]}`] : []));
  const stated = response.headers['content-length'];
  if (stated !== undefined && method !== 'HEAD') expect(Number(stated)).to.equal(bytes.length);
  return {
    status: response.statusCode ?? 0,
    headers: pairs.map(withoutVariables).sort(),
    body: withoutVariables(bytes.toString()),
  };
}

/** Ids, times, keys, hashes and measurements are replaced by their kind; so are the samples of metrics. */
const withoutVariables = (text: string): string =>
  text
    .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, '<time>')
    .replace(/iqra_[0-9A-Za-z]+(?:\.{3}[0-9A-Za-z]+)?/g, '<key>')
    .replace(/"[0-9a-f]{64}"/g, '<hash>')
    .replace(/"nextCursor":"[^"]+"/, '"nextCursor":<cursor>')
    .replace(/"cursor":"[^"]+"/g, '"cursor":<cursor>')
    .replace(/"(durationUs|resetSeconds)":\d+/g, '"$1":<number>')
    .replace(/^(Date|Content-Length): .*/, '$1: <varies>')
    .replace(/^\w+(?:\{.*\})? \S+$/gm, '<sample>')
    .replace(/(?:<sample>\n)+/g, '<samples>\n');

describe('both ways of a request', function () {
  this.timeout(60_000);
  let ways: readonly [Way, Way];
  let routes: readonly Route[];
  const token = 'a-bootstrap-token-of-both-services';
  const bearer = ['Authorization', `Bearer ${token}`] as const;

  before(async () => {
    ways = [await start('on', token), await start('off', token)];
    routes = allRoutes(ways[0].service.service, () => false);
  });
  after(async () => {
    agent.destroy();
    for (const way of ways ?? []) await way.close();
  });

  /** The one answer of both. `asking` is given the way, whose ids and keys are its own. */
  const askBoth = async (asking: (way: Way) => Ask, address = (way: Way) => way.address): Promise<Answer> => {
    const [directly, throughKoa] = await Promise.all(ways.map((way) => ask(address(way), asking(way))));
    expect(throughKoa).to.deep.equal(directly);
    return directly as Answer;
  };

  const expectCode = (answer: Answer, code: FailureCode, name: string): void => {
    expect({ status: answer.status, code: /"Code":"(\w+)"/.exec(answer.body)?.[1] }, name).to.deep.equal({
      status: FAILURES[code].status,
      code,
    });
  };

  /** Route -> an address that it has something at, and the status that it succeeds with; in the order to ask them in. */
  const SUCCESSES: Readonly<Record<string, readonly [address: string, status: number]>> = {
    'post /authorize': ['/authorize', 200],
    'post /authorize/batch': ['/authorize/batch', 200],
    'post /keys': ['/keys', 201],
    'get /keys': ['/keys?userId=ada', 200],
    'get /keys/{id}': ['/keys/main', 200],
    'patch /keys/{id}': ['/keys/main', 200],
    'post /keys/{id}/rotate': ['/keys/to-rotate/rotate', 201],
    'post /keys/{id}/revoke': ['/keys/to-revoke/revoke', 200],
    'delete /keys/{id}': ['/keys/to-delete', 204],
    'put /users/{id}': ['/users/newcomer', 201],
    'get /users/{id}': ['/users/ada', 200],
    'get /users': ['/users', 200],
    'post /users/{id}/revoke-keys': ['/users/leaver/revoke-keys', 200],
    'delete /users/{id}': ['/users/doomed', 204],
    'put /businesses/{id}': ['/businesses/new', 201],
    'get /businesses/{id}': ['/businesses/bakery', 200],
    'get /businesses': ['/businesses?limit=2', 200],
    'put /businesses/{id}/members/{userId}': ['/businesses/garage/members/leaver', 201],
    'get /businesses/{id}/members': ['/businesses/garage/members', 200],
    'delete /businesses/{id}/members/{userId}': ['/businesses/garage/members/leaver', 204],
    'delete /businesses/{id}': ['/businesses/doomed', 204],
    'get /audit/decisions': ['/audit/decisions', 200],
    'get /audit/decisions/{id}': ['/audit/decisions/<decision>', 200],
    'get /audit/stats': ['/audit/stats?by=code', 200],
    'get /audit/export': ['/audit/export', 200],
    'get /audit/timeline': ['/audit/timeline?userId=ada', 200],
    'get /audit/findings': ['/audit/findings', 200],
    'get /audit/admin': ['/audit/admin', 200],
    'post /freezes': ['/freezes', 201],
    'get /freezes': ['/freezes', 200],
    'get /freezes/{id}': ['/freezes/nothing', 200],
    'patch /freezes/{id}': ['/freezes/nothing', 200],
    'delete /freezes/{id}': ['/freezes/nothing', 204],
    'post /access/v1/evaluation': ['/access/v1/evaluation', 200],
    'post /access/v1/evaluations': ['/access/v1/evaluations', 200],
    'post /access/v1/search/subject': ['/access/v1/search/subject', 200],
    'post /access/v1/search/resource': ['/access/v1/search/resource', 200],
    'post /access/v1/search/action': ['/access/v1/search/action', 200],
    'get /.well-known/authzen-configuration': ['/.well-known/authzen-configuration', 200],
    'get /policy': ['/policy', 200],
    'post /policy/explain': ['/policy/explain', 200],
    'get /healthz': ['/healthz', 200],
    'get /readyz': ['/readyz', 200],
    'get /metrics': ['/metrics', 200],
    'get /openapi.json': ['/openapi.json', 200],
  };
  const nameOf = ({ method, path }: Route): string => `${method} ${path}`;

  /** A sound request of the route. */
  const sound =
    (route: Route) =>
    (way: Way): Ask => {
      const [address = ''] = SUCCESSES[nameOf(route)] ?? [];
      const body = JSON.stringify(route.bodyExample)
        ?.replaceAll('iqra_...', way.apiKey)
        .replaceAll('"42"', '"bakery"')
        .replaceAll('ada-main', 'main');
      return {
        method: route.method.toUpperCase(),
        path: address.replace('<decision>', way.decisionId),
        headers: [bearer, ...(body ? [JSON_TYPE] : [])],
        body,
      };
    };

  it('succeed with the same answer, at every route', async () => {
    expect(routes.map(nameOf)).to.have.members(Object.keys(SUCCESSES));
    for (const [name, [, status]] of Object.entries(SUCCESSES)) {
      const route = routes.find((each) => nameOf(each) === name);
      const answer = await askBoth(sound(route as Route));
      expect(answer.status, `${name}: ${answer.body}`).to.equal(status);
      if (status < 204 && !/metrics|openapi|access|authzen|export|timeline/.test(name))
        expect(answer.body).to.match(/^\{"Success":true,"Code":"OK",/);
      const caching = `Cache-Control: ${name.includes('authzen') ? 'public, max-age=3600' : 'no-store'}`;
      expect(answer.headers, name).to.include.members([caching, 'X-Content-Type-Options: nosniff']);
      expect(answer.headers.filter((header) => header.startsWith('Cache-Control'))).to.have.length(1);
      expect(answer.headers, name).to.include.members(['X-Request-Id: <uuid>', 'Connection: keep-alive']);
    }
  });

  const withHeaders = (asked: Ask, ...headers: Ask['headers']): Ask => ({
    ...asked,
    headers: [...asked.headers.filter(([name]) => !headers.some(([other]) => other === name)), ...headers],
  });
  const withBody = (asked: Ask, body: string | Buffer): Ask => withHeaders({ ...asked, body }, JSON_TYPE);
  /** The same body with more in its object. */
  const withField = (asked: Ask, field: string): Ask =>
    withBody(asked, `${String(asked.body).slice(0, -1)}${asked.body === '{}' ? '' : ','}${field}}`);

  interface Fault {
    readonly of: (route: Route) => boolean;
    readonly make: (asked: Ask, route: Route, way: Way) => Ask;
    readonly code: FailureCode;
    /** At the routes of AuthZEN; default: the same. */
    readonly standardCode?: FailureCode;
  }
  const isStandard = ({ path }: Route): boolean => path.startsWith('/access/');
  const every = (): boolean => true;
  const scoped = ({ scope }: Route): boolean => scope !== null;
  const withABody = ({ body }: Route): boolean => body !== undefined;
  const FAULTS: Readonly<Record<string, Fault>> = {
    'no Host': { of: every, make: (asked) => ({ ...asked, host: false }), code: 'INVALID_REQUEST' },
    'two Hosts': {
      of: every,
      make: (asked) => ({ ...asked, headers: [...asked.headers, ['Host', 'other']] }),
      code: 'INVALID_REQUEST',
    },
    'two media types': {
      of: every,
      make: (asked) => ({ ...asked, headers: [...asked.headers, JSON_TYPE, JSON_TYPE] }),
      code: 'INVALID_REQUEST',
    },
    'a Host that is none': {
      of: every,
      make: (asked) => ({ ...asked, host: false, headers: [...asked.headers, ['Host', 'a, b']] }),
      code: 'INVALID_REQUEST',
    },
    'a fragment': {
      of: every,
      make: (asked) => ({ ...asked, path: `${asked.path}#x` }),
      code: 'NOT_FOUND',
    },
    'a query that nothing reads': {
      of: every,
      make: (asked) => ({ ...asked, path: `${asked.path}${asked.path.includes('?') ? '&' : '?'}nothing=1` }),
      code: 'INVALID_REQUEST',
    },
    'a query without a parameter': {
      of: every,
      make: (asked) => ({ ...asked, path: `${asked.path}?&` }),
      code: 'INVALID_REQUEST',
    },
    'a slash behind its path': {
      of: every,
      make: (asked) => ({ ...asked, path: asked.path.replace(/(\?|$)/, '/$1') }),
      code: 'NOT_FOUND',
    },
    'a path in capitals': {
      of: every,
      make: (asked) => ({ ...asked, path: asked.path.replace(/[a-z]/, (letter) => letter.toUpperCase()) }),
      code: 'NOT_FOUND',
    },
    'a method that it has not': {
      of: every,
      make: (asked) => ({ ...asked, method: 'PROPFIND' }),
      code: 'METHOD_NOT_ALLOWED',
    },
    OPTIONS: { of: every, make: (asked) => ({ ...asked, method: 'OPTIONS' }), code: 'METHOD_NOT_ALLOWED' },
    'no token': {
      of: scoped,
      make: (asked) => ({ ...asked, headers: asked.headers.filter((header) => header !== bearer) }),
      code: 'UNAUTHENTICATED',
    },
    'a token that is unknown': {
      of: scoped,
      make: (asked) => withHeaders(asked, ['Authorization', 'Bearer junk']),
      code: 'UNAUTHENTICATED',
    },
    'a token in two headers': {
      of: scoped,
      make: (asked) => ({ ...asked, headers: [...asked.headers, bearer] }),
      code: 'INVALID_REQUEST',
    },
    'a caller without its scope': {
      of: scoped,
      make: (asked, { scope }, { lacking }) =>
        withHeaders(asked, ['Authorization', `Bearer ${lacking.get(String(scope))}`]),
      code: 'FORBIDDEN',
    },
    'another media type': {
      of: withABody,
      make: (asked) => withHeaders(asked, ['Content-Type', 'text/plain']),
      code: 'UNSUPPORTED_MEDIA_TYPE',
      standardCode: 'INVALID_REQUEST',
    },
    'a content-encoding': {
      of: withABody,
      make: (asked) => withHeaders(asked, ['Content-Encoding', 'gzip']),
      code: 'UNSUPPORTED_MEDIA_TYPE',
      standardCode: 'INVALID_REQUEST',
    },
    'a body that is too large': {
      of: withABody,
      make: (asked, { maxBytes = 16 * 1024 }) => withBody(asked, String(asked.body).padEnd(maxBytes + 1)),
      code: 'PAYLOAD_TOO_LARGE',
    },
    'a body that is no JSON': { of: withABody, make: (asked) => withBody(asked, '{'), code: 'INVALID_REQUEST' },
    'a body that is no object': { of: withABody, make: (asked) => withBody(asked, '[]'), code: 'INVALID_REQUEST' },
    'a body that is no UTF-8': {
      of: withABody,
      make: (asked) => withBody(asked, Buffer.from([0x7b, 0xff, 0x7d])),
      code: 'INVALID_REQUEST',
    },
    'a field that nothing reads': {
      of: (route) => withABody(route) && !isStandard(route),
      make: (asked) => withField(asked, '"nothing":1'),
      code: 'INVALID_REQUEST',
    },
    'a key that stands twice': {
      of: withABody,
      make: (asked) => withField(asked, '"x":1,"x":1'),
      code: 'INVALID_REQUEST',
    },
    'a NUL': { of: withABody, make: (asked) => withField(asked, '"x":"\\u0000"'), code: 'INVALID_REQUEST' },
  };
  for (const [name, { of, make, code, standardCode = code }] of Object.entries(FAULTS)) {
    it(`fail alike at every route because of ${name}: ${code}`, async () => {
      for (const route of routes.filter(of)) {
        const answer = await askBoth((way) => make(sound(route)(way), route, way));
        expectCode(answer, isStandard(route) ? standardCode : code, nameOf(route));
      }
    });
  }

  it('answer HEAD where they answer GET, without a body', async () => {
    for (const route of routes) {
      const { status, headers, body } = await askBoth((way) => ({ ...sound(route)(way), method: 'HEAD' }));
      const expected = routes.some((each) => each.path === route.path && each.method === 'get') ? [200, 404] : [405];
      expect(expected, nameOf(route)).to.include(status);
      expect(body).to.equal('');
      // Nobody knows how long what is made while it is sent will be.
      const isStream = status === 200 && /export|timeline/.test(route.path);
      if (!isStream) expect(headers).to.include('Content-Length: <varies>');
    }
  });

  it('answer 304 to who has the document, and 404 at any address that begins as none', async () => {
    const document = (...headers: Ask['headers']): Promise<Answer> =>
      askBoth(() => ({ method: 'GET', path: '/openapi.json', headers }));
    const etag = (await document()).headers.find((header) => header.startsWith('ETag: '))?.slice('ETag: '.length);
    const { status, headers, body } = await document(['If-None-Match', String(etag)]);
    expect([status, body]).to.deep.equal([304, '']);
    expect(headers).to.include(`ETag: ${etag}`);
    for (const path of ['/', '/nowhere', '/nowhere/at?all', '//authorize', '/authorizes', '/%61uthorize', '/users;x']) {
      for (const method of ['GET', 'POST', 'HEAD', 'PURGE']) {
        // Without a length, whether the connection is kept depends on when the end of the body arrives.
        const body = /POST|PURGE/.test(method) ? '{}' : undefined;
        const answer = await askBoth(() => ({ method, path, headers: [bearer], body }));
        if (method === 'HEAD') expect(answer.status).to.equal(404);
        else expectCode(answer, 'NOT_FOUND', `${method} ${path}`);
      }
    }
  });

  it('refuse every request once the service is stopping, and close the connection', async () => {
    for (const way of ways) way.setPhase('refusing');
    for (const route of routes) {
      const answer = await askBoth(sound(route));
      expectCode(answer, 'UNAVAILABLE', nameOf(route));
      expect(answer.headers).to.include.members(['Connection: close', 'Retry-After: 1']);
    }
    for (const way of ways) way.setPhase('draining');
    const ready = await askBoth(sound(routes.find(({ path }) => path === '/readyz') as Route));
    expectCode(ready, 'UNAVAILABLE', 'readyz');
    expect((await askBoth(sound(routes[0] as Route))).status).to.equal(200);
    for (const way of ways) way.setPhase('serving');
  });

  it('close the connection of a client that still has more than a mebibyte to send', async () => {
    for (const route of routes.filter(scoped)) {
      const answers = await Promise.all(
        ways.map(async (way) => {
          const { method, path } = sound(route)(way);
          const headers = { 'Content-Length': '2000000', 'Content-Type': 'application/json' };
          const asking = request(way.address, { method, path, headers, agent: false }).on('error', () => undefined);
          asking.flushHeaders();
          const [response] = (await once(asking, 'response')) as [IncomingMessage];
          asking.destroy();
          return [response.statusCode, response.headers.connection];
        }),
      );
      expect(answers, nameOf(route)).to.deep.equal([
        [401, 'close'],
        [401, 'close'],
      ]);
    }
  });

  it('answer a defect with INTERNAL', async () => {
    const broken = (service: Service): Service => ({
      ...service,
      authorizeThen: () => {
        throw Object.assign(new Error('a defect'), { status: 418, expose: true });
      },
      metrics: { ...service.metrics, text: () => Promise.reject(new Error('a defect')) },
      live: { ...service.live, state: () => expect.fail('a defect') },
      readiness: () => Promise.reject(new Error('a defect')),
    });
    const BROKEN = ['/authorize', '/authorize/batch', '/metrics', '/policy', '/readyz'];
    const listeners = await Promise.all(ways.map(({ service }) => listenTo(broken(service.service), () => 'serving')));
    const addressOf = (way: Way): string => listeners[ways.indexOf(way)]?.address ?? '';
    for (const route of routes.filter(({ path }) => BROKEN.includes(path))) {
      expectCode(await askBoth(sound(route), addressOf), 'INTERNAL', nameOf(route));
    }
    for (const listener of listeners) await listener.close();
  });

  it('answer a passed deadline with 504, and a lost database with 503', async () => {
    const tokens = await Promise.all(
      ways.map(({ service }) => insertCaller(service, SCOPES, { id: 'late', name: 'late' })),
    );
    const asLate = (route: Route) => (way: Way) =>
      withHeaders(sound(route)(way), ['Authorization', `Bearer ${tokens[ways.indexOf(way)]}`]);
    const locks = await Promise.all(ways.map(({ service }) => service.db.transaction()));
    for (const lock of locks) await lock.raw('lock table callers in access exclusive mode');
    await Promise.all(
      routes.filter(scoped).map(async (route) => {
        expectCode(await askBoth(asLate(route)), 'DEADLINE_EXCEEDED', nameOf(route));
      }),
    );
    for (const lock of locks) await lock.rollback();

    for (const { database } of ways) await database.refuse();
    for (const route of routes.filter(scoped)) {
      expectCode(await askBoth(asLate(route)), 'UNAVAILABLE', nameOf(route));
    }
    for (const { database } of ways) await database.heal();
  });

  it('count a refused request under the path of its route, never under its own', async () => {
    const answersOf = async ({ address }: Way) =>
      new Map([...(await metricsOf(address)).samples].filter(([series]) => series.startsWith('authz_answers_total')));
    const asks = routes.filter(scoped).flatMap((route) => {
      const asked = sound(route)(ways[0]);
      const tooLarge = withBody({ ...asked, body: '{}' }, ''.padEnd((route.maxBytes ?? 16 * 1024) + 1));
      const withoutToken = { ...asked, headers: asked.headers.filter((header) => header !== bearer) };
      const sent: [FailureCode, Ask][] = [['UNAUTHENTICATED', withoutToken]];
      if (withABody(route)) sent.push(['PAYLOAD_TOO_LARGE', tooLarge]);
      return [...sent, ['UNAVAILABLE', asked] as const].map(([code, request]) => ({ route, code, request }));
    });
    const before = await Promise.all(ways.map(answersOf));
    for (const { route, code, request } of asks) {
      for (const way of ways) way.setPhase(code === 'UNAVAILABLE' ? 'refusing' : 'serving');
      expectCode(await askBoth(() => request), code, nameOf(route));
    }
    for (const way of ways) way.setPhase('serving');
    const seriesOf = (path: string, status: number) => `authz_answers_total{route="${path}",status="${status}"}`;
    const expected = new Map<string, number>();
    for (const series of asks.map(({ route, code }) => seriesOf(route.path, FAILURES[code].status)))
      expected.set(series, (expected.get(series) ?? 0) + 1);
    for (const [index, way] of ways.entries()) {
      const after = await answersOf(way);
      const grown = [...after]
        .map(([series, value]) => [series, value - (before[index]?.get(series) ?? 0)] as const)
        .filter(([series, growth]) => growth !== 0 && series !== seriesOf('/metrics', 200));
      expect(Object.fromEntries(grown)).to.deep.equal(Object.fromEntries(expected));
      const labels = [...after.keys()].map((series) => /route="([^"]*)"/.exec(series)?.[1] ?? '');
      expect(['none', ...routes.map(({ path }) => path)]).to.include.members(labels);
    }
  });

  it('count the same answers, by route and status', async () => {
    const counts = await Promise.all(
      ways.map(async ({ address }) =>
        [...(await metricsOf(address)).samples].filter(([series]) => /^authz_(?:answers|failures)_total/.test(series)),
      ),
    );
    expect(counts[0]).to.have.length.above(60);
    expect(new Map(counts[1])).to.deep.equal(new Map(counts[0]));
  });
});
