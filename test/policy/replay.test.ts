/** What a replay takes for the same situation: records may share an outcome only where the policy decides all of them alike. */

import { expect } from 'chai';
import { decide } from '../../src/policy/decide.ts';
import { closed, FACTS_VERSION, type Facts } from '../../src/policy/facts.ts';
import { factsUnder, type Stored } from '../../src/policy/facts-under.ts';
import { redecider } from '../../src/policy/replay.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { declaredPolicy, EVERY_KIND } from '../support/declared.ts';
import { ACTIVE } from '../support/facts.ts';

const MORNING = Date.UTC(2026, 0, 5, 9);
const STORED: Stored = { ...ACTIVE, stored: closed({ key: {}, user: {}, target: {} }) };

/** As PostgreSQL prints jsonb: with a space behind each colon. */
const recorded = (facts: Facts): string => JSON.stringify(facts, null, 1).replace(/\n */g, '');

describe('what a replay takes for the same situation', () => {
  it('tells records apart by a declared fact that is called id', async () => {
    const asked = new Map([['id', { kind: 'values' as const, values: ['a', 'b'], withholds: false }]]);
    const row = `p, asked-id, call:create, "r.asked.id != 'a'", deny, PERMISSION_DENIED\n`;
    const policy = await declaredPolicy({ ...EVERY_KIND, asked }, row);
    const redecide = redecider(policy);
    for (const id of ['a', 'b', 'a']) {
      const attributes = { id };
      const facts = factsUnder(policy.schema, STORED, {
        action: 'call:create',
        ip: undefined,
        attributes,
        moment: MORNING,
      });
      const text = recorded(facts);
      expect(text).to.include(`"id": "${id}"`);
      expect(redecide(text, FACTS_VERSION)).to.deep.equal(decide(policy, facts));
      expect(decide(policy, facts).effect).to.equal(id === 'a' ? 'allow' : 'deny');
    }
  });

  it('says which declared facts it assumed, of those that rows read', async () => {
    const row = `p, where, call:create, "!r.network.office && r.user.plan != 'pro'", deny, PERMISSION_DENIED\n`;
    const policy = await declaredPolicy(EVERY_KIND, row);
    const redecide = redecider(policy);
    const asked = { action: 'call:create', ip: '203.0.113.1', attributes: {}, moment: MORNING };
    const complete = recorded(factsUnder(policy.schema, STORED, asked));
    expect(redecide(complete, FACTS_VERSION)).to.include({ code: 'OK' });
    expect([...redecide.assumed]).to.deep.equal([]);
    // What a policy recorded that declared neither.
    const before = recorded(factsUnder(BUILT_IN, STORED, asked));
    expect(redecide(before, FACTS_VERSION)).to.include({ rule: 'where' });
    expect([...redecide.assumed]).to.have.members(['r.network.office', 'r.user.plan']);
    const gold = complete.replace('"plan": "unknown"', '"plan": "gold"');
    expect(gold).to.not.equal(complete);
    const other = redecider(policy);
    expect(other(gold, FACTS_VERSION)).to.include({ code: 'OK' });
    expect([...other.assumed]).to.deep.equal(['r.user.plan']);
  });
});
