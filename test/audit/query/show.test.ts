/** What is said of one decision: why it was taken, by the policy of its time, and when that cannot be said. */

import { expect } from 'chai';
import { getDecision } from '../../../src/audit/query/decisions.ts';
import { explainRecorded, explainUnder } from '../../../src/audit/query/explanation.ts';
import { decide } from '../../../src/policy/decide.ts';
import type { Explanation } from '../../../src/policy/explain.ts';
import { FACTS_VERSION, type Facts } from '../../../src/policy/facts.ts';
import { assemblePolicy } from '../../../src/policy/policy.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import { storePolicy } from '../../../src/rollout/store.ts';
import { shippedPolicy, shippedTexts } from '../../policy/texts.ts';
import { authz } from '../../support/cli.ts';
import { type Client, withService } from '../../support/client.ts';
import { WITH_LATER_LIMIT, withoutLimit } from '../../support/facts.ts';
import type { TestService } from '../../support/service.ts';
import { ownFacts } from '../own-facts.ts';

describe('the explanation of a recorded decision', () => {
  let service: TestService;
  let client: Client;
  let url: string;
  let id: string;

  withService(async (started) => {
    ({ service, client } = started);
    url = String(service.db.client.config.connection.connectionString);
    await client.newUser('ann', '42');
    const { apiKey } = await client.newKey('ann');
    expect(await client.decide(apiKey, '42')).to.equal('OK');
    const [row] = await service.db('decisions').select('id').orderBy('id', 'desc').limit(1);
    id = row.id;
  });

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
      .db('decision_records')
      .where({ id })
      .update({ rule: 'limit-exceeded', code: 'RATE_LIMITED', effect: 'deny' });
    const data = await shown();
    expect(data['note']).to.include('THE RECORD CONTRADICTS ITS POLICY').and.include('allow OK');
    expect((data['explanation'] as Explanation).decision.code).to.equal('OK');
    await service.db('decision_records').where({ id }).update({ code: 'OK', effect: 'allow' });
    expect((await shown())['note']).to.include('CONTRADICTS');
  });

  it('of an older version of the facts assumes the defaults of those that came later, and names them', async () => {
    const policy = await shippedPolicy();
    const { facts } = await getDecision(service.db, id);
    const older = withoutLimit(facts as unknown as Facts);
    const decision = decide(policy, BUILT_IN.read(facts));
    const recorded = { ...decision, policy: policy.digest, facts: older };
    const account = explainUnder(policy, { ...recorded, factsVersion: FACTS_VERSION }, WITH_LATER_LIMIT);
    expect(account.explanation?.facts.limit.exceeded).to.equal(false);
    expect(account).to.include({ verdict: 'same policy, same decision' });
    expect(account.note).to.include(`version ${FACTS_VERSION} of the facts`).and.include('r.limit.exceeded');
    const newer = explainUnder(policy, { ...recorded, factsVersion: FACTS_VERSION + 1 }, WITH_LATER_LIMIT);
    expect([newer.explanation, newer.note?.includes('limit')]).to.deep.equal([null, true]);
  });

  it('is left out, with the reason, where the policy of its time does not decide', async () => {
    const policy = await shippedPolicy();
    const { facts } = await getDecision(service.db, id);
    const recorded = {
      ...decide(policy, BUILT_IN.read(facts)),
      policy: policy.digest,
      factsVersion: FACTS_VERSION,
      facts,
    };
    const undecided = explainUnder({ ...policy, match: () => ({ row: undefined, allowed: false }) }, recorded);
    expect(undecided)
      .to.include({ explanation: null })
      .and.have.property('failure')
      .that.includes({ code: 'UNAVAILABLE' });
    expect(undecided.note).to.include('does not decide the recorded facts: no row of the policy matches');
    // The first row is said to match, and its own tests say that it does not: that is no fault of the record.
    const [row] = policy.rows;
    expect(() => explainUnder({ ...policy, match: () => ({ row, allowed: false }) }, recorded)).to.throw(/contradict/);
  });

  it('is found by its id in capital letters, too', async () => {
    expect(await client.data('GET', `/audit/decisions/${id.toUpperCase()}`)).to.include({ id });
  });

  it('is left out where the facts have a version newer than this program, and the note says to upgrade', async () => {
    await ownFacts(service.db, id);
    await service
      .db('decision_records')
      .where({ id })
      .update({ facts_version: FACTS_VERSION + 1 });
    const data = await shown();
    expect(data).to.include({ explanation: null, factsVersion: FACTS_VERSION + 1 });
    expect(data['note']).to.include('upgrade');
    await service.db('decision_records').where({ id }).update({ facts_version: FACTS_VERSION });
  });

  it('is left out where facts or policy cannot be read, and the note says why', async () => {
    const texts = await shippedTexts();
    const { digest } = await assemblePolicy(texts);
    const recorded = {
      effect: 'allow',
      code: 'OK',
      rule: 'r',
      policy: digest,
      factsVersion: FACTS_VERSION,
      facts: {},
    } as const;
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
