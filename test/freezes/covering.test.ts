/** Which freeze covers a question: the index agrees with looking at each freeze, on random freezes and questions. */

import { expect } from 'chai';
import fc from 'fast-check';
import { covering, type Freeze, indexFreezes } from '../../src/freezes/covering.ts';
import { SEED, times } from '../policy/texts.ts';
import { factsWith } from '../support/facts.ts';

const ids = fc.constantFrom('', 'a', 'b', 'c');
const named = fc.option(fc.constantFrom('a', 'b', 'c'));
const actions = fc.constantFrom('call:create', 'call:read', 'call:list:all', 'calls:read', 'user:update');
const freezes = fc.array(
  fc.record({
    action: fc.option(fc.constantFrom('*', 'call:*', 'call:list:*', 'call:create', 'user:*')),
    keyId: named,
    userId: named,
    businessId: named,
    until: fc.integer({ min: 1, max: 9 }),
  }),
  { maxLength: 12 },
);

/** As the contract has it, without an index. */
function longest(all: readonly Freeze[], [key, user, target]: readonly string[], action: string, now: number): number {
  const covers = ({ action: pattern, keyId, userId, businessId, until }: Freeze): boolean =>
    until > now &&
    (pattern === null || (pattern.endsWith('*') ? action.startsWith(pattern.slice(0, -1)) : pattern === action)) &&
    (keyId === null || keyId === key) &&
    (userId === null || userId === user) &&
    (businessId === null || businessId === target);
  return Math.max(0, ...all.filter(covers).map(({ until }) => until));
}

describe(`the index of freezes (seed ${SEED})`, () => {
  it('finds the longest of those that cover a question, and none where none does', () => {
    fc.assert(
      fc.property(freezes, fc.tuple(ids, ids, ids), actions, fc.nat(9), (drawn, [key, user, target], action, now) => {
        const all = drawn.map((freeze, index): Freeze => ({ id: `f${index}`, reason: 'x', ...freeze }));
        const facts = factsWith({ key: { id: key }, user: { id: user }, target: { id: target }, request: { action } });
        const found = covering(indexFreezes(all), facts, now);
        expect(found?.until ?? 0).to.equal(longest(all, [key, user, target], action, now));
      }),
      times(2000),
    );
  });
});
