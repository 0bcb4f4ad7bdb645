/** Facts that are missing, of another type, or ambiguous, and a rule that throws: 503, never an allow, never a denial. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { authorizer, promised } from '../../src/authorize.ts';
import { loadConfig } from '../../src/config.ts';
import { createToken, digestOf } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { databaseFailure } from '../../src/db/failure.ts';
import { deadlineIn } from '../../src/deadline.ts';
import type { Failure } from '../../src/errors.ts';
import { createCache } from '../../src/facts/cache.ts';
import { createFreshness } from '../../src/facts/freshness.ts';
import { factsLoader, type Known } from '../../src/facts/load.ts';
import { createLimits } from '../../src/limits/limits.ts';
import { createLog } from '../../src/log.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { loadPolicy } from '../../src/rollout/folder.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey, UNLIMITED } from '../support/service.ts';

const pepper = { id: 'test', secret: Buffer.alloc(32, 7) };
const apiKey = createToken('apiKey');
const ROW = {
  seq: 7,
  standby: false,
  asked: 0,
  digest: digestOf(pepper, apiKey),
  'key.id': 'k',
  'key.status': 'active',
  'key.userManagement': false,
  'key.environment': 'production',
  'user.id': 'ann',
  'user.status': 'active',
  'user.businesses': 'active',
  'target.status': 'active',
  'target.role': 'owner',
  'target.inRestriction': true,
  key_attributes: '{"can": ["sms"]}',
  user_attributes: null,
  target_attributes: '{}',
  limit_requests: 1,
  limit_window_seconds: 1,
  expires: null,
};
/** The row that is returned when no key is found. */
const NONE = { seq: 7, standby: false, asked: null, digest: null };
/** Columns that may hold any text. */
const TEXTS = ['key.id', 'user.id', 'key.environment'];
const ODD = [
  undefined,
  null,
  0,
  1,
  '',
  'yes',
  'ACTIVE',
  'admin',
  [],
  {},
  ['active'],
  new String('active'),
  new Date(0),
];

const BOUNDS = { count: 10, bytes: 2 ** 20 };

let policy: Policy;
before(async () => {
  policy = await loadPolicy(loadConfig({}).POLICY_DIR);
});

/** The code of the decision or failure for the key `asked` on the business 42. */
async function codeOn(db: Knex, asked: string, using = policy): Promise<string | undefined> {
  let recorded = 0;
  const { consume } = await createLimits({ fallback: UNLIMITED, redis: undefined }, createLog('silent'));
  const authorizeThen = authorizer({
    loadFacts: factsLoader(db, [pepper], (read) => read(), createCache<Known>(createFreshness(), BOUNDS)),
    loadNamed: async () => [],
    consume,
    moments: { momentFor: Date.now },
    freezes: { current: () => () => undefined },
    livePolicy: () => using,
    compare: () => undefined,
    enqueue: (entries, _deadline, settle) => {
      recorded += entries.length;
      settle();
    },
    fingerprintOf: () => '',
    noteUse: () => undefined,
    noteUnregistered: () => undefined,
  });
  const question = { apiKey: asked, action: 'call:create', businessId: '42', context: {} };
  try {
    return (await promised(authorizeThen)('caller', [question], deadlineIn(5000)))[0]?.code;
  } catch (error) {
    expect(recorded).to.equal(0);
    const { code, cause } = error as Failure;
    // What the database throws is named by the breaker, which is left out here.
    return code === 'INTERNAL' ? databaseFailure(cause).code : code;
  }
}

