/** The OpenAPI document by itself: sound, complete, and without what generated code would have twice. No service is needed to make it. */

import Router from '@koa/router';
import { expect } from 'chai';
import { FAILURES, type FailureCode } from '../../src/errors.ts';
import { mount } from '../../src/http/answer.ts';
import type { State } from '../../src/http/context.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { type Content, checker, type Document, operationsOf, responseOf, type Schema } from '../support/openapi.ts';

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

/** Those of policies/codes.yaml, which examples have. */
const SHIPPED = [
  'OK',
  'INVALID_API_KEY',
  'USER_DISABLED',
  'RATE_LIMITED',
  'PERMISSION_DENIED',
  'FROZEN',
  'BUSINESS_DISABLED',
];
interface Policies {
  live: { readonly codes: ReadonlyMap<string, object> };
}
const policyOf = (...codes: readonly string[]): Policies['live'] => ({
  codes: new Map(codes.map((code) => [code, {}])),
});

/** What answers GET /openapi.json while a policy is live: its ETag, and the document. */
function documentOf(policies: Policies): () => Promise<{ readonly etag: string; readonly document: Document }> {
  const routes = allRoutes({ config: {}, live: { policy: () => policies.live } } as unknown as Service, () => false);
  const route = routes.find(({ path }) => path === '/openapi.json');
  const asked = { headers: {} } as unknown as Parameters<NonNullable<typeof route>['handle']>[0];
  return () =>
    new Promise((resolve, reject) => {
      route?.handle(asked, (answered) =>
        'text' in answered
          ? resolve({ etag: answered.headers?.['ETag'] ?? '', document: JSON.parse(String(answered.text)) })
          : reject(answered),
      );
    });
}

describe('the OpenAPI document, by itself', () => {
  let document: Document;
  let faults: (schema: Schema, value: unknown) => string;
  const operations = () => operationsOf(document);
  /** Without those of gateways, which the router has not: test/http/gateway/gateway.test.ts holds them against the answers. */
  const routed = () => operations().filter(({ path }) => !path.startsWith('/gateway/'));

  before(async () => {
    ({ document } = await documentOf({ live: policyOf(...SHIPPED, 'TRIAL_OVER') })());
    faults = checker(document);
  });

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
      {
        authenticate: Object.assign(() => Promise.reject(new Error('nobody asks')), { known: () => undefined }),
        tracing: undefined,
      },
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

  it('asks for a token and lists 401 and 403 exactly where one is needed', () => {
    for (const { route, operation } of routed()) {
      const codes = Object.keys(operation.responses);
      expect(codes.includes('401') && codes.includes('403'), route).to.equal(operation.security.length > 0);
      expect(codes, route).to.include.members(['400', '5XX']);
      if (operation.requestBody)
        expect(codes, route).to.include.members(route.includes('/access/') ? ['413'] : ['413', '415']);
    }
  });

  it('enumerates the codes of every answer: of denials, those of the live policy', () => {
    const codesOf = (route: string, status: number): string => {
      const found = routed().find((one) => one.route === route);
      const { schema = {} } = found
        ? (responseOf(document, found.operation, status)?.content?.['application/json'] ?? {})
        : {};
      return ['OK', ...Object.keys(FAILURES), 'FROZEN', 'TRIAL_OVER', 'MADE_UP']
        .filter((Code) =>
          [true, false].some((Success) =>
            [{}, { Data: DATA }].some((more) => faults(schema, { Success, Code, Message: 'x', ...more }) === ''),
          ),
        )
        .join();
    };
    expect(codesOf('POST /authorize', 200)).to.equal('OK,FROZEN,TRIAL_OVER');
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
  });

  it('has another ETag with other codes, and the same again with the same policy', async () => {
    const [one, other] = [policyOf('OK', 'A'), policyOf('OK', 'B')];
    const policies: Policies = { live: one };
    const get = documentOf(policies);
    const first = await get();
    policies.live = other;
    const second = await get();
    policies.live = one;
    expect([(await get()).etag, (await get()).etag]).to.deep.equal([first.etag, first.etag]);
    expect(second.etag).to.match(/^"/).and.not.equal(first.etag);
    expect(second.document.components.schemas['DenialCode']).to.deep.include({ enum: ['B'] });
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
});
