/**
 * What gateways are answered, by every dialect: each outcome with its status, headers and body; who is told what; and what is recorded, and
 * what only counted. The policy is the shipped one with routes.
 */

import { appendFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import fc from 'fast-check';
import { createToken } from '../../../src/credentials/token.ts';
import type { Dialect } from '../../../src/http/gateway/dialects.ts';
import { NAMED_IN } from '../../../src/http/gateway/dialects.ts';
import { routeOf } from '../../../src/policy/declared/gateway.ts';
import { SEED, times } from '../../policy/texts.ts';
import { ROOT } from '../../support/cli.ts';
import { type Client, clientOf, type MadeKey } from '../../support/client.ts';
import { metricsOf } from '../../support/metrics.ts';
import { checker, type Document, responseOf } from '../../support/openapi.ts';
import { newDatabase } from '../../support/postgres.ts';
import { startProxy, type Proxy as TcpProxy } from '../../support/proxy.ts';
import { insertCaller, type Reply, startService, type TestService } from '../../support/service.ts';
import { askRaw, countDecisions, type HeaderList } from '../wire.ts';

const ROUTES = `
routes:
  - { methods: [GET], path: "/v1/businesses/{business}/calls/**", action: "call:read", business: { parameter: business } }
  - { methods: [POST], path: "/v1/calls", action: "call:create", business: { header: X-Business } }
  - { methods: [GET], path: "/v1/account", action: "account:read" }
  - { methods: [PROPFIND], path: "/v1/dav/{business}", action: "business:read", business: { parameter: business } }
`;
const DIALECTS: readonly Dialect[] = ['nginx', 'forwarded', 'haproxy', 'envoy'];
const CALLS = '/v1/businesses/bakery/calls/7?full=1';
const IDENTITY = ['x-iqra-user', 'x-iqra-key', 'x-iqra-business', 'x-iqra-decision'];

interface Original {
  readonly method?: string;
  readonly target?: string;
  readonly headers?: HeaderList;
  /** Undefined: that of the tests. */
  readonly caller?: string;
}

describe('what gateways ask', function () {
  this.timeout(60_000);
  let folder: string;
  let proxy: TcpProxy;
  let service: TestService;
  let client: Client;
  let key: MadeKey;
  let document: Document;
  let faults: ReturnType<typeof checker>;
  const log = new PassThrough();
  let logged = '';

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'gateway-'));
    await cp(path.join(ROOT, 'policies'), folder, { recursive: true });
    await writeFile(path.join(folder, 'gateway.yaml'), ROUTES);
    // A code of a status that no gateway knows.
    await appendFile(path.join(folder, 'codes.yaml'), 'GONE:\n  status: 410\n  message: Gone.\n');
    await appendFile(
      path.join(folder, '40-business.csv'),
      "p, gone, *, \"r.target.id == 'museum' && r.target.status == 'active'\", deny, GONE\n",
    );
    log.on('data', (bytes: Buffer) => {
      logged += bytes;
    });
    proxy = await startProxy(await newDatabase());
    const settings = {
      POLICY_DIR: folder,
      LOG_LEVEL: 'warn',
      TRUSTED_PROXIES: '127.0.0.1',
      DECISION_DEADLINE_MS: '3000',
    };
    service = await startService({ DATABASE_URL: proxy.url, ...settings }, log);
    client = clientOf(service);
    await client.newUser('ada', 'bakery', 'museum', 'shut');
    await client.data('PUT', '/businesses/shut', { disabled: true, disabledReason: 'Zürich “moved” \u{1F600}' });
    key = await client.newKey('ada');
    document = (await client.call('GET', '/openapi.json')).body as unknown as Document;
    faults = checker(document);
  });
  after(async () => {
    await proxy?.heal();
    await service?.close();
    await proxy?.close();
    await rm(folder, { recursive: true });
  });

  /** Asks as the gateway of a dialect does. The answer is as the OpenAPI document says. */
  const ask = async (dialect: Dialect, original: Original = {}): Promise<Reply> => {
    const reply = await send(dialect, original);
    const [path, method] =
      dialect === 'envoy' ? ['/gateway/envoy/{path}', original.method ?? 'GET'] : [`/gateway/${dialect}`, 'GET'];
    const operation = document.paths[path]?.[method.toLowerCase()];
    if (!operation) return reply;
    const described = responseOf(document, operation, reply.status);
    expect(described, `${dialect} ${reply.status}`).to.not.equal(undefined);
    expect(faults(described?.content?.['application/json']?.schema ?? {}, reply.body)).to.equal('');
    for (const header of Object.keys(described?.headers ?? {}))
      expect(reply.headers.has(header), header).to.equal(true);
    return reply;
  };
  const send = (dialect: Dialect, { method = 'GET', target = CALLS, headers, caller }: Original): Promise<Reply> => {
    const all: HeaderList = [
      ['Iqra-Caller', caller ?? `Bearer ${service.token}`],
      ...(headers ?? [['Authorization', `Token ${key.apiKey}`]]),
    ];
    if (dialect === 'envoy') return askRaw(service.address, `${method} /gateway/envoy${target}`, all);
    const names = NAMED_IN[dialect];
    return askRaw(service.address, `GET /gateway/${dialect}`, [[names.method, method], [names.target, target], ...all]);
  };
  const withKey = (...more: HeaderList): HeaderList => [['Authorization', `Token ${key.apiKey}`], ...more];
  const lastDecision = () => service.db('decisions').orderBy('at', 'desc').orderBy('id', 'desc').first();

  const expectDenial = (dialect: Dialect, reply: Reply, status: number, code: string): void => {
    const { body, headers } = reply;
    expect({ status: reply.status, Code: body.Code, Success: body.Success }, JSON.stringify(body)).to.deep.equal({
      status,
      Code: code,
      Success: false,
    });
    expect(Object.keys(body)).to.deep.equal(['Success', 'Code', 'Message']);
    expect(headers.get('content-type')).to.equal('application/json; charset=utf-8');
    for (const name of IDENTITY) expect(headers.has(name), name).to.equal(false);
    expect(headers.get('www-authenticate')).to.equal(status === 401 ? 'Token' : null);
    expect(headers.has('retry-after')).to.equal(status === 429 || status === 503);
    const inHeader = headers.get('iqra-body');
    expect(inHeader !== null).to.equal(dialect === 'nginx');
    if (inHeader === null) return;
    expect(inHeader).to.match(/^[ -~]{1,4000}$/);
    expect(JSON.parse(inHeader)).to.deep.equal(body);
  };

  for (const dialect of DIALECTS) {
    describe(`of ${dialect}`, () => {
      it('an allow is 200 with every identity header, empty where there is nothing to name', async () => {
        const reply = await ask(dialect);
        expect([reply.status, reply.body]).to.deep.equal([
          200,
          { Success: true, Code: 'OK', Message: 'The API key may do this.' },
        ]);
        const row = await lastDecision();
        expect(IDENTITY.map((name) => reply.headers.get(name))).to.deep.equal(['ada', key.id, 'bakery', row.id]);
        expect(reply.headers.has('iqra-body')).to.equal(false);
        expect(row).to.include({ action: 'call:read', business_id: 'bakery', code: 'OK', api_key_id: key.id });
        const account = await ask(dialect, { target: '/v1/account' });
        expect(IDENTITY.slice(0, 3).map((name) => account.headers.get(name))).to.deep.equal(['ada', key.id, '']);
      });

      it('a denial is 401, 403 or 429, and recorded', async () => {
        const before = await countDecisions(service);
        const anonymous = await ask(dialect, { headers: [] });
        expectDenial(dialect, anonymous, 401, 'INVALID_API_KEY');
        const unknown = await ask(dialect, { headers: [['Authorization', `Token ${createToken('apiKey')}`]] });
        expectDenial(dialect, unknown, 401, 'INVALID_API_KEY');
        const elsewhere = await ask(dialect, { target: '/v1/businesses/harbour/calls' });
        expectDenial(dialect, elsewhere, 403, 'PERMISSION_DENIED');
        const shut = await ask(dialect, { target: '/v1/businesses/shut/calls' });
        expectDenial(dialect, shut, 403, 'BUSINESS_DISABLED');
        expect(shut.body.Message).to.match(/Zürich “moved” \u{1F600}$/u);
        const gone = await ask(dialect, { target: '/v1/businesses/museum/calls' });
        expectDenial(dialect, gone, 403, 'GONE');
        const { apiKey } = await client.newKey('ada', { rateLimit: { requests: 1, windowSeconds: 3600 } });
        const headers: HeaderList = [['Authorization', `token ${apiKey}`]];
        expect((await ask(dialect, { headers })).status).to.equal(200);
        const limited = await ask(dialect, { headers });
        expectDenial(dialect, limited, 429, 'RATE_LIMITED');
        expect(Number(limited.headers.get('retry-after'))).to.be.within(1, 3600);
        expect((await countDecisions(service)) - before).to.equal(7);
      });

      it('two Authorization headers are no API key, whichever is live', async () => {
        const bad = ['Authorization', 'Token junk'] as const;
        const good = ['Authorization', `Token ${key.apiKey}`] as const;
        for (const headers of [
          [good, bad],
          [bad, good],
          [good, good],
        ] as HeaderList[]) {
          const reply = await ask(dialect, { headers });
          expectDenial(dialect, reply, 401, 'INVALID_API_KEY');
          expect((await lastDecision()).api_key_id).to.equal(null);
        }
      });

      it('a failure is 503, of the caller too, and nothing of it is told', async () => {
        const before = await countDecisions(service);
        const lacking = await insertCaller(service, ['keys', 'evaluate']);
        const bound = await insertCaller(service, ['authorize'], { bound_users: ['ada'] });
        const callers = ['', 'Bearer', service.token, 'Bearer iqra_svc_junk', `Token ${service.token}`, key.apiKey]
          .concat(`Bearer ${service.token}, Bearer ${service.token}`)
          .concat(`Bearer ${createToken('caller')}`, `Bearer ${lacking}`, `Bearer ${bound}`);
        for (const caller of callers) {
          const reply = await ask(dialect, { caller });
          expectDenial(dialect, reply, 503, 'UNAVAILABLE');
          expect(reply.body.Message).to.equal('The service cannot answer right now. Ask again after Retry-After.');
        }
        const twice = await ask(dialect, { headers: withKey(['Iqra-Caller', `Bearer ${service.token}`]) });
        expectDenial(dialect, twice, 503, 'UNAVAILABLE');
        expect(await countDecisions(service)).to.equal(before);
      });

      it('what has no route is 403, counted and not recorded', async () => {
        const before = await countDecisions(service);
        const refusals: readonly (readonly [reason: string, Original])[] = [
          ['unmatched', { method: 'DELETE' }],
          ['unmatched', { target: '/' }],
          ['ambiguous', { target: '/v1/businesses/bakery/../bakery/calls' }],
          ['ambiguous', { target: '/v1//businesses/bakery/calls' }],
          ['ambiguous', { target: '/v1/businesses/bakery/calls/a%2fb' }],
          ['ambiguous', { target: '/v1/businesses/bakery/calls;x' }],
          ['ambiguous', { target: '/v1/ACCOUNT' }],
          ['ambiguous', { target: '/v1/account/' }],
          ['malformed', { target: `/v1/${'a'.repeat(8200)}` }],
          ['business', { target: '/v1/businesses/b%20b/calls' }],
          ['business', { target: `/v1/businesses/${createToken('apiKey')}/calls` }],
          ['business', { target: `/v1/businesses/${key.apiKey.slice(5, 35)}/calls` }],
          ['business', { method: 'POST', target: '/v1/calls' }],
          ['business', { method: 'POST', target: '/v1/calls', headers: withKey(['X-Business', '']) }],
          [
            'business',
            {
              method: 'POST',
              target: '/v1/calls',
              headers: withKey(['X-Business', 'bakery'], ['x-business', 'bakery']),
            },
          ],
          ['header', { headers: withKey(['Referer', 'a'], ['Referer', 'b']) }],
        ];
        const counted = await metricsOf(service.address);
        for (const [reason, original] of refusals) {
          const reply = await ask(dialect, original);
          expectDenial(dialect, reply, 403, 'PERMISSION_DENIED');
          expect(reply.body.Message, reason).to.match(/^[A-Z].{10,}\.$/);
        }
        expect(await countDecisions(service)).to.equal(before);
        const { samples } = await metricsOf(service.address);
        for (const reason of new Set(refusals.map(([each]) => each))) {
          const name = `authz_gateway_refused_total{dialect="${dialect}",reason="${reason}"}`;
          const times = refusals.filter(([each]) => each === reason).length;
          expect((samples.get(name) ?? 0) - (counted.samples.get(name) ?? 0), reason).to.equal(times);
        }
      });

      it('a caller that is bound to businesses asks about those', async () => {
        const caller = `Bearer ${await insertCaller(service, ['authorize'], { bound_businesses: ['bakery'] })}`;
        expect((await ask(dialect, { caller })).status).to.equal(200);
        const before = await countDecisions(service);
        for (const target of ['/v1/businesses/museum/calls', '/v1/account'])
          expectDenial(dialect, await ask(dialect, { caller, target }), 403, 'PERMISSION_DENIED');
        expect(await countDecisions(service)).to.equal(before);
      });
    });
  }

  it('takes the business from one header, where the route says so', async () => {
    const original = { method: 'POST', target: '/v1/calls', headers: withKey(['x-bUSINESS', 'bakery']) };
    const reply = await ask('envoy', original);
    expect([reply.status, reply.headers.get('x-iqra-business')]).to.deep.equal([200, 'bakery']);
    expect(await lastDecision()).to.include({ action: 'call:create', business_id: 'bakery' });
  });

  it('has any method in the request line of envoy, and a HEAD without a body', async () => {
    expect((await ask('envoy', { method: 'PROPFIND', target: '/v1/dav/bakery' })).status).to.equal(200);
    const headers = { 'iqra-caller': `Bearer ${service.token}`, authorization: `Token ${key.apiKey}` };
    for (const [target, status] of [
      [CALLS, 200],
      ['/nowhere', 403],
    ] as const) {
      const reply = await fetch(`${service.address}/gateway/envoy${target}`, { method: 'HEAD', headers });
      expect([reply.status, await reply.text()]).to.deep.equal([status, '']);
    }
  });

  it('answers GET, HEAD and POST at the other addresses, whatever their query and body; and no others', async () => {
    const headers = {
      'iqra-caller': `Bearer ${service.token}`,
      authorization: `Token ${key.apiKey}`,
      'x-forwarded-method': 'GET',
      'x-forwarded-uri': CALLS,
    };
    const send = (method: string, query = '', body?: string) =>
      fetch(`${service.address}/gateway/forwarded${query}`, { method, headers, ...(body !== undefined && { body }) });
    expect((await send('GET', '?full=1&full=1&%ff')).status).to.equal(200);
    expect((await send('POST', '', 'x'.repeat(100_000))).status).to.equal(200);
    expect((await send('HEAD')).status).to.equal(200);
    for (const method of ['PUT', 'DELETE']) {
      const reply = await send(method);
      expect([reply.status, ((await reply.json()) as Reply['body']).Code]).to.deep.equal([503, 'UNAVAILABLE']);
    }
    for (const none of ['/gateway', '/gateway/', '/gateway/apache', '/gateway/nginx/', '/gateway/envoys'])
      expect((await client.call('GET', none)).status, none).to.equal(404);
  });

  it('reads the headers of its own dialect alone, and each of them once', async () => {
    const caller = ['Iqra-Caller', `Bearer ${service.token}`] as const;
    const nginx = [
      ['X-Original-Method', 'GET'],
      ['X-Original-URI', CALLS],
    ] as const;
    const forwarded = [
      ['X-Forwarded-Method', 'GET'],
      ['X-Forwarded-Uri', CALLS],
    ] as const;
    const noise = [
      ['Forwarded', 'for=203.0.113.9'],
      ['X-Forwarded-Host', 'x'],
      ['X-Original-URL', '/v1/account'],
    ] as const;
    const send = (dialect: string, ...headers: (readonly [string, string])[]) =>
      askRaw(service.address, `GET /gateway/${dialect}`, [caller, ...withKey(...headers)]);
    expect((await send('nginx', ...nginx, ['X-Forwarded-Uri', '/v1/account'], ...noise)).status).to.equal(200);
    expect((await send('forwarded', ...forwarded, ['X-Original-URI', '/v1/account'], ...noise)).status).to.equal(200);
    const counted = await metricsOf(service.address);
    const wrong = [
      await send('nginx', ...forwarded),
      await send('haproxy', nginx[0]),
      await send('forwarded', ...nginx),
      await send('forwarded', forwarded[1]),
    ];
    for (const { status, body } of wrong) {
      expect([status, body.Code]).to.deep.equal([403, 'PERMISSION_DENIED']);
      expect(body.Message).to.include('The gateway does not say what it was asked: let it set X-');
    }
    for (const header of nginx) {
      const { status, body } = await send('nginx', ...nginx, header);
      expect([status, body.Message]).to.deep.equal([
        403,
        `${header[0]} is there twice: let the gateway replace what its client sends.`,
      ]);
    }
    const { samples } = await metricsOf(service.address);
    const more = (series: string): number =>
      (samples.get(`authz_gateway_refused_total{${series}}`) ?? 0) -
      (counted.samples.get(`authz_gateway_refused_total{${series}}`) ?? 0);
    expect(more('dialect="nginx",reason="unset"')).to.equal(1);
    expect(more('dialect="haproxy",reason="unset"')).to.equal(1);
    expect(more('dialect="forwarded",reason="unset"')).to.equal(2);
    expect(more('dialect="nginx",reason="doubled"')).to.equal(2);
  });

  it('records the client, by the address that a trusted gateway names, and nothing of its key', async () => {
    const headers = withKey(
      ['X-Forwarded-For', '198.51.100.1, 203.0.113.7'],
      ['User-Agent', 'curl/8'],
      ['X-Request-Id', 'trace-1'],
    );
    const reply = await ask('nginx', { headers });
    expect(reply.headers.get('x-request-id')).to.equal('trace-1');
    expect(await lastDecision()).to.include({ ip: '203.0.113.7', user_agent: 'curl/8', caller_request_id: 'trace-1' });
    await ask('nginx');
    expect(await lastDecision()).to.include({ ip: null, user_agent: null, caller_request_id: null });
    const piece = key.apiKey.slice(5, 35);
    const leaking = await ask('nginx', { headers: withKey(['User-Agent', piece], ['X-Request-Id', piece]) });
    expect(leaking.status).to.equal(200);
    expect(leaking.headers.get('x-request-id')).to.match(/^[0-9a-f-]{36}$/);
    expect(await lastDecision()).to.include({ user_agent: null, caller_request_id: null });
    expect(logged).to.not.include(piece);
  });

  it('says in its log and metrics what a caller lacks', async () => {
    const failed = async (code: string): Promise<number> =>
      (await metricsOf(service.address)).samples.get(`authz_failures_total{code="${code}"}`) ?? 0;
    const before = [await failed('UNAUTHENTICATED'), await failed('FORBIDDEN')];
    await ask('forwarded', { caller: 'Bearer junk' });
    await ask('forwarded', { caller: `Bearer ${await insertCaller(service, ['keys'])}` });
    expect([await failed('UNAUTHENTICATED'), await failed('FORBIDDEN')]).to.deep.equal(
      before.map((count) => count + 1),
    );
    expect(logged).to.include('Let the gateway set the header Iqra-Caller').and.to.include('lacks the scope authorize');
    expect(logged).to.not.include(service.token);
  });

  describe(`whatever headers come (seed ${SEED})`, () => {
    const POOL: Readonly<Record<string, readonly [good: string, ...others: string[]]>> = {
      'Iqra-Caller': ['good', 'Bearer junk', ''],
      Authorization: ['key', 'Token junk', ''],
      'X-Original-Method': ['GET', 'get', 'DELETE', '', 'GET, GET'],
      'X-Original-URI': [CALLS, '/v1/account', '/nowhere', '//v1/account', '', `${CALLS}, ${CALLS}`],
      'X-Forwarded-Method': ['DELETE'],
      'X-Forwarded-Uri': ['/v1/account', '//'],
      'X-Iqra-User': ['root'],
      'Iqra-Body': ['{}'],
      Referer: ['a'],
    };
    const named = ([name, [good, ...others]]: readonly [string, readonly [string, ...string[]]], weight: number) =>
      fc.tuple(
        fc.constantFrom(name, name.toLowerCase(), name.toUpperCase()),
        fc.oneof({ arbitrary: fc.constant(good), weight }, fc.constantFrom(good, ...others)),
      );
    /** Usually each of the first four once, and good. */
    const lists = fc
      .tuple(
        fc.tuple(
          ...Object.entries(POOL)
            .slice(0, 4)
            .map((each) => named(each, 8)),
        ),
        fc.array(fc.oneof(...Object.entries(POOL).map((each) => named(each, 0))), { maxLength: 2 }),
        fc.option(fc.nat(3), { freq: 2 }),
      )
      .chain(([base, more, without]) => {
        const all = [...base.filter((_, index) => index !== without), ...more];
        return fc.shuffledSubarray(all, { minLength: all.length, maxLength: all.length });
      });

    it('a request passes exactly where each that counts is there once, and good', async () => {
      const seen = new Map<number, number>();
      await fc.assert(
        fc.asyncProperty(lists, async (list) => {
          const of = (name: string) => list.filter(([each]) => each.toLowerCase() === name).map(([, value]) => value);
          const only = (name: string, ...good: string[]) => of(name).length === 1 && good.includes(of(name)[0] ?? '');
          const asks =
            of('referer').length < 2 &&
            only('x-original-method', 'GET') &&
            only('x-original-uri', CALLS, '/v1/account');
          const wanted = !only('iqra-caller', 'good') ? 503 : !asks ? 403 : only('authorization', 'key') ? 200 : 401;
          const headers = list.map(([name, value]): [string, string] => [
            name,
            value === 'good' ? `Bearer ${service.token}` : value === 'key' ? `Token ${key.apiKey}` : value,
          ]);
          const reply = await askRaw(service.address, 'GET /gateway/nginx', headers);
          expect(reply.status, JSON.stringify(reply.body)).to.equal(wanted);
          seen.set(wanted, (seen.get(wanted) ?? 0) + 1);
          if (wanted !== 200) return expectDenial('nginx', reply, wanted, reply.body.Code);
          const business = of('x-original-uri')[0] === CALLS ? 'bakery' : '';
          expect([reply.headers.get('x-iqra-user'), reply.headers.get('x-iqra-business')]).to.deep.equal([
            'ada',
            business,
          ]);
        }),
        times(150),
      );
      for (const status of [200, 401, 403, 503]) expect(seen.get(status) ?? 0, `${status}`).to.be.above(5);
    });

    it('and whatever target: what passes is what has a route, as it came', async () => {
      const pieces = fc.oneof(
        fc.constantFrom('v1', 'businesses', 'bakery', 'calls', 'account', '..', '%2e', '%2f', ';', '//', '/', '?', '#'),
        fc.string({ minLength: 1, maxLength: 3 }),
      );
      const targets = fc.oneof(
        fc.array(pieces, { maxLength: 8 }).map((all) => `/${all.join('/')}`),
        fc
          .tuple(
            fc.constantFrom(CALLS, '/v1/account', '/v1/businesses/bakery/calls/'),
            fc.array(pieces, { maxLength: 2 }),
          )
          .map(([start, all]) => start + all.join('')),
      );
      const { gateway } = service.service.live.policy();
      let passed = 0;
      await fc.assert(
        fc.asyncProperty(targets, async (given) => {
          // What would end the request line.
          const target = given.replace(/[\r\n ]/g, '');
          const reply = await askRaw(service.address, `GET /gateway/envoy${target}`, [
            ['Iqra-Caller', `Bearer ${service.token}`],
            ...withKey(),
          ]);
          const routed = routeOf(gateway, 'GET', target);
          const allowed =
            !('reason' in routed) && (routed.route.action === 'account:read' || routed.path.segments[2] === 'bakery');
          // A line that is no HTTP is a 400 of the server itself.
          expect(reply.status, target).to.be.oneOf(allowed ? [200] : [400, 403]);
          if (allowed) passed += 1;
        }),
        times(150),
      );
      expect(passed).to.be.above(10);
    });
  });

  describe('without the database', () => {
    it('never passes without the database, and does again with it', async () => {
      const statuses = async () =>
        Promise.all(
          DIALECTS.map(async (dialect) => {
            const reply = await ask(dialect);
            if (reply.status !== 200) expectDenial(dialect, reply, 503, 'UNAVAILABLE');
            return reply.status;
          }),
        );
      expect(await statuses()).to.deep.equal([200, 200, 200, 200]);
      const answered = async (status: number) => {
        for (let all: number[] = []; all.some((each) => each !== status) || all.length === 0; ) all = await statuses();
      };
      proxy.swallow();
      await answered(503);
      await proxy.refuse();
      expect(await statuses()).to.deep.equal([503, 503, 503, 503]);
      await proxy.heal();
      await answered(200);
    });
  });
});
