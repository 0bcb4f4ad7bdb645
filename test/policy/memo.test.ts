/** The memo of `decide`: it must never return anything but what `decide` would. */

import { expect } from 'chai';
import type { decide, Policy } from '../../src/policy/decide.ts';
import { closed, type Facts } from '../../src/policy/facts.ts';
import { memoizedDecide } from '../../src/policy/memo.ts';
import { shippedPolicy } from './texts.ts';

describe('the memo of decisions', () => {
  let policy: Policy;
  let evaluated: number;
  let remembering: typeof decide;

  const ACTIVE: Facts = {
    key: closed({ id: 'k', status: 'active', userManagement: false, environment: 'production' }),
    user: closed({ id: 'ann', status: 'active', businesses: 'active' }),
    target: closed({ id: 'a', status: 'active', role: 'owner', inRestriction: true }),
    limit: closed({ exceeded: false }),
    request: closed({ action: 'call:create' }),
  };
  const REVOKED = closed({ ...ACTIVE.key, status: 'revoked' as const });
  const codeOf = (facts: Facts, using = policy): string => remembering(using, facts).code;

  beforeEach(async () => {
    const shipped = await shippedPolicy();
    evaluated = 0;
    policy = Object.freeze({
      ...shipped,
      match: (facts: Facts) => {
        evaluated += 1;
        return shipped.match(facts);
      },
    });
    remembering = memoizedDecide();
  });

  it('evaluates the same objects once, and others again', () => {
    for (let n = 0; n < 3; n += 1) expect(codeOf({ ...ACTIVE })).to.equal('OK');
    expect(evaluated).to.equal(1);
    expect(Object.isFrozen(remembering(policy, ACTIVE))).to.equal(true);
    expect(codeOf({ ...ACTIVE, key: REVOKED })).to.equal('INVALID_API_KEY');
    expect(codeOf(ACTIVE)).to.equal('OK');
    expect(codeOf({ ...ACTIVE, user: closed({ ...ACTIVE.user, status: 'disabled' as const }) })).to.equal(
      'USER_DISABLED',
    );
    expect(codeOf({ ...ACTIVE, limit: closed({ exceeded: true }) })).to.equal('RATE_LIMITED');
    expect(codeOf({ ...ACTIVE, request: closed({ action: 'user:create' }) })).to.equal('PERMISSION_DENIED');
    const before = evaluated;
    expect(codeOf({ ...ACTIVE, target: closed({ ...ACTIVE.target }) })).to.equal('OK');
    expect(evaluated).to.equal(before + 1);
  });

  it('is kept for each policy apart', () => {
    expect(codeOf(ACTIVE)).to.equal('OK');
    const row = policy.rows.find(({ effect }) => effect === 'deny');
    const denying: Policy = Object.freeze({ ...policy, match: () => ({ row, allowed: false }) });
    expect(codeOf(ACTIVE, denying)).to.equal(row?.code);
    expect(codeOf(ACTIVE)).to.equal('OK');
  });

  it('does not keep failures', () => {
    let broken = true;
    const failing: Policy = Object.freeze({
      ...policy,
      match: (facts: Facts) => {
        if (broken) throw new Error('a rule throws');
        return policy.match(facts);
      },
    });
    expect(() => codeOf(ACTIVE, failing)).to.throw();
    broken = false;
    expect(codeOf(ACTIVE, failing)).to.equal('OK');
  });

  it('does not keep what could change: facts that are not frozen, have a prototype or a getter', () => {
    let status: Facts['key']['status'] = 'active';
    const getter = Object.create(null, {
      ...Object.getOwnPropertyDescriptors(ACTIVE.key),
      status: { get: () => status, enumerable: true },
    }) as Facts['key'];
    const carriers: Facts['key'][] = [
      Object.assign(Object.create(null) as object, ACTIVE.key),
      Object.freeze({ ...ACTIVE.key }),
      Object.freeze(getter),
    ];
    for (const key of carriers) {
      evaluated = 0;
      for (let n = 0; n < 3; n += 1) expect(codeOf({ ...ACTIVE, key })).to.equal('OK');
      expect(evaluated).to.equal(3);
    }
    status = 'revoked';
    expect(codeOf({ ...ACTIVE, key: Object.freeze(getter) })).to.equal('INVALID_API_KEY');
  });

  it('bounds the actions that it keeps of a target', () => {
    const ask = (n: number) => codeOf({ ...ACTIVE, request: closed({ action: `call:a${n}` }) });
    for (let n = 0; n < 200; n += 1) ask(n);
    evaluated = 0;
    for (let n = 0; n < 200; n += 1) ask(n);
    expect(evaluated).to.equal(200);
    for (let n = 195; n < 200; n += 1) ask(n);
    expect(evaluated).to.equal(200);
  });
});
