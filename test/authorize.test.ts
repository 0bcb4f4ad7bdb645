/** The path of a decision notes no use of a key that nobody has shown, and holds one policy from what may be asked to the record, though another goes live meanwhile. */

import { setTimeout } from 'node:timers/promises';
import { expect } from 'chai';
import type { Entry } from '../src/audit/record/entry.ts';
import { authorizer, promised } from '../src/authorize.ts';
import { deadlineIn } from '../src/deadline.ts';
import { type Known, unknownKey } from '../src/facts/load.ts';
import { WITHOUT_ATTRIBUTES } from '../src/facts/stored-facts.ts';
import type { Policy } from '../src/policy/decide.ts';
import { shippedPolicy } from './policy/texts.ts';
import { declaredPolicy } from './support/declared.ts';
import { ACTIVE } from './support/facts.ts';

describe('a decision while another policy goes live', () => {
  const known: Known = {
    ...ACTIVE,
    stored: { key: { can: ['sms'] }, user: { plan: 'pro' }, target: { region: 'eu' } },
    reasons: { user: undefined, target: undefined },
    limit: undefined,
    redigest: undefined,
  };

  it('is by the policy that was live when it was asked, and so are its facts', async () => {
    const [before, after] = [await declaredPolicy(), await shippedPolicy()];
    for (const [first, second, attributes] of [
      [before, after, { soft: true }],
      [after, before, undefined],
    ] as const) {
      let live: Policy = first;
      const recorded: Entry[] = [];
      const authorizeThen = authorizer({
        loadFacts: async (questions) => {
          live = second;
          return questions.map(() => known);
        },
        loadNamed: async () => [],
        consume: async () => [],
        moments: { momentFor: () => Date.parse('2026-07-01T09:00:00Z') },
        freezes: { current: () => () => undefined },
        livePolicy: () => live,
        compare: () => undefined,
        enqueue: (entries, _deadline, settle) => {
          recorded.push(...entries);
          settle();
        },
        fingerprintOf: () => '',
        noteUse: () => undefined,
        noteUnregistered: () => undefined,
      });
      const question = { apiKey: 'x', action: 'call:create', businessId: 'b1', context: {}, attributes };
      const [answer] = await promised(authorizeThen)('caller', [question], deadlineIn(5000));
      expect(answer).to.include({ code: 'OK', policy: first.digest });
      expect(recorded[0]?.policy).to.equal(first.digest);
      expect(Object.keys(recorded[0]?.facts ?? {})).to.have.members([...first.schema.groups]);
    }
  });
});

describe('a key that is named and not shown', () => {
  const known: Known = {
    ...ACTIVE,
    stored: WITHOUT_ATTRIBUTES,
    reasons: { user: undefined, target: undefined },
    limit: { requests: 1, windowSeconds: 60 },
    redigest: undefined,
  };

  it('is not used by it: neither counted, nor noted', async () => {
    const policy = await shippedPolicy();
    const counted: string[] = [];
    const used: string[] = [];
    const recorded: Entry[] = [];
    const nobody = unknownKey('b1');
    const authorizeThen = authorizer({
      loadFacts: async (questions) => questions.map(({ apiKey }) => (apiKey === undefined ? nobody : known)),
      loadNamed: async (questions) => questions.map(() => [nobody, known]),
      consume: (keys) => {
        counted.push(...keys.map(({ key }) => key.id));
        return keys.map(() => undefined);
      },
      moments: { momentFor: () => Date.parse('2026-07-01T09:00:00Z') },
      freezes: { current: () => () => undefined },
      livePolicy: () => policy,
      compare: () => undefined,
      enqueue: (entries, _deadline, settle) => {
        recorded.push(...entries);
        settle();
      },
      fingerprintOf: () => '',
      noteUse: ({ keyId }) => void used.push(keyId),
      noteUnregistered: () => undefined,
    });
    const question = { apiKey: undefined, action: 'call:create', businessId: 'b1', context: {} };
    const named = { ...question, named: { userId: 'u1' }, byId: true };
    const answers = await promised(authorizeThen)('caller', [named, { ...question, apiKey: 'x' }], deadlineIn(5000));
    expect(answers.map(({ effect }) => effect)).to.deep.equal(['allow', 'allow']);
    expect(recorded.map(({ facts }) => [facts.key.id, facts.request.byId])).to.deep.equal([
      ['k1', true],
      ['k1', false],
    ]);
    expect([counted, used]).to.deep.equal([['', 'k1'], ['k1']]);
  });
});

describe('requests that are decided one after the other', () => {
  it('go by what is known when each is, however long those before it took', async () => {
    const policy = await shippedPolicy();
    const { key, user, target } = ACTIVE;
    const known: Known = { ...unknownKey('b1'), key, user, target };
    const revoked: Known = { ...known, key: { ...known.key, status: 'revoked' } };
    let now = known;
    const authorizeThen = authorizer({
      loadFacts: (questions) => questions.map(() => now),
      loadNamed: async () => [],
      consume: async (keys) => {
        // A Redis that takes its time, in which the key is revoked.
        await setTimeout(300);
        now = revoked;
        return keys.map(() => undefined);
      },
      moments: { momentFor: () => Date.parse('2026-07-01T09:00:00Z') },
      freezes: { current: () => () => undefined },
      livePolicy: () => policy,
      compare: () => undefined,
      enqueue: (_entries, _deadline, settle) => settle(),
      fingerprintOf: () => '',
      noteUse: () => undefined,
      noteUnregistered: () => undefined,
    });
    const question = { apiKey: 'x', action: 'call:create', businessId: 'b1', context: {} };
    const three = [question, question, question];
    const answers = await promised(authorizeThen)('caller', three, deadlineIn(5000), { until: 'deny' });
    expect(answers.map(({ code }) => code)).to.deep.equal(['OK', 'INVALID_API_KEY']);
  });
});
