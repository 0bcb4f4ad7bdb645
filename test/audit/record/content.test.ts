/** What a record holds of a question, asked over HTTP. */

import { expect } from 'chai';
import { createToken } from '../../../src/credentials/token.ts';
import { withService } from '../../support/client.ts';
import { factsWith } from '../../support/facts.ts';
import { insertKey, startService, type TestService } from '../../support/service.ts';
import { type Row, verifiedRows } from '../verify/independent.ts';

describe('a record', () => {
  let service: TestService;
  let apiKey: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { id: 'k-ann', user_id: 'ann' });
  });

  /** The records of the questions, asked in one batch. */
  async function recordsOf(questions: readonly object[], using = service): Promise<Row[]> {
    const requests = questions.map((question) => ({ action: 'account:read', ...question }));
    const { body } = await using.ask('/authorize/batch', { requests });
    const answers = body.Data?.['decisions'] as { Data: { decisionId: string } }[];
    const rows = new Map((await verifiedRows(using.db)).map((row) => [row.id, row]));
    return answers.map(({ Data }) => rows.get(Data.decisionId) as Row);
  }

  it('holds who, what, why and on which facts, with what the client was said to be', async () => {
    const context = { ip: '2001:db8::7', userAgent: 'curl/8.5', requestId: '7f3a' };
    const [row] = await recordsOf([{ apiKey, businessId: '42', context }]);
    expect(row).to.deep.include({
      caller_id: 'bootstrap',
      api_key_id: 'k-ann',
      user_id: 'ann',
      business_id: '42',
      action: 'account:read',
      effect: 'deny',
      code: 'PERMISSION_DENIED',
      rule: 'target-without-access',
      ip: '2001:db8::7',
      user_agent: 'curl/8.5',
      request_id: '7f3a',
      fingerprint: null,
      shadow_policy: null,
      facts: factsWith({
        key: { id: 'k-ann', status: 'active', environment: 'production' },
        user: { id: 'ann', status: 'active' },
        target: { id: '42', status: 'unknown', inRestriction: true },
        request: { action: 'account:read', registered: true, addressed: true, byId: false },
      }),
    });
    expect(row?.['policy']).to.match(/^sha256:[0-9a-f]{64}$/);
    expect(row?.['duration_us']).to.be.within(1, 60_000_000);
    expect(row?.at.getTime()).to.equal(Number.parseInt(row?.id.replace('-', '').slice(0, 12) ?? '', 16));
  });

  it('tells one unknown credential from another, in 16 digits that only the pepper makes', async () => {
    const [one, other] = [createToken('apiKey'), createToken('apiKey')];
    const questions = [
      { apiKey: one },
      { apiKey: other },
      { authorization: `token ${one}` },
      { authorization: 'Bearer junk' },
      { apiKey: 'junk' },
      { apiKey },
      { apiKey: '' },
      {},
    ];
    const [a, b, again, header, junk, ...none] = (await recordsOf(questions)).map(({ fingerprint }) => fingerprint);
    for (const fingerprint of [a, b, header, junk]) expect(fingerprint).to.match(/^[0-9a-f]{16}$/);
    expect(new Set([a, b, header, junk]).size).to.equal(4);
    expect(again).to.equal(a);
    expect(none).to.deep.equal([null, null, null]);
    const elsewhere = await startService();
    try {
      const [under] = await recordsOf([{ apiKey: one }], elsewhere);
      expect(under?.['fingerprint'])
        .to.match(/^[0-9a-f]{16}$/)
        .and.not.to.equal(a);
    } finally {
      await elsewhere.close();
    }
  });

  it('salts the personal data of each record anew', async () => {
    const context = { ip: '203.0.113.7', userAgent: 'x' };
    const rows = await recordsOf(Array.from({ length: 100 }, () => ({ apiKey: 'junk', context })));
    for (const column of ['personal_salt', 'personal_digest'])
      expect(new Set(rows.map((row) => (row[column] as Buffer).toString('hex'))).size).to.equal(100);
  });
});
