/** How a process follows the change feed: what it applies, when it flushes everything, and polling without NOTIFY. */

import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { type Change, mutate, onCommit } from '../../src/db/mutate.ts';
import { followChanges } from '../../src/facts/change-feed.ts';
import { createFreshness, type Tags } from '../../src/facts/freshness.ts';
import { createLog } from '../../src/log.ts';
import { eventually } from '../http/process.ts';
import { newDatabase, POSTGRES } from '../support/postgres.ts';
import { byWayOf, listenerOf, startProxy } from '../support/proxy.ts';
import { rejection } from '../support/rejection.ts';

const ACTOR = { id: 'test' };
const KEY: Change = { kind: 'key', id: 'k1', digest: Buffer.alloc(32, 1) };

/** A follower, and the first tag of each invalidation; `*` is a flush. */
function follower(url: string) {
  const told: string[] = [];
  const freshness = createFreshness();
  freshness.subscribe({ drop: (tags: Tags) => void told.push(tags[0] ?? ''), flush: () => void told.push('*') });
  const warnings: string[] = [];
  const log = createLog('silent');
  log.warn = ((_: object, message: string) => void warnings.push(message)) as typeof log.warn;
  const changes = followChanges(url, freshness, log);
  return { freshness, changes, told, warnings };
}

const changing = (db: Knex, ...changes: Change[]): Promise<void> =>
  mutate(db, ACTOR, async () => ({ result: undefined, events: [], changes }));

for (const postgres of POSTGRES) {
  describe(`the change feed on ${postgres}`, () => {
    let url: string;
    let db: Knex;
    let followed: ReturnType<typeof follower>;
    const applied = async (): Promise<void> => {
      const { rows } = await db.raw('select last::int from change_counter');
      await eventually(() => followed.freshness.position() === rows[0].last);
    };

    beforeEach(async () => {
      url = await newDatabase(postgres);
      db = connect({ url, poolSize: 2 });
      followed = follower(url);
      await eventually(() => followed.freshness.confirmed());
      followed.told.length = 0;
    });
    afterEach(async () => {
      await followed.changes.close();
      await db.destroy();
    });

    it('is applied in order, each change once, for its id and its digest', async () => {
      await changing(db, KEY);
      await changing(db, { kind: 'user', id: 'u' }, { kind: 'business', id: 'b' });
      await applied();
      expect(followed.told.slice(0, 1)).to.deep.equal(['key:k1']);
      expect(followed.told.slice(1)).to.have.members(['user:u', 'business:b']);
    });

    it('flushes everything at a change of kind * and at a gap', async () => {
      await changing(db, { kind: '*', id: '' });
      await applied();
      expect(followed.told).to.deep.equal(['*']);
      await db.raw('update change_counter set last = last + 3');
      await applied();
      expect(followed.told).to.deep.equal(['*', '*']);
    });

    it('flushes everything when its history goes back, or continues differently (a restored database)', async () => {
      for (let n = 0; n < 3; n += 1) await changing(db, KEY);
      await applied();
      followed.told.length = 0;
      await db.raw('delete from changes where seq > 1; update change_counter set last = 1');
      await applied();
      expect(followed.told).to.deep.equal(['*']);
      // A higher number, but the change that was applied last has another time.
      await db.raw(
        `delete from changes; insert into changes (seq, kind, id, at) values (1, 'user', 'x', '2020-01-01'), (2, 'user', 'y', now());
         update change_counter set last = 2`,
      );
      await applied();
      expect(followed.told).to.deep.equal(['*', '*']);
    });

    it('flushes everything when there are more changes than one poll reads', async () => {
      await db.raw(
        `insert into changes (seq, kind, id) select 1, 'user', n::text from generate_series(1, 6000) n;
         update change_counter set last = 1`,
      );
      await applied();
      expect(followed.told).to.deep.equal(['*']);
    });

    it('is followed again after a lost connection, without missing a change', async () => {
      for (let n = 0; n < 5; n += 1) {
        await db.raw(
          `select pg_terminate_backend(pid) from pg_stat_activity
           where application_name = 'iqra-authz changes' and datname = current_database()`,
        );
        await changing(db, { kind: 'user', id: `u${n}` });
      }
      await applied();
      expect(followed.told).to.deep.equal([0, 1, 2, 3, 4].map((n) => `user:u${n}`));
    });

    it('reports a commit in its own process at once, and one whose outcome is unknown as undefined', async () => {
      const proxy = await startProxy(url);
      const own = connect({ url: proxy.url, poolSize: 1 });
      const told: (string | undefined)[] = [];
      onCommit(own, (commit) => void told.push(commit && `${commit.seq} ${commit.changes[0]?.id}`));
      await changing(own, KEY);
      expect(told).to.deep.equal(['1 k1']);
      // The confirmation of the commit is lost, the commit is not.
      await db.raw(
        `create function slow() returns trigger language plpgsql as 'begin perform pg_sleep(0.3); return null; end';
         create constraint trigger slow after insert on changes deferrable initially deferred
         for each row execute function slow()`,
      );
      const failed = rejection(changing(own, KEY));
      await eventually(async () => {
        const { rows } = await db.raw(
          `select from pg_stat_activity where query ilike 'commit%' and state = 'active' and datname = current_database()`,
        );
        return rows.length > 0;
      });
      await proxy.refuse();
      await failed;
      expect(told).to.deep.equal(['1 k1', undefined]);
      await own.destroy();
      await proxy.close();
    });

    it('reports nothing of a mutation that was rolled back', async () => {
      const told: unknown[] = [];
      onCommit(db, (commit) => void told.push(commit));
      await rejection(
        mutate(db, ACTOR, async () => {
          throw new Error('no');
        }),
      );
      expect(told).to.deep.equal([]);
    });
  });
}

