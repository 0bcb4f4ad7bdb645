/** The OpenAPI document: valid, with the same routes as the router, and matched by the real answers. */

import Router from '@koa/router';
import { expect } from 'chai';

import { FAILURES, type FailureCode } from '../../src/errors.ts';
import { mount } from '../../src/http/answer.ts';
import type { State } from '../../src/http/context.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { type Client, withService } from '../support/client.ts';
import { type Content, checker, type Document, operationsOf, responseOf, type Schema } from '../support/openapi.ts';
import type { Reply } from '../support/service.ts';
import { insertCaller, type TestService } from '../support/service.ts';

const DATA = {
  decisionId: '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e',
  status: 200,
  rule: 'x',
  policy: 'x',
  apiKeyId: null,
  userId: null,
  businessId: null,
  action: 'call:create',
};

describe('the OpenAPI document', () => {
  let service: TestService;
  let client: Client;
  let document: Document;

  withService(
    async (started) => {
      ({ service, client } = started);
      document = (await client.call('GET', '/openapi.json', undefined, { authorization: '' }))
        .body as unknown as Document;
      faults = checker(document);
    },
    // Of the walk, the first bad token is refused, and the others are too many.
    { FAILED_AUTHENTICATION_LIMIT: '1/86400', AUTHZEN_BASE_URL: 'https://authz.example.com' },
  );

  it('is the same bytes for all, with a strong ETag, and is not sent again to who has it', async () => {
    const ask = (method: string, headers: Record<string, string> = {}) =>
      fetch(`${service.address}/openapi.json`, { method, headers });
    const first = await ask('GET');
    const etag = first.headers.get('etag') ?? '';
    expect(etag).to.match(/^"[\w-]{43}"$/);
    const text = await first.text();
    expect(await (await ask('GET')).text()).to.equal(text);
    const head = await ask('HEAD');
    expect([head.status, head.headers.get('etag'), head.headers.get('content-length')]).to.deep.equal([
      200,
      etag,
      String(Buffer.byteLength(text)),
    ]);
    for (const known of [etag, `W/${etag}`, `"x", ${etag}`, `"x",W/${etag} , "y"`, '*']) {
      for (const method of ['GET', 'HEAD']) {
        const reply = await ask(method, { 'if-none-match': known });
        expect([reply.status, reply.headers.get('etag'), await reply.text()], known).to.deep.equal([304, etag, '']);
      }
    }
    for (const other of ['"x"', etag.slice(1, -1), `${etag.slice(0, -1)}x"`, '']) {
      expect((await ask('GET', { 'if-none-match': other })).status, other).to.equal(200);
    }
  });

  let faults: (schema: Schema, value: unknown) => string;
  const operations = () => operationsOf(document);
  /** Without those of gateways, which the router has not: test/http/gateway/gateway.test.ts holds them against the answers. */
  const routed = () => operations().filter(({ path }) => !path.startsWith('/gateway/'));

  it('is OpenAPI 3.1', () => {
    expect(document.openapi).to.match(/^3\.1\.\d+$/);
    expect(document.info).to.include.keys('title', 'version');
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).to.equal(ids.length);
    const known = document.tags.map(({ name }) => name);
    for (const { route, path, operation } of operations()) {
      expect(path, route).to.match(/^(?:\/(?:[a-z0-9.-]+|\{\w+\}))+$/);
      expect(operation.tags.length === 1 && known.includes(operation.tags[0] ?? ''), route).to.equal(true);
      const parameters = operation.parameters ?? [];
      const places = parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      expect(new Set(places).size, route).to.equal(places.length);
      const inPath = parameters.filter((parameter) => parameter.in === 'path');
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(
        inPath.map((parameter) => parameter.name),
        route,
      ).to.deep.equal(named);
      for (const parameter of inPath) expect(parameter.required, route).to.equal(true);
      for (const requirement of operation.security)
        expect(document.components.securitySchemes, route).to.include.keys(Object.keys(requirement));
      for (const status of Object.keys(operation.responses)) {
        expect(status, route).to.match(/^[2-5](?:\d\d|XX)$/);
        const response = responseOf(document, operation, status);
        expect(response?.description ?? '', route).to.not.equal('');
        expect(response?.content === undefined, `${route} ${status}`).to.equal(['204', '304'].includes(status));
      }
    }
    const text = JSON.stringify(document);
    for (const [, kind, name] of text.matchAll(/"\$ref":"#\/components\/(\w+)\/([^"]+)"/g))
      expect(document.components[kind as 'schemas'], name).to.include.keys(name ?? '');
    expect(text).to.not.match(/"nullable":|"\$schema":|"exclusiveM\w+":(?:true|false)/);
  });

  it('names the routes of the router, all of them and no others', () => {
    const router = new Router<State>();
    mount(
      router,
      allRoutes({ config: {} } as Service, () => false),
      Object.assign(() => Promise.reject(new Error('nobody asks')), { known: () => undefined }),
    );
    const mounted = router.stack.flatMap(({ methods, path }) =>
      methods
        .filter((method) => method !== 'HEAD')
        .map((method) => `${method} ${String(path).replace(/:(\w+)/g, '{$1}')}`),
    );
    expect(
      routed()
        .map(({ route }) => route)
        .sort(),
    ).to.deep.equal(mounted.sort());
  });

  it('names for each address the methods that the service answers there', async () => {
    for (const [path, methods] of Object.entries(document.paths).filter(([path]) => !path.startsWith('/gateway/'))) {
      const address = path.replace(/\{\w+\}/g, 'x');
      const reply = await client.call('OPTIONS', address);
      expect(reply.status, path).to.equal(405);
      const allowed = (reply.headers.get('allow') ?? '').toLowerCase().split(', ');
      expect(allowed.filter((method) => method !== 'head').sort()).to.deep.equal(Object.keys(methods).sort());
      for (const method of Object.keys(methods)) {
        const { status } = await client.call(method.toUpperCase(), address, undefined, { authorization: '' });
        expect(status, `${method} ${path}`).to.equal(methods[method]?.security.length ? 401 : 200);
      }
    }
  });

  it('asks for a token and lists 401 and 403 exactly where one is needed', () => {
    for (const { route, operation } of routed()) {
      const codes = Object.keys(operation.responses);
      expect(codes.includes('401') && codes.includes('403'), route).to.equal(operation.security.length > 0);
      expect(codes, route).to.include.members(['400', '5XX']);
      if (operation.requestBody)
        expect(codes, route).to.include.members(route.includes('/access/') ? ['413'] : ['413', '415']);
    }
  });

  it('enumerates the codes of every answer: of denials, those of the live policy', async () => {
    const codesOf = (route: string, status: number): string => {
      const found = routed().find((one) => one.route === route);
      const { schema = {} } = found
        ? (responseOf(document, found.operation, status)?.content?.['application/json'] ?? {})
        : {};
      return ['OK', ...Object.keys(FAILURES), 'FROZEN', 'MADE_UP']
        .filter((Code) =>
          [true, false].some((Success) =>
            [{}, { Data: DATA }].some((more) => faults(schema, { Success, Code, Message: 'x', ...more }) === ''),
          ),
        )
        .join();
    };
    expect(codesOf('POST /authorize', 200)).to.equal('OK,FROZEN');
    expect(codesOf('GET /healthz', 200)).to.equal('OK');
    for (const { route, operation } of routed()) {
      for (const status of Object.keys(operation.responses)
        .map(Number)
        .filter((one) => one >= 400))
        if (`${route} ${status}` !== 'GET /readyz 503')
          expect(codesOf(route, status), `${route} ${status}`).to.equal(
            Object.keys(FAILURES)
              .filter((code) => FAILURES[code as FailureCode].status === status)
              .join(),
          );
      expect(codesOf(route, 599)).to.equal('UNAVAILABLE,DEADLINE_EXCEEDED,INTERNAL');
    }
    const { enum: codes } = document.components.schemas['DenialCode'] ?? {};
    expect(['OK', ...(codes as string[])]).to.deep.equal([...service.service.live.policy().codes.keys()]);
  });

  it('has another ETag with other codes, and the same again with the same policy', async () => {
    const policies = ['A', 'B'].map((code) => ({ codes: new Map([[code, {}]]) }));
    let live = policies[0];
    const routes = allRoutes({ config: {}, live: { policy: () => live } } as unknown as Service, () => false);
    const route = routes.find(({ path }) => path === '/openapi.json');
    const etag = () =>
      new Promise<unknown>((resolve) => {
        const asked = { headers: {} } as unknown as Parameters<NonNullable<typeof route>['handle']>[0];
        route?.handle(asked, (answered) => resolve('headers' in answered ? answered.headers?.['ETag'] : answered));
      });
    const first = await etag();
    live = policies[1];
    const second = await etag();
    live = policies[0];
    expect([await etag(), await etag()]).to.deep.equal([first, first]);
    expect(second).to.match(/^"/).and.not.equal(first);
  });

  it('says no large shape twice: code that is generated has one type for it', () => {
    const seen = new Map<string, string>();
    const walk = (value: unknown, place: string): void => {
      if (typeof value !== 'object' || value === null) return;
      const { type, properties } = value as Schema;
      if (type === 'object' && Object.keys(properties ?? {}).length > 3) {
        const text = JSON.stringify(value);
        expect(seen.get(text), place).to.equal(undefined);
        seen.set(text, place);
      }
      for (const [name, part] of Object.entries(value)) if (name !== 'examples') walk(part, `${place} ${name}`);
    };
    walk(document, '');
    expect(seen.size).to.be.above(30);
  });

  it('has an example of every body that is sent or answered, and each is as its schema says', () => {
    let checked = 0;
    const check = (name: string, { schema, examples = {} }: Content): void => {
      const values = Object.values(examples);
      expect(values.length, `${name} has examples`).to.be.above(0);
      for (const { value } of values) expect(faults(schema, value), name).to.equal('');
      checked += values.length;
    };
    for (const { route, operation } of operations()) {
      if (operation.requestBody) check(route, operation.requestBody.content['application/json']);
      for (const status of Object.keys(operation.responses))
        for (const shape of Object.values(responseOf(document, operation, status)?.content ?? {}))
          if (`${route} ${status}` !== 'GET /openapi.json 200') check(`${route} ${status}`, shape);
    }
    expect(checked).to.be.above(100);
  });

  it('refuses, by its schemas, what the service refuses, and takes what it takes', async () => {
    const key = { userId: 'nobody', friendlyName: 'x', allowUserManagementApiRequests: false };
    const question = { action: 'call:create' };
    const freeze = { reason: 'x', forSeconds: 1 };
    const until = '2999-01-01T00:00:00Z';
    const reasons = [
      {},
      { disabled: true },
      { disabledReason: 'x' },
      { disabled: false, disabledReason: 'x' },
      { disabled: true, disabledReason: 'x' },
    ];
    const bodies: Readonly<Record<string, readonly object[]>> = {
      'POST /keys': [
        {},
        key,
        { ...key, stray: 1 },
        { ...key, friendlyName: '' },
        { ...key, friendlyName: ' ' },
        { ...key, restrictedBusinessIds: [] },
        { ...key, restrictedBusinessIds: ['a b'] },
        { ...key, environment: 'A' },
        { ...key, rateLimit: { requests: 0, windowSeconds: 1 } },
      ],
      'POST /authorize': [
        question,
        { ...question, apiKey: null, authorization: null },
        { ...question, apiKey: 'x', authorization: null },
        { ...question, apiKey: 'x', authorization: '' },
        { ...question, businessId: 7 },
        { ...question, businessId: '..' },
      ],
      'POST /policy/explain': [
        question,
        { ...question, apiKey: 'x' },
        { ...question, apiKeyId: 'x', apiKey: null },
        { ...question, apiKeyId: 'x', apiKey: 'y' },
      ],
      'POST /freezes': [
        freeze,
        { ...freeze, everything: true },
        { ...freeze, everything: true, action: '*' },
        { ...freeze, action: '*' },
        { ...freeze, action: 'call:*', apiKeyId: null },
        { ...freeze, action: 'call:*', everything: false },
        { ...freeze, userId: 'ann', everything: true },
        { ...freeze, userId: 'ann', until },
        { reason: 'x', userId: 'ann' },
        { reason: 'x', userId: 'ann', until },
      ],
      'PUT /users/u': reasons,
      'PUT /businesses/b': reasons,
    };
    let refused = 0;
    for (const [route, body] of Object.entries(bodies).flatMap(([name, all]) =>
      all.map((body) => [name, body] as const),
    )) {
      const [method = '', address = ''] = route.split(' ');
      const template = method === 'PUT' ? address.replace(/\w+$/, '{id}') : address;
      const operation = document.paths[template]?.[method.toLowerCase()];
      const { schema = {} } = operation?.requestBody?.content['application/json'] ?? {};
      const reply = await client.call(method, address, body);
      const says = JSON.stringify(reply.body);
      // Of a sound body, the user or key may not be there.
      const sound = reply.status < 400 || reply.status === 404 || /there is no user|none that there is/.test(says);
      expect(faults(schema, body) === '', `${route} ${JSON.stringify(body)} ${says}`).to.equal(sound);
      if (!sound) refused += 1;
    }
    expect(refused).to.be.above(20);
    await service.db('freezes').delete();
    await service.db('users').delete();
    await service.db('businesses').delete();
  });

  it('is true of every answer of a walk through all routes', async () => {
    const walked = new Set<string>();
    const ask = async (
      route: string,
      path: string,
      body?: unknown,
      headers?: Record<string, string>,
    ): Promise<Reply> => {
      const [method = '', template = ''] = route.split(' ');
      const operation = document.paths[template]?.[method.toLowerCase()];
      const reply = await client.call(method, path, body, headers);
      const name = `${route} ${reply.status}`;
      const described = operation && responseOf(document, operation, reply.status);
      expect(described, `${name} ${JSON.stringify(reply.body)}`).to.not.equal(undefined);
      const schema = Object.values(described?.content ?? {})[0]?.schema;
      expect(schema === undefined ? (reply.body ?? '') : faults(schema, reply.body), name).to.equal('');
      for (const header of Object.keys(described?.headers ?? {}))
        expect(reply.headers.has(header), name).to.equal(true);
      walked.add(name);
      return reply;
    };
    const bodyOf = (route: string): unknown => {
      const [method = '', template = ''] = route.split(' ');
      return document.paths[template]?.[method.toLowerCase()]?.requestBody?.content['application/json'].examples?.[
        'example'
      ]?.value;
    };
    for (const business of ['bakery', 'garage']) {
      await ask('PUT /businesses/{id}', `/businesses/${business}`, bodyOf('PUT /businesses/{id}'));
      await ask('PUT /users/{id}', '/users/ada', bodyOf('PUT /users/{id}'));
      for (const role of ['owner', 'member'])
        await ask('PUT /businesses/{id}/members/{userId}', `/businesses/${business}/members/ada`, { role });
    }
    await ask('PUT /businesses/{id}', '/businesses/bakery', {});
    const made = await ask('POST /keys', '/keys', bodyOf('POST /keys'));
    const { apiKey, key } = made.body.Data as { apiKey: string; key: { id: string } };
    const path = `/keys/${key.id}`;
    await ask('PATCH /keys/{id}', path, bodyOf('PATCH /keys/{id}'), { 'if-match': made.headers.get('etag') ?? '' });
    await ask('PATCH /keys/{id}', path, {}, { 'if-match': '"0"' });
    await ask('GET /keys/{id}', path);
    await ask('GET /keys', '/keys?userId=ada&limit=1');
    for (const name of ['/users', '/businesses']) {
      await ask(`GET ${name}`, name);
      await ask(`GET ${name}/{id}`, `${name}/${name === '/users' ? 'ada' : 'bakery'}`);
    }
    await ask('GET /businesses/{id}/members', '/businesses/bakery/members');
    await ask('POST /authorize', '/authorize', bodyOf('POST /authorize'));
    await ask('POST /authorize', '/authorize', { apiKey, action: 'call:create', businessId: 'bakery' });
    await ask('POST /authorize/batch', '/authorize/batch', bodyOf('POST /authorize/batch'));
    for (const name of ['evaluation', 'evaluations', 'search/subject', 'search/resource', 'search/action'])
      await ask(`POST /access/v1/${name}`, `/access/v1/${name}`, bodyOf(`POST /access/v1/${name}`));
    await ask('GET /.well-known/authzen-configuration', '/.well-known/authzen-configuration');
    await ask('POST /keys/{id}/rotate', `${path}/rotate`, bodyOf('POST /keys/{id}/rotate'));
    await ask('POST /keys/{id}/revoke', `${path}/revoke`, bodyOf('POST /keys/{id}/revoke'));
    await ask('POST /keys/{id}/rotate', `${path}/rotate`);
    await ask('PATCH /keys/{id}', path, { expiresAt: null });
    await ask('POST /users/{id}/revoke-keys', '/users/ada/revoke-keys', bodyOf('POST /users/{id}/revoke-keys'));
    await ask('GET /audit/admin', '/audit/admin');
    const record = makeRecord(Date.now() - 1000, drawer(1));
    await insertRecords(service.db, [record]);
    await ask('GET /audit/decisions', '/audit/decisions');
    await ask('GET /audit/decisions/{id}', `/audit/decisions/${record.id}`);
    await ask('GET /audit/stats', '/audit/stats?by=code');
    await ask('GET /audit/findings', '/audit/findings');
    await ask('GET /policy', '/policy');
    const explained = 'POST /policy/explain';
    await ask(explained, '/policy/explain', { apiKeyId: key.id, action: 'call:create', businessId: 'bakery' });
    await ask(explained, '/policy/explain', bodyOf(explained));
    const frozen = await ask('POST /freezes', '/freezes', bodyOf('POST /freezes'));
    const place = `/freezes/${frozen.body.Data?.['id']}`;
    await ask('GET /freezes', '/freezes');
    await ask('GET /freezes/{id}', place);
    await ask('PATCH /freezes/{id}', place, bodyOf('PATCH /freezes/{id}'));
    await ask('DELETE /freezes/{id}', place);
    await ask('PATCH /freezes/{id}', place, bodyOf('PATCH /freezes/{id}'));
    for (const name of ['/healthz', '/readyz', '/metrics', '/openapi.json']) await ask(`GET ${name}`, name);
    await ask('GET /openapi.json', '/openapi.json', undefined, { 'if-none-match': '*' });
    await ask('DELETE /keys/{id}', path);
    await ask('DELETE /businesses/{id}/members/{userId}', '/businesses/bakery/members/ada');
    await ask('DELETE /businesses/{id}', '/businesses/bakery');
    await ask('DELETE /users/{id}', '/users/ada');

    await client.call('GET', '/users', undefined, { authorization: 'Bearer junk' });
    const scopeless = `Bearer ${await insertCaller(service, [])}`;
    for (const { method, path: template, operation } of routed()) {
      const route = `${method.toUpperCase()} ${template}`;
      // A PUT makes what is not there.
      const address = template.replace('{userId}', 'unknown').replace('{id}', method === 'put' ? 'anew' : 'unknown');
      const body = operation.requestBody && (bodyOf(route) ?? {});
      if (operation.security.length > 0) {
        await ask(route, address, body, { authorization: '' });
        await ask(route, address, body, { authorization: scopeless });
        await ask(route, address, body, { authorization: 'Bearer junk' });
        if (operation.requestBody) await ask(route, address, body, { 'content-type': 'text/plain' });
        if (template.includes('{')) await ask(route, address, body);
      }
      await ask(route, `${address}?stray=1`, body);
    }
    const unwalked = routed().flatMap(({ method, path: template, operation }) =>
      Object.keys(operation.responses)
        .filter((status) => !['413', '503', '5XX'].includes(status))
        .map((status) => `${method.toUpperCase()} ${template} ${status}`)
        // With another setting: test/http/access/certification.test.ts.
        .filter((answer) => !walked.has(answer) && answer !== 'GET /.well-known/authzen-configuration 404'),
    );
    expect(unwalked).to.deep.equal([]);
  });
});
