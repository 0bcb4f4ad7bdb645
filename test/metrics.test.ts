/** GET /metrics counts what happened, says nothing else, and is what the documents say. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { checkpointMetrics } from '../src/audit/checkpoint/loop.ts';
import { recorderMetrics } from '../src/audit/record/recorder.ts';
import { createToken } from '../src/credentials/token.ts';
import { breakerMetrics } from '../src/db/breaker.ts';
import { poolMetrics } from '../src/db/connect.ts';
import { cacheMetrics } from '../src/facts/cache.ts';
import { changeFeedMetrics } from '../src/facts/change-feed.ts';
import { freezeMetrics } from '../src/freezes/in-force.ts';
import { limitMetrics } from '../src/limits/limits.ts';
import { createMetrics } from '../src/metrics.ts';
import { policyMetrics } from '../src/rollout/live.ts';
import { shadowMetrics } from '../src/rollout/shadow.ts';
import { shippedPolicy } from './policy/texts.ts';
import { ROOT } from './support/cli.ts';
import { withService } from './support/client.ts';
import { metricsOf, readMetrics } from './support/metrics.ts';
import { insertKey, type TestService } from './support/service.ts';

describe('the metrics', () => {
  let service: TestService;
  let apiKey: string;

  const started = async (both: { readonly service: TestService }) => {
    ({ service } = both);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { id: 'ann-main', user_id: 'ann' });
  };
  // So that what traces count has samples; no request is traced.
  withService(started, { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });

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
        .filter(([name, value]) => value !== 0 && /^authz_\w+_(?:total|count)\b/.test(name))
        // What depends on how questions meet.
        .filter(([name]) => !/^authz_(?:cache|change_feed|log_batches)_/.test(name)),
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
      authz_log_entries_total: 6,
      'authz_answers_total{route="/authorize",status="200"}': 3,
      'authz_answers_total{route="/authorize/batch",status="200"}': 1,
      'authz_answer_seconds_count{route="/authorize"}': 3,
      'authz_answer_seconds_count{route="/authorize/batch"}': 1,
    });
  });

  it('count decisions on actions that the register lacks, without naming them', async () => {
    const grown = await growth(async () => {
      await service.ask('/authorize', { ...good(), action: 'account:raed' });
      await service.ask('/authorize/batch', { requests: [good(), { ...unknown(), action: 'account:raed' }] });
      await service.ask('/authorize', { ...good(), action: 'account:raed', businessId: ' ' });
    });
    expect(grown['authz_unregistered_actions_total']).to.equal(2);
    expect(JSON.stringify(grown)).to.not.contain('raed');
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
    await service.db.raw('alter table decision_records rename to aside');
    const grown = await growth(() => service.ask('/authorize', good()));
    await service.db.raw('alter table aside rename to decision_records');
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

  it('are text, need no token, and hold no id, key or token', async () => {
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

  it('are made once for all who ask at once, and anew for who asks afterwards', async () => {
    const scrape = async () => (await fetch(`${service.address}/metrics`)).text();
    const texts = await Promise.all(Array.from({ length: 100 }, scrape));
    // The connections of a hundred do not open in one moment.
    expect(new Set(texts).size).to.be.below(10);
    const grown = await growth(() => service.ask('/authorize', good()));
    expect(grown).to.include({ 'authz_decisions_total{code="OK"}': 1 });
  });

  it('read what they measure at each scrape', async () => {
    const policy = { ...(await shippedPolicy()), digest: 'sha256:1' };
    const refused = { at: new Date(), reason: '', findings: [] };
    const pool = { numUsed: () => 1, numFree: () => 2, numPendingAcquires: () => 3 };
    const cache = { hits: 4, misses: 5, stale: 8, size: 6, unknown: 1, bytes: 7 };
    let queued = 1;
    const metrics = createMetrics([
      ...policyMetrics(() => ({ policy, since: new Date(3000), refused, failures: 15 })),
      ...shadowMetrics(() => ({ compared: 16, disagreed: 17, failed: 18, skipped: 19 })),
      ...poolMetrics({ one: { client: { pool } } as Knex }),
      ...breakerMetrics({ facts: { state: () => 'halfOpen' } }),
      ...cacheMetrics({ facts: { stats: () => cache } }),
      ...changeFeedMetrics(() => ({ stalenessMs: 9, lagMs: 10, applied: 1, flushes: 20, polls: 0, failedPolls: 21 })),
      ...recorderMetrics(() => ({
        ...{ queued, capacity: 11, inFlight: 0, recorded: 12, batches: 13, rejected: 0, resent: 0 },
      })),
      ...checkpointMetrics({ state: () => ({ age: 14, failures: 22 }) }),
      ...limitMetrics(() => ({ redisUp: false, countedLocally: 0 })),
      ...freezeMetrics({ held: () => [{ until: 40_000 }, { until: 30_000 }] as never, now: () => 6000 }),
    ]);
    const first = readMetrics(await metrics.text()).samples;
    expect(first.get('authz_log_queue')).to.equal(1);
    queued = 2;
    const { samples } = readMetrics(await metrics.text());
    const own = [...samples].filter(([name]) => name.startsWith('authz_') && !name.startsWith('authz_info'));
    expect(Object.fromEntries(own)).to.deep.equal({
      'authz_policy_info{digest="sha256:1"}': 1,
      authz_policy_rows: policy.rows.length,
      authz_policy_loaded_timestamp_seconds: 3,
      authz_policy_stale: 1,
      authz_policy_load_failures_total: 15,
      'authz_shadow_decisions_total{outcome="compared"}': 16,
      'authz_shadow_decisions_total{outcome="disagreed"}': 17,
      'authz_shadow_decisions_total{outcome="failed"}': 18,
      'authz_shadow_decisions_total{outcome="skipped"}': 19,
      'authz_pool_connections{pool="one",state="used"}': 1,
      'authz_pool_connections{pool="one",state="free"}': 2,
      'authz_pool_waiting{pool="one"}': 3,
      'authz_breaker_state{breaker="facts",state="closed"}': 0,
      'authz_breaker_state{breaker="facts",state="halfOpen"}': 1,
      'authz_breaker_state{breaker="facts",state="open"}': 0,
      'authz_cache_hits_total{cache="facts"}': 4,
      'authz_cache_misses_total{cache="facts"}': 5,
      'authz_cache_entries{cache="facts"}': 7,
      'authz_cache_bytes{cache="facts"}': 7,
      'authz_cache_stale_fills_total{cache="facts"}': 8,
      authz_staleness_milliseconds: 9,
      authz_change_feed_lag_milliseconds: 10,
      authz_change_feed_failures_total: 21,
      authz_cache_flushes_total: 20,
      authz_log_queue: 2,
      authz_log_queue_capacity: 11,
      authz_log_entries_total: 12,
      authz_log_batches_total: 13,
      authz_checkpoint_age_seconds: 14,
      authz_checkpoint_failures_total: 22,
      authz_rate_limit_insurance: 1,
      authz_freezes_in_force: 2,
      authz_freeze_next_end_seconds: 24,
    });
  });

  it('have no sample of checkpoints where none are made', async () => {
    const { types, samples } = readMetrics(await createMetrics(checkpointMetrics(undefined)).text());
    expect([...types.keys()]).to.include.members(['authz_checkpoint_age_seconds', 'authz_checkpoint_failures_total']);
    expect([...samples.keys()].filter((name) => name.includes('checkpoint'))).to.deep.equal([]);
  });

  it('have a name that says whether they only grow', async () => {
    const { types } = await metricsOf(service.address);
    for (const [name, type] of [...types].filter(([each]) => each.startsWith('authz_')))
      expect(type === 'counter', name).to.equal(name.endsWith('_total'));
  });

  it('are those that docs/monitoring.md lists, with their labels, and no others', async () => {
    // So that each label has a value.
    await service.ask('/authorize', good());
    await service.ask('/authorize', {});
    await service.ask('/gateway/nginx', undefined, { 'iqra-caller': `Bearer ${service.token}` });
    const { text, types } = await metricsOf(service.address);
    const page = readFileSync(path.join(ROOT, 'docs', 'monitoring.md'), 'utf8');
    const listed = [...page.matchAll(/^\| (authz_\w+)(?:\{([\w, ]+)\})? \|/gm)];
    expect(listed.map(([, name]) => name)).to.have.members(
      [...types.keys()].filter((name) => name.startsWith('authz_')),
    );
    for (const [, name, labels] of listed) {
      const [, sample] = new RegExp(`^${name}(?:_count)?(?:\\{([^\\n]*)\\})? `, 'm').exec(text) ?? [];
      const had = [...(sample ?? '').matchAll(/(\w+)="/g)].map((match) => match[1]);
      expect(labels?.split(', ') ?? [], name).to.have.members(had);
    }
  });
});
