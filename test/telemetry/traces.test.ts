/** Traces as a collector gets them: a real service, real PostgreSQL, real OTLP over HTTP, by both ways of a request. */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PassThrough } from 'node:stream';
import { expect } from 'chai';
import { deadlineIn } from '../../src/deadline.ts';
import { createApp } from '../../src/http/app.ts';
import { openTracing } from '../../src/telemetry/tracing.ts';
import { eventually } from '../support/embedded.ts';
import { metricsOf } from '../support/metrics.ts';
import { newDatabase } from '../support/postgres.ts';
import { type Proxy as DatabaseProxy, startProxy } from '../support/proxy.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';
import { type Collector, type Span, startCollector } from './collector.ts';

const SERVER = 2;
const CLIENT = 3;
const ERROR = 2;

/** A caller's span, whose trace is recorded or not. */
function callersSpan(sampled = true) {
  const [traceId, spanId] = [randomBytes(16).toString('hex'), randomBytes(8).toString('hex')];
  return { traceId, spanId, traceparent: `00-${traceId}-${spanId}-${sampled ? '01' : '00'}` };
}

describe('traces', () => {
  let collector: Collector;
  let database: DatabaseProxy;
  let service: TestService;
  let throughKoa: Server;
  let apiKey: string;
  const log = new PassThrough();
  const lines: Record<string, unknown>[] = [];
  const ways = new Map<string, string>();

  before(async () => {
    collector = await startCollector();
    database = await startProxy(await newDatabase());
    log.on('data', (text) => {
      for (const line of String(text).trim().split('\n')) lines.push(JSON.parse(line));
    });
    service = await startService(
      {
        DATABASE_URL: database.url,
        LOG_LEVEL: 'debug',
        OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.url}/`,
        OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
        OTEL_EXPORTER_OTLP_HEADERS: 'x-collector-key=s%33cret-of-the-collector',
        OTEL_SERVICE_NAME: 'authz-eu',
        OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=other',
        DECISION_DEADLINE_MS: '2000',
      },
      log,
    );
    const { db, service: parts } = service;
    await db('users').insert({ id: 'ada-the-user' });
    await db('businesses').insert({ id: 'bakery-the-business' });
    await db('business_members').insert({ business_id: 'bakery-the-business', user_id: 'ada-the-user', role: 'owner' });
    apiKey = await insertKey(service, { user_id: 'ada-the-user', id: 'key-of-ada' });
    throughKoa = createServer(
      createApp({ ...parts, config: { ...parts.config, FAST_PATH: 'off' } }, () => 'serving').main,
    );
    throughKoa.listen(0, '127.0.0.1');
    await once(throughKoa, 'listening');
    ways.set('past Koa', service.address);
    ways.set('through Koa', `http://127.0.0.1:${(throughKoa.address() as AddressInfo).port}`);
  });

  after(async () => {
    throughKoa.closeAllConnections();
    throughKoa.close();
    await service.close();
    await database.close();
    await collector.close();
  });

  const question = (over: object = {}) => ({
    authorization: `Token ${apiKey}`,
    action: 'call:create',
    businessId: 'bakery-the-business',
    context: { ip: '203.0.113.77', userAgent: 'agent-of-the-client', requestId: 'request-of-the-client' },
    ...over,
  });

  const send = (address: string, path: string, body: unknown, headers: Record<string, string>) =>
    fetch(address + path, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });

  /** The spans of a trace, once its server span is there. */
  const spansOf = (traceId: string): Promise<Span[]> =>
    eventually(() => {
      const spans = collector.spans().filter((span) => span.traceId === traceId);
      return spans.some(({ kind }) => kind === SERVER) ? spans : undefined;
    });
  const named = (spans: readonly Span[], name: string): Span => {
    const [span, ...others] = spans.filter((one) => one.name === name);
    if (!span || others.length > 0)
      throw new Error(`${others.length + 1} spans ${name} of ${spans.map((s) => s.name)}`);
    return span;
  };
  /** The tree by names, with what is counted of it. */
  const treeOf = (spans: readonly Span[], parent: string): unknown[] =>
    spans
      .filter(({ parentSpanId }) => parentSpanId === parent)
      .map(({ name, spanId }) => [name, ...treeOf(spans, spanId)]);

  for (const way of ['past Koa', 'through Koa']) {
    it(`${way} have a span for each part of a decision, within the caller's, linked to the batch of its record`, async () => {
      const address = ways.get(way) ?? '';
      await send(address, '/authorize', question(), {});
      const { traceId, spanId, traceparent } = callersSpan();
      const response = await send(address, '/authorize', question(), { traceparent });
      const { Data } = (await response.json()) as { Data: { decisionId: string; rule: string; policy: string } };
      const spans = await spansOf(traceId);
      expect(treeOf(spans, spanId)).to.deep.equal(
        [['POST /authorize', ['facts.load'], ['limits.consume'], ['decide'], ['record.commit']]].map(
          ([name, ...parts]) => [name, ...parts],
        ),
      );

      const server = named(spans, 'POST /authorize');
      expect(response.headers.get('traceresponse')).to.equal(`00-${traceId}-${server.spanId}-01`);
      expect(server).to.include({ kind: SERVER, status: 0 });
      expect(server.attributes).to.deep.equal({
        'http.request.method': 'POST',
        'http.route': '/authorize',
        'http.response.status_code': 200,
        'url.scheme': 'http',
        'network.protocol.version': '1.1',
      });
      expect(named(spans, 'facts.load').attributes).to.deep.equal({ 'iqra.cache.hit': true });
      expect(named(spans, 'limits.consume').attributes).to.deep.equal({ 'iqra.limit.exceeded': false });
      expect(named(spans, 'decide').attributes).to.deep.equal({
        'iqra.decision.id': Data.decisionId,
        'iqra.decision.code': 'OK',
        'iqra.decision.effect': 'allow',
        'iqra.decision.rule': Data.rule,
        'iqra.policy.digest': service.service.live.policy().digest,
        'iqra.decision.count': 1,
      });
      for (const { ms } of spans) expect(ms).to.be.within(0, server.ms + 1);

      const record = named(spans, 'record.commit');
      const [link] = record.links;
      const batch = await eventually(() => collector.spans().find((span) => span.spanId === link?.spanId));
      expect(batch).to.include({ name: 'record.batch', traceId: link?.traceId, parentSpanId: undefined });
      expect(batch.traceId).to.not.equal(traceId);
      expect(batch.links).to.deep.include({ traceId, spanId: record.spanId });
      const inBatch = collector.spans().filter((span) => span.traceId === batch.traceId);
      expect(treeOf(inBatch, batch.spanId)).to.deep.equal([['COPY decision_records']]);
      const sql = named(inBatch, 'COPY decision_records');
      expect(sql.kind).to.equal(CLIENT);
      expect(sql.attributes).to.deep.equal({
        'db.system.name': 'postgresql',
        'db.operation.name': 'COPY',
        'db.collection.name': 'decision_records',
        'db.query.summary': 'COPY decision_records',
      });
    });
  }

  it('show the statement that reads facts which no cache has', async () => {
    const key = await insertKey(service, { user_id: 'ada-the-user' });
    const { traceId, spanId, traceparent } = callersSpan();
    await send(service.address, '/authorize', question({ authorization: `Token ${key}` }), { traceparent });
    const spans = await spansOf(traceId);
    expect(treeOf(spans, spanId)[0]).to.deep.include(['facts.load', ['SELECT api_keys']]);
    expect(named(spans, 'facts.load').attributes).to.deep.equal({ 'iqra.cache.hit': false });
    expect(named(spans, 'SELECT api_keys').attributes).to.include({ 'db.query.summary': 'SELECT api_keys' });
  });

  it('show a statement that reads for several requests in one of them, and link the others to it', async () => {
    const keys = await Promise.all(Array.from({ length: 12 }, () => insertKey(service, { user_id: 'ada-the-user' })));
    const callers = keys.map(callersSpan.bind(undefined, true));
    await Promise.all(
      callers.map(({ traceparent }, at) =>
        send(service.address, '/authorize', question({ authorization: `Token ${keys[at]}` }), { traceparent }),
      ),
    );
    const loads: Span[] = [];
    for (const { traceId } of callers) loads.push(named(await spansOf(traceId), 'facts.load'));
    const statements = collector.spans().filter(({ name }) => name === 'SELECT api_keys');
    const reading = loads.map(({ spanId, links }) =>
      statements.filter((one) => one.parentSpanId === spanId || links.some((link) => link.spanId === one.spanId)),
    );
    expect(reading.every((those) => those.length === 1)).to.equal(true);
    expect(new Set(reading.flat()).size).to.be.below(12);
  });

  it('begin here where no caller has one and the sampler says so, and what waits is sent at the end', async () => {
    const other = await startCollector();
    const config = { ...service.service.config, OTEL_TRACES_SAMPLER: 'parentbased_always_on' as const };
    const tracing = openTracing(config, `${other.url}/v1/traces`, service.service.log);
    const request = { headers: {}, method: 'BREW', httpVersion: '1.1' } as IncomingMessage;
    const begun = { route: '/authorize', since: performance.now(), deadline: deadlineIn(1000) };
    const trace = tracing.begin(request, begun);
    trace?.span?.end(500, undefined);
    await tracing.close();
    await other.close();
    const [span, ...more] = other.spans();
    expect(more).to.deep.equal([]);
    expect(span).to.include({ traceId: trace?.id, spanId: trace?.span?.id, parentSpanId: undefined });
    expect(span).to.include({ name: 'HTTP /authorize', status: ERROR });
    expect(span?.attributes).to.include({ 'http.request.method': '_OTHER', 'error.type': '500' });
  });

  it('have an event for each decision of several questions, of a batch and of AuthZEN', async () => {
    const { traceId, traceparent } = callersSpan();
    const requests = [question(), question({ action: 'user:read' }), question({ authorization: 'Token iqra_typo' })];
    await send(service.address, '/authorize/batch', { requests }, { traceparent });
    const decide = named(await spansOf(traceId), 'decide');
    expect(decide.attributes).to.deep.equal({ 'iqra.decision.count': 3 });
    expect(decide.events.map((event) => event['iqra.decision.code'])).to.deep.equal([
      'OK',
      'PERMISSION_DENIED',
      'INVALID_API_KEY',
    ]);

    const other = callersSpan();
    const subject = { type: 'api_key', id: 'key-of-ada' };
    const evaluations = ['call:read', 'call:create'].map((name) => ({ action: { name } }));
    const body = { subject, resource: { type: 'business', id: 'bakery-the-business' }, evaluations };
    await send(service.address, '/access/v1/evaluations', body, { traceparent: other.traceparent });
    const spans = await spansOf(other.traceId);
    expect(named(spans, 'decide').events.map((event) => event['iqra.decision.effect'])).to.deep.equal([
      'allow',
      'allow',
    ]);
    expect(spans.map(({ name }) => name))
      .to.include('SELECT api_keys')
      .and.include('POST /access/v1/evaluations');
  });

  it('of gateways and of other routes name the route, whatever the path', async () => {
    const { traceId, traceparent } = callersSpan();
    const headers = { authorization: `Token ${apiKey}`, 'iqra-caller': `Bearer ${service.token}`, traceparent };
    const original = { 'x-original-method': 'GET', 'x-original-uri': '/businesses/bakery-the-business/calls?secret=1' };
    await fetch(`${service.address}/gateway/nginx`, { headers: { ...headers, ...original } });
    named(await spansOf(traceId), 'GET /gateway/nginx');

    const other = callersSpan();
    const response = await fetch(`${service.address}/users/ada-the-user`, {
      headers: { authorization: `Bearer ${service.token}`, traceparent: other.traceparent },
    });
    expect(response.status).to.equal(200);
    expect(named(await spansOf(other.traceId), 'GET /users/{id}').attributes['http.route']).to.equal('/users/{id}');
  });

  it('mark what fails with its code, and take the fault of a client for none of the server', async () => {
    const bad = callersSpan();
    await send(service.address, '/authorize', { ...question(), action: 'no action' }, { traceparent: bad.traceparent });
    const refused = named(await spansOf(bad.traceId), 'POST /authorize');
    expect(refused.attributes).to.include({ 'http.response.status_code': 400, 'iqra.failure.code': 'INVALID_REQUEST' });
    expect(refused.attributes).to.not.have.property('error.type');
    expect(refused.status).to.equal(0);

    const { traceId, traceparent } = callersSpan();
    await database.refuse();
    try {
      const response = await send(service.address, '/authorize', question(), { traceparent });
      expect(response.status).to.be.oneOf([503, 504]);
      const spans = await spansOf(traceId);
      const server = named(spans, 'POST /authorize');
      expect(server.status).to.equal(ERROR);
      expect(server.attributes['error.type']).to.be.oneOf(['UNAVAILABLE', 'DEADLINE_EXCEEDED']);
      expect(spans.filter(({ status }) => status === ERROR)).to.have.length.above(1);
      const line = await eventually(() => lines.find((one) => one['trace_id'] === traceId && one['level'] === 'warn'));
      expect(line).to.include({ span_id: server.spanId, msg: 'a request failed' });
    } finally {
      await database.heal();
    }
    await eventually(async () => ((await send(service.address, '/authorize', question(), {})).ok ? true : undefined));
  });

  it('are made for callers that trace, and known ones; their id is recorded and logged, sampled or not', async () => {
    const before = collector.spans().length;
    const [yes, no, unknown] = [callersSpan(), callersSpan(false), callersSpan()];
    const ids = new Map<string, string>();
    for (const { traceId, traceparent } of [no, yes]) {
      const response = await send(service.address, '/authorize', question(), { traceparent });
      const { Data } = (await response.json()) as { Data: { decisionId: string } };
      ids.set(traceId, Data.decisionId);
      expect(response.headers.has('traceresponse')).to.equal(traceId === yes.traceId);
    }
    const headers = { traceparent: unknown.traceparent, authorization: 'Bearer iqra_svc_none' };
    expect((await send(service.address, '/authorize', question(), headers)).status).to.equal(401);
    expect((await fetch(`${service.address}/healthz`, { headers })).status).to.equal(200);
    await send(service.address, '/authorize', question(), {});
    await send(service.address, '/authorize', question(), { traceparent: '00-junk' });
    await spansOf(yes.traceId);
    const made = collector
      .spans()
      .slice(before)
      .filter(({ kind }) => kind === SERVER);
    expect(made.map(({ traceId }) => traceId)).to.deep.equal([yes.traceId]);

    for (const { traceId } of [yes, no]) {
      const reply = await fetch(`${service.address}/audit/decisions?traceId=${traceId}`, {
        headers: { authorization: `Bearer ${service.token}` },
      });
      const { Data } = (await reply.json()) as { Data: { items: { id: string; traceId: string }[] } };
      expect(Data.items.map(({ id, traceId }) => [id, traceId])).to.deep.equal([[ids.get(traceId), traceId]]);
      expect(lines.some((line) => line['trace_id'] === traceId && line['msg'] === 'request')).to.equal(true);
    }
  });

  it('hold no key, token, id, path, query, address or text of a client, and say what process they are of', async () => {
    const { traceId, traceparent } = callersSpan();
    const typo = `iqra_${'x'.repeat(36)}`;
    const body = { requests: [question(), question({ authorization: `Token ${typo}` })] };
    await send(service.address, '/authorize/batch', body, { traceparent, 'x-request-id': 'request-of-the-caller' });
    await spansOf(traceId);
    const all = collector.messages.map(({ body }) => body.toString()).join('\n');
    const held = [
      apiKey,
      typo,
      service.token,
      'iqra_',
      'ada-the-user',
      'key-of-ada',
      'bakery-the-business',
      'bootstrap',
    ];
    const told = [
      '203.0.113.77',
      '127.0.0.1',
      'localhost',
      'agent-of',
      'request-of',
      'secret',
      'businesses/',
      'postgres:',
    ];
    for (const text of [...held, ...told, service.pepper.secret.toString('base64')]) expect(all).to.not.include(text);
    expect(collector.messages.every(({ path }) => path === '/v1/traces')).to.equal(true);
    expect(collector.messages[0]?.headers['x-collector-key']).to.equal('s3cret-of-the-collector');
    expect(JSON.stringify(lines)).to.not.include('s3cret').and.not.include('s%33cret');
    for (const resource of collector.resources())
      expect(resource).to.include({
        'service.name': 'authz-eu',
        'service.version': '0.1.0',
        'deployment.environment.name': 'test',
        'telemetry.sdk.name': 'opentelemetry',
      });
    expect(lines[0]).to.include({ service: 'iqra-authz' });
    const metrics = await metricsOf(service.address);
    expect(metrics.text).to.match(/authz_spans_total\{outcome="exported"\} [1-9]/);
  });
});
