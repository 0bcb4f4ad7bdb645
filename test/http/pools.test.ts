/** Who waits for whom: readers of the log delay neither changes nor decisions, and few connections are shared out. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { clientOf } from '../support/client.ts';
import { untilLockWaits } from '../support/lock-waits.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertKey, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';

const READERS = 12;
const LOCK = 1;
/** As an index is used, once for each row, so that a read of it hangs for as long as somebody wants. */
const HANGING = `
  create or replace function authz_by_index(at timestamptz) returns boolean language plpgsql volatile as
  'begin perform pg_advisory_xact_lock_shared(${LOCK}); return true; end'`;

describe('connections to PostgreSQL', () => {
  const opened: { close: () => Promise<unknown> }[] = [];
  afterEach(async () => {
    for (const { close } of opened.splice(0).reverse()) await close();
  });
  const start = async (settings: Record<string, string> = {}): Promise<TestService> => {
    const service = await startService(settings);
    opened.push(service);
    return service;
  };

  it('are kept for changes and decisions, however many read the log', async () => {
    const service = await start();
    const { db, ask } = service;
    const client = clientOf(service);
    await client.newUser('ann');
    const { apiKey, id } = await client.newKey('ann');
    expect(await client.decide(apiKey, undefined, 'account:read')).to.equal('OK');
    await db.raw(HANGING);
    const trx: Knex.Transaction = await db.transaction();
    await trx.raw(`select pg_advisory_xact_lock(${LOCK})`);
    let read = 0;
    const reads = Array.from({ length: READERS }, async () => {
      const { status } = await ask(`/audit/decisions?apiKeyId=${id}`);
      read += 1;
      return status;
    });
    try {
      await untilLockWaits(trx, 'advisory');
      await client.data('POST', `/keys/${id}/revoke`, {});
      const code = await client.decide(apiKey, undefined, 'account:read');
      expect([code, read]).to.deep.equal(['INVALID_API_KEY', 0]);
    } finally {
      await trx.commit();
    }
    expect(await Promise.all(reads)).to.deep.equal(reads.map(() => 200));
  });

  it('are given back to whoever needs them where the role may have only four', async () => {
    const url = new URL(await newDatabase());
    const owner = connect({ url: url.href, poolSize: 1 });
    const role = `few_${process.pid}`;
    await owner.raw(`create role ${role} login superuser password 'few'`);
    opened.push({ close: () => owner.raw(`drop role ${role}`).then(() => owner.destroy()) });
    // Of a superuser no limit is asked.
    await owner.raw(`alter role ${role} nosuperuser connection limit 4; grant all on all tables in schema public to ${role};
      grant execute on all functions in schema public to ${role}; grant create on schema public to ${role}`);
    opened.push({ close: () => owner.raw(`drop owned by ${role}`).then() });
    url.username = role;
    url.password = 'few';
    const service = await start({ DATABASE_URL: url.href });
    await service.db.destroy();
    const tables = { db: owner, pepper: service.pepper };
    await owner('users').insert({ id: 'ann' });
    const keys = await Promise.all(
      Array.from({ length: 24 }, (_, n) => insertKey(tables, { id: `k${n}`, user_id: 'ann' })),
    );
    const client = clientOf(service);
    /** Asks all at once until all are answered: on a slow machine one or the other may not get its turn in time. */
    const untilAnswered = async (askAll: () => Promise<readonly Reply[]>): Promise<readonly Reply[]> => {
      for (;;) {
        const replies = await askAll();
        if (!replies.some(({ status }) => status >= 500)) return replies;
      }
    };
    for (let round = 0; round < 3; round += 1) {
      const [asked, changed] = await Promise.all([
        untilAnswered(() =>
          Promise.all(keys.map((apiKey) => client.call('POST', '/authorize', { apiKey, action: 'account:read' }))),
        ),
        untilAnswered(() => Promise.all(keys.map((_, n) => client.call('PUT', `/users/u${n}`, {})))),
      ]);
      expect(asked.map(({ body }) => body.Code)).to.deep.equal(keys.map(() => 'OK'));
      expect(changed.filter(({ status }) => status >= 300)).to.deep.equal([]);
      await untilAnswered(async () => [await client.call('GET', '/audit/decisions')]);
    }
    await eventually(async () => (await client.call('GET', '/readyz')).status === 200);
    await owner.raw(`alter role ${role} connection limit 0`);
    const refused = await rejection(startService({ DATABASE_URL: url.href }));
    await owner.raw(`alter role ${role} connection limit 4`);
    expect(refused.message).to.include('connection limit').and.include('DATABASE_POOL');
  });
});
