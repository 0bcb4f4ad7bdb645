/** Which attributes and roles are accepted: held against an oracle that says it in another way, on random declarations and values. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { acceptAttributes, acceptRole, checkAttributes } from '../../src/directory/attributes.ts';
import { Failure } from '../../src/errors.ts';
import { attributesSchema } from '../../src/input/resources.ts';
import { validate } from '../../src/input/scalars.ts';
import {
  type Declaration,
  type DeclaredGrants,
  type DeclaredValues,
  NOTHING_DECLARED,
} from '../../src/policy/declared/declaration.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey } from '../support/service.ts';
import { DECLARATION, pepper } from './imports.ts';

/** Names that an object has from its prototype, and others. */
const NAMES = ['plan', 'can', 'constructor', '__proto__', 'to_string', 'a1'];
const WORDS = ['free', 'pro', 'sms', 'constructor', '__proto__', 'unknown', ''];

const words = fc.uniqueArray(fc.constantFrom(...WORDS.slice(0, 5)), { minLength: 1 });
const declared = fc.oneof(
  words.map((values) => ({ kind: 'values', values, withholds: false }) as const),
  words.map((grants) => ({ kind: 'grants', grants, withholds: false }) as const),
  fc.constant({ kind: 'boolean', values: [], withholds: false } as const),
);
const declaration = fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), declared), { selector: ([name]) => name }).map(
  (entries): Declaration => ({
    ...NOTHING_DECLARED,
    attributes: { ...NOTHING_DECLARED.attributes, user: new Map(entries) },
  }),
);
const word = fc.constantFrom(...WORDS);
const value = fc.oneof(
  word,
  fc.array(word, { maxLength: 3 }),
  fc.boolean(),
  fc.constantFrom(null, 1, {}, [['sms']], [1]),
);
/** As JSON gives it: `__proto__` is a field like any other. */
const given = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...NAMES), value), { selector: ([name]) => name })
  .map((entries) => JSON.parse(`{${entries.map(([name, one]) => `${JSON.stringify(name)}:${JSON.stringify(one)}`)}}`));

/** The oracle: every value that a declared attribute can have, in JSON, grants in every order. */
function possible(one: DeclaredValues | DeclaredGrants): Set<string> {
  if (one.kind !== 'grants') {
    return new Set(one.kind === 'boolean' ? ['true', 'false'] : one.values.map((text) => JSON.stringify(text)));
  }
  let lists: string[][] = [[]];
  for (let round = 0; round < one.grants.length; round += 1) {
    lists = [
      ...lists,
      ...lists.flatMap((list) => one.grants.filter((grant) => !list.includes(grant)).map((grant) => [...list, grant])),
    ];
  }
  return new Set(lists.map((list) => JSON.stringify(list)));
}

