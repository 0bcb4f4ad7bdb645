/**
 * `authz restore reconcile` against an oracle: a random history, cut at a random moment; the copy of that moment goes on with a history of its
 * own, is reconciled with the events of the other, and then permits nothing that those deny.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import fc from 'fast-check';
import type { Knex } from 'knex';
import { type Attested, placeOf } from '../../src/audit/checkpoint/attested.ts';
import { parseEventLine } from '../../src/audit/format/event-line.ts';
import { verifyLog } from '../../src/audit/verify/verify.ts';
import { connect } from '../../src/db/connect.ts';
import { deleteBusiness, deleteMember, putBusiness, putMember } from '../../src/directory/businesses.ts';
import { deleteUser, putUser } from '../../src/directory/users.ts';
import { createKey, getKey, updateKey } from '../../src/keys/keys.ts';
import type { Grants } from '../../src/keys/resource.ts';
import { operatorRights } from '../../src/keys/rights.ts';
import { prepareReconcile, type Reconciliation, runSteps } from '../../src/restore/reconcile.ts';
import { amount } from '../support/long.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { furnish, operations, PEPPER, run } from './operations.ts';
import { cloneOf, countPermits, expectNoWider, exportOf } from './world.ts';

const ACTOR = { id: 'operator' };
const NOTHING: Attested = { longest: new Map(), events: new Map(), last: undefined, refused: [] };

const MARK = { number: 1, at: '2030-01-01T00:00:00.000Z' };
const RIGHTS = operatorRights(undefined);
const STATE = { disabled: false, disabledReason: null, businessesDisabled: false, rateLimit: null, attributes: {} };

async function refuses(work: Promise<unknown>, says: RegExp): Promise<void> {
  expect((await rejection(work)).message).to.match(says);
}

/** Returns its id. */
async function newKey(db: Knex, user: string, grants: Partial<Grants> = {}): Promise<string> {
  const { key } = await createKey(db, PEPPER, ACTOR, RIGHTS, user, {
    friendlyName: 'a key',
    allowUserManagementApiRequests: false,
    restrictedBusinessIds: null,
    environment: 'production',
    rateLimit: null,
    attributes: {},
    ...grants,
  });
  return key.id;
}

const using = async <T>(url: string, work: (db: Knex) => Promise<T>): Promise<T> => {
  const db = connect({ url, poolSize: 2 });
  return work(db).finally(() => db.destroy());
};

