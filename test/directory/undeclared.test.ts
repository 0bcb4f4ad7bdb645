/** What is stored and not declared, counted in SQL, is what a count of every row in TypeScript gives. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { countUndeclared } from '../../src/directory/undeclared.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertKey } from '../support/service.ts';
import { DECLARATION, pepper } from './imports.ts';

type Stored = Record<string, unknown>;

/** Each pair of a name and a value that nothing declares, once for each row that has it. */
const UNDECLARED: Readonly<Record<string, (name: string, value: unknown) => boolean>> = {
  user: (name, value) => name !== 'plan' || (value !== 'free' && value !== 'pro'),
  business: (name, value) => name !== 'region' || (value !== 'eu' && value !== 'us'),
  key: (name, value) =>
    !(name === 'beta' && typeof value === 'boolean') && !(name === 'can' && Array.isArray(value) && value.length === 0),
};

function expected(of: string, rows: readonly Stored[]): string[] {
  const found: string[] = [];
  for (const row of rows) {
    for (const [name, value] of Object.entries(row)) {
      if (of === 'key' && name === 'can' && Array.isArray(value)) {
        for (const grant of value) if (grant !== 'sms' && grant !== 'recordings') found.push(`${of} can ${grant}`);
      } else if (UNDECLARED[of]?.(name, value)) {
        for (const one of Array.isArray(value) ? value : [value]) found.push(`${of} ${name} ${one}`);
      }
    }
  }
  return found;
}

describe('stored attributes and roles that are not declared', function () {
  this.timeout(60_000);
  let db: Knex;

  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
  });
  after(() => db?.destroy());

  it('are counted by name and value', async () => {
    const word = fc.constantFrom('free', 'pro', 'eu', 'sms', 'recordings', 'fax', "it's");
    const value = fc.oneof(word, fc.uniqueArray(word, { maxLength: 3 }), fc.boolean());
    const name = fc.constantFrom('plan', 'region', 'can', 'beta', 'old');
    const rows = fc.array(fc.dictionary(name, value, { maxKeys: 3 }), { maxLength: 4 });
    const roles = fc.array(fc.constantFrom('owner', 'member', 'viewer', 'auditor', 'boss'), { maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(rows, rows, rows, roles, async (users, businesses, keys, members) => {
        await db.raw('truncate users, businesses cascade');
        await db('users').insert([{ id: 'ann' }, ...users.map((attributes, n) => ({ id: `u${n}`, attributes }))]);
        await db('businesses').insert([
          ...members.map((_, n) => ({ id: `m${n}` })),
          { id: 'b' },
          ...businesses.map((attributes, n) => ({ id: `b${n}`, attributes })),
        ]);
        for (const attributes of keys) {
          const id = randomBytes(4).toString('hex');
          await insertKey({ db, pepper }, { id, user_id: 'ann', attributes });
        }
        for (const [n, role] of members.entries())
          await db('business_members').insert({ business_id: `m${n}`, user_id: 'ann', role });
        const counted = await countUndeclared(db, DECLARATION);
        const found = counted.flatMap((one) =>
          Array.from({ length: one.count }, () => `${one.of} ${one.name} ${one.value}`),
        );
        const wanted = [
          ...expected('user', users),
          ...expected('business', businesses),
          ...expected('key', keys),
          ...members.filter((role) => role === 'auditor' || role === 'boss').map((role) => `member role ${role}`),
        ];
        expect(found.sort()).to.deep.equal(wanted.sort());
        expect(counted.map(({ count }) => count)).to.deep.equal(
          counted.map(({ count }) => count).sort((a, b) => b - a),
        );
      }),
      { numRuns: 40 },
    );
  });
});
