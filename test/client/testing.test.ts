/** The double for tests of other teams, by itself: it denies by default, keeps what it was asked, fails and stalls. */

import { expect } from 'chai';
import type { AuthzError, Question } from '../../packages/client/src/index.ts';
import { createTestClient, type FailureName } from '../../packages/client/src/testing.ts';
import { rejection } from '../support/rejection.ts';

describe('the double of the client', () => {
  const question: Question = { authorization: 'Token x', action: 'call:create', businessId: 'bakery' };

  it('denies what it was not told to allow, and keeps what it was asked', async () => {
    const double = createTestClient();
    expect(await double.authorize(question)).to.deep.include({ allowed: false, Code: 'PERMISSION_DENIED' });
    double.allow({ action: 'call:create', businessId: 'bakery' });
    const others = [
      { ...question, action: 'call:read' },
      { ...question, businessId: 'garage' },
      { action: 'call:create', businessId: 'bakery' },
    ];
    const decisions = await double.authorizeAll([question, ...others]);
    expect(decisions.map(({ allowed }) => allowed)).to.deep.equal([true, false, false, false]);
    expect(decisions[0]?.Data).to.include({ status: 200, businessId: 'bakery', action: 'call:create' });
    expect(double.asked).to.deep.equal([question, question, ...others]);
    double.reset();
    expect([(await double.authorize(question)).allowed, double.asked.length]).to.deep.equal([false, 1]);
  });

  it('fails with each of the four errors, and recovers', async () => {
    const double = createTestClient();
    double.allow({});
    for (const name of ['Unavailable', 'TimedOut', 'NotPermitted', 'BadQuestion'] satisfies FailureName[]) {
      double.fail(name);
      const error = (await rejection(double.authorize(question, { requestId: 'r1' }))) as AuthzError;
      expect([error.name, error.requestId]).to.deep.equal([name, 'r1']);
      expect(JSON.stringify(error) + error.message).to.not.include('Token x');
    }
    double.recover();
    expect((await double.authorize(question)).allowed).to.equal(true);
    double.close();
    expect((await rejection(double.authorize(question))).name).to.equal('Unavailable');
  });

  it('stalls until the deadline, or until the signal says no more', async () => {
    const double = createTestClient({ deadlineMs: 20 });
    double.allow({});
    double.stall();
    expect((await rejection(double.authorize(question))).name).to.equal('TimedOut');
    const given = new AbortController();
    const pending = rejection(double.authorizeAll([question], { deadlineMs: 60_000, signal: given.signal }));
    given.abort(new Error('enough'));
    expect((await pending).message).to.equal('enough');
  });

  it('has of keys and freezes what the test gives it, and fails else', async () => {
    const double = createTestClient({ keys: { delete: async () => undefined } });
    await double.keys.delete('ada-main');
    const { name, message } = await rejection(double.freezes.list());
    expect([name, message]).to.deep.equal([
      'Unavailable',
      'This double has no freezes.list: give it as createTestClient({ freezes: { list } }).',
    ]);
  });

  it('takes what rules throw for no answer', async () => {
    const double = createTestClient({
      rules: {
        decide: () => {
          throw new Error('a rule failed');
        },
      },
    });
    expect((await rejection(double.authorize(question))).name).to.equal('Unavailable');
    expect(() => double.allow({})).to.throw(TypeError, 'world');
  });
});