describe('authz restore reconcile', function () {
  this.timeout(300_000);
  let folder: string;
  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), 'authz-reconcile-'));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const reconcile = async (db: Knex, events: string): Promise<Reconciliation> => {
    const file = path.join(folder, 'events.jsonl');
    await writeFile(file, events);
    const options = { files: [file], attested: NOTHING, unattested: true };
    const found = await prepareReconcile(db, options);
    await runSteps(db, ACTOR, found, () => undefined);
    expect((await prepareReconcile(db, options)).steps, 'a second time').to.deep.equal([]);
    return found;
  };

  it('leaves a restored database nothing that the whole history denies', async () => {
    let [permitted, steps] = [0, 0];
    await fc.assert(
      fc.asyncProperty(operations(12), operations(16), async (early, late) => {
        const whole = await newDatabase();
        await using(whole, async (db) => {
          await furnish(db);
          await run(db, early);
        });
        const url = await cloneOf(whole);
        const events = await using(whole, async (db) => {
          await run(db, late);
          return exportOf(db);
        });
        await using(url, (restored) =>
          using(whole, async (db) => {
            const own = await ownHistory(restored);
            const found = await reconcile(restored, events);
            await expectNoWider(restored, db, [own]);
            const alive = await restored('api_keys').where({ id: own }).whereNull('revoked_at').first('id');
            expect(alive, 'the key that was made since').not.to.equal(undefined);
            permitted += await countPermits(restored);
            steps += found.steps.length;
          }),
        );
      }),
      { numRuns: amount(15, 60, 400) },
    );
    expect(permitted).to.be.above(20);
    expect(steps).to.be.above(20);
  });

  it('makes the narrower of two states, and leaves alone what was made again', async () => {
    const whole = await newDatabase();
    const id = await using(whole, async (db) => {
      await furnish(db);
      return newKey(db, 'ann', {
        restrictedBusinessIds: ['bakery', 'garage'],
        expiresAt: '2100-01-10T00:00:00.000Z',
        rateLimit: { requests: 9, windowSeconds: 60 },
      });
    });
    const url = await cloneOf(whole);
    const events = await using(whole, async (db) => {
      await updateKey(db, ACTOR, RIGHTS, id, {
        restrictedBusinessIds: ['garage', 'kiosk'],
        expiresAt: '2100-01-05T00:00:00.000Z',
        rateLimit: { requests: 5, windowSeconds: 60 },
      });
      await deleteUser(db, ACTOR, 'ben');
      await deleteBusiness(db, ACTOR, 'kiosk');
      return exportOf(db);
    });
    await using(url, async (db) => {
      const { steps, lacking } = await reconcile(db, events);
      expect(steps.map(({ action, id: subject }) => `${action} ${subject}`)).to.deep.equal([
        `key.update ${id}`,
        'business.delete kiosk',
        'user.delete ben',
      ]);
      expect(lacking.map(({ what }) => what)).to.deep.equal(['its restrictedBusinessIds, as the event says']);
      const { restrictedBusinessIds, expiresAt, rateLimit } = await getKey(db, id);
      expect([restrictedBusinessIds, expiresAt, rateLimit?.requests]).to.deep.equal([
        ['garage'],
        '2100-01-05T00:00:00.000Z',
        5,
      ]);
      const made = await db('admin_events').where({ action: 'user.delete' }).first('request_id', 'actor');
      const lost = events.split('\n').find((line) => line.includes('user.delete')) ?? '{}';
      expect(made).to.deep.equal({ request_id: `reconcile:${JSON.parse(lost).id}`, actor: 'operator' });

      await putUser(db, ACTOR, 'ben', STATE);
      await newKey(db, 'ben');
      expect((await reconcile(db, events)).steps, 'of a user that was made again').to.deep.equal([]);
      expect((await verifyLog(db, {})).findings).to.deep.equal([]);
    });
  });

  it('goes by no event that was altered, is of another database, or is not attested', async () => {
    const whole = await newDatabase();
    await using(whole, furnish);
    const url = await cloneOf(whole);
    const events = await using(whole, async (db) => {
      await putUser(db, ACTOR, 'ann', { ...STATE, disabled: true });
      await putUser(db, ACTOR, 'ben', { ...STATE, disabled: true });
      return exportOf(db);
    });
    const prepare = async (db: Knex, text: string, unattested: boolean, attested = NOTHING) => {
      const file = path.join(folder, 'given.jsonl');
      await writeFile(file, text);
      return prepareReconcile(db, { files: [file], attested, unattested });
    };
    const lines = events.trim().split('\n');
    const [last = '', before = ''] = lines.toReversed();
    await using(url, async (db) => {
      const altered = events.replace(before, before.replace('"subject_id":"ann"', '"subject_id":"cleo"'));
      expect(altered).not.to.equal(events);
      await refuses(prepare(db, altered, true), /is not what was exported/);
      // Recomputed by whoever knows how: no checkpoint attests it.
      expect((await prepare(db, events, false)).steps).to.deep.equal([]);
      expect((await prepare(db, events, false)).unattested).to.equal(2);
      const event = parseEventLine(before);
      const attested = { ...NOTHING, events: new Map([[placeOf(event?.seq ?? 0, event?.hash ?? ''), MARK]]) };
      const found = await prepare(db, events, false, attested);
      expect([found.steps.map(({ id }) => id), found.unattested]).to.deep.equal([['ann'], 1]);
      // A gap: it is told, and what stands right behind it counts for no more than its word, even where its hash is attested.
      const end = { ...NOTHING, events: new Map([[placeOf(lines.length, JSON.parse(last).hash), MARK]]) };
      for (const kept of [[], lines.slice(0, -2)]) {
        const file = [...kept, last].join('\n');
        const gap = await prepare(db, file, true, end);
        expect(gap.exported.gaps).to.deep.equal([{ from: lines.length - 1, to: lines.length - 1 }]);
        expect(gap.steps.map(({ id }) => id)).to.deep.equal(['ben']);
        const forged = file.replace(last, last.replace('"subject_id":"ben"', '"subject_id":"cleo"'));
        expect(forged).not.to.equal(file);
        const left = await prepare(db, forged, false, end);
        expect([left.steps, left.unattested]).to.deep.equal([[], 1]);
      }
      // Not so where the database has what the files lack.
      const own = [...lines.slice(0, 3), ...lines.slice(-2)].join('\n');
      const { exported, steps } = await prepare(db, own, false, end);
      expect([exported.gaps, exported.fork, steps.map(({ id }) => id)]).to.deep.equal([
        [],
        lines.length - 2,
        ['ann', 'ben'],
      ]);
      await refuses(prepare(db, `${last}\n`, true), /are of another database, or the events in between are missing/);
    });
    const other = await newDatabase();
    await using(other, async (db) => {
      await putUser(db, ACTOR, 'ann', STATE);
      for (const from of [0, 1]) {
        await refuses(prepare(db, `${lines.slice(from).join('\n')}\n`, true), /are of another database/);
      }
    });
  });

  it('takes back nothing that the restored database has changed itself since, in a second run or the first', async () => {
    const whole = await newDatabase();
    const id = await using(whole, async (db) => {
      await furnish(db);
      return newKey(db, 'ann');
    });
    const url = await cloneOf(whole);
    const wide = { attributes: { plan: 'pro' }, rateLimit: { requests: 900, windowSeconds: 60 } };
    const events = await using(whole, async (db) => {
      await putUser(db, ACTOR, 'ann', { ...STATE, ...wide });
      await putBusiness(db, ACTOR, 'bakery', { disabled: false, disabledReason: null, attributes: wide.attributes });
      await putMember(db, ACTOR, { businessId: 'bakery', userId: 'ann', role: 'member' });
      await updateKey(db, ACTOR, RIGHTS, id, { environment: 'staging', ...wide });
      return exportOf(db);
    });
    const narrow = { attributes: {}, rateLimit: { requests: 1, windowSeconds: 1 } };
    const statesOf = async (db: Knex): Promise<unknown> => {
      const { rows } = await db.raw(
        `select u.attributes as u, u.rate_limit_requests as ul, b.attributes as b, role, k.environment, k.attributes as k, k.rate_limit_requests as kl
         from users u, businesses b, business_members m, api_keys k
         where u.id = 'ann' and b.id = 'bakery' and m.user_id = u.id and m.business_id = b.id and k.id = ?`,
        [id],
      );
      return rows;
    };
    await using(url, async (db) => {
      expect((await reconcile(db, events)).steps).to.have.length(4);
      const lost = await statesOf(db);
      await putUser(db, ACTOR, 'ann', { ...STATE, ...narrow });
      await putBusiness(db, ACTOR, 'bakery', { disabled: false, disabledReason: null, attributes: {} });
      await putMember(db, ACTOR, { businessId: 'bakery', userId: 'ann', role: 'viewer' });
      await updateKey(db, ACTOR, RIGHTS, id, { environment: 'production', ...narrow });
      const own = await statesOf(db);
      expect(own).not.to.deep.equal(lost);
      expect((await reconcile(db, events)).steps).to.deep.equal([]);
      expect(await statesOf(db)).to.deep.equal(own);
    });
  });

  it('opens nothing that the restored database shuts, though the lost events opened it', async () => {
    const whole = await newDatabase();
    const shut = { ...STATE, disabled: true, disabledReason: 'a reason', businessesDisabled: true };
    const own = { restrictedBusinessIds: ['bakery'], rateLimit: { requests: 5, windowSeconds: 60 } };
    const id = await using(whole, async (db) => {
      await furnish(db);
      const made = await newKey(db, 'ann', { ...own, expiresAt: '2100-01-05T00:00:00.000Z' });
      await putUser(db, ACTOR, 'ann', { ...shut, rateLimit: own.rateLimit });
      await putBusiness(db, ACTOR, 'bakery', { disabled: true, disabledReason: 'a reason', attributes: {} });
      return made;
    });
    const url = await cloneOf(whole);
    const events = await using(whole, async (db) => {
      await putUser(db, ACTOR, 'ann', { ...STATE, rateLimit: { requests: 9, windowSeconds: 60 } });
      await putBusiness(db, ACTOR, 'bakery', { disabled: false, disabledReason: null, attributes: {} });
      await updateKey(db, ACTOR, RIGHTS, id, {
        allowUserManagementApiRequests: true,
        restrictedBusinessIds: null,
        expiresAt: null,
        rateLimit: { requests: 9, windowSeconds: 60 },
      });
      return exportOf(db);
    });
    await using(url, async (db) => {
      const { steps, lacking } = await reconcile(db, events);
      expect(steps).to.deep.equal([]);
      expect(lacking.map(({ what }) => what)).to.have.members([
        'its disabled, businessesDisabled, rateLimit, as the event says',
        'its disabled, as the event says',
        'its allowUserManagementApiRequests, restrictedBusinessIds, rateLimit, expiresAt, as the event says',
      ]);
    });
  });

  it('makes nobody a member whose membership ended, in the lost events or while it is at work', async () => {
    const whole = await newDatabase();
    await using(whole, furnish);
    const url = await cloneOf(whole);
    const member = { businessId: 'bakery', userId: 'ann', role: 'viewer' };
    const file = path.join(folder, 'members.jsonl');
    await using(whole, async (db) => {
      await putMember(db, ACTOR, member);
      await putMember(db, ACTOR, { ...member, businessId: 'garage' });
      await deleteMember(db, ACTOR, 'garage', 'ann');
      await putMember(db, ACTOR, { ...member, businessId: 'garage' });
      await writeFile(file, await exportOf(db));
    });
    await using(url, async (db) => {
      const found = await prepareReconcile(db, { files: [file], attested: NOTHING, unattested: true });
      expect(found.steps.map(({ action, id }) => `${action} ${id}`)).to.have.members([
        'member.update bakery/ann',
        'member.delete garage/ann',
      ]);
      await deleteMember(db, ACTOR, 'bakery', 'ann');
      await runSteps(db, ACTOR, found, () => undefined);
      const left = await db('business_members').where({ user_id: 'ann' }).pluck('business_id');
      expect(left).to.deep.equal(['kiosk']);
    });
  });

  /** Events of the restored database's own, under the numbers of the lost ones. Returns the id of a key of a new user. */
  const ownHistory = async (db: Knex): Promise<string> => {
    await putUser(db, ACTOR, 'dora', STATE);
    await putBusiness(db, ACTOR, 'annex', STATE);
    await putMember(db, ACTOR, { businessId: 'annex', userId: 'dora', role: 'owner' });
    return newKey(db, 'dora');
  };
});
