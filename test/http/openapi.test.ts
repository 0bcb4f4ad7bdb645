/** The OpenAPI document beside the service that sends it: its schemas take what the service takes, and are true of every answer. */

import { expect } from 'chai';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { type Client, withService } from '../support/client.ts';
import { checker, type Document, operationsOf, responseOf, type Schema } from '../support/openapi.ts';
import { insertCaller, type Reply, type TestService } from '../support/service.ts';

describe('the OpenAPI document', () => {
  let service: TestService;
  let client: Client;
  let document: Document;
  let faults: (schema: Schema, value: unknown) => string;
  /** Without those of gateways, which the router has not: test/http/gateway/gateway.test.ts holds them against the answers. */
  const routed = () => operationsOf(document).filter(({ path }) => !path.startsWith('/gateway/'));

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

  it('enumerates as codes of denials those of the live policy', () => {
    const { enum: codes } = document.components.schemas['DenialCode'] ?? {};
    expect(['OK', ...(codes as string[])]).to.deep.equal([...service.service.live.policy().codes.keys()]);
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
    await ask('GET /audit/export', '/audit/export');
    await ask('GET /audit/timeline', '/audit/timeline?userId=ada');
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
