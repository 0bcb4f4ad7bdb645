/** An import in either form: atomic and idempotent. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken, digestOf } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { base, linesOf, load, pepper, rowsOf } from './imports.ts';

for (const postgres of POSTGRES) {
  describe(`an import on ${postgres}`, function () {
    this.timeout(60_000);
    let db: Knex;

    beforeEach(async () => {
      db = connect({ url: await newDatabase(postgres), poolSize: 3 });
    });
    afterEach(() => db.destroy());

    const keyRow = (id = 'k1') => db('api_keys').where({ id }).first();

    it('loads everything, and returns generated keys in clear', async () => {
      const { counts, generated } = await load(db, base());
      expect(counts.users).to.deep.equal({ created: 2, changed: 0, left: 0 });
      expect(generated.map(({ id }) => id)).to.deep.equal(['k1']);
      const apiKey = generated[0]?.apiKey ?? '';
      const row = await keyRow();
      expect(row.digest.equals(digestOf(pepper, apiKey))).to.equal(true);
      expect(row).to.include({
        user_id: 'u1',
        restricted: true,
        environment: 'production',
        allow_user_management: true,
        pepper_id: 'p',
        hint: `${apiKey.slice(0, 9)}...${apiKey.slice(-4)}`,
      });
      expect(await db('api_key_businesses')).to.deep.equal([{ key_id: 'k1', business_id: 'b1' }]);
      expect((await db('businesses').where({ id: '7' }).first()).disabled_at).to.be.instanceOf(Date);
    });

    it('leaves one event, one for each entry, and one change, and none when nothing changes', async () => {
      const { counts } = await load(db, base());
      const [event, ...entries] = await db('admin_events').orderBy('seq');
      expect(event).to.include({ actor: 'test', action: 'directory.import', subject_kind: 'directory', before: null });
      expect([event.subject_id, event.after]).to.deep.equal(['directory.json', { ...counts, events: 7 }]);
      expect(entries.map(({ action, subject_id }) => `${action} ${subject_id}`)).to.deep.equal([
        'business.create 7',
        'business.create b1',
        'key.create k1',
        'member.create 7/u1',
        'member.create b1/u1',
        'user.create u1',
        'user.create u2',
      ]);
      expect(entries[2]).to.deep.include({ before: null, subject_kind: 'key' });
      expect(entries[2].after).to.deep.include({
        id: 'k1',
        userId: 'u1',
        restrictedBusinessIds: ['b1'],
        revokedAt: null,
      });
      const columns = ['seq', 'kind', 'id', 'digest'];
      expect(await db('changes').select(columns)).to.deep.equal([{ seq: '1', kind: '*', id: '', digest: null }]);
      const before = await rowsOf(db);
      const again = await load(db, linesOf(base()).reverse());
      expect(again.generated).to.deep.equal([]);
      expect(Object.values(again.counts).map(({ left }) => left)).to.deep.equal([2, 2, 2, 1]);
      expect(await rowsOf(db)).to.deep.equal(before);
    });

    it('says of each entry what it was and what it is, and of no other', async () => {
      await load(db, base());
      await load(db, { ...base({ restrictedBusinessIds: ['7'], friendlyName: 'Other' }), members: [] });
      const [summary, ...entries] = await db('admin_events').where('seq', '>', 8).orderBy('seq');
      expect([summary.action, summary.after.events]).to.deep.equal(['directory.import', 1]);
      expect(entries.map(({ action, subject_id }) => [action, subject_id])).to.deep.equal([['key.update', 'k1']]);
      const { before, after } = entries[0];
      expect([before.restrictedBusinessIds, before.friendlyName]).to.deep.equal([
        ['b1'],
        base().apiKeys[0]?.friendlyName,
      ]);
      expect(after).to.deep.equal({ ...before, restrictedBusinessIds: ['7'], friendlyName: 'Other' });
    });

    it('updates rows that differ, and leaves rows that it does not name', async () => {
      await load(db, base());
      await db('users').insert({ id: 'elsewhere' });
      const next = base({ restrictedBusinessIds: ['7'], friendlyName: 'Other' });
      const { counts } = await load(db, {
        ...next,
        users: [{ id: 'u1', rateLimit: { requests: 11, windowSeconds: 60 } }, { id: 'u2' }],
      });
      expect(counts.users).to.deep.equal({ created: 0, changed: 2, left: 0 });
      expect(counts.apiKeys).to.deep.equal({ created: 0, changed: 1, left: 0 });
      expect(await db('api_key_businesses')).to.deep.equal([{ key_id: 'k1', business_id: '7' }]);
      expect(await db('users').where({ id: 'u2' }).first()).to.include({ disabled_at: null, disabled_reason: null });
      expect(await db('users').where({ id: 'elsewhere' })).to.have.length(1);
    });

    it('changes attributes and roles alone, the version of a key with them, and resets attributes that are left out', async () => {
      const directory = (can: string[], region: string, plan: string, role: string) => ({
        users: [{ id: 'u1', attributes: { plan } }],
        businesses: [{ id: 'b1', attributes: { region } }],
        members: [{ businessId: 'b1', userId: 'u1', role }],
        apiKeys: [{ ...base().apiKeys[0], attributes: { can } }],
      });
      const stored = async () =>
        Promise.all(['users', 'businesses', 'api_keys'].map(async (table) => (await db(table).first()).attributes));
      const changed = ({ counts }: Awaited<ReturnType<typeof load>>) =>
        Object.values(counts).map((count) => count.changed);
      await load(db, directory(['sms'], 'eu', 'pro', 'viewer'));
      expect(await stored()).to.deep.equal([{ plan: 'pro' }, { region: 'eu' }, { can: ['sms'] }]);
      const next = directory(['sms', 'recordings'], 'us', 'free', 'owner');
      expect(changed(await load(db, next))).to.deep.equal([1, 1, 1, 1]);
      expect(await stored()).to.deep.equal([{ plan: 'free' }, { region: 'us' }, { can: ['recordings', 'sms'] }]);
      expect((await keyRow()).version).to.equal('2');
      expect(changed(await load(db, linesOf(next)))).to.deep.equal([0, 0, 0, 0]);
      const reset = { ...base(), users: [{ id: 'u1' }], businesses: [{ id: 'b1' }, { id: 7 }] };
      await load(db, reset);
      expect(await stored()).to.deep.equal([{}, {}, {}]);
    });

    it('recognises a key given in clear under any pepper', async () => {
      const apiKey = createToken('apiKey');
      expect((await load(db, base({ apiKey }))).generated).to.deep.equal([]);
      expect((await keyRow()).digest.equals(digestOf(pepper, apiKey))).to.equal(true);
      const older = { id: 'old', secret: randomBytes(32) };
      await db('api_keys').update({ digest: digestOf(older, apiKey), pepper_id: 'old' });
      const { counts } = await load(db, base({ apiKey }), 'json', [pepper, older]);
      expect(counts.apiKeys).to.deep.equal({ created: 0, changed: 0, left: 1 });
    });

    it('never makes a revoked, expired or rotated key usable again', async () => {
      await load(db, base());
      const expiresAt = '2999-01-01T00:00:00.000Z';
      for (const state of [{ revoked_at: '2026-01-01' }, { revoked_at: null, expires_at: '2026-01-01' }]) {
        await db('api_keys').where({ id: 'k1' }).update(state);
        const { revoked_at, expires_at } = await keyRow();
        await load(db, base({ expiresAt }));
        expect((await keyRow()).revoked_at).to.deep.equal(revoked_at);
        if (state.revoked_at === null) expect((await keyRow()).expires_at).to.deep.equal(expires_at);
      }
      const soon = new Date(Date.now() + 60_000);
      await db('api_keys').where({ id: 'k1' }).update({ expires_at: soon });
      await db.raw(`insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment, rotated_from)
        select 'k2', user_id, friendly_name, sha256('x'), pepper_id, hint, false, restricted, environment, id from api_keys`);
      await load(db, base({ expiresAt }));
      expect((await keyRow()).expires_at).to.deep.equal(soon);
    });

    it('waits for a concurrent import, and creates each key once', async () => {
      const both = await Promise.all([load(db, base()), load(db, linesOf(base()))]);
      expect(both.map(({ counts }) => counts.apiKeys.created).sort()).to.deep.equal([0, 1]);
      expect(both.flatMap(({ generated }) => generated)).to.have.length(1);
    });

    it('loads and updates a key that is restricted to 10,000 businesses', async () => {
      const ids = Array.from({ length: 10_000 }, (_, n) => String(n).padStart(64, 'b'));
      const directory = (restrictedBusinessIds: readonly string[]) =>
        linesOf({
          apiKeys: [{ ...base().apiKeys[0], restrictedBusinessIds }],
          members: ids.map((businessId) => ({ businessId, userId: 'u1', role: 'member' })),
          businesses: ids.map((id) => ({ id })),
          users: [{ id: 'u1' }],
        });
      await load(db, directory(ids));
      expect(await db('api_key_businesses').count('*')).to.deep.equal([{ count: '10000' }]);
      const { counts } = await load(db, directory(ids.slice(1)));
      expect(counts).to.deep.include({
        members: { created: 0, changed: 0, left: 10_000 },
        apiKeys: { created: 0, changed: 1, left: 0 },
      });
      expect(await db('api_key_businesses').count('*')).to.deep.equal([{ count: '9999' }]);
    });
  });
}
