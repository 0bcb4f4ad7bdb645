/**
 * `decide` accepts only complete, typed, consistent facts, whatever object carries them: a rule such as
 * `r.key.status != 'revoked'` is true of a missing fact, so an incomplete record could be an allow.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { Failure } from '../../src/errors.ts';
import { actionSchema, environmentSchema, idSchema } from '../../src/input/scalars.ts';
import { situations } from '../../src/policy/analysis/situations.ts';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import { closed, FACTS, type Facts } from '../../src/policy/facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { GROUPS } from '../support/facts.ts';
import { behindGetters, behindProxies, mapGroups, type Open, once, open, withGetter } from './carriers.ts';
import { SEED, shippedPolicy, times } from './texts.ts';

const ALL = GROUPS.flatMap((group) =>
  BUILT_IN.factsOf(group).map(([fact, { type }]) => ({ group: group as string, fact, type })),
);

const NO_TEXT = [
  undefined,
  null,
  0,
  1,
  true,
  false,
  Number.NaN,
  1n,
  [],
  ['active'],
  {},
  new String('active'),
  Symbol('x'),
  () => 'active',
];
const NO_BOOLEAN = [undefined, null, 0, 1, 'true', 'false', '', [], {}, new Boolean(false), 1n];
const NO_WORD = [
  ...NO_TEXT,
  '',
  'Active',
  'ACTIVE',
  ' active',
  'active ',
  'aсtive',
  'constructor',
  '__proto__',
  'toString',
  'length',
  '0',
];

describe(`the form of a text (seed ${SEED})`, () => {
  /** What may be asked or stored, so what the fact can be. */
  const SCHEMAS: Readonly<Record<string, (text: string) => boolean>> = {
    'r.key.id': (text) => text === '' || idSchema.safeParse(text).success,
    'r.user.id': (text) => text === '' || idSchema.safeParse(text).success,
    'r.target.id': (text) => text === '' || idSchema.safeParse(text).success,
    'r.key.environment': (text) => text === '' || environmentSchema.safeParse(text).success,
    'r.request.action': (text) => actionSchema.safeParse(text).success,
  };
  const unit = fc.constantFrom(...'aZ0._:-/ é');
  const long = fc.tuple(fc.constantFrom('x', 'a:'), fc.nat(140)).map(([one, count]) => one.repeat(count));
  const texts = fc.oneof(fc.string({ unit, maxLength: 5 }), long, fc.stringMatching(/^[a-z]{1,3}(:[a-z]{1,3}){1,3}$/));

  it('is known of each fact that is one', () => {
    const paths = [...BUILT_IN.paths].filter(([, type]) => type === 'text').map(([path]) => path);
    expect([...BUILT_IN.forms.keys()].sort()).to.deep.equal(paths.sort());
    expect(Object.keys(SCHEMAS).sort()).to.deep.equal(paths.sort());
  });

  for (const [path, accepted] of Object.entries(SCHEMAS)) {
    it(`of ${path} is that of what is asked or stored`, () => {
      const form = BUILT_IN.forms.get(path) ?? expect.fail();
      fc.assert(
        fc.property(texts, (text) => {
          expect(form.accepts.test(text), text).to.equal(accepted(text));
        }),
        times(1000),
      );
    });
  }
});