describe('a decision on rows that no PostgreSQL of ours returns', () => {
  /** A stand-in for Knex with what the loader calls of it. */
  const returning = (...rows: object[]): Knex => {
    const answer = Object.assign(Promise.resolve({ rows }), { on: () => answer, options: () => answer });
    return { raw: () => answer } as unknown as Knex;
  };
  const codeOnRows = (...rows: object[]) => codeOn(returning(...rows), apiKey);

  it('is made while they are valid', async () => {
    expect(await codeOnRows(ROW)).to.equal('OK');
    expect(await codeOnRows(NONE)).to.equal('INVALID_API_KEY');
    expect(await codeOnRows({ ...ROW, expires: 4e12 })).to.equal('OK');
  });

  for (const column of Object.keys(ROW)) {
    it(`fails at any other ${column}`, async () => {
      const { [column as 'target.role']: sound, ...lacking } = ROW;
      expect(await codeOnRows(lacking), 'none').to.equal('UNAVAILABLE');
      for (const value of ODD) {
        if (
          value === sound ||
          (value === null && column.endsWith('_attributes')) ||
          (typeof value === 'number' && ['seq', 'expires'].includes(column)) ||
          (TEXTS.includes(column) && typeof value === 'string')
        )
          continue;
        if (column === 'target.role' && typeof value === 'string') {
          // One that the policy does not declare.
          expect(await codeOnRows({ ...ROW, [column]: value }), value).to.equal('PERMISSION_DENIED');
          continue;
        }
        expect(await codeOnRows({ ...ROW, [column]: value }), String(value)).to.equal('UNAVAILABLE');
      }
    });
  }

  it('fails without a row, and at a row without values', async () => {
    expect(await codeOnRows()).to.equal('UNAVAILABLE');
    expect(await codeOnRows({ ...NONE, standby: true })).to.equal('UNAVAILABLE');
    expect(await codeOnRows({ ...NONE, digest: ROW.digest })).to.equal('UNAVAILABLE');
    expect(await codeOnRows(ROW, NONE)).to.equal('UNAVAILABLE');
  });

  it('fails at a row for another key, for a question that was not asked, and at two rows for one', async () => {
    expect(await codeOnRows({ ...ROW, digest: digestOf(pepper, createToken('apiKey')) })).to.equal('UNAVAILABLE');
    expect(await codeOnRows({ ...ROW, asked: 1 })).to.equal('UNAVAILABLE');
    expect(await codeOnRows({ ...ROW, 'key.status': 'revoked' }, ROW)).to.equal('UNAVAILABLE');
  });

  it('fails alone: the others that the same statement asked for are decided', async () => {
    const keys = ['a', 'b', 'c', 'd', 'e'].map(() => createToken('apiKey'));
    const rows = keys.map((key, asked) => ({ ...ROW, asked, digest: digestOf(pepper, key) }));
    const [, limited, twice, other] = rows;
    const db = returning(
      ...rows.slice(0, 1),
      { ...limited, limit_requests: 0 },
      { ...twice },
      { ...twice },
      { ...other, digest: ROW.digest },
      ...rows.slice(4),
    );
    const cache = createCache<Known>(createFreshness(), BOUNDS);
    const load = factsLoader(db, [pepper], (read) => read(), cache);
    const outcomes = await Promise.all(
      keys.map(async (key) => {
        try {
          const [known] = await load([{ apiKey: key, action: 'call:create', businessId: '42' }], deadlineIn(5000));
          return known?.key.id;
        } catch (error) {
          return databaseFailure(error).code;
        }
      }),
    );
    expect(outcomes).to.deep.equal(['k', 'UNAVAILABLE', 'UNAVAILABLE', 'UNAVAILABLE', 'k']);
  });

  it('fails when a rule throws, when none matches, and when Casbin disagrees with the matched row', async () => {
    const row = policy.rows.find(({ effect }) => effect === 'allow');
    const matches: Policy['match'][] = [
      () => {
        throw new TypeError('a rule throws');
      },
      () => ({ row: undefined, allowed: true }),
      () => ({ row: undefined, allowed: false }),
      () => ({ row, allowed: false }),
    ];
    for (const match of matches)
      expect(await codeOn(returning(ROW), apiKey, { ...policy, match })).to.equal('UNAVAILABLE');
  });
});

describe('a decision on tables whose schema was changed', () => {
  let db: Knex;
  let key: string;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
    await db('users').insert({ id: 'ann' });
    await db('businesses').insert({ id: '42' });
    await db('business_members').insert({ business_id: '42', user_id: 'ann', role: 'owner' });
    key = await insertKey({ db, pepper }, { id: 'k', user_id: 'ann' });
  });
  after(() => db?.destroy());

  const CHANGES: Readonly<Record<string, string>> = {
    'a null role': 'alter table business_members alter role drop not null; update business_members set role = null',
    'a permission that is null': `alter table api_keys alter allow_user_management drop not null;
      update api_keys set allow_user_management = null`,
    'a permission that is a text': 'alter table api_keys alter allow_user_management type text',
    'a restriction that is null': `alter table api_keys alter restricted drop not null;
      update api_keys set restricted = null`,
    'a null environment': `alter table api_keys alter environment drop not null;
      update api_keys set environment = null`,
    'a number as environment': `alter table api_keys drop constraint api_keys_environment_check;
      alter table api_keys alter environment type integer using 1`,
    'two memberships': `alter table business_members drop constraint business_members_pkey;
      insert into business_members values ('42', 'ann', 'member')`,
    'a key that is there twice': `alter table api_keys rename to kept;
      create view api_keys as select * from kept union all select * from kept`,
    'attributes that are no object': `alter table api_keys alter attributes type jsonb;
      update api_keys set attributes = '["sms"]'`,
    'no table of keys': 'drop table api_keys cascade',
    'no column for what revokes': 'alter table api_keys drop column revoked_at cascade',
  };

  for (const [name, change] of Object.entries(CHANGES)) {
    it(`fails at ${name}`, async () => {
      const trx = await db.transaction();
      try {
        expect(await codeOn(trx, key)).to.equal('OK');
        // The views of auditors keep the columns that they show from being altered.
        await trx.raw(`drop view audited_values, audited_keys, audited_members; ${change}`);
        expect(await codeOn(trx, key)).to.equal('UNAVAILABLE');
      } finally {
        await trx.rollback();
      }
    });
  }
});
