/** GET /metrics counts what happened, says nothing else, and is what the documents say. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { createToken } from '../src/keys/token.ts';
import { createMetrics, type Sources } from '../src/metrics.ts';
import { ROOT } from './support/cli.ts';
import { metricsOf, type ReadMetrics, readMetrics } from './support/metrics.ts';
import { insertKey, startService, type TestService } from './support/service.ts';

describe('the metrics', () => {
  let service: TestService;
  let apiKey: string;

  before(async () => {
    service = await startService();
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { id: 'ann-main', user_id: 'ann' });
  });
  after(() => service?.close());

  const good = () => ({ apiKey, action: 'account:read' });
  const unknown = () => ({ apiKey: createToken('apiKey'), action: 'account:read' });
  /** How much each series grows by some work; those that do not are left out. */
  const growth = async (work: () => Promise<unknown>): Promise<Record<string, number>> => {
    const before = await metricsOf(service.address);
    await work();
    const after = await metricsOf(service.address);
    return Object.fromEntries(
      [...after.samples]
        .map(([name, value]) => [name, value - (before.samples.get(name) ?? 0)] as const)
        .filter(([name, value]) => value !== 0 && /^authz_\w+_(?:total|count)\b/.test(name)),
    );
  };
  /** That one request for them counts itself. */
  const itself = { 'authz_answers_total{route="/metrics",status="200"}': 1 };

  it('count decisions, single and in batches, by code', async () => {
    const grown = await growth(async () => {
      for (const body of [good(), good(), unknown()]) await service.ask('/authorize', body);
      await service.ask('/authorize/batch', { requests: [good(), unknown(), unknown()] });
    });
    expect(grown).to.deep.equal({
      ...itself,
      'authz_decisions_total{code="OK"}': 3,
      'authz_decisions_total{code="INVALID_API_KEY"}': 3,
      'authz_answers_total{route="/authorize",status="200"}': 3,
      'authz_answers_total{route="/authorize/batch",status="200"}': 1,
      'authz_answer_seconds_count{route="/authorize"}': 3,
      'authz_answer_seconds_count{route="/authorize/batch"}': 1,
    });
  });

  it('count failures by code, and no address but those of routes', async () => {
    const grown = await growth(async () => {
      await service.ask('/authorize', { ...good(), businessId: ' ' });
      await service.ask('/authorize?x', good());
      await service.ask('/nowhere/ann-main');
      await service.ask('/users/ann-main');
      await service.ask('/users', undefined, { authorization: 'Bearer x' });
      await service.ask('/metrics', {});
    });
    expect(grown).to.deep.equal({
      ...itself,
      'authz_failures_total{code="INVALID_REQUEST"}': 2,
      'authz_failures_total{code="NOT_FOUND"}': 2,
      'authz_failures_total{code="UNAUTHENTICATED"}': 1,
      'authz_failures_total{code="METHOD_NOT_ALLOWED"}': 1,
      'authz_answers_total{route="/authorize",status="400"}': 2,
      'authz_answers_total{route="none",status="404"}': 1,
      'authz_answers_total{route="/users/{id}",status="404"}': 1,
      'authz_answers_total{route="/users",status="401"}': 1,
      'authz_answers_total{route="none",status="405"}': 1,
      'authz_answer_seconds_count{route="/authorize"}': 2,
    });
  });

  it('count a decision that could not be recorded as a failure, not as a decision', async () => {
    await service.db.raw('alter table decisions rename to aside');
    const grown = await growth(() => service.ask('/authorize', good()));
    await service.db.raw('alter table aside rename to decisions');
    expect(grown).to.include({ 'authz_failures_total{code="UNAVAILABLE"}': 1 });
    expect(Object.keys(grown).join()).to.not.include('authz_decisions_total');
  });

  it('tell the live policy, the pools, the breaker and the event loop', async () => {
    const policy = (await service.ask('/readyz')).body.Data?.['policy'];
    const { samples } = await metricsOf(service.address);
    expect(samples.get(`authz_policy_info{digest="${policy}"}`)).to.equal(1);
    expect(samples.get('authz_policy_rows')).to.be.above(5);
    expect(samples.get('authz_breaker_state{breaker="facts",state="closed"}')).to.equal(1);
    expect(samples.get('authz_breaker_state{breaker="facts",state="open"}')).to.equal(0);
    expect(samples.get('authz_pool_waiting{pool="decisions"}')).to.equal(0);
    expect(samples.get('authz_pool_connections{pool="decisions",state="free"}')).to.be.above(0);
    expect([...samples.keys()]).to.include('nodejs_eventloop_lag_p99_seconds');
  });

  it('are text, for whoever asks, and hold no id, key or token', async () => {
    const response = await fetch(`${service.address}/metrics`);
    expect(response.headers.get('content-type')).to.equal('text/plain; version=0.0.4; charset=utf-8');
    const head = await fetch(`${service.address}/metrics`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-type'), await head.text()]).to.deep.equal([
      200,
      'text/plain; version=0.0.4; charset=utf-8',
      '',
    ]);
    expect(await response.text()).to.not.match(/\bann\b|ann-main|iqra_|bootstrap|\btest\b/);
    expect((await service.ask('/metrics?x=1', undefined).catch(() => undefined))?.status).to.equal(400);
  });

  it('read every source when they are asked, and have no sample of one that is missing', async () => {
    const policy = () => ({ digest: 'sha256:1', rows: 2, loadedAt: 3000, refused: true });
    const some: Sources = { policy, pools: () => ({}), breakers: () => ({}) };
    const without = readMetrics(await createMetrics(some).text());
    let queued = 1;
    const all: Required<Sources> = {
      policy,
      pools: () => ({ one: { used: 1, free: 2, waiting: 3 } }),
      breakers: () => ({ facts: 'halfOpen' }),
      cache: () => ({ hits: 4, misses: 5, entries: 6, bytes: 7, staleFills: 8 }),
      feed: () => ({ stalenessMs: 9, lag: 10, listening: true }),
      log: () => ({ queued, capacity: 11, entries: 12, batches: 13 }),
      checkpoints: () => ({ ageSeconds: 14 }),
      limits: () => ({ insurance: true }),
    };
    const metrics = createMetrics(all);
    await metrics.text();
    queued = 2;
    const own = ({ samples }: ReadMetrics) =>
      Object.fromEntries([...samples].filter(([name]) => name.startsWith('authz_') && !name.startsWith('authz_info')));
    const alone = {
      'authz_policy_info{digest="sha256:1"}': 1,
      authz_policy_rows: 2,
      authz_policy_loaded_timestamp_seconds: 3,
      authz_policy_refused: 1,
    };
    expect(own(without)).to.deep.equal(alone);
    expect(own(readMetrics(await metrics.text()))).to.deep.equal({
      ...alone,
      'authz_pool_connections{pool="one",state="used"}': 1,
      'authz_pool_connections{pool="one",state="free"}': 2,
      'authz_pool_waiting{pool="one"}': 3,
      'authz_breaker_state{breaker="facts",state="closed"}': 0,
      'authz_breaker_state{breaker="facts",state="halfOpen"}': 1,
      'authz_breaker_state{breaker="facts",state="open"}': 0,
      authz_cache_hits_total: 4,
      authz_cache_misses_total: 5,
      authz_cache_entries: 6,
      authz_cache_bytes: 7,
      authz_cache_stale_fills_total: 8,
      authz_staleness_milliseconds: 9,
      authz_change_feed_lag: 10,
      authz_change_feed_listening: 1,
      authz_log_queue: 2,
      authz_log_queue_capacity: 11,
      authz_log_entries_total: 12,
      authz_log_batches_total: 13,
      authz_checkpoint_age_seconds: 14,
      authz_rate_limit_insurance: 1,
    });
  });

  it('are those that docs/operations.md lists, with their labels, and no others', async () => {
    const { text, types } = await metricsOf(service.address);
    const page = readFileSync(path.join(ROOT, 'docs', 'operations.md'), 'utf8');
    const listed = [...page.matchAll(/^\| (authz_\w+)(?:\{([\w, ]+)\})? \|/gm)];
    expect(listed.map(([, name]) => name)).to.have.members(
      [...types.keys()].filter((name) => name.startsWith('authz_')),
    );
    for (const [, name, labels = ''] of listed) {
      const [, sample] = new RegExp(`^${name}(?:_count)?\\{([^\\n]*)\\} `, 'm').exec(text) ?? [];
      const had = [...(sample ?? '').matchAll(/(\w+)="/g)].map((match) => match[1]);
      if (sample !== undefined) expect(labels.split(', '), name).to.have.members(had);
    }
  });
});
