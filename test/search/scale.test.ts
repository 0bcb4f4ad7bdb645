/**
 * A page of a search reads as much among all members of a large business as among those of a small one: counted in blocks of the database, which
 * no other load changes.
 */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { type Found, searchBusinesses, searchSubjects } from '../../src/search/search.ts';
import { shippedPolicy } from '../policy/texts.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';

const MANY = amount(10_000, 50_000, 1_000_000);
const FEW = 1000;

interface Plan {
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
}

describe(`a page of a search among ${MANY}`, function () {
  this.timeout(amount(175_000, 175_000, 600_000));
  let db: Knex;
  let policy: Policy;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
    policy = await shippedPolicy();
    await db.raw(
      `insert into users (id) select 'u' || lpad(n::text, 7, '0') from generate_series(1, ?::int) n union all select 'everywhere'`,
      [MANY],
    );
    await db.raw(
      `insert into businesses (id) select 'b' || lpad(n::text, 7, '0') from generate_series(1, ?::int) n
      union all select unnest(array['small', 'large'])`,
      [MANY],
    );
    await db.raw(`insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment)
      select 'k-' || id, id, 'a key', sha256(id::text::bytea), 'test', '...', false, false, 'production' from users`);
    await db.raw(`insert into business_members (business_id, user_id, role)
      select 'large', id, 'member' from users where id <> 'everywhere'`);
    await db.raw(
      `insert into business_members (business_id, user_id, role)
      select 'small', id, 'member' from users where id <= 'u' || lpad(?::text, 7, '0') and id <> 'everywhere'`,
      [FEW],
    );
    await db.raw(`insert into business_members (business_id, user_id, role)
      select id, 'everywhere', 'owner' from businesses where id like 'b%'`);
    await db.raw(
      `insert into business_members (business_id, user_id, role)
      select id, 'u0000001', 'owner' from businesses where id like 'b%' and id <= 'b' || lpad(?::text, 7, '0')`,
      [FEW],
    );
    await db.raw('vacuum analyze');
  });
  after(() => db?.destroy());

  /** The blocks that the last statement of a search reads when it is run again, and the milliseconds that it takes. */
  const costOf = async (search: () => Promise<Found>): Promise<{ blocks: number; ms: number }> => {
    let last: { sql: string; bindings: readonly unknown[] } | undefined;
    const note = (query: { sql: string; bindings: readonly unknown[] }): void => {
      last = query;
    };
    db.on('query', note);
    expect(await search()).to.have.length(101);
    db.removeListener('query', note);
    if (!last) throw new Error('nothing was asked of the database');
    const text = last.sql.replace(/\$\d+/g, '?');
    const explained = await db.raw(`explain (analyze, buffers, format json) ${text}`, [
      ...last.bindings,
    ] as Knex.RawBinding[]);
    const [{ Plan: plan, 'Execution Time': ms }] = explained.rows[0]['QUERY PLAN'] as [
      { Plan: Plan; 'Execution Time': number },
    ];
    return { blocks: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], ms };
  };
  const question = { action: 'call:create', ip: undefined, attributes: undefined, moment: undefined, byId: true };
  const middle = (first: string): readonly string[] => [`${first}${String(FEW / 2).padStart(7, '0')}`];

  for (const [what, of] of [
    [
      'users',
      (business: string, after: readonly string[] | undefined) => () =>
        searchSubjects({ db, policy, question, place: { after, limit: 100 } }, 'user', business),
    ],
    [
      'keys',
      (business: string, after: readonly string[] | undefined) => () =>
        searchSubjects(
          { db, policy, question, place: { after: after && [...after, ''], limit: 100 } },
          'api_key',
          business,
        ),
    ],
  ] as const) {
    it(`of the ${what} of a business costs what it costs among ${FEW}`, async () => {
      for (const after of [undefined, middle('u')]) {
        const [small, large] = [await costOf(of('small', after)), await costOf(of('large', after))];
        console.log(`      ${what}: ${JSON.stringify({ small, large })}`);
        expect(large.blocks).to.be.below(2 * small.blocks + 200);
      }
    });
  }

  it(`of the businesses of a user, or a key, costs what it costs among ${FEW}`, async () => {
    const find = (named: { userId: string } | { keyId: string }, after: readonly string[] | undefined) => () =>
      searchBusinesses({ db, policy, question, place: { after, limit: 100 } }, named);
    for (const after of [undefined, middle('b')]) {
      for (const [few, many] of [
        [{ userId: 'u0000001' }, { userId: 'everywhere' }],
        [{ keyId: 'k-u0000001' }, { keyId: 'k-everywhere' }],
      ] as const) {
        const [small, large] = [await costOf(find(few, after)), await costOf(find(many, after))];
        console.log(`      businesses: ${JSON.stringify({ small, large })}`);
        expect(large.blocks).to.be.below(2 * small.blocks + 200);
      }
    }
  });
});
