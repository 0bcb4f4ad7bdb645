/** The memo of `decide`: it must never return anything but what `decide` would. */

import { expect } from 'chai';
import fc from 'fast-check';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import { closed, type FactGroup, type Facts } from '../../src/policy/facts.ts';
import { memoizedDecide } from '../../src/policy/memo.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { declaredPolicy } from '../support/declared.ts';
import { ACTIVE, factsWith, GROUPS } from '../support/facts.ts';
import { SEED, shippedPolicy, times } from './texts.ts';

/** Any value of a fact; of a text, three samples. */
const valuesOf = (path: string): readonly (string | boolean)[] => {
  const type = BUILT_IN.paths.get(path);
  return type === 'boolean' ? [false, true] : type === 'text' || type === undefined ? ['', 'a', 'b'] : type;
};

/** One object for each group of the same values, as the cache of facts gives them out. */
function interning(): (facts: Facts) => Facts {
  const known = new Map<string, object>();
  return (facts) =>
    closed(
      Object.fromEntries(
        GROUPS.map((group) => {
          const name = JSON.stringify([group, facts[group]]);
          const shared = known.get(name) ?? closed({ ...facts[group] });
          known.set(name, shared);
          return [group, shared];
        }),
      ),
    ) as unknown as Facts;
}

/** The policy as if its first row compared every id with `a` and `b`. */
const comparingIds = ({ rows: [first, ...others], ...policy }: Policy): Policy => {
  if (!first) return expect.fail('there is no row');
  const { when } = first;
  const constants = new Map([...when.constants, ...IDS.map((path) => [path, new Set(COMPARED)] as const)]);
  const facts = new Set([...when.facts, ...IDS]);
  return Object.freeze({
    ...policy,
    rows: Object.freeze([{ ...first, when: { ...when, constants, facts } }, ...others]),
  });
};
const IDS = ['r.key.id', 'r.user.id', 'r.target.id'];
const COMPARED = ['a', 'b'];

/** Whether rows compare ids. */
type Ids = 'no id' | 'ids';

/** Gives every situation a decision of its own: the row that decides is named by all of the facts, of the ids only as `ids` has it. */
async function telling(ids: Ids): Promise<Policy> {
  const shipped = await shippedPolicy();
  const row = shipped.rows.find(({ effect }) => effect === 'deny') ?? expect.fail('no row denies');
  const told = (name: string, value: unknown): unknown =>
    name === 'id' && (ids === 'no id' || !COMPARED.includes(String(value))) ? value === '' : value;
  return Object.freeze({
    ...(ids === 'no id' ? shipped : comparingIds(shipped)),
    match: (facts: Facts) => ({ row: { ...row, id: JSON.stringify(facts, told) }, allowed: false }),
  });
}