describe('a process that follows the change feed', () => {
  it('polls where LISTEN is forbidden, and warns once', async () => {
    const url = await newDatabase();
    const pooler = await startPooler(url);
    const db = connect({ url, poolSize: 1 });
    const followed = follower(pooler.url);
    await eventually(() => followed.freshness.confirmed());
    for (let n = 0; n < 3; n += 1) {
      followed.told.length = 0;
      await changing(db, KEY);
      await eventually(() => followed.told.includes('key:k1'));
    }
    expect(followed.warnings.filter((text) => text.includes('polling alone'))).to.have.length(1);
    await followed.changes.close();
    await db.destroy();
    pooler.close();
  });

  it('is not confirmed by a slow poll, nor while the server hangs', async () => {
    const proxy = await startProxy(await newDatabase());
    const followed = follower(proxy.url);
    await eventually(() => followed.freshness.confirmed());
    proxy.swallow();
    await eventually(() => !followed.freshness.confirmed());
    expect(followed.changes.stats().stalenessMs).to.be.at.least(1000);
    await proxy.heal();
    await eventually(() => followed.freshness.confirmed());
    await followed.changes.close();
    await proxy.close();
  });

  it('is unconfirmed after it was stopped for a while', async () => {
    const followed = follower(await newDatabase());
    await eventually(() => followed.freshness.confirmed());
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1100);
    expect(followed.freshness.confirmed()).to.equal(false);
    await eventually(() => followed.freshness.confirmed());
    await followed.changes.close();
  });

  it('closes at once, whatever its connection does', async () => {
    const proxy = await startProxy(await newDatabase());
    const followed = follower(proxy.url);
    await eventually(() => followed.freshness.confirmed());
    proxy.swallow();
    await sleep(300);
    await followed.changes.close();
    await proxy.close();
  });
});

/** Stands for a transaction pooler, which refuses LISTEN. */
async function startPooler(databaseUrl: string): Promise<{ url: string; close: () => void }> {
  const server = createServer((client) => {
    const behind = dial(listenerOf(databaseUrl));
    for (const socket of [client, behind]) socket.on('error', () => undefined);
    client.on('data', (chunk) =>
      behind.write(Buffer.from(chunk.toString('latin1').replace('listen', 'refuse'), 'latin1')),
    );
    client.on('close', () => behind.destroy());
    behind.pipe(client);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: byWayOf((server.address() as AddressInfo).port, databaseUrl), close: () => void server.close() };
}