describe('attributes', () => {
  it('are accepted exactly if every one is declared, with a declared value, and are stored as they were given', () => {
    fc.assert(
      fc.property(declaration, given, (policy, attributes: Record<string, unknown>) => {
        const good = Object.keys(attributes).every((name) => {
          const one = policy.attributes.user.get(name);
          return one !== undefined && possible(one).has(JSON.stringify(attributes[name]));
        });
        const issues = checkAttributes(policy.attributes.user, attributes);
        expect(issues.length === 0).to.equal(good);
        if (!good) {
          expect(() => acceptAttributes(policy, 'user', attributes)).to.throw(Failure);
          expect(issues.every(({ path }) => path.startsWith('attributes.'))).to.equal(true);
          return;
        }
        const stored = acceptAttributes(policy, 'user', attributes);
        expect(Object.keys(stored)).to.deep.equal(Object.keys(attributes).sort());
        for (const name of Object.keys(stored)) {
          const [one, other] = [stored[name], attributes[name]].map((each) =>
            Array.isArray(each) ? each.toSorted() : each,
          );
          expect(one).to.deep.equal(other);
        }
        expect(acceptAttributes(policy, 'user', stored)).to.deep.equal(stored);
      }),
      { numRuns: 2000 },
    );
  });

  const refused: [given: object, path: string, says: string][] = [
    [{ plan: 'gold' }, 'attributes.plan', 'must be free or pro'],
    [{ plan: ['pro'] }, 'attributes.plan', 'must be free or pro'],
    [{ plan: null }, 'attributes.plan', 'must be free or pro'],
    [{ plan: 'pro', size: 'xl' }, 'attributes.size', 'declares only plan here'],
    [JSON.parse('{"__proto__": "pro"}'), 'attributes.__proto__', 'declares only plan here'],
    [{ [`k${'x'.repeat(40)}`]: 'pro' }, 'attributes.?', 'declares only plan here'],
  ];
  for (const [attributes, path, says] of refused) {
    it(`are refused with a path and what is declared: ${JSON.stringify(attributes)}`, () => {
      const issues = checkAttributes(DECLARATION.attributes.user, attributes as Record<string, unknown>);
      expect(issues.map((issue) => issue.path)).to.deep.equal([path]);
      expect(issues[0]?.message).to.include(says);
    });
  }

  it('of grants are a list of distinct ones', () => {
    const says = (can: unknown) => checkAttributes(DECLARATION.attributes.key, { can })[0]?.message;
    expect(says(['recordings', 'sms'])).to.equal(undefined);
    expect(says([])).to.equal(undefined);
    expect(says('sms')).to.equal('must be a list of any of sms and recordings');
    expect(says(['sms', 'fax'])).to.equal('must be a list of any of sms and recordings');
    expect(says(['sms', 'sms'])).to.include('twice');
    expect(acceptAttributes(DECLARATION, 'key', { can: ['sms', 'recordings'] })).to.deep.equal({
      can: ['recordings', 'sms'],
    });
  });

  it('are refused where they would not fit', () => {
    const grants = Array.from({ length: 400 }, (_, n) => `grant_${n}_${'x'.repeat(50)}`);
    const large = new Map([['can', { kind: 'grants', grants, withholds: false } as const]]);
    expect(checkAttributes(large, { can: grants.slice(0, 200) })).to.deep.equal([]);
    expect(checkAttributes(large, { can: grants })).to.deep.equal([
      { path: 'attributes', message: 'must have at most 16384 bytes as JSON' },
    ]);
  });

  it('are an object, and nothing else', () => {
    for (const odd of [null, [], 'plan', 1, true]) expect(() => validate(attributesSchema, odd)).to.throw(Failure);
  });
});

describe('a role', () => {
  it('is owner, member or a declared one', () => {
    for (const role of ['owner', 'member', 'viewer']) expect(acceptRole(DECLARATION, role)).to.equal(role);
    for (const role of ['none', 'other', 'Owner', 'boss', ''])
      expect(() => acceptRole(DECLARATION, role)).to.throw(Failure);
    expect(() => acceptRole(NOTHING_DECLARED, 'viewer')).to.throw(Failure);
    try {
      acceptRole(DECLARATION, 'boss');
    } catch (error) {
      expect((error as Failure).issues).to.deep.equal([{ path: 'role', message: 'must be owner, member or viewer' }]);
    }
  });
});

describe('the tables', () => {
  let db: Knex;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
    await db('users').insert({ id: 'ann' });
    await db('businesses').insert({ id: 'shop' });
    await insertKey({ db, pepper }, { id: 'k', user_id: 'ann' });
  });
  after(() => db?.destroy());

  for (const [table, id] of [
    ['users', 'ann'],
    ['businesses', 'shop'],
    ['api_keys', 'k'],
  ] as const) {
    it(`${table} take attributes that are an object of bounded size, and none by default`, async () => {
      const set = (json: string) => db(table).where({ id }).update({ attributes: json });
      expect(await db(table).where({ id }).first('attributes')).to.deep.equal({ attributes: {} });
      const most = { can: Array.from({ length: 230 }, (_, n) => `${n}_${'x'.repeat(64)}`) };
      expect(JSON.stringify(most).length).to.be.within(16_000, 16_384);
      await set(JSON.stringify(most));
      for (const odd of ['[]', '"a"', 'null', '1', JSON.stringify({ a: 'x'.repeat(32_768) })]) {
        expect(await rejection(set(odd)), odd).to.include({ code: '23514' });
      }
    });
  }

  it('take any role but those that facts have of their own', async () => {
    const insert = (role: string) => db('business_members').insert({ business_id: 'shop', user_id: 'ann', role });
    for (const odd of ['none', 'other', '', 'Owner', '1st', 'a-b', 'x'.repeat(65)]) {
      expect(await rejection(insert(odd)), odd).to.include({ code: '23514' });
    }
    await insert('x'.repeat(64));
  });
});
