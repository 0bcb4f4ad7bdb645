/** What is said of one decision: why it was taken, by the policy of its time, and when that cannot be said. */

import { expect } from 'chai';
import { explainRecorded } from '../../../src/audit/query/explain-record.ts';
import type { Explanation } from '../../../src/policy/explain.ts';
import { assemblePolicy } from '../../../src/policy/policy.ts';
import { storePolicy } from '../../../src/rollout/store.ts';
import { type Client, clientOf } from '../../http/client.ts';
import { shippedTexts } from '../../policy/texts.ts';
import { authz } from '../../support/cli.ts';
import { startService, type TestService } from '../../support/service.ts';

describe('the explanation of a recorded decision', () => {
  let service: TestService;
  let client: Client;
  let url: string;
  let id: string;

  before(async () => {
    service = await startService();
    client = clientOf(service);
    url = String(service.db.client.config.connection.connectionString);
    await client.newUser('ann', '42');
    const { apiKey } = await client.newKey('ann');
    expect(await client.decide(apiKey, '42')).to.equal('OK');
    const [row] = await service.db('decisions').select('id').orderBy('id', 'desc').limit(1);
    id = row.id;
  });
  after(() => service?.close());

  const shown = () => client.data('GET', `/audit/decisions/${id}`);
  const explanationOf = async (): Promise<Explanation> => (await shown())['explanation'] as Explanation;

  it('is of the recorded facts, row by row, over HTTP and on the command line', async () => {
    const data = await shown();
    const { policy, decision, tried, facts } = await explanationOf();
    expect(data).to.include({ note: null, policy, code: 'OK', rule: decision.rule });
    expect(data['facts']).to.deep.equal(facts);
    expect(tried.at(-1)).to.deep.include({ rule: decision.rule, matched: true });
    expect(tried.slice(0, -1).some(({ matched }) => matched)).to.equal(false);
    const env = { DATABASE_URL: url, KEY_PEPPERS: `test:${service.pepper.secret.toString('base64')}` };
    const { code, stdout } = await authz(['audit', 'show', id], env);
    expect(code).to.equal(0);
    expect(stdout).to.include('Why, by the policy of its time:').and.include(`allow OK by the row ${decision.rule}`);
    const json = await authz(['audit', 'show', id, '--json'], env);
    expect(JSON.parse(json.stdout)).to.deep.include({ id, note: null, explanation: await explanationOf() });
  });

  it('says plainly where the record contradicts its policy', async () => {
    await service
      .db('decisions')
      .where({ id })
      .update({ rule: 'limit-exceeded', code: 'RATE_LIMITED', effect: 'deny' });
    const data = await shown();
    expect(data['note']).to.include('THE RECORD CONTRADICTS ITS POLICY').and.include('allow OK');
    expect((data['explanation'] as Explanation).decision.code).to.equal('OK');
    await service.db('decisions').where({ id }).update({ code: 'OK', effect: 'allow' });
    expect((await shown())['note']).to.include('CONTRADICTS');
  });

  it('is none, with the reason, where facts or policy cannot be read', async () => {
    const texts = await shippedTexts();
    const { digest } = await assemblePolicy(texts);
    const recorded = { effect: 'allow', code: 'OK', rule: 'r', policy: digest, facts: {} } as const;
    const { db } = service;
    expect((await explainRecorded(db, recorded)).note).to.include('does not take the recorded facts');
    const reasons = {
      'sha256:': 'sha256: and at least 8',
      [digest.slice(0, 20)]: 'not the digest',
      [`sha256:${'0'.repeat(64)}`]: 'no policy',
    };
    for (const [policy, says] of Object.entries(reasons)) {
      const { explanation, note } = await explainRecorded(db, { ...recorded, policy });
      expect([explanation, note?.includes(says)], policy).to.deep.equal([null, true]);
    }
    const other = `sha256:${'1'.repeat(64)}`;
    await storePolicy(db, other, texts);
    expect((await explainRecorded(db, { ...recorded, policy: other })).note).to.include('IT WAS ALTERED');
    const unreadable = `sha256:${'2'.repeat(64)}`;
    await storePolicy(db, unreadable, new Map([['10-rows.csv', 'p, old, syntax']]));
    const { explanation, note } = await explainRecorded(db, { ...recorded, policy: unreadable });
    expect(explanation).to.equal(null);
    expect(note).to.include('cannot be read by this version');
  });
});