describe(`facts (seed ${SEED})`, () => {
  let policy: Policy;
  let all: readonly Facts[];
  let possible: fc.Arbitrary<Facts>;

  before(async () => {
    policy = await shippedPolicy();
    all = [...situations(policy.rows, BUILT_IN)];
    possible = fc.nat(all.length - 1).map((index) => all[index] as Facts);
  });

  const refuses = (facts: unknown): void => {
    let got: Decision | undefined;
    try {
      got = decide(policy, facts as Facts);
    } catch (error) {
      expect(error).to.be.instanceOf(Failure).and.to.include({ code: 'UNAVAILABLE', status: 503 });
      expect((error as Failure).message).not.to.match(/k1|active|fact\b/);
      return;
    }
    expect.fail(`decided ${JSON.stringify(got)}`);
  };

  /** Runs `check` on an open copy of each of many records. */
  const forMany = (check: (facts: Open) => void): void =>
    fc.assert(
      fc.property(possible, (facts) => {
        check(open(facts));
      }),
      times(25),
    );

  describe('are refused', () => {
    for (const { group, fact, type } of ALL) {
      const path = `${group}.${fact}`;
      const wrong = type === 'boolean' ? NO_BOOLEAN : type === 'text' ? NO_TEXT : NO_WORD;

      it(`when ${path} is missing, of another type, or no word of its enumeration`, () => {
        forMany((facts) => {
          for (const value of wrong) refuses({ ...facts, [group]: { ...facts[group], [fact]: value } });
          const { [fact]: _, ...rest } = facts[group] ?? {};
          refuses({ ...facts, [group]: rest });
          refuses({ ...facts, [group]: Object.assign(Object.create(facts[group] ?? null), rest) });
          refuses({ ...facts, [group]: Object.defineProperty({ ...facts[group] }, fact, { enumerable: false }) });
        });
      });
    }

    for (const group of GROUPS) {
      it(`when the group ${group} is missing, inherited, no record, or has an extra fact`, () => {
        forMany((facts) => {
          const { [group]: own, ...rest } = facts;
          refuses(rest);
          refuses(Object.setPrototypeOf({ ...rest }, { [group]: own }));
          for (const value of [
            undefined,
            null,
            true,
            1,
            '',
            'active',
            [],
            [own],
            () => own,
            Object.values(own ?? {}),
          ]) {
            refuses({ ...rest, [group]: value });
          }
          for (const extra of ['disabled', 'toString', 'constructor', ''])
            refuses({ ...rest, [group]: { ...own, [extra]: false } });
          refuses({
            ...rest,
            [group]: Object.defineProperty({ ...own }, '__proto__', { value: {}, enumerable: true }),
          });
        });
      });
    }

    it('when there is an extra group, or no record at all', () => {
      forMany((facts) => {
        for (const extra of ['context', 'caller', 'constructor', 'r']) refuses({ ...facts, [extra]: {} });
        refuses(Object.defineProperty({ ...facts }, '__proto__', { value: {}, enumerable: true }));
      });
      for (const value of [undefined, null, true, 'allow', 1, [], {}, () => ({}), new Map(Object.entries(FACTS))])
        refuses(value);
    });

    it('when reading one of them throws, whatever is thrown', () => {
      forMany((facts) => {
        for (const { group, fact } of ALL) {
          for (const thrown of [new Error('x'), undefined, { effect: 'allow' }, new Failure('FORBIDDEN')]) {
            refuses({
              ...facts,
              [group]: withGetter({ ...facts[group] }, fact, () => {
                throw thrown;
              }),
            });
          }
        }
      });
    });
  });

  describe('decide alike', () => {
    const carriers: Record<string, (facts: Open) => unknown> = {
      'in plain objects': (facts) => facts,
      'without prototypes': (facts) => mapGroups(facts, (group) => Object.assign(Object.create(null), group)),
      frozen: (facts) => Object.freeze(mapGroups(facts, Object.freeze)),
      closed: (facts) => closed(mapGroups(facts, closed)),
      'behind getters': (facts) => behindGetters(facts as unknown as Facts, facts as unknown as Facts),
      'behind proxies': (facts) => behindProxies(facts as unknown as Facts, facts as unknown as Facts),
      'in instances of a class, the names in another order': (facts) =>
        Object.assign(
          new (class Carrier {
            get isAdmin() {
              return true;
            }
          })(),
          Object.fromEntries(Object.entries(facts).reverse()),
        ),
    };
    for (const [title, carry] of Object.entries(carriers)) {
      it(title, () => {
        forMany((facts) =>
          expect(decide(policy, carry(facts) as Facts)).to.deep.equal(decide(policy, facts as unknown as Facts)),
        );
      });
    }

    it('with a polluted Object.prototype', () => {
      const polluted = Object.prototype as unknown as Record<string, unknown>;
      forMany((facts) => {
        const want = decide(policy, facts as unknown as Facts);
        Object.assign(polluted, { exceeded: false, status: 'active', eft: 'allow', p_eft: 'allow', r_key: {} });
        try {
          expect(decide(policy, facts as unknown as Facts)).to.deep.equal(want);
          const { limit: _, ...rest } = facts;
          refuses({ ...rest, limit: {} });
        } finally {
          for (const name of ['exceeded', 'status', 'eft', 'p_eft', 'r_key']) delete polluted[name];
        }
      });
    });
  });

  describe('that change while they are read', () => {
    it('are decided as they were at the first read: never a mixture of two records', () => {
      fc.assert(
        fc.property(possible, possible, (first, later) => {
          const want = decide(policy, first);
          expect(decide(policy, behindGetters(first, later))).to.deep.equal(want);
          expect(decide(policy, behindProxies(first, later))).to.deep.equal(want);
        }),
        times(500),
      );
    });

    it('are refused where no single read is consistent', () => {
      const active = open(all.find((facts) => decide(policy, facts).effect === 'allow') as Facts);
      refuses({ ...active, user: withGetter({ ...active['user'] }, 'status', once('unknown', 'active')) });
    });
  });
});
