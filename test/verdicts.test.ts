/** What is remembered of what was decided never changes an answer, nor the text that a client gets. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Answer } from '../src/authorize.ts';
import type { Known } from '../src/facts/load.ts';
import type { Freeze } from '../src/freezes/covering.ts';
import { decisionJson, decisionsJson } from '../src/http/replies.ts';
import { decide, type Policy } from '../src/policy/decide.ts';
import { factsOf, rememberedVerdicts, type Situation } from '../src/verdicts.ts';
import { SEED, shippedPolicy, times } from './policy/texts.ts';
import { declaredPolicy, EVERY_KIND } from './support/declared.ts';
import { ACTIVE, type FactParts, factsWith } from './support/facts.ts';

const REASONS = ['moved', 'a "quoted"\n\u2028 ä 🔑 reason', '%s","Data":{"decisionId":"'] as const;

const knownOf = (parts: FactParts, attributes: object, reason: string | undefined): Known => {
  const { key, user, target } = factsWith(parts, ACTIVE);
  const stored = { key: { can: ['sms'] }, user: { plan: 'pro' }, target: { region: 'eu' }, ...attributes };
  return {
    key,
    user,
    target,
    stored,
    reasons: { user: reason, target: reason },
    limit: undefined,
    redigest: undefined,
  };
};

const KNOWN: readonly Known[] = [
  knownOf({}, {}, undefined),
  knownOf({}, { user: { plan: 'free' }, key: {} }, undefined),
  knownOf({ target: { role: 'viewer' as never } }, {}, undefined),
  knownOf({ user: { status: 'disabled' } }, {}, REASONS[0]),
  knownOf({ target: { status: 'disabled' } }, {}, REASONS[1]),
  knownOf({ target: { status: 'disabled' } }, {}, REASONS[2]),
  knownOf({ key: { status: 'expired' } }, {}, undefined),
  {
    ...knownOf(
      { key: { id: '', status: 'unknown', environment: '' }, user: { id: '', status: 'unknown' } },
      {},
      undefined,
    ),
    target: factsWith({}).target,
  },
];

const freeze = (reason: string): Freeze => ({
  id: reason,
  action: null,
  keyId: null,
  userId: null,
  businessId: null,
  reason,
  until: 0,
});
const FREEZES = [undefined, undefined, freeze('first'), freeze('second')];

/** Within, at the edge of, and outside the morning of EVERY_KIND; a weekend. */
const MOMENTS = ['2026-07-01T09:00Z', '2026-07-01T11:59:59.999Z', '2026-07-01T12:00Z', '2026-07-04T09:00Z'].map(
  Date.parse,
);

/** The first of them most often, so that much is asked again, and two questions differ in little. */
const often = <T>(first: T, ...others: readonly T[]) =>
  fc.oneof({ weight: 3, arbitrary: fc.constant(first) }, { weight: 1, arbitrary: fc.constantFrom(first, ...others) });

const situations = fc.record({
  policy: fc.nat(2),
  known: often(...(KNOWN as [Known, ...Known[]])),
  action: often('call:create', 'call:read', 'user:create', 'other:thing', 'account:read'),
  ip: often(undefined, '203.0.113.7', '203.0.113.200', '192.0.2.1'),
  attributes: often<Readonly<Record<string, string | boolean>> | undefined>(
    undefined,
    {},
    { soft: true },
    { state: 'on' },
  ),
  moment: often(...(MOMENTS as [number, ...number[]])),
  stored: often(undefined, new Map([['state', { owners: ['user'] as const, name: 'plan' }]])),
  byId: often(undefined, true),
  exceeded: often(false, true),
  freeze: often(undefined, ...FREEZES),
  otherCredential: often(false, true),
});

/** The message as docs/http-api.md has it: that of the code, and the reason that belongs to it. */
function messageOf(policy: Policy, code: string, { known, freeze, hint }: Situation): string {
  const { message, reason } = policy.codes.get(code) ?? expect.fail(`no code ${code}`);
  const said = { user: known.reasons.user, target: known.reasons.target, freeze: freeze?.reason };
  const added = code === 'INVALID_API_KEY' ? hint : reason && said[reason];
  return [message, ...(added === undefined ? [] : [added])].join(' ');
}

