/** `authz import` as a real process: all of a document or nothing of it, as often as one likes. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { createToken, digestOf } from '../../src/keys/token.ts';
import { authz } from '../support/cli.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';

const secret = randomBytes(32);
const KEY_PEPPERS = `p:${secret.toString('base64')}`;
const pepper = { id: 'p', secret };

const LISTS = ['users', 'businesses', 'business_members', 'api_keys', 'api_key_businesses'];

for (const postgres of POSTGRES) {
  describe(`authz import on ${postgres}`, function () {
    this.timeout(60_000);
    let folder: string;
    let url: string;
    let db: Knex;

    beforeEach(async () => {
      folder = await mkdtemp(path.join(tmpdir(), 'authz import '));
      url = await newDatabase(postgres);
      db = connect({ url, poolSize: 2 });
    });
    afterEach(async () => {
      await db.destroy();
      await rm(folder, { recursive: true, force: true });
    });

    /** Imports a value as JSON, or a text as it is. */
    const load = async (document: unknown) => {
      const file = path.join(folder, 'document.json');
      await writeFile(file, typeof document === 'string' ? document : JSON.stringify(document));
      const outcome = await authz(['import', file, '--json'], { DATABASE_URL: url, KEY_PEPPERS });
      return { ...outcome, report: outcome.code === 0 ? JSON.parse(outcome.stdout) : undefined };
    };
    const rowsOf = async (): Promise<Record<string, unknown[]>> =>
      Object.fromEntries(
        await Promise.all(
          LISTS.map(async (list) => [list, (await db.raw(`select * from ${list} order by 1, 2`)).rows]),
        ),
      );

    const base = (key: object = {}) => ({
      users: [
        { id: 'u1', rateLimit: { requests: 10, windowSeconds: 60 } },
        { id: 'u2', disabled: true, disabledReason: 'Closed.' },
      ],
      businesses: [{ id: 'b1' }, { id: 7, disabled: true }],
      members: [
        { businessId: 'b1', userId: 'u1', role: 'owner' },
        { businessId: 7, userId: 'u1', role: 'member' },
      ],
      apiKeys: [
        {
          id: 'k1',
          userId: 'u1',
          friendlyName: 'Büro 1',
          allowUserManagementApiRequests: true,
          restrictedBusinessIds: ['b1'],
          ...key,
        },
      ],
    });

    it('loads everything, and prints a generated key this once', async () => {
      const { code, report, stderr } = await load(base());
      expect(stderr).to.equal('');
      expect(code).to.equal(0);
      expect(report.counts.users).to.deep.equal({ created: 2, changed: 0, left: 0 });
      const [{ id, apiKey }] = report.generated;
      const row = await db('api_keys').where({ id }).first();
      expect(row.digest.equals(digestOf(pepper, apiKey))).to.equal(true);
      expect(row).to.include({
        user_id: 'u1',
        restricted: true,
        environment: 'production',
        allow_user_management: true,
        pepper_id: 'p',
      });
      expect(row.hint).to.equal(`${apiKey.slice(0, 9)}...${apiKey.slice(-4)}`);
      expect(await db('api_key_businesses')).to.deep.equal([{ key_id: 'k1', business_id: 'b1' }]);
      expect(await db('businesses').where({ id: '7' }).first())
        .to.have.property('disabled_at')
        .that.is.instanceOf(Date);
    });

    it('changes nothing the second time', async () => {
      await load(base());
      const before = await rowsOf();
      const { report } = await load(base());
      expect(await rowsOf()).to.deep.equal(before);
      expect(report.generated).to.deep.equal([]);
      expect(report.counts.apiKeys).to.deep.equal({ created: 0, changed: 0, left: 1 });
      expect(report.counts.members).to.deep.equal({ created: 0, changed: 0, left: 2 });
    });

    it('changes what differs, and leaves what is not named', async () => {
      await load(base());
      await db('users').insert({ id: 'elsewhere' });
      const next = base({ restrictedBusinessIds: ['7'], friendlyName: 'Other' });
      next.users = [{ id: 'u1', rateLimit: { requests: 11, windowSeconds: 60 } }, { id: 'u2' } as never];
      const { report } = await load(next);
      expect(report.counts.users).to.deep.equal({ created: 0, changed: 2, left: 0 });
      expect(report.counts.apiKeys).to.deep.equal({ created: 0, changed: 1, left: 0 });
      expect(await db('api_key_businesses')).to.deep.equal([{ key_id: 'k1', business_id: '7' }]);
      expect(await db('users').where({ id: 'u2' }).first()).to.include({ disabled_at: null, disabled_reason: null });
      expect(await db('users').where({ id: 'elsewhere' })).to.have.length(1);
    });

    it('adopts a key that is given in clear, under whatever pepper it is stored', async () => {
      const apiKey = createToken('apiKey');
      const first = await load(base({ apiKey }));
      expect(first.report.generated).to.deep.equal([]);
      expect(first.stdout + first.stderr).to.not.include(apiKey);
      const older = { id: 'old', secret: randomBytes(32) };
      await db('api_keys').update({ digest: digestOf(older, apiKey), pepper_id: 'old' });
      const file = path.join(folder, 'document.json');
      const peppers = `${KEY_PEPPERS},old:${older.secret.toString('base64')}`;
      const again = await authz(['import', file, '--json'], { DATABASE_URL: url, KEY_PEPPERS: peppers });
      expect(JSON.parse(again.stdout).counts.apiKeys).to.deep.equal({ created: 0, changed: 0, left: 1 });
    });

    it('never brings a revoked, expired or replaced key back', async () => {
      await load(base());
      const later = '2999-01-01T00:00:00.000Z';
      for (const state of [{ revoked_at: '2026-01-01' }, { revoked_at: null, expires_at: '2026-01-01' }]) {
        await db('api_keys').where({ id: 'k1' }).update(state);
        const before = await db('api_keys').where({ id: 'k1' }).first();
        await load(base({ expiresAt: later }));
        const { revoked_at, expires_at } = await db('api_keys').where({ id: 'k1' }).first();
        expect([revoked_at, state.revoked_at === null && expires_at]).to.deep.equal([
          before.revoked_at,
          state.revoked_at === null && before.expires_at,
        ]);
      }
      const soon = new Date(Date.now() + 60_000);
      await db('api_keys').where({ id: 'k1' }).update({ expires_at: soon });
      await db.raw(`insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment, rotated_from)
        select 'k2', user_id, friendly_name, sha256('x'), pepper_id, hint, false, restricted, environment, id from api_keys`);
      await load(base({ expiresAt: later }));
      expect((await db('api_keys').where({ id: 'k1' }).first()).expires_at).to.deep.equal(soon);
    });

    // What follows hangs on the document alone, so one server is enough for it.
    if (postgres !== POSTGRES[0]) return;

    it('loads nothing when anything is bad, and names every bad entry by its path', async () => {
      const taken = createToken('apiKey');
      await load(base({ apiKey: taken }));
      const before = await rowsOf();
      const bad: readonly (readonly [unknown, ...string[]])[] = [
        [
          { users: [{ id: 'ok' }, { id: 'not ok' }, { id: 'ok2', age: 3 }, { name: 'x' }] },
          'users[1].id:',
          'users[2].age:',
          'users[3].id:',
          'users[3].name:',
        ],
        [
          { users: [{ id: 'a' }, { id: 'a' }, { id: '1' }, { id: 1 }] },
          'users[1]: is the same as users[0]',
          'users[3]: is the same as users[2]',
        ],
        [{ users: [{ id: 'a', disabledReason: 'why' }] }, 'users[0].disabledReason:'],
        [
          { users: [{ id: 'a', rateLimit: { requests: 0, windowSeconds: 86401 } }] },
          'users[0].rateLimit.requests:',
          'users[0].rateLimit.windowSeconds:',
        ],
        [{ members: [{ businessId: 'b1', userId: 'u1', role: 'admin' }] }, 'members[0].role:'],
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
        [base({ restrictedBusinessIds: ['b1', 'nope'] }), 'apiKeys[0].restrictedBusinessIds[1]:'],
        [base({ friendlyName: 'a\u202eb' }), 'apiKeys[0].friendlyName:'],
        [base({ expiresAt: 'tomorrow', environment: 'Prod' }), 'apiKeys[0].expiresAt:', 'apiKeys[0].environment:'],
        [base({ apiKey: `${taken.slice(0, -1)}!` }), 'apiKeys[0].apiKey:'],
        [base({ apiKey: createToken('apiKey') }), 'apiKeys[0].apiKey: the database has another'],
        [base({ id: 'k9', apiKey: taken }), 'apiKeys[0].apiKey: this API key belongs'],
        [
          '{"users":[{"id":"a","id":"b"}], "businesses":[{"id":1.5},{"id":"\\u0000"}]}',
          'users[0].id: this key',
          'businesses[0].id:',
          'businesses[1].id:',
        ],
        ['[]', '(document):'],
        ['{"users":', '(document): this is not valid JSON'],
        ['', '(document): there is nothing here'],
      ];
      for (const [document, ...paths] of bad) {
        const { code, stderr } = await load(document);
        expect(code, JSON.stringify(document)).to.equal(1);
        for (const text of paths) expect(stderr).to.include(text);
        expect(stderr.split('\n').filter((line) => line.startsWith('  '))).to.have.length(paths.length, stderr);
        expect(stderr).to.not.include(taken);
      }
      expect(await rowsOf()).to.deep.equal(before);
    });

    it('reads standard input', async () => {
      const { code } = await authz(['import', '-'], { DATABASE_URL: url, KEY_PEPPERS }, JSON.stringify(base()));
      expect(code).to.equal(0);
      expect(await db('users')).to.have.length(2);
    });

    it('loads a large document, and refuses one over 64 MiB', async () => {
      const users = Array.from({ length: 30_000 }, (_, n) => ({ id: `u${n}` }));
      const apiKeys = users.map(({ id }) => ({
        id: `k-${id}`,
        userId: id,
        friendlyName: 'x',
        allowUserManagementApiRequests: false,
      }));
      const { report } = await load({ users, apiKeys });
      expect(report.counts.apiKeys.created).to.equal(30_000);
      const { code, stderr } = await load(`{"users":[]${' '.repeat(64 * 1024 * 1024)}}`);
      expect(code).to.equal(1);
      expect(stderr).to.include('64 MiB');
    });
  });
}
