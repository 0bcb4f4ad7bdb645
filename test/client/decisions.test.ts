/** The client beside a real service: each code is a value, many questions keep their order, and only OK is allowed. */

import { expect } from 'chai';
import { FAILURES as FAILURES_OF_CLIENT } from '../../packages/client/src/errors.ts';
import {
  BadQuestion,
  type Client,
  createClient,
  NotPermitted,
  type Question,
  type Told,
} from '../../packages/client/src/index.ts';
import { FAILURES } from '../../src/errors.ts';
import { withService } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import { insertCaller, insertKey, type TestService } from '../support/service.ts';

describe('the client', () => {
  let service: TestService;
  let client: Client;
  let key: string;
  const told: Told[] = [];
  const ask = (more: Partial<Question> = {}): Question => ({
    authorization: `Token ${key}`,
    action: 'call:create',
    businessId: '42',
    ...more,
  });
  const codes = async (questions: readonly Question[]): Promise<string[]> =>
    (await client.authorizeAll(questions)).map(({ Code }) => Code);

  withService(async (started) => {
    ({ service } = started);
    await started.client.newUser('ann', '42', '7');
    await started.client.newUser('bob', '42');
    key = (await started.client.newKey('ann')).apiKey;
    client = createClient({
      url: service.address,
      token: service.token,
      deadlineMs: 30_000,
      onDecision: (one) => told.push(one),
    });
  });
  after(() => client.close());

  it('knows every failure of the service, with its status', () => {
    expect(
      Object.fromEntries(Object.entries(FAILURES_OF_CLIENT).map(([code, [status]]) => [code, status])),
    ).to.deep.equal(Object.fromEntries(Object.entries(FAILURES).map(([code, { status }]) => [code, status])));
  });

  it('answers with a value for every code, and allows on OK alone', async () => {
    const { db } = service;
    await db('users').insert({ id: 'cut', disabled_at: db.fn.now() });
    await db('users').insert({ id: 'shut', businesses_disabled_at: db.fn.now() });
    await db('business_members').insert(
      ['cut', 'shut'].map((user_id) => ({ user_id, business_id: '42', role: 'member' })),
    );
    const [cut, shut] = [await insertKey(service, { user_id: 'cut' }), await insertKey(service, { user_id: 'shut' })];
    const limited = await insertKey(service, {
      user_id: 'ann',
      rate_limit_requests: 1,
      rate_limit_window_seconds: 86_400,
    });
    await service.ask('/freezes', { action: 'call:stop', reason: 'A trial.', forSeconds: 600 });
    const first = await client.authorize(ask({ authorization: undefined, apiKey: limited }));
    expect(first.Code).to.equal('OK');

    const wanted: readonly (readonly [Question, string, number])[] = [
      [ask(), 'OK', 200],
      [ask({ businessId: 42 }), 'OK', 200],
      [ask({ authorization: null }), 'INVALID_API_KEY', 401],
      [ask({ authorization: `Bearer ${key}` }), 'INVALID_API_KEY', 401],
      [ask({ authorization: `Token ${cut}` }), 'USER_DISABLED', 403],
      [ask({ authorization: `Token ${limited}` }), 'RATE_LIMITED', 429],
      [ask({ businessId: 'nowhere' }), 'PERMISSION_DENIED', 403],
      [ask({ businessId: null }), 'PERMISSION_DENIED', 403],
      [ask({ action: 'call:stop' }), 'FROZEN', 403],
      [ask({ authorization: `Token ${shut}` }), 'BUSINESS_DISABLED', 403],
    ];
    for (const [question, code, status] of wanted) {
      const decision = await client.authorize(question);
      expect([decision.Code, decision.Data.status, decision.allowed, decision.Success]).to.deep.equal([
        code,
        status,
        code === 'OK',
        code === 'OK',
      ]);
      if (decision.Code === 'RATE_LIMITED') expect(decision.Data.retryAfterSeconds).to.be.within(1, 86_400);
      const { rows } = await db.raw('select code from decisions where id = ?', [decision.Data.decisionId]);
      expect(rows).to.deep.equal([{ code }]);
    }
    expect(await codes(wanted.map(([question]) => question))).to.deep.equal(wanted.map(([, code]) => code));
  });

  it('asks any number of questions, and answers in their order', async () => {
    const questions = Array.from({ length: 233 }, (_, at) => ask({ businessId: at % 3 === 0 ? '7' : `none-${at}` }));
    const decisions = await client.authorizeAll(questions);
    expect(decisions.map(({ Data, allowed }) => [Data.businessId, allowed])).to.deep.equal(
      questions.map(({ businessId }, at) => [businessId, at % 3 === 0]),
    );
    expect(await client.authorizeAll([])).to.deep.equal([]);
  });

  it('names the bad question among many, and throws what each failure is', async () => {
    const questions = Array.from({ length: 130 }, () => ask());
    const bad = (await rejection(client.authorizeAll(questions.with(117, ask({ action: 'Call' }))))) as BadQuestion;
    expect(bad).to.be.instanceOf(BadQuestion);
    expect(bad.issues.map(({ path }) => path)).to.deep.equal(['requests[117].action']);
    expect(bad.requestId).to.match(/^[0-9a-f-]{36}$/);

    const one = (await rejection(client.authorize(ask({ businessId: '..' }), { requestId: 'mine' }))) as BadQuestion;
    expect([one.constructor, one.code, one.status, one.requestId]).to.deep.equal([
      BadQuestion,
      'INVALID_REQUEST',
      400,
      'mine',
    ]);

    const token = await insertCaller(service, ['keys']);
    for (const [wrong, code] of [
      [token, 'FORBIDDEN'],
      ['iqra_svc_nobody', 'UNAUTHENTICATED'],
    ] as const) {
      const other = createClient({ url: service.address, token: () => wrong, deadlineMs: 30_000 });
      const error = (await rejection(other.authorize(ask()))) as NotPermitted;
      expect([error.constructor, error.code]).to.deep.equal([NotPermitted, code]);
      expect(JSON.stringify([error, error.message, error.stack]))
        .not.to.include(key)
        .and.not.to.include(wrong);
    }
  });

  it('tells onDecision of each, without the key', () => {
    expect(told.length).to.be.above(300);
    expect(JSON.stringify(told)).not.to.include(key);
    expect(told.filter(({ decision }) => decision?.allowed).length).to.be.above(50);
    expect(told.some(({ error }) => error instanceof BadQuestion)).to.equal(true);
  });
});
