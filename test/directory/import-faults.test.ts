/** Imports that are refused: every bad entry is named, and nothing is loaded. One PostgreSQL version suffices here. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { newDatabase } from '../support/postgres.ts';
import { base, type Directory, expectFaults, faultsOf, load, NOTHING, rowsOf } from './imports.ts';

describe('a bad import', function () {
  this.timeout(60_000);
  let db: Knex;

  beforeEach(async () => {
    db = connect({ url: await newDatabase(), poolSize: 3 });
  });
  afterEach(() => db.destroy());

  it('is refused as a document, with the path of every bad entry', async () => {
    const taken = createToken('apiKey');
    await load(db, base({ apiKey: taken }));
    const before = await rowsOf(db);
    const bad: readonly (readonly [Directory | string, ...string[]])[] = [
      [
        {
          users: [{ id: 'ok' }, { id: 'not ok' }, { id: 'ok2', age: 3 }, { name: 'x' }],
          businesses: [{ id: '.' }, { id: '..' }, { id: '...' }],
        },
        'users[1].id:',
        'users[2].age:',
        'users[3].id:',
        'users[3].name:',
        'businesses[0].id:',
        'businesses[1].id:',
      ],
      [
        { users: [{ id: 'a' }, { id: 'a' }, { id: '1' }, { id: 1 }, { id: 'a' }] },
        'users[1]: is the same as users[0]',
        'users[3]: is the same as users[2]',
        'users[4]: is the same as users[0]',
      ],
      [{ users: [{ id: 'a' }, { id: 'a' }, { id: '' }] }, 'users[2].id:', 'users[1]: is the same as users[0]'],
      [
        {
          ...base(),
          businesses: [{ id: 'b1' }, { id: 'b1' }, { id: '7' }],
          members: [...base().members, ...base().members],
        },
        'businesses[1]: is the same as businesses[0]',
        'members[2]: is the same as members[0]',
        'members[3]: is the same as members[1]',
      ],
      [
        {
          apiKeys: [1, 2].map((n) => ({ ...base().apiKeys[0], id: n, apiKey: createToken('apiKey') })),
          members: [{}],
        },
        'members[0].businessId:',
        'members[0].userId:',
        'members[0].role:',
      ],
      [
        { apiKeys: ['x', 'y'].map((id) => ({ ...base().apiKeys[0], id, apiKey: taken })) },
        'apiKeys[1].apiKey: is the same as that of apiKeys[0]',
      ],
      [{ users: [{ id: 'a', disabledReason: 'why' }] }, 'users[0].disabledReason:'],
      [
        { users: [{ id: 'a', rateLimit: { requests: 0, windowSeconds: 86401 } }] },
        'users[0].rateLimit.requests:',
        'users[0].rateLimit.windowSeconds:',
      ],
      [
        {
          users: [
            { id: 'a', attributes: { plan: 'gold', size: 'xl' } },
            { id: 'b', attributes: [] },
          ],
          businesses: [{ id: 'b1', attributes: { region: ['eu'] } }],
          members: [{ businessId: 'b1', userId: 'u1', role: 'admin' }],
          apiKeys: [{ ...base().apiKeys[0], attributes: { can: ['sms', 'sms'], plan: 'pro' } }],
        },
        'users[0].attributes.plan: must be free or pro',
        'users[0].attributes.size: facts.yaml of the policy declares only plan here',
        'users[1].attributes: must be an object',
        'businesses[0].attributes.region: must be eu or us',
        'members[0].role: must be owner, member or viewer',
        'apiKeys[0].attributes.can: names one of these twice',
        'apiKeys[0].attributes.plan: facts.yaml of the policy declares only can and beta here',
      ],
      [{ members: [{ businessId: 'b1', userId: 'u1', role: 'none' }] }, 'members[0].role: must be owner, member or'],
      [
        {
          members: [
            { businessId: 'nope', userId: 'u1', role: 'owner' },
            { businessId: 'b1', userId: 'nope', role: 'owner' },
          ],
        },
        'members[0].businessId:',
        'members[1].userId:',
      ],
      [base({ id: 'k9', userId: 'nope' }), 'apiKeys[0].userId:', 'apiKeys[0].restrictedBusinessIds[0]:'],
      [base({ restrictedBusinessIds: [] }), 'apiKeys[0].restrictedBusinessIds:'],
      [base({ restrictedBusinessIds: ['b1', 'b1', 'nope'] }), 'apiKeys[0].restrictedBusinessIds[1]:'],
      [base({ restrictedBusinessIds: ['7', 7] }), 'apiKeys[0].restrictedBusinessIds[1]:'],
      [
        base({ restrictedBusinessIds: ['b1', 'nope', 'nor'] }),
        'apiKeys[0].restrictedBusinessIds[1]:',
        'apiKeys[0].restrictedBusinessIds[2]:',
      ],
      [base({ friendlyName: 'a\u202eb' }), 'apiKeys[0].friendlyName:'],
      [base({ expiresAt: 'tomorrow', environment: 'Prod' }), 'apiKeys[0].environment:', 'apiKeys[0].expiresAt:'],
      [base({ apiKey: `${taken.slice(0, -1)}!` }), 'apiKeys[0].apiKey:'],
      [base({ apiKey: createToken('apiKey') }), 'apiKeys[0].apiKey: the database has another'],
      [base({ id: 'k9', apiKey: taken }), 'apiKeys[0].apiKey: this API key belongs'],
      [
        '{"users":[{"id":"a","id":"b"}], "businesses":[{"id":1.5},{"id":"\\u0000"}]}',
        'users[0].id: this key',
        'businesses[0].id:',
        'businesses[1].id:',
      ],
      ['{"users":[{"id":"!"}], "businesses":{}, "keys":[]}', 'businesses: must be a list', 'keys:', 'users[0].id:'],
      ['[]', '(document):'],
      ['null', '(document):'],
      ['{"users":', '(document): this is not valid JSON'],
      ['', '(document): there is nothing here'],
      [
        '\ufeff{"users":[{"id":"u1"}]}',
        '(document): begins with a byte order mark (U+FEFF); save it as UTF-8 without one',
      ],
    ];
    for (const [document, ...wanted] of bad) {
      expect((await faultsOf(db, document, 'json')).join()).to.not.include(taken);
      await expectFaults(wanted, db, document, 'json');
    }
    expect(await rowsOf(db)).to.deep.equal(before);
  });

  it('is refused as JSON lines, with the number of every bad line', async () => {
    const key = { id: 'k', userId: 'u', friendlyName: 'k', allowUserManagementApiRequests: false };
    const bad: readonly (readonly [readonly string[], ...string[]])[] = [
      [
        [
          '{"user": {"id": "u"}}',
          '',
          '{"user": {"id": "not ok"}}',
          '{"people": {}}',
          '{"user": {"id": "a"}, "business": {"id": "b"}}',
        ],
        'line 3: user.id: must be',
        'line 4: must be an object with one entry',
        'line 5: must be an object with one entry',
      ],
      [
        [
          '{"user": {"id": "u", "id": "v"}}',
          '[]',
          'null',
          '{}',
          '{"user":',
          '{"user": null}',
          '"\\ud800"',
          '{"users": []}',
        ],
        'line 1: user.id: this key stands here twice',
        'line 2: must be an object',
        'line 3: must be an object',
        'line 4: must be an object',
        'line 5: this is not valid JSON',
        'line 6: user:',
        'line 7: a lone surrogate',
        'line 8: must be an object',
      ],
      [
        ['{"user": {"id": "u"}}', ' \t\r', '{"business": {"id": "u"}}', '{"user": {"id": "u"}}\r'],
        'line 4: user: is the same as line 1',
      ],
      [
        [JSON.stringify({ apiKey: { ...key, restrictedBusinessIds: ['b'] } }), '{"business": {"id": "b"}}'],
        'line 1: apiKey.userId: there is no such entry',
        'line 1: apiKey.restrictedBusinessIds[0]: the user of this key has no access',
      ],
      [['', ' '], '(document): there is nothing here'],
      [['\ufeff{"user": {"id": "u"}}'], 'line 1: begins with a byte order mark (U+FEFF); save it as UTF-8 without one'],
      [
        [`{"user": {"id": "${'u'.repeat(1024 * 1024)}"}}`, '{"user": {"id": ""}}'],
        'line 1: is longer than 1 MiB',
        'line 2: user.id:',
      ],
      // A truncated file: all lines are good but the last.
      [
        [...Array.from({ length: 3000 }, (_, n) => `{"user": {"id": ${n}}}`), '{"user": {"id": 30'],
        'line 3001: this is not valid JSON',
      ],
    ];
    for (const [lines, ...wanted] of bad) await expectFaults(wanted, db, lines);
    expect(await rowsOf(db)).to.deep.equal(NOTHING);
  });

  it('names up to 10,000 faults and counts the rest', async () => {
    const repeated = Array.from({ length: 10_003 }, () => '{"user": {"id": "u"}}');
    for (const lines of [['{', ...repeated], repeated.map((line) => line.slice(1))]) {
      const faults = await faultsOf(db, lines);
      expect(faults).to.have.length(10_001);
      expect(faults.at(-1)).to.equal('(document): and 3 more, which are named once these are corrected');
    }
  });
});
