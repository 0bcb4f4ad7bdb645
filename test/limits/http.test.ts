/** Rate limits over HTTP: which keys are counted, what answers say of the limit, and that exactly the limit passes. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { eventually } from '../http/process.ts';
import { forgetEverything } from '../support/changes.ts';
import { withService } from '../support/client.ts';
import { insertKey, type Reply, type TestService } from '../support/service.ts';

const LIMIT = { rate_limit_requests: 100, rate_limit_window_seconds: 3600 };

interface RateLimitData {
  readonly remaining: number;
  readonly resetSeconds: number;
}

const limitOf = ({ Data }: { Data?: Record<string, unknown> | undefined }): RateLimitData | undefined =>
  Data?.['rateLimit'] as RateLimitData | undefined;

describe('rate limits over HTTP', () => {
  let service: TestService;

  const users = [
    { id: 'ann' },
    { id: 'raised', rate_limit_requests: 5, rate_limit_window_seconds: 7200 },
    { id: 'dis', disabled_at: '2020-01-01T00:00:00Z' },
  ];
  withService(
    async (started) => {
      ({ service } = started);
      await service.db('users').insert(users);
    },
    { RATE_LIMIT: '3/3600' },
  );

  const ask = (apiKey: string, action = 'account:read'): Promise<Reply> =>
    service.ask('/authorize', { apiKey, action });
  const askOften = (apiKey: string, times: number): Promise<Reply[]> =>
    Promise.all(Array.from({ length: times }, () => ask(apiKey)));
  const count = (replies: readonly Reply[], code: string): number =>
    replies.filter(({ body }) => body.Code === code).length;

  it('lets exactly 100 of 250 parallel requests through at a limit of 100', async () => {
    const replies = await askOften(await insertKey(service, { user_id: 'ann', ...LIMIT }), 250);
    expect([count(replies, 'OK'), count(replies, 'RATE_LIMITED')]).to.deep.equal([100, 150]);
  });

  it('tells the limit with OK and RATE_LIMITED, and with the latter when to come again', async () => {
    const apiKey = await insertKey(service, { id: 'told', user_id: 'ann' });
    const replies = [await ask(apiKey), await ask(apiKey), await ask(apiKey), await ask(apiKey)];
    const told = replies.map(({ body }) => [
      body.Code,
      body.Data?.['rateLimit'],
      'retryAfterSeconds' in (body.Data ?? {}),
    ]);
    const resets = replies.map(({ body }) => limitOf(body)?.resetSeconds);
    for (const reset of resets) expect(reset).to.be.within(3500, 3600);
    const state = (number: number, remaining: number) => ({ limit: 3, remaining, resetSeconds: resets[number] });
    expect(told).to.deep.equal([
      ['OK', state(0, 2), false],
      ['OK', state(1, 1), false],
      ['OK', state(2, 0), false],
      ['RATE_LIMITED', state(3, 0), true],
    ]);
    expect(replies[3]?.body.Data?.['retryAfterSeconds']).to.equal(resets[3]);
    const { body, status } = replies[3] as Reply;
    expect({ http: status, ...body.Data }).to.include({ http: 200, status: 429, rule: 'limit-exceeded' });
    expect(body.Success).to.equal(false);
  });

  it('records the fact that it decided on', async () => {
    const apiKey = await insertKey(service, { id: 'recorded', user_id: 'ann' });
    await askOften(apiKey, 4);
    const rows = await service.db('decisions').where({ api_key_id: 'recorded' }).select('code', 'facts');
    for (const { code, facts } of rows) expect(facts.limit).to.deep.equal({ exceeded: code === 'RATE_LIMITED' });
    expect(rows.filter(({ code }) => code === 'RATE_LIMITED')).to.have.length(1);
  });

  it('counts whatever the answer is, and tells nothing of it with other denials', async () => {
    const apiKey = await insertKey(service, { user_id: 'ann' });
    for (let times = 0; times < 3; times += 1) {
      const { body } = await ask(apiKey, 'user:update');
      expect(body.Code).to.equal('PERMISSION_DENIED');
      expect(body.Data).to.not.have.any.keys('rateLimit', 'retryAfterSeconds');
    }
    expect((await ask(apiKey)).body.Code).to.equal('RATE_LIMITED');
    // The limit comes before what the key may or may not do.
    expect((await ask(apiKey, 'user:update')).body.Code).to.equal('RATE_LIMITED');
  });

  it('counts only an active key of an active user', async () => {
    const rows = {
      expired: { id: 'k-expired', user_id: 'ann', expires_at: '2020-01-01T00:00:00Z' },
      revoked: { id: 'k-revoked', user_id: 'ann', revoked_at: '2020-01-01T00:00:00Z' },
      disabled: { id: 'k-disabled', user_id: 'dis' },
    };
    for (const row of Object.values(rows)) {
      const apiKey = await insertKey(service, row);
      const replies = await askOften(apiKey, 5);
      expect(count(replies, 'RATE_LIMITED')).to.equal(0);
      for (const { body } of replies) expect(body.Data).to.not.have.any.keys('rateLimit', 'retryAfterSeconds');
      await service.db('api_keys').where({ id: row.id }).update({ expires_at: null, revoked_at: null });
      await service.db('users').where({ id: row.user_id }).update({ disabled_at: null });
      await forgetEverything(service.db);
      // None of those five was counted.
      const { body } = await eventually(async () => {
        const reply = await ask(apiKey);
        return reply.body.Code === 'OK' && reply;
      });
      expect([body.Code, limitOf(body)?.remaining]).to.deep.equal(['OK', 2]);
    }
  });

  it("takes the key's limit, else its user's, else the default", async () => {
    const limits: unknown[] = [];
    for (const row of [
      { user_id: 'raised', rate_limit_requests: 2, rate_limit_window_seconds: 60 },
      { user_id: 'raised' },
      { user_id: 'ann' },
    ]) {
      limits.push((await ask(await insertKey(service, row))).body.Data?.['rateLimit']);
    }
    expect(limits).to.deep.equal([
      { limit: 2, remaining: 1, resetSeconds: 60 },
      { limit: 5, remaining: 4, resetSeconds: 7200 },
      { limit: 3, remaining: 2, resetSeconds: 3600 },
    ]);
  });

  it('counts each key of a user by itself, and a rotated key is another key', async () => {
    const id = 'to-rotate';
    const apiKey = await insertKey(service, { id, user_id: 'ann' });
    await askOften(apiKey, 4);
    const { body } = await service.ask(`/keys/${id}/rotate`, { overlapSeconds: 60 });
    const rotated = String(body.Data?.['apiKey']);
    expect((await ask(rotated)).body.Code).to.equal('OK');
    expect((await ask(apiKey)).body.Code).to.equal('RATE_LIMITED');
  });

  it('counts the items of a batch one by one, in their order, whatever stands between them', async () => {
    const one = await insertKey(service, { user_id: 'ann' });
    const two = await insertKey(service, { user_id: 'raised' });
    const order = [one, two, 'junk', one, one, two, one, two, one];
    const requests = order.map((apiKey) => ({ apiKey, action: 'account:read' }));
    const { body } = await service.ask('/authorize/batch', { requests });
    const decisions = body.Data?.['decisions'] as Reply['body'][];
    expect(decisions.map(({ Code, Data }) => [Code, limitOf({ Data })?.remaining])).to.deep.equal([
      ['OK', 2],
      ['OK', 4],
      ['INVALID_API_KEY', undefined],
      ['OK', 1],
      ['OK', 0],
      ['OK', 3],
      ['RATE_LIMITED', 0],
      ['OK', 2],
      ['RATE_LIMITED', 0],
    ]);
  });

  it('applies a changed limit to the window under way, and a changed length to a new one', async () => {
    const id = 'changing';
    const apiKey = await insertKey(service, { id, user_id: 'ann' });
    const change = async (rateLimit: object | null): Promise<unknown> => {
      const { status } = await fetch(`${service.address}/keys/${id}`, {
        method: 'PATCH',
        headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ rateLimit }),
      });
      expect(status).to.equal(200);
      const { body } = await ask(apiKey);
      return [body.Code, limitOf(body)?.remaining];
    };
    await askOften(apiKey, 4);
    // The fifth and the sixth request of the window.
    expect(await change({ requests: 10, windowSeconds: 3600 })).to.deep.equal(['OK', 5]);
    expect(await change({ requests: 5, windowSeconds: 3600 })).to.deep.equal(['RATE_LIMITED', 0]);
    expect(await change({ requests: 2, windowSeconds: 60 })).to.deep.equal(['OK', 1]);
    // There and back again wins nothing.
    expect(await change(null)).to.deep.equal(['RATE_LIMITED', 0]);
    expect(await change({ requests: 2, windowSeconds: 60 })).to.deep.equal(['OK', 0]);
  });

  it('keeps the point of a question that failed', async () => {
    const apiKey = await insertKey(service, { user_id: 'ann' });
    await service.db.raw('alter table decision_records rename to elsewhere');
    try {
      expect((await ask(apiKey)).status).to.be.oneOf([503, 504]);
    } finally {
      await service.db.raw('alter table elsewhere rename to decision_records');
    }
    const { body } = await ask(apiKey);
    expect(body.Data?.['rateLimit']).to.include({ remaining: 1 });
  });

  it('begins another window when one has ended', async () => {
    const apiKey = await insertKey(service, {
      user_id: 'ann',
      rate_limit_requests: 1,
      rate_limit_window_seconds: 1,
    });
    const codes = new Set<string>();
    // With one request a second it is denied, and once the second is over allowed again.
    for (const wanted of ['OK', 'RATE_LIMITED', 'OK']) {
      let code = (await ask(apiKey)).body.Code;
      while (code !== wanted) {
        await sleep(10);
        code = (await ask(apiKey)).body.Code;
      }
      codes.add(code);
    }
    expect([...codes]).to.have.members(['OK', 'RATE_LIMITED']);
  });
});
