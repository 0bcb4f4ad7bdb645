/** Imports of random directories, compared with a model in plain TypeScript. */

import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { createToken, digestOf } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { linesOf, load, pepper, rowsOf } from './imports.ts';
import { type ApiKey, FUTURE, importInto, type Member, type Model, PAST, readModel, type Sample } from './model.ts';

const IDS = ['k0', 'k1', 'k2', 'k3'];
/** Keys given in clear; the others are generated. */
const CLEAR = new Map(IDS.slice(2).map((id) => [id, createToken('apiKey')]));

// Texts that COPY would misread without escaping.
const name = fc.constantFrom('\\N', '\\.', 'a\\tb\\nc', 'Büro "1"', "it's", '🗝', '{x,y}');
const disabled = fc.constantFrom(
  {},
  { disabled: false },
  { disabled: true },
  { disabled: true, disabledReason: '\\N ü' },
);
const rateLimit = fc.constantFrom({ requests: 1, windowSeconds: 60 }, { requests: 2 ** 31 - 1, windowSeconds: 86_400 });
const byId = <T>(ids: readonly string[], rest: fc.Arbitrary<T>, minLength = 0) =>
  fc
    .subarray([...ids], { minLength })
    .chain((some) => fc.tuple(...some.map((id) => rest.map((value) => ({ id, ...value })))));

const user = fc.constantFrom({}, { attributes: {} }, { attributes: { plan: 'free' } }, { attributes: { plan: 'pro' } });
const business = fc.constantFrom({}, { attributes: { region: 'eu' } }, { attributes: { region: 'us' } });
const grants = fc.constantFrom<NonNullable<ApiKey['attributes']>>(
  {},
  { can: [] },
  { can: ['sms'] },
  { can: ['sms', 'recordings'] },
  { beta: true },
  { can: ['recordings', 'sms'], beta: false },
  { beta: false, can: ['sms', 'recordings'] },
);

const key = fc.record(
  {
    friendlyName: name,
    allowUserManagementApiRequests: fc.boolean(),
    environment: fc.constantFrom('production', 'staging'),
    rateLimit,
    expiresAt: fc.constantFrom(null, PAST, FUTURE),
    revoked: fc.constantFrom({}, {}, { revokedAt: PAST }, { revokedAt: PAST, revokedReason: 'leaked' }),
    user: fc.nat(3),
    restrictedTo: fc.constantFrom(0, 0b1, 0b110, 0b111),
    attributes: grants,
  },
  { requiredKeys: ['friendlyName', 'allowUserManagementApiRequests', 'revoked', 'user', 'restrictedTo'] },
);

/** Directories without dangling references. */
const sample: fc.Arbitrary<Sample> = fc
  .tuple(
    byId(
      ['u0', 'u1', '2'],
      fc
        .tuple(
          disabled,
          user,
          fc.record({ businessesDisabled: fc.boolean(), rateLimit: fc.option(rateLimit) }, { requiredKeys: [] }),
        )
        .map(([a, b, c]) => ({ ...a, ...b, ...c })),
      1,
    ),
    byId(
      ['b0', 'b1', 'B1', '7'],
      fc.tuple(disabled, business).map(([a, b]) => ({ ...a, ...b })),
    ),
    byId(IDS, key, 3),
    fc.array(fc.constantFrom('owner' as const, 'member' as const, 'viewer' as const, null), {
      minLength: 12,
      maxLength: 12,
    }),
  )
  .map(([users, businesses, keys, roles]) => {
    const members = users.flatMap(({ id: userId }, u) =>
      businesses.flatMap(({ id: businessId }, b): Member[] => {
        const role = roles[u * 4 + b];
        return role ? [{ businessId, userId, role }] : [];
      }),
    );
    const apiKeys = keys.flatMap(({ user, restrictedTo, revoked, ...rest }): ApiKey[] => {
      const userId = users[user % users.length]?.id;
      if (userId === undefined) return [];
      const ids = members
        .filter((member) => member.userId === userId)
        .map((member) => member.businessId)
        .filter((_, index) => (restrictedTo >> index) & 1);
      const apiKey = CLEAR.get(rest.id);
      return [
        {
          ...rest,
          ...revoked,
          userId,
          restrictedBusinessIds: ids.length > 0 ? ids.reverse() : null,
          ...(apiKey && { apiKey }),
        },
      ];
    });
    return { users: [...users], businesses: [...businesses], members, apiKeys };
  });

for (const postgres of POSTGRES) {
  describe(`imports of random directories on ${postgres}`, function () {
    this.timeout(120_000);
    let db: Knex;

    before(async () => {
      db = connect({ url: await newDatabase(postgres), poolSize: 3 });
    });
    after(() => db.destroy());

    it('give what the model gives: as a document, as lines in any order, repeated, and over existing rows', async () => {
      const step = fc.record({
        directory: sample,
        asLines: fc.boolean(),
        order: fc.array(fc.nat(), { minLength: 40, maxLength: 40 }),
        rotated: fc.subarray([...IDS], { maxLength: 2 }),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 3 }), async (steps) => {
          await db.raw(
            'truncate users, businesses, business_members, api_keys, api_key_businesses, admin_events, changes',
          );
          const model: Model = { users: new Map(), businesses: new Map(), members: new Map(), apiKeys: new Map() };
          const replaced = new Set<string>();
          let [events, changes] = [0, 0];
          for (const { directory, asLines, order, rotated } of steps) {
            const lines = linesOf(directory)
              .map((line, index) => ({ line, place: order[index] ?? 0 }))
              .sort((one, other) => one.place - other.place)
              .map(({ line }) => line);
            const forms = asLines && lines.length > 0 ? [lines, directory] : [directory, directory];

            const generated = directory.apiKeys.filter((entry) => !entry.apiKey && !model.apiKeys.has(entry.id));
            const counts = importInto(model, directory, replaced);
            const touched = Object.values(counts).reduce((sum, { created, changed }) => sum + created + changed, 0);
            if (touched > 0) changes += 1;
            // One for the import, and one for each entry.
            if (touched > 0) events += 1 + touched;
            const imported = await load(db, forms[0] ?? directory);
            expect(imported.counts).to.deep.equal(counts);
            expect(await readModel(db)).to.deep.equal(model);
            expect(imported.generated.map(({ id }) => id)).to.deep.equal(generated.map(({ id }) => id));
            const clear = [...imported.generated, ...directory.apiKeys];
            for (const { id, apiKey } of clear.filter((entry) => entry.apiKey !== undefined)) {
              const { digest } = await db('api_keys').where({ id }).first();
              expect(digest).to.deep.equal(digestOf(pepper, apiKey ?? ''));
            }

            const before = await rowsOf(db);
            expect([before['admin_events'], before['changes']].map((rows) => rows?.length)).to.deep.equal([
              events,
              changes,
            ]);
            const again = await load(db, forms[1] ?? directory);
            expect(Object.values(again.counts).every(({ created, changed }) => created + changed === 0)).to.equal(true);
            expect(await rowsOf(db)).to.deep.equal(before);

            for (const id of rotated.filter((one) => model.apiKeys.has(one) && !replaced.has(one))) {
              replaced.add(id);
              await db.raw(
                `insert into api_keys (id, user_id, friendly_name, digest, pepper_id, hint, allow_user_management, restricted, environment, rotated_from)
                 select 'next-' || id, user_id, 'successor', sha256(digest), 'p', '', false, false, environment, id from api_keys where id = ?`,
                [id],
              );
            }
          }
        }),
        { numRuns: 10 },
      );
    });
  });
}
