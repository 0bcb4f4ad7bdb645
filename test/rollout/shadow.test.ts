/** A shadow policy: its disagreements are counted and recorded, and nothing that it does changes an answer. */

import { appendFile, cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import { createLog } from '../../src/log.ts';
import { situations } from '../../src/policy/analysis/situations.ts';
import { decide, type Policy } from '../../src/policy/decide.ts';
import { closed, type Facts } from '../../src/policy/facts.ts';
import { factsUnder } from '../../src/policy/facts-under.ts';
import { BUILT_IN, type Schema } from '../../src/policy/schema.ts';
import { createShadow } from '../../src/rollout/shadow.ts';
import { eventually } from '../http/process.ts';
import { POLICY_FOLDER, shippedPolicy } from '../policy/texts.ts';
import { authz } from '../support/cli.ts';
import { declaredPolicy } from '../support/declared.ts';
import { ACTIVE } from '../support/facts.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const log = createLog('silent');

describe('a shadow policy', () => {
  let policy: Policy;
  let facts: Facts[];

  before(async () => {
    policy = await shippedPolicy();
    facts = [...situations(policy.rows, BUILT_IN)].slice(0, 500);
  });

  /** Compares every situation with the shadow policy, on a clock that advances by `stepMs` each. */
  function compareAll(candidate: Policy | undefined, stepMs = 1) {
    let time = 0;
    const shadow = createShadow(
      () => candidate,
      log,
      () => time,
    );
    const outcomes = facts.map((situation) => {
      time += stepMs;
      return shadow.compare(() => situation, decide(policy, situation));
    });
    return { outcomes, counts: shadow.counts(), spend: (ms: number) => (time += ms) };
  }

  it('agrees when it equals the live policy', () => {
    const { outcomes, counts } = compareAll(policy);
    expect(outcomes.every((outcome) => outcome === undefined)).to.equal(true);
    expect(counts).to.deep.equal({ compared: 500, disagreed: 0, failed: 0, skipped: 0 });
  });

  it('does nothing where there is none', () => {
    expect(compareAll(undefined).counts).to.deep.equal({ compared: 0, disagreed: 0, failed: 0, skipped: 0 });
  });

  it('is reported with its digest, code and rule when its code differs', () => {
    const row = policy.rows[0];
    const candidate = { ...policy, digest: 'sha256:other', match: () => ({ row, allowed: false }) };
    const { outcomes, counts } = compareAll(candidate);
    expect(counts.disagreed).to.be.above(0);
    expect(counts.compared).to.equal(500);
    for (const [index, outcome] of outcomes.entries()) {
      const { code } = decide(policy, facts[index] as Facts);
      if (code === row?.code) expect(outcome).to.equal(undefined);
      else expect(outcome).to.deep.equal({ policy: 'sha256:other', code: row?.code, rule: row?.id });
    }
  });

  it('decides on the facts as its own policy declares them', async () => {
    const declared = await declaredPolicy();
    const viewer = closed({ ...ACTIVE.target, role: 'viewer' as 'owner' });
    const stored = {
      ...ACTIVE,
      target: viewer,
      stored: { key: { can: ['sms'] }, user: { plan: 'pro' }, target: { region: 'eu' } },
    };
    const moment = Date.parse('2026-07-01T09:00:00Z');
    const asked = { action: 'call:read', ip: undefined, attributes: { state: 'on' }, moment };
    const under = (schema: Schema): Facts => factsUnder(schema, stored, asked);
    const decisionBy = (by: Policy) => decide(by, under(by.schema));
    for (const [live, candidate, code, rule] of [
      [policy, declared, 'OK', 'read-by-viewer'],
      [declared, policy, 'PERMISSION_DENIED', 'target-without-access'],
    ] as const) {
      const shadow = createShadow(() => candidate, log);
      expect(shadow.compare(under, decisionBy(live))).to.deep.equal({ policy: candidate.digest, code, rule });
      expect(shadow.counts()).to.include({ compared: 1, failed: 0 });
    }
  });

  it('is only counted when it throws on every decision', () => {
    const candidate: Policy = {
      ...policy,
      match: () => {
        throw new Error('on purpose');
      },
    };
    const { outcomes, counts } = compareAll(candidate);
    expect(outcomes.every((outcome) => outcome === undefined)).to.equal(true);
    expect(counts).to.deep.equal({ compared: 500, disagreed: 0, failed: 500, skipped: 0 });
  });

  it('gets a twentieth of the time at most, however slow it is', () => {
    let time = 0;
    let spent = 0;
    const candidate: Policy = {
      ...policy,
      match: (asked) => {
        time += 10;
        spent += 10;
        return policy.match(asked);
      },
    };
    const shadow = createShadow(
      () => candidate,
      log,
      () => time,
    );
    for (let n = 0; n < 100_000; n += 1) {
      time += 1;
      shadow.compare(() => facts[n % 500] as Facts, { effect: 'allow', code: 'OK', rule: 'x' });
    }
    const { compared, skipped } = shadow.counts();
    expect(compared + skipped).to.equal(100_000);
    expect(compared).to.be.above(100);
    expect(spent / time).to.be.within(0.02, 0.055);
  });
});

describe('a service with a shadow policy', () => {
  let folder: string;
  let url: string;
  let service: TestService;
  let apiKey: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-shadow-'));
    await cp(POLICY_FOLDER, folder, { recursive: true });
    url = await newDatabase();
    const times = { POLICY_POLL_MS: '20', POLICY_SETTLE_MS: '20' };
    // Refused at first: its cases are missing.
    await rm(path.join(folder, 'cases'), { recursive: true });
    service = await startService({ DATABASE_URL: url, SHADOW_POLICY_DIR: folder, ...times });
    await service.db('users').insert({ id: 'ada' });
    apiKey = await insertKey(service, { id: 'k1', user_id: 'ada' });
  });
  after(async () => {
    await service.close();
    await rm(folder, { recursive: true });
  });

  interface ShadowState {
    readonly digest: string | null;
    readonly refused: { findings: { rule: string }[] } | null;
    readonly compared: number;
    readonly disagreed: number;
  }
  const shadow = async () => (await service.ask('/policy')).body.Data?.['shadow'] as ShadowState;
  const ask = async () => {
    const { body } = await service.ask('/authorize', { apiKey, action: 'account:close' });
    const id = body.Data?.['decisionId'] as string;
    return { code: body.Code, record: await service.db('decisions').where({ id }).first() };
  };

  it('decides without it while it is refused, and shows why', async () => {
    const state = await eventually(async () => {
      const now = await shadow();
      return now.refused?.findings.length ? now : undefined;
    });
    expect(state.digest).to.equal(null);
    expect(state.refused?.findings.map(({ rule }) => rule)).to.include('no-cases');
    const { code, record } = await ask();
    expect([code, record.shadow_policy]).to.deep.equal(['OK', null]);
  });

  it('records its disagreements, and answers as before', async () => {
    await writeFile(
      path.join(folder, '80-edit.csv'),
      'p, no-accounts, account:close, "r.user.status == \'active\'", deny, NOT_OPEN\n',
    );
    // A code that no invariant names.
    await appendFile(path.join(folder, 'codes.yaml'), 'NOT_OPEN:\n  status: 403\n  message: Not open.\n');
    await cp(path.join(POLICY_FOLDER, 'cases'), path.join(folder, 'cases'), { recursive: true });
    const { digest } = await eventually(async () => {
      const now = await shadow();
      return now.digest !== null && now;
    });
    const { code, record } = await ask();
    expect(code).to.equal('OK');
    expect([record.code, record.rule]).to.deep.equal(['OK', 'allow-without-target']);
    expect([record.shadow_policy, record.shadow_code, record.shadow_rule]).to.deep.equal([
      digest,
      'NOT_OPEN',
      'no-accounts',
    ]);
    expect(await shadow()).to.include({ compared: 1, disagreed: 1 });
  });

  it('summarises the disagreements as text and as JSON', async () => {
    const env = { DATABASE_URL: url, KEY_PEPPERS: `${service.pepper.id}:${service.pepper.secret.toString('base64')}` };
    const text = await authz(['policy', 'shadow', '--from', '1h'], env);
    expect(text.stdout).to.match(
      /^sha256:[0-9a-f]{64}\n\nOK -> NOT_OPEN: 1\n {2}keys: +k1 \(1\)\n {2}users: +ada \(1\)\n/,
    );
    const json = JSON.parse((await authz(['policy', 'shadow', '--json'], env)).stdout);
    expect(json.policies[0].shifts[0]).to.include({ from: 'OK', to: 'NOT_OPEN', count: 1 });
  }).timeout(60_000);
});
