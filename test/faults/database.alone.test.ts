/** PostgreSQL is up but misbehaves: it blocks, refuses, hangs up, or confirms what it has not done. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { forgetEverything } from '../support/changes.ts';
import { expectRecovery, failuresOf } from './promises.ts';
import { type Answered, theWorld, type World } from './world.ts';

const BURST = 40;
const FEW = 5;

/** SQL for a trigger that does this at each insert of a decision. */
const trigger = (body: string): string => `
  create function fault() returns trigger language plpgsql as $$ begin ${body} end $$;
  create trigger fault before insert on decision_records for each row execute function fault()`;

const HANG_UP = `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'service'`;

interface Fault {
  readonly begin: string;
  readonly end: string;
  /** The change affects new sessions only, so existing ones are terminated at its begin and end. */
  readonly concernsSessions?: true;
}

/** Faults during which no question can be answered. */
const FAULTS: Readonly<Record<string, Fault>> = {
  'has no right to insert into the log': {
    begin: 'revoke insert on decision_records from service',
    end: 'grant insert on decision_records to service',
  },
  'is made read-only': {
    begin: 'alter database faults set default_transaction_read_only = on',
    end: 'alter database faults reset default_transaction_read_only',
    concernsSessions: true,
  },
  'has no room on its disk': {
    begin: trigger(`raise exception 'could not extend file: No space left on device' using errcode = 'disk_full';`),
    end: 'drop function fault cascade',
  },
  'drops what is inserted without a word': { begin: trigger('return null;'), end: 'drop function fault cascade' },
  'loses the log': {
    begin: 'alter table decision_records rename to gone',
    end: 'alter table gone rename to decision_records',
  },
  'loses the keys': { begin: 'alter table api_keys rename to gone', end: 'alter table gone rename to api_keys' },
  'has no connection left': {
    begin: 'alter role service connection limit 0',
    end: 'alter role service connection limit -1',
    concernsSessions: true,
  },
};

describe('a database that', () => {
  let world: World;

  before(async () => {
    world = await theWorld();
    await expectRecovery(world);
  });

  for (const [name, { begin, end, concernsSessions }] of Object.entries(FAULTS)) {
    it(name, async () => {
      await world.db.raw(begin);
      if (concernsSessions) await world.db.raw(HANG_UP);
      await forgetAll(world);
      const failures = failuresOf(await world.ask(BURST)).length;
      // Whether it was asked before or not, and by whomever.
      const ready = await readyz(world);
      await world.db.raw(end);
      if (concernsSessions) await world.db.raw(HANG_UP);
      await expectRecovery(world);
      expect([failures, ready]).to.deep.equal([BURST, 503]);
      while ((await readyz(world)) !== 200) await sleep(50);
    });
  }

  for (const table of ['decision_records', 'api_keys']) {
    it(`holds a lock on ${table} until the pool is exhausted`, async () => {
      await whileLocked(world.db, table, async () => {
        await forgetAll(world);
        expect(failuresOf(await world.ask(BURST))).to.have.length(BURST);
        expect(failuresOf(await world.ask(BURST))).to.have.length(BURST);
      });
      await expectRecovery(world);
    });
  }

  it('drops one decision of a batch', async () => {
    await world.db.raw(trigger(`if new.effect = 'allow' then return null; end if; return new;`));
    // The bad rows are found by bisection, a statement for each half, so few are asked at once; a busy machine may need retries.
    const answered: Answered[] = [];
    while (answered.length === 0)
      answered.push(...(await world.ask(FEW)).replies.filter(({ status }) => status === 200));
    await world.db.raw('drop function fault cascade');
    await expectRecovery(world);
    expect(answered.flatMap(({ asked }) => asked.codes)).not.to.include('OK');
  });

  it('terminates every connection again and again', async () => {
    let over = false;
    const storm = (async () => {
      while (!over) {
        await world.db.raw(HANG_UP);
        await sleep(5);
      }
    })();
    for (let burst = 0; burst < 5; burst++) await world.ask(BURST);
    over = true;
    await storm;
    await expectRecovery(world);
  });
});

const readyz = async ({ service }: World): Promise<number> => (await service.ask('/readyz')).status;

/** Writes a change `*`, so that the service flushes its cache and needs the database. */
async function forgetAll({ db, service }: World): Promise<void> {
  await forgetEverything(db);
  const { rows } = await db.raw('select last::int from change_counter');
  const forgotten = (): boolean => {
    const { applied, stalenessMs } = service.changeFeed.stats();
    return applied === rows[0].last || stalenessMs > 1000;
  };
  while (!forgotten()) await sleep(5);
}

async function whileLocked(db: Knex, table: string, run: () => Promise<void>): Promise<void> {
  await db.transaction(async (trx) => {
    await trx.raw('lock table ?? in access exclusive mode', [table]);
    await run();
  });
}
