/** The OpenAPI document: valid, with the same routes as the router, and matched by the real answers. */

import Router from '@koa/router';
import { expect } from 'chai';
import { z } from 'zod';
import { mount } from '../../src/http/answer.ts';
import type { State } from '../../src/http/context.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { drawer, insertRecords, makeRecord } from '../audit/records.ts';
import { type Client, withService } from '../support/client.ts';
import type { Reply } from '../support/service.ts';
import { insertCaller, type TestService } from '../support/service.ts';

type Schema = Record<string, unknown>;

interface Content {
  readonly schema: Schema;
  readonly example?: unknown;
  readonly examples?: Record<string, { readonly value: unknown }>;
}

interface Response {
  readonly description: string;
  readonly headers?: Record<string, { schema: Schema }>;
  readonly content?: Readonly<Record<string, Content>>;
}

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security?: Record<string, string[]>[];
  readonly parameters: { name: string; in: string; required: boolean; schema: Schema }[];
  readonly requestBody?: { required: boolean; content: { 'application/json': Content } };
  readonly responses: Record<string, Response>;
}

interface Document {
  readonly openapi: string;
  readonly info: { title: string; version: string };
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: { securitySchemes: Record<string, unknown>; schemas: Record<string, Schema> };
}

describe('the OpenAPI document', () => {
  let service: TestService;
  let client: Client;
  let document: Document;

  withService(
    async (started) => {
      ({ service, client } = started);
      document = (await client.call('GET', '/openapi.json', undefined, { authorization: '' }))
        .body as unknown as Document;
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

  const operations = () =>
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, path, method, operation })),
    );

  /** What is wrong with a value, by a schema of the document. */
  const faults = (schema: Schema, value: unknown): string => {
    const whole = { ...schema, components: document.components, $defs: document.components.schemas };
    const local = JSON.parse(JSON.stringify(whole).replaceAll('#/components/schemas/', '#/$defs/'));
    const parsed = z.fromJSONSchema(local).safeParse(value);
    return parsed.success ? '' : z.prettifyError(parsed.error);
  };

  it('is OpenAPI 3.1', () => {
    expect(document.openapi).to.match(/^3\.1\.\d+$/);
    expect(document.info).to.include.keys('title', 'version');
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).to.equal(ids.length);
    for (const { name, path, operation } of operations()) {
      expect(path, name).to.match(/^(?:\/(?:[a-z0-9.-]+|\{\w+\}))+$/);
      const places = operation.parameters.map((parameter) => `${parameter.in} ${parameter.name}`);
      expect(new Set(places).size, name).to.equal(places.length);
      const inPath = operation.parameters.filter((parameter) => parameter.in === 'path');
      const named = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      expect(
        inPath.map((parameter) => parameter.name),
        name,
      ).to.deep.equal(named);
      for (const parameter of inPath) expect(parameter.required, name).to.equal(true);
      for (const requirement of operation.security ?? [])
        expect(document.components.securitySchemes, name).to.include.keys(Object.keys(requirement));
      for (const [status, response] of Object.entries(operation.responses)) {
        expect(status, name).to.match(/^[2-5]\d\d$/);
        expect(response.description, name).to.not.equal('');
        expect(response.content === undefined, `${name} ${status}`).to.equal(['204', '304'].includes(status));
      }
    }
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g))
      expect(document.components.schemas).to.include.keys(name ?? '');
    expect(text).to.not.match(/"nullable":|"\$schema":|"exclusiveM\w+":(?:true|false)/);
  });

  it('names the routes of the router, all of them and no others', () => {
    const router = new Router<State>();
    mount(
      router,
      allRoutes({ config: {} } as Service, () => false),
      Object.assign(() => Promise.reject(new Error('nobody asks')), { known: () => undefined }),
    );
    const routed = router.stack.flatMap(({ methods, path }) =>
      methods
        .filter((method) => method !== 'HEAD')
        .map((method) => `${method.toLowerCase()} ${String(path).replace(/:(\w+)/g, '{$1}')}`),
    );
    expect(
      operations()
        .map(({ name }) => name)
        .sort(),
    ).to.deep.equal(routed.sort());
  });

  it('names for each address the methods that the service answers there', async () => {
    for (const [path, methods] of Object.entries(document.paths)) {
      const address = path.replace(/\{\w+\}/g, 'x');
      const reply = await client.call('OPTIONS', address);
      expect(reply.status, path).to.equal(405);
      const allowed = (reply.headers.get('allow') ?? '').toLowerCase().split(', ');
      expect(allowed.filter((method) => method !== 'head').sort()).to.deep.equal(Object.keys(methods).sort());
      for (const method of Object.keys(methods)) {
        const { status } = await client.call(method.toUpperCase(), address, undefined, { authorization: '' });
        expect(status, `${method} ${path}`).to.equal(methods[method]?.security ? 401 : 200);
      }
    }
  });

  it('asks for a token and lists 401 and 403 exactly where one is needed', () => {
    for (const { name, operation } of operations()) {
      const codes = Object.keys(operation.responses);
      expect(codes.includes('401') && codes.includes('403'), name).to.equal(operation.security !== undefined);
      expect(codes, name).to.include.members(['400', '500', '503', '504']);
      if (operation.requestBody)
        expect(codes, name).to.include.members(name.includes('/access/') ? ['413'] : ['413', '415']);
    }
  });

  it('has an example of every body that is sent or answered, and each is as its schema says', () => {
    let checked = 0;
    const check = (name: string, { schema, example, examples }: Content): void => {
      const values = example === undefined ? Object.values(examples ?? {}).map(({ value }) => value) : [example];
      expect(values.length, `${name} has examples`).to.be.above(0);
      for (const value of values) expect(faults(schema, value), name).to.equal('');
      checked += values.length;
    };
    for (const { name, path, operation } of operations()) {
      if (operation.requestBody) check(name, operation.requestBody.content['application/json']);
      for (const [status, { content }] of Object.entries(operation.responses))
        if (content && !(path === '/openapi.json' && status === '200'))
          for (const shape of Object.values(content)) check(`${name} ${status}`, shape);
    }
    expect(checked).to.be.above(100);
  });

  it('refuses, by its schemas, what the service refuses', () => {
    const schema = document.paths['/keys']?.['post']?.requestBody?.content['application/json'].schema ?? {};
    const good = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false };
    expect(faults(schema, good)).to.equal('');
    const bad = [
      {},
      { ...good, stray: 1 },
      { ...good, friendlyName: '' },
      { ...good, restrictedBusinessIds: [] },
      { ...good, restrictedBusinessIds: ['a b'] },
      { ...good, environment: 'A' },
      { ...good, rateLimit: { requests: 0, windowSeconds: 1 } },
    ];
    for (const body of bad) expect(faults(schema, body), JSON.stringify(body)).to.not.equal('');
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
      const described = operation?.responses[reply.status];
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
      return document.paths[template]?.[method.toLowerCase()]?.requestBody?.content['application/json'].example;
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
    for (const { method, path: template, operation } of operations()) {
      const route = `${method.toUpperCase()} ${template}`;
      // A PUT makes what is not there.
      const address = template.replace('{userId}', 'unknown').replace('{id}', method === 'put' ? 'anew' : 'unknown');
      const body = operation.requestBody && (bodyOf(route) ?? {});
      if (operation.security) {
        await ask(route, address, body, { authorization: '' });
        await ask(route, address, body, { authorization: scopeless });
        await ask(route, address, body, { authorization: 'Bearer junk' });
        if (operation.requestBody) await ask(route, address, body, { 'content-type': 'text/plain' });
        if (template.includes('{')) await ask(route, address, body);
      }
      await ask(route, `${address}?stray=1`, body);
    }
    const unwalked = operations().flatMap(({ method, path: template, operation }) =>
      Object.keys(operation.responses)
        .filter((status) => !['413', '500', '503', '504'].includes(status))
        .map((status) => `${method.toUpperCase()} ${template} ${status}`)
        // With another setting: test/http/access/certification.test.ts.
        .filter((answer) => !walked.has(answer) && answer !== 'GET /.well-known/authzen-configuration 404'),
    );
    expect(unwalked).to.deep.equal([]);
  });
});