const outcomeOf = (run: () => Decision): string => {
  try {
    return run().rule;
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
};

for (const ids of ['no id', 'ids'] as const)
  describe(`the memo of decisions where rows compare ${ids} (seed ${SEED})`, () => {
    let policy: Policy;
    let evaluated: number;
    let remembering: typeof decide;

    const REVOKED = closed({ ...ACTIVE.key, status: 'revoked' as const });
    const codeOf = (facts: Facts, using = policy): string => remembering(using, facts).code;

    beforeEach(async () => {
      const shipped = ids === 'no id' ? await shippedPolicy() : comparingIds(await shippedPolicy());
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
      expect(codeOf(factsWith({ limit: { exceeded: true } }, ACTIVE))).to.equal('RATE_LIMITED');
      expect(codeOf(factsWith({ request: { action: 'user:create' } }, ACTIVE))).to.equal('PERMISSION_DENIED');
      const before = evaluated;
      expect(codeOf({ ...ACTIVE, target: closed({ ...ACTIVE.target }) })).to.equal('OK');
      expect(codeOf(factsWith({ key: { id: 'k2' }, user: { id: 'u2' }, target: { id: 'b2' } }, ACTIVE))).to.equal('OK');
      expect(evaluated).to.equal(before);
      for (const id of COMPARED) expect(codeOf(factsWith({ key: { id } }, ACTIVE))).to.equal('OK');
      expect(evaluated).to.equal(ids === 'no id' ? before : before + 2);
    });

    it('lets no facts past the check of decide, also where it remembers the known ones among them', () => {
      expect(codeOf(ACTIVE)).to.equal('OK');
      const { limit, ...others } = ACTIVE;
      const { request } = others;
      const inherited = Object.create({ exceeded: false }) as Facts['limit'];
      const odd: Record<string, unknown> = {
        'another fact of a limit': { ...ACTIVE, limit: { ...limit, more: true } },
        'another fact of a request': { ...ACTIVE, request: { ...request, more: '' } },
        'another group': { ...ACTIVE, more: {} },
        'another group in the place of one that is inherited': Object.assign(Object.create({ limit }), others, {
          more: {},
        }),
        'an inherited fact': { ...ACTIVE, limit: inherited },
        'a fact under another name': { ...ACTIVE, limit: { exceded: false } },
        'another fact of a key': { ...ACTIVE, key: closed({ ...ACTIVE.key, more: true }) },
        'a fact of a key too few': { ...ACTIVE, key: closed({ ...ACTIVE.key, environment: undefined }) },
        'a fact of a user under another name': {
          ...ACTIVE,
          user: closed({ id: 'u1', status: 'active', business: 'active' }),
        },
        'an inherited fact of a target': { ...ACTIVE, target: Object.freeze(Object.create(ACTIVE.target)) },
        'an id that is a number': { ...ACTIVE, user: closed({ ...ACTIVE.user, id: 1 }) },
        'an id that is true': { ...ACTIVE, target: closed({ ...ACTIVE.target, id: true }) },
        'an id that is false': { ...ACTIVE, key: closed({ ...ACTIVE.key, id: false }) },
        'an active key without an id': { ...ACTIVE, key: closed({ ...ACTIVE.key, id: '' }) },
        'a target with an id that is none': { ...ACTIVE, target: closed({ ...ACTIVE.target, id: '' }) },
      };
      for (const [what, facts] of Object.entries(odd)) expect(() => codeOf(facts as Facts), what).to.throw();
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

    it('does not keep a group in which a group could change', async () => {
      const declared = await declaredPolicy();
      let grants = 0;
      const policy: Policy = Object.freeze({
        ...declared,
        match: (facts: Facts) => {
          grants += 1;
          return declared.match(facts);
        },
      });
      const under = (can: object): Facts => {
        const { key, ...others } = declared.schema.nothingKnown;
        return closed({ ...others, key: closed({ ...key, can }) }) as unknown as Facts;
      };
      const kept = under(closed({ sms: false, recordings: false }));
      const changing = under(Object.assign(Object.create(null), { sms: false, recordings: false }));
      const prototyped = under(Object.freeze({ sms: false, recordings: false }));
      for (const [facts, times] of [
        [kept, 1],
        [changing, 3],
        [prototyped, 3],
      ] as const) {
        grants = 0;
        for (let n = 0; n < 3; n += 1) expect(remembering(policy, facts).code).to.equal('INVALID_API_KEY');
        expect(grants).to.equal(times);
      }
    });

    for (const [path] of BUILT_IN.paths)
      it(`tells apart what differs in ${path} alone`, async () => {
        const policy = await telling(ids);
        const [, group, fact] = path.split('.') as [string, FactGroup, string];
        let pairs = 0;
        const anything = fc.record(
          Object.fromEntries(
            GROUPS.map((each) => [
              each,
              fc.record(
                Object.fromEntries(
                  BUILT_IN.factsOf(each).map(([name]) => [name, fc.constantFrom(...valuesOf(`r.${each}.${name}`))]),
                ),
              ),
            ]),
          ),
        );
        const either = fc.constantFrom(ACTIVE, undefined);
        fc.assert(
          fc.property(anything, either, fc.constantFrom(...valuesOf(path)), (drawn, near, value) => {
            const memo = memoizedDecide();
            const share = interning();
            const one = share(near ?? (drawn as unknown as Facts));
            const other = share(factsWith({ [group]: { [fact]: value } }, one));
            const wanted = [one, other].map((facts) => outcomeOf(() => decide(policy, facts)));
            if (wanted[0] !== wanted[1] && !wanted.some((rule) => rule.startsWith('fails'))) pairs += 1;
            // Both twice, so that each is recalled after the other was remembered.
            for (let round = 0; round < 2; round += 1)
              expect([one, other].map((facts) => outcomeOf(() => memo(policy, facts)))).to.deep.equal(wanted);
          }),
          times(200),
        );
        if (ids === 'ids' || !IDS.includes(path)) expect(pairs, 'pairs that can occur').to.be.above(0);
      });

    it('bounds the actions that it keeps', () => {
      const many = 10_500;
      const asked = Array.from({ length: many }, (_, n) => factsWith({ request: { action: `call:a${n}` } }, ACTIVE));
      const ask = (n: number) => codeOf(asked[n] as Facts);
      for (let n = 0; n < many; n += 1) ask(n);
      evaluated = 0;
      const forgotten = 500;
      for (let n = 0; n < forgotten; n += 1) ask(n);
      expect(evaluated).to.equal(forgotten);
      for (let n = many - 5; n < many; n += 1) ask(n);
      expect(evaluated).to.equal(forgotten);
    });
  });
