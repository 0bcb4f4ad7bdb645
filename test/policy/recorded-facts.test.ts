/** Facts recorded by an older version: a fact that came later takes its default, any other deviation is refused. */

import { expect } from 'chai';
import fc from 'fast-check';
import { FACTS, FACTS_VERSION, type FactTable } from '../../src/policy/facts.ts';
import { addDefaults, readRecordedFacts, readWrittenFacts } from '../../src/policy/recorded-facts.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { factsWith, GROUPS, WITH_LATER_LIMIT, withoutLimit } from '../support/facts.ts';
import { SEED, times } from './texts.ts';

/** The table as it could be two versions from now: one more fact in an existing group, and a new group. */
const LATER: FactTable = {
  ...FACTS,
  key: {
    ...FACTS.key,
    tier: { type: ['free', 'paid', 'unknown'], none: 'unknown', since: FACTS_VERSION + 1, says: 'what is paid for it' },
  },
  curfew: { active: { type: 'boolean', none: false, since: FACTS_VERSION + 2, says: 'a curfew is in force' } },
};

const QUESTION = factsWith({ request: { action: 'call:create' } });

describe(`recorded facts (seed ${SEED})`, () => {
  it('of this version are read as they are', () => {
    const { facts, assumed } = readRecordedFacts(QUESTION, FACTS_VERSION, BUILT_IN);
    expect(facts).to.deep.equal(BUILT_IN.read(QUESTION));
    expect(assumed).to.deep.equal([]);
  });

  it('of an impossible version, or one newer than this, are refused with advice', () => {
    for (const version of [0, -1, 1.5, Number.NaN, FACTS_VERSION + 1]) {
      expect(() => readRecordedFacts(QUESTION, version, BUILT_IN), String(version)).to.throw(TypeError, /upgrade/);
    }
  });

  it('that lack one of their version are refused, whichever it is', () => {
    for (const group of GROUPS) {
      const { [group]: _, ...rest } = QUESTION;
      expect(() => readRecordedFacts(rest, FACTS_VERSION, BUILT_IN), group).to.throw(TypeError);
      expect(() => readRecordedFacts({ ...rest, [group]: {} }, FACTS_VERSION, BUILT_IN), group).to.throw(TypeError);
    }
  });

  it('take the default of each fact that came later, and say which', () => {
    const { groups, assumed, early } = addDefaults(QUESTION, FACTS_VERSION, LATER);
    expect(groups).to.deep.equal({
      ...QUESTION,
      key: { ...QUESTION.key, tier: 'unknown' },
      curfew: { active: false },
    });
    expect(assumed).to.deep.equal(['r.key.tier', 'r.curfew.active']);
    expect(early).to.deep.equal([]);
  });

  it('of a version between take only what came after it', () => {
    const recorded = { ...QUESTION, key: { ...QUESTION.key, tier: 'paid' } };
    const { groups, assumed } = addDefaults(recorded, FACTS_VERSION + 1, LATER);
    expect(groups).to.deep.equal({ ...recorded, curfew: { active: false } });
    expect(assumed).to.deep.equal(['r.curfew.active']);
  });

  it('that hold a fact which their version did not have are reported as such', () => {
    const forged = { ...QUESTION, curfew: { active: true } };
    const { groups, early } = addDefaults(forged, FACTS_VERSION, LATER);
    expect(early).to.deep.equal(['r.curfew.active']);
    expect(groups['curfew'], 'what is there is not overwritten').to.deep.equal({ active: true });
  });

  it('that hold a fact which their version did not have are refused, though it reads well', () => {
    const older = withoutLimit(QUESTION);
    for (const exceeded of [false, true])
      expect(() =>
        readRecordedFacts(factsWith({ limit: { exceeded } }, QUESTION), FACTS_VERSION, WITH_LATER_LIMIT),
      ).to.throw(TypeError, `version ${FACTS_VERSION} of the facts has no r.limit.exceeded`);
    const { facts, assumed } = readRecordedFacts(older, FACTS_VERSION, WITH_LATER_LIMIT);
    expect(facts).to.deep.equal(BUILT_IN.read(QUESTION));
    expect(assumed).to.deep.equal(['r.limit.exceeded']);
    expect(readRecordedFacts(QUESTION, FACTS_VERSION + 1, WITH_LATER_LIMIT).assumed).to.deep.equal([]);
  });

  it('that a person wrote down may leave out what came after version 1, and nothing else', () => {
    const older = withoutLimit(QUESTION);
    expect(readWrittenFacts(older, WITH_LATER_LIMIT)).to.deep.equal(BUILT_IN.read(QUESTION));
    expect(readWrittenFacts(QUESTION, WITH_LATER_LIMIT)).to.deep.equal(BUILT_IN.read(QUESTION));
    expect(() => readWrittenFacts(older, BUILT_IN)).to.throw(TypeError, 'limit');
    const { key: _, ...withoutKey } = QUESTION;
    expect(() => readWrittenFacts(withoutKey, WITH_LATER_LIMIT)).to.throw(TypeError, 'key');
  });

  it('are never modified', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.integer({ min: 1, max: FACTS_VERSION + 2 }), (value, version) => {
        const before = JSON.stringify(value);
        const { groups } = addDefaults(value, version, LATER);
        expect(JSON.stringify(value)).to.equal(before);
        if (typeof value === 'object' && value !== null && !Array.isArray(value))
          expect(groups).to.deep.include(
            Object.fromEntries(Object.entries(value).filter(([group]) => group !== 'key' && group !== 'freeze')),
          );
      }),
      times(500),
    );
  });
});
