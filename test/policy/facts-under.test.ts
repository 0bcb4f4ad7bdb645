/** The facts of a question under a policy: what is declared of what is stored and asked, and the same groups for the same. */

import { expect } from 'chai';
import fc from 'fast-check';
import { WITHOUT_ATTRIBUTES } from '../../src/facts/stored-facts.ts';
import type { Declaration, DeclaredValues } from '../../src/policy/declared/declaration.ts';
import { closed, type Facts, type Group } from '../../src/policy/facts.ts';
import { type Asked, bytesUnder, factsUnder, type Stored } from '../../src/policy/facts-under.ts';
import { BUILT_IN, type Schema, schemaOf } from '../../src/policy/schema.ts';
import { SEED, times } from '../policy/texts.ts';
import { ACTIVE, inheritsNothing } from '../support/facts.ts';

const values = (...list: string[]): DeclaredValues => ({ kind: 'values', values: list, withholds: false });
const YES_OR_NO: DeclaredValues = { kind: 'boolean', values: [], withholds: false };

const DECLARATION: Declaration = {
  attributes: {
    key: new Map([['can', { kind: 'grants', grants: ['sms', 'recordings'], withholds: false }]]),
    user: new Map([['plan', values('free', 'pro')]]),
    business: new Map([['region', values('eu', 'us')]]),
  },
  roles: ['viewer'],
  networks: [{ name: 'office', prefixes: ['203.0.113.0/24'], withholds: false }],
  schedules: [{ name: 'morning', days: [0, 1, 2, 3, 4, 5, 6], from: 480, to: 720, zone: 'Europe/Berlin', except: [] }],
  asked: new Map([
    ['soft', YES_OR_NO],
    ['state', values('on', 'off')],
  ]),
  actions: {
    strict: false,
    known: new Map([
      ['call:create', 'Start a call'],
      ['call:read', 'Look at a call'],
    ]),
    groups: new Map([['reads', ['call:read']]]),
  },
};
const schema = schemaOf(DECLARATION);

const NINE_IN_BERLIN = Date.parse('2026-07-01T07:00:00Z');
const MIDNIGHT_IN_BERLIN = Date.parse('2026-07-01T22:00:00Z');
const { key, user, target } = ACTIVE;
const stored = (attributes: Partial<Stored['stored']> = {}, over: Partial<Stored> = {}): Stored => ({
  key,
  user,
  target,
  stored: { ...WITHOUT_ATTRIBUTES, ...attributes },
  ...over,
});
const asked = (over: Partial<Asked> = {}): Asked => ({
  action: 'call:read',
  ip: undefined,
  attributes: undefined,
  moment: NINE_IN_BERLIN,
  ...over,
});
/** As plain objects, which chai compares. */
const plain = (facts: Facts): Record<string, Record<string, unknown>> => JSON.parse(JSON.stringify(facts));

