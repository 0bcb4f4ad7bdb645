/** The moment of a decision: at once where it is certain, read anew around the change of a schedule, and a failure where it cannot be read. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { createBreaker } from '../../src/db/breaker.ts';
import { connect } from '../../src/db/connect.ts';
import { deadlineIn } from '../../src/deadline.ts';
import { CONFIRMED_MS, createFreshness } from '../../src/facts/freshness.ts';
import { momentsOf } from '../../src/facts/moment.ts';
import { NOTHING_DECLARED } from '../../src/policy/declared/declaration.ts';
import { BUILT_IN, schemaOf } from '../../src/policy/schema.ts';
import { newDatabase } from '../support/postgres.ts';

/** Begins at 08:00, ends at 12:00. */
const MORNING = schemaOf({
  ...NOTHING_DECLARED,
  schedules: [{ name: 'morning', days: [0, 1, 2, 3, 4, 5, 6], from: 480, to: 720, zone: 'UTC', except: [] }],
});
const EIGHT = Date.parse('2026-07-01T08:00:00Z');

describe('the moment of a decision', () => {
  let db: Knex;
  before(async () => {
    db = connect({ url: await newDatabase(), poolSize: 1 });
  });
  after(() => db.destroy());

  /** `elapsedMs` after a poll that took 4 ms, before which the database's clock said `clock`. */
  function momentsAfter(elapsedMs: number, clock: number, using: Knex = db) {
    let now = 1000;
    const freshness = createFreshness(() => now);
    const poll = { after: undefined, history: 'h', last: 0, anchor: null, newest: null, changes: [] };
    freshness.applyPoll({ ...poll, sentAt: now, receivedAt: now + 4, clock });
    now += 4 + elapsedMs;
    return momentsOf(using, createBreaker(), freshness);
  }
  const within = () => deadlineIn(5000);
  const databaseTime = async (): Promise<number> =>
    (await db.raw(`select extract(epoch from clock_timestamp())::float8 * 1000 as clock`)).rows[0].clock;

  it('is the last confirmed reading, carried forward, far from any change of a schedule', () => {
    for (const schema of [MORNING, BUILT_IN]) {
      const moment = momentsAfter(200, EIGHT + 60_000).momentFor(schema, within());
      expect(moment).to.be.within(EIGHT + 60_000 + 190, EIGHT + 60_000 + 210);
    }
  });

  it('is not read around a change where there are no schedules', () => {
    expect(momentsAfter(200, EIGHT - 200).momentFor(BUILT_IN, within())).to.be.a('number');
  });

  it('is read anew where the reading could lie on either side of a change', async () => {
    const read = async (elapsedMs: number, clock: number): Promise<boolean> => {
      const moment = momentsAfter(elapsedMs, clock).momentFor(MORNING, within());
      if (!(moment instanceof Promise)) return false;
      const before = await databaseTime();
      const again = await momentsAfter(elapsedMs, clock).momentFor(MORNING, within());
      expect(again).to.be.within(before, await databaseTime());
      await moment;
      return true;
    };
    // 100 ms later it is 7:59:59.990 at most, or 8:00:00.010 at least; then what lies between.
    expect(await read(100, EIGHT - 120)).to.equal(false);
    expect(await read(100, EIGHT - 90)).to.equal(false);
    for (const clock of [EIGHT - 109, EIGHT - 104, EIGHT - 100, EIGHT - 96])
      expect(await read(100, clock)).to.equal(true);
  });

  it('is read anew where no reading is confirmed', async () => {
    const before = await databaseTime();
    for (const schema of [MORNING, BUILT_IN]) {
      const moment = await momentsAfter(CONFIRMED_MS, EIGHT).momentFor(schema, within());
      expect(moment).to.be.within(before, await databaseTime());
    }
    const never = momentsOf(db, createBreaker(), createFreshness()).momentFor(MORNING, within());
    expect(await never).to.be.within(before, await databaseTime());
  });

  it('is a failure where it cannot be read, or comes from a standby', async () => {
    const dead = connect({ url: 'postgres://nobody:none@127.0.0.1:1/none', poolSize: 1 });
    const answering = (row: object): Knex => {
      const answer = Object.assign(Promise.resolve({ rows: [row] }), { on: () => answer });
      return { raw: () => answer } as unknown as Knex;
    };
    const odd = [
      { standby: true, clock: EIGHT },
      { clock: EIGHT },
      { standby: false, clock: null },
      { standby: false },
    ];
    for (const using of [dead, ...odd.map(answering)]) {
      const failure = await Promise.resolve(
        momentsAfter(CONFIRMED_MS, EIGHT, using).momentFor(BUILT_IN, within()),
      ).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(failure).to.have.property('code', 'UNAVAILABLE');
    }
    await dead.destroy();
  });
});