/** What a client reads, as one object. */
const replyOf = ({ decisionId, effect, code, status, message, rule, policy, facts, rateLimit }: Answer) => ({
  Success: effect === 'allow',
  Code: code,
  Message: message,
  Data: {
    decisionId,
    status,
    rule,
    policy,
    apiKeyId: facts.key.id === '' ? null : facts.key.id,
    userId: facts.user.id === '' ? null : facts.user.id,
    businessId: facts.target.id === '' ? null : facts.target.id,
    action: facts.request.action,
    ...(rateLimit &&
      (code === 'OK' || code === 'RATE_LIMITED') && {
        rateLimit: { limit: rateLimit.limit, remaining: rateLimit.remaining, resetSeconds: rateLimit.resetSeconds },
        ...(code === 'RATE_LIMITED' && { retryAfterSeconds: rateLimit.resetSeconds }),
      }),
  },
});

/** Rows of a policy that reads nothing but what is stored. */
const PLAINER = `
p, plan, *, "r.user.plan != 'pro'", deny, PERMISSION_DENIED
p, viewer, *, "r.target.role == 'viewer'", deny, PERMISSION_DENIED
`;

describe(`what is remembered of verdicts (seed ${SEED})`, () => {
  it('is what is decided anew, in message and text, whatever was asked before', async () => {
    const plainer = await declaredPolicy({ ...EVERY_KIND, asked: new Map(), schedules: [], networks: [] }, PLAINER);
    const policies = [await shippedPolicy(), await declaredPolicy(), { ...plainer, digest: 'sha256:plainer' }];
    const codes = new Set<string>();
    const repeated = new Set<object>();
    let asked = 0;
    fc.assert(
      fc.property(fc.array(situations, { minLength: 20, maxLength: 200 }), (all) => {
        const verdictOf = rememberedVerdicts();
        const answers: Answer[] = [];
        for (const { policy: index, known, exceeded, freeze, otherCredential, ...rest } of all) {
          const policy = policies[index] ?? expect.fail();
          const hint = otherCredential ? 'Send it as another.' : undefined;
          const isActive = known.key.status === 'active' && known.user.status === 'active';
          const situation: Situation = { known, asked: rest, exceeded: exceeded && isActive, freeze, hint };
          const verdict = verdictOf(policy, situation);
          const facts = factsOf(policy.schema, situation);
          const { effect, code, rule } = decide(policy, facts);
          const message = messageOf(policy, code, situation);
          const status = policy.codes.get(code)?.status;
          expect(verdict).to.deep.equal({ effect, code, rule, status, message, policy: policy.digest, facts });
          codes.add(code);
          asked += 1;
          repeated.add(verdict);
          const rateLimit = isActive
            ? { exceeded: situation.exceeded, limit: 9, remaining: asked % 9, resetSeconds: 5 }
            : undefined;
          const answer = { ...verdict, decisionId: `0${asked}`, rateLimit };
          expect(decisionJson(answer)).to.equal(JSON.stringify(replyOf(answer)));
          answers.push(answer);
        }
        const data = { decisions: answers.map(replyOf) };
        const whole = { Success: true, Code: 'OK', Message: 'Every request was decided.', Data: data };
        expect(decisionsJson(answers)).to.equal(JSON.stringify(whole));
      }),
      times(40),
    );
    expect(repeated.size).to.be.below(asked * 0.9);
    expect([...codes].sort()).to.include.members([
      'BUSINESS_DISABLED',
      'FROZEN',
      'INVALID_API_KEY',
      'OK',
      'PERMISSION_DENIED',
      'RATE_LIMITED',
      'USER_DISABLED',
    ]);
  });

  it('is one object for the same question, so that texts are made once', async () => {
    const policy = await shippedPolicy();
    const verdictOf = rememberedVerdicts();
    const [known] = KNOWN as [Known];
    const ask = (action: string, moment = 0) =>
      verdictOf(policy, {
        known,
        asked: { action, ip: undefined, attributes: undefined, moment },
        exceeded: false,
        freeze: undefined,
        hint: undefined,
      });
    const first = ask('call:create');
    for (let times = 1; times < 20; times += 1) {
      expect(ask('call:create', times)).to.equal(first);
      ask(`call:other-${times % 5}`);
    }
    expect(Object.isFrozen(first)).to.equal(true);
  });
});
