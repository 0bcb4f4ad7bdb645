/** Every code of the contract over HTTP, on each PostgreSQL that there is, and the record that each decision left. */

import { expect } from 'chai';
import { GROUPS } from '../support/facts.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { insertKey, startService, type TestService } from '../support/service.ts';

const PAST = '2020-01-01T00:00:00Z';

for (const postgres of POSTGRES) {
  describe(`POST /authorize on ${postgres}`, () => {
    let service: TestService;
    const keys: Record<string, string> = {};

    before(async function () {
      this.timeout(60_000);
      service = await startService({ DATABASE_URL: await newDatabase(postgres) });
      const { db } = service;
      await db('users').insert([
        { id: 'ann' },
        { id: 'dis', disabled_at: PAST, disabled_reason: 'Closed on request.' },
        { id: 'off', businesses_disabled_at: PAST },
      ]);
      await db('businesses').insert([
        { id: '42' },
        { id: 'other' },
        { id: 'foreign' },
        { id: 'shut', disabled_at: PAST, disabled_reason: 'Unpaid.' },
        { id: 'doomed' },
      ]);
      const member = (business_id: string, user_id: string, role = 'member') => ({ business_id, user_id, role });
      await db('business_members').insert([
        member('42', 'ann', 'owner'),
        member('other', 'ann'),
        member('shut', 'ann'),
        member('doomed', 'ann'),
        member('42', 'dis'),
        member('42', 'off'),
        member('shut', 'off'),
      ]);
      keys['ann'] = await insertKey(service, { id: 'k-ann', user_id: 'ann' });
      keys['manager'] = await insertKey(service, { id: 'k-manager', user_id: 'ann', allow_user_management: true });
      keys['expired'] = await insertKey(service, { id: 'k-expired', user_id: 'ann', expires_at: PAST });
      keys['expiring'] = await insertKey(service, {
        id: 'k-expiring',
        user_id: 'ann',
        expires_at: '2999-01-01T00:00:00Z',
      });
      keys['revoked'] = await insertKey(service, { id: 'k-revoked', user_id: 'ann', revoked_at: PAST });
      keys['restricted'] = await insertKey(service, { id: 'k-restricted', user_id: 'ann' }, ['42', 'shut']);
      keys['orphaned'] = await insertKey(service, { id: 'k-orphaned', user_id: 'ann' }, ['doomed']);
      keys['dis'] = await insertKey(service, { id: 'k-dis', user_id: 'dis' });
      keys['off'] = await insertKey(service, { id: 'k-off', user_id: 'off' });
      await db('businesses').where({ id: 'doomed' }).delete();
      await db('businesses').insert({ id: 'doomed' });
      await db('business_members').insert(member('doomed', 'ann', 'owner'));
    });

    after(() => service?.close());

    interface Expected {
      readonly name: string;
      readonly key: string;
      readonly action?: string;
      readonly business?: string | number;
      readonly code: string;
      readonly status: number;
      readonly rule: string;
      readonly message?: string;
    }

    const decisions: readonly Expected[] = [
      {
        name: 'allows a key of an owner',
        key: 'ann',
        business: '42',
        code: 'OK',
        status: 200,
        rule: 'allow-on-target',
      },
      {
        name: 'allows a key of a member',
        key: 'ann',
        business: 'other',
        code: 'OK',
        status: 200,
        rule: 'allow-on-target',
      },
      {
        name: 'takes a number for its digits',
        key: 'ann',
        business: 42,
        code: 'OK',
        status: 200,
        rule: 'allow-on-target',
      },
      {
        name: 'allows a key that expires later',
        key: 'expiring',
        business: '42',
        code: 'OK',
        status: 200,
        rule: 'allow-on-target',
      },
      {
        name: 'allows a restricted key on its business',
        key: 'restricted',
        business: '42',
        code: 'OK',
        status: 200,
        rule: 'allow-on-target',
      },
      {
        name: 'allows an account action without a target',
        key: 'ann',
        action: 'account:read',
        code: 'OK',
        status: 200,
        rule: 'allow-without-target',
      },
      {
        name: 'allows a user action with the permission',
        key: 'manager',
        action: 'user:usage:read',
        code: 'OK',
        status: 200,
        rule: 'allow-without-target',
      },
      {
        name: 'denies an unknown key',
        key: 'unknown',
        business: '42',
        code: 'INVALID_API_KEY',
        status: 401,
        rule: 'key-not-active',
      },
      {
        name: 'denies an expired key',
        key: 'expired',
        business: '42',
        code: 'INVALID_API_KEY',
        status: 401,
        rule: 'key-not-active',
      },
      {
        name: 'denies a revoked key',
        key: 'revoked',
        business: '42',
        code: 'INVALID_API_KEY',
        status: 401,
        rule: 'key-not-active',
      },
      {
        name: 'denies a disabled user, and says why',
        key: 'dis',
        business: '42',
        code: 'USER_DISABLED',
        status: 403,
        rule: 'user-disabled',
        message: 'Closed on request.',
      },
      {
        name: 'denies a user action without the permission',
        key: 'ann',
        action: 'user:update',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'user-management-not-permitted',
      },
      {
        name: 'denies a target outside the restriction',
        key: 'restricted',
        business: 'other',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'target-outside-restriction',
      },
      {
        name: 'denies a business made anew under the id of the last one of a restriction',
        key: 'orphaned',
        business: 'doomed',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'target-outside-restriction',
      },
      {
        name: 'denies a business of others',
        key: 'ann',
        business: 'foreign',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'target-without-access',
      },
      {
        name: 'denies a business that does not exist, alike',
        key: 'ann',
        business: 'nowhere',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'target-without-access',
      },
      {
        name: 'denies a business action without a target',
        key: 'ann',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'target-required',
      },
      {
        name: 'denies a disabled business, and says why',
        key: 'ann',
        business: 'shut',
        code: 'BUSINESS_DISABLED',
        status: 403,
        rule: 'target-disabled',
        message: 'Unpaid.',
      },
      {
        name: 'denies businesses that are disabled as a whole',
        key: 'off',
        business: '42',
        code: 'BUSINESS_DISABLED',
        status: 403,
        rule: 'user-businesses-disabled',
      },
      {
        name: 'names the disabled business first',
        key: 'off',
        business: 'shut',
        code: 'BUSINESS_DISABLED',
        status: 403,
        rule: 'target-disabled',
        message: 'Unpaid.',
      },
      {
        name: 'names no reason to who cannot reach the business',
        key: 'restricted',
        action: 'user:read',
        business: 'shut',
        code: 'PERMISSION_DENIED',
        status: 403,
        rule: 'user-management-not-permitted',
      },
    ];

    for (const { name, key, action = 'call:create', business, code, status, rule, message } of decisions) {
      it(name, async () => {
        const apiKey = keys[key] ?? `${keys['ann']?.slice(0, 5)}${'0'.repeat(36)}`;
        const context = { ip: '203.0.113.7', userAgent: 'curl/8', requestId: 'r-1' };
        const reply = await service.ask('/authorize', {
          authorization: `Token ${apiKey}`,
          action,
          businessId: business,
          context,
        });

        expect(reply.status).to.equal(200);
        expect(reply.body).to.include({ Success: code === 'OK', Code: code });
        expect(reply.body.Message.endsWith(message ?? '.')).to.equal(true, reply.body.Message);
        const data = reply.body.Data ?? {};
        const known = key in keys;
        expect(data).to.include({ status, rule, action, businessId: business === undefined ? null : String(business) });
        expect(data['apiKeyId']).to.equal(known ? `k-${key}` : null);

        const row = await service.db('decisions').where({ id: data['decisionId'] }).first();
        expect(row).to.include({
          caller_id: 'bootstrap',
          action,
          code,
          rule,
          policy: data['policy'],
          ip: context.ip,
          user_agent: context.userAgent,
          request_id: context.requestId,
        });
        expect(row).to.include({
          effect: code === 'OK' ? 'allow' : 'deny',
          api_key_id: data['apiKeyId'],
          user_id: data['userId'],
          business_id: data['businessId'],
        });
        expect(Object.keys(row.facts)).to.have.members([...GROUPS]);
        const register = service.service.declaration().actions.known;
        expect(row.facts.request).to.deep.equal({
          action,
          registered: register.has(action),
          addressed: true,
          byId: false,
        });
        expect(Math.abs(row.at.getTime() - Date.now())).to.be.below(60_000);
      });
    }

    it('answers an unknown key alike for a live business and for none', async () => {
      const [live, none] = await Promise.all(
        ['42', 'nowhere'].map((businessId) =>
          service.ask('/authorize', { apiKey: 'junk', action: 'call:create', businessId }),
        ),
      );
      expect(live?.body.Message).to.equal(none?.body.Message);
      expect({ ...live?.body.Data, decisionId: '', businessId: '' }).to.deep.equal({
        ...none?.body.Data,
        decisionId: '',
        businessId: '',
      });
    });

    it('answers a batch in order, each decision recorded', async () => {
      const requests = decisions.map(({ key, action = 'call:create', business }) => ({
        apiKey: keys[key] ?? 'junk',
        action,
        businessId: business,
      }));
      const reply = await service.ask('/authorize/batch', { requests });
      expect(reply.body).to.include({ Success: true, Code: 'OK' });
      const answers = reply.body.Data?.['decisions'] as { Code: string; Data: { decisionId: string; rule: string } }[];
      expect(answers.map((answer) => [answer.Code, answer.Data.rule])).to.deep.equal(
        decisions.map(({ code, rule }) => [code, rule]),
      );
      const recorded = await service.db('decisions').whereIn(
        'id',
        answers.map((answer) => answer.Data.decisionId),
      );
      expect(recorded).to.have.length(decisions.length);
    });
  });
}