describe('the facts of a question under a policy', () => {
  it('share a group of grants between all who have the same, in whatever order and whatever else is stored', () => {
    const can = (...grants: string[]) =>
      factsUnder(schema, stored({ key: { can: grants } }), asked()).key as unknown as Group;
    expect(can('sms', 'recordings')['can']).to.equal(can('recordings', 'fax', 'sms')['can']);
    expect(can()['can']).to.equal(can('fax')['can']);
    expect(can('sms')['can']).to.deep.equal(closed({ sms: true, recordings: false }));
    expect(can('sms')['can']).to.not.equal(can('recordings')['can']);
    expect(Object.isFrozen(can('sms')['can'])).to.equal(true);
  });

  it('are counted in the memory of what they are made of, by how many attributes are declared', () => {
    expect(bytesUnder(BUILT_IN)).to.equal(0);
    const many = new Map(Array.from({ length: 20 }, (_, n) => [`a${n}`, YES_OR_NO] as const));
    const larger = schemaOf({ ...DECLARATION, attributes: { ...DECLARATION.attributes, key: many } });
    expect(bytesUnder(larger) - bytesUnder(schema)).to.equal(19 * 75);
  });

  it('are what is declared of what is stored and asked', () => {
    const everything = stored({
      key: { can: ['sms', 'gone'], gone: 'x' },
      user: { plan: 'pro' },
      target: { region: 'us' },
    });
    const facts = plain(
      factsUnder(schema, everything, asked({ ip: '203.0.113.7', attributes: { soft: true, state: 'off' } })),
    );
    expect(facts).to.deep.equal({
      key: { ...key, can: { sms: true, recordings: false } },
      user: { ...user, plan: 'pro' },
      target: { ...target, region: 'us' },
      limit: { exceeded: false },
      request: { action: 'call:read', registered: true, addressed: true, byId: false, group: { reads: true } },
      freeze: { active: false },
      network: { office: true },
      schedule: { morning: true },
      asked: { soft: true, state: 'off' },
    });
  });

  it('are unknown or false where nothing is stored or asked, or it is not declared', () => {
    const odd: readonly (readonly [Partial<Stored['stored']>, Partial<Asked>])[] = [
      [{}, {}],
      [{ key: { can: 'sms' }, user: { plan: 'gold' }, target: { region: true } }, { attributes: { state: 'gone' } }],
      [
        { key: { can: [] }, user: { plan: ['pro'] }, target: { other: 'eu' } },
        { attributes: { soft: 'true', more: true } },
      ],
    ];
    for (const [attributes, over] of odd) {
      const moment = MIDNIGHT_IN_BERLIN;
      const facts = plain(factsUnder(schema, stored(attributes), asked({ action: 'call:wipe', moment, ...over })));
      expect(facts['key']?.['can']).to.deep.equal({ sms: false, recordings: false });
      expect([facts['user']?.['plan'], facts['target']?.['region']]).to.deep.equal(['unknown', 'unknown']);
      expect(facts['request']).to.include({ registered: false, addressed: false });
      expect(facts['request']?.['group']).to.deep.equal({ reads: false });
      expect([facts['network'], facts['schedule']]).to.deep.equal([{ office: false }, { morning: false }]);
      expect(facts['asked']).to.deep.equal({ soft: false, state: 'unknown' });
    }
  });

  it('know nothing of a key, a user or a target that there is not, whatever is stored', () => {
    const { nothingKnown } = BUILT_IN;
    const attributes = { key: { can: ['sms'] }, user: { plan: 'pro' }, target: { region: 'eu' } };
    const facts = factsUnder(schema, stored(attributes, nothingKnown), asked());
    expect(plain(facts)['key']?.['can']).to.deep.equal({ sms: false, recordings: false });
    expect(plain(facts)).to.deep.include({
      user: { ...nothingKnown.user, plan: 'unknown' },
      target: { ...nothingKnown.target, region: 'unknown' },
    });
    expect(() => schema.read(facts)).to.not.throw();
  });

  it('say of a role that is not declared that it is another', () => {
    const roleOf = (role: string, under: Schema) =>
      factsUnder(under, stored({}, { target: closed({ ...target, role: role as 'owner' }) }), asked()).target.role;
    for (const role of ['owner', 'member', 'none', 'other', 'viewer']) expect(roleOf(role, schema)).to.equal(role);
    for (const role of ['editor', 'Owner', '']) expect(roleOf(role, schema)).to.equal('other');
    for (const role of ['viewer', 'editor']) expect(roleOf(role, BUILT_IN)).to.equal('other');
    for (const role of ['owner', 'member', 'none']) expect(roleOf(role, BUILT_IN)).to.equal(role);
  });

  it('fail where the moment is not known, and only where there are schedules', () => {
    expect(() => factsUnder(schema, stored(), asked({ moment: undefined })))
      .to.throw()
      .with.property('code', 'UNAVAILABLE');
    expect(() => factsUnder(BUILT_IN, stored(), asked({ moment: undefined }))).to.not.throw();
  });

  it(`are the same frozen groups for the same, and facts of the schema (FC_SEED=${SEED})`, () => {
    const attributes = fc.record(
      {
        can: fc.subarray(['sms', 'recordings', 'x']),
        plan: fc.constantFrom('free', 'pro', 'x'),
        region: fc.constant('eu'),
      },
      { requiredKeys: [] },
    );
    const known = fc
      .tuple(attributes, attributes, attributes, fc.constantFrom('owner', 'viewer', 'editor'))
      .map(([ofKey, ofUser, ofTarget, role]) =>
        stored({ key: ofKey, user: ofUser, target: ofTarget } as Stored['stored'], {
          target: closed({ ...target, role: role as 'owner' }),
        }),
      );
    const question = fc.record({
      action: fc.constantFrom('call:read', 'call:create', 'call:wipe'),
      ip: fc.constantFrom(undefined, '203.0.113.7', '198.51.100.1', '::1'),
      attributes: fc.constantFrom(undefined, {}, { soft: true }, { soft: false, state: 'on' }, { state: 'gone' }),
      moment: fc.integer({ min: NINE_IN_BERLIN, max: MIDNIGHT_IN_BERLIN }),
    });
    const seen = new Map<string, Group>();
    fc.assert(
      fc.property(known, question, fc.boolean(), (each, asking, isDeclared) => {
        const under = isDeclared ? schema : BUILT_IN;
        const facts = factsUnder(under, each, asking);
        const again = factsUnder(under, each, { ...asking });
        for (const [name, group] of Object.entries(facts) as unknown as [string, Group][]) {
          expect((again as unknown as Record<string, unknown>)[name]).to.equal(group);
          expect([Object.isFrozen(group), inheritsNothing(group)]).to.deep.equal([true, true]);
          if (under !== schema || ['key', 'user', 'target'].includes(name)) continue;
          // Of what does not come from the cache there is one object for each value.
          const text = `${name} ${JSON.stringify(group)}`;
          expect(seen.get(text) ?? group).to.equal(group);
          seen.set(text, group);
        }
        expect(plain(under.read(facts))).to.deep.equal(plain(facts));
      }),
      times(1000),
    );
  });
});
