/** The reports (heartbeats) of replicas, and `authz policy status`, which shows them. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { createLog } from '../../src/log.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { VERSION } from '../../src/release.ts';
import type { LiveState } from '../../src/rollout/live.ts';
import { listReplicas, reportReplica } from '../../src/rollout/replicas.ts';
import { eventually } from '../http/process.ts';
import { shippedPolicy } from '../policy/texts.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

const SOON = 10;

describe('a replica', () => {
  let db: Knex;
  let url: string;
  let position: number | undefined;
  let state: LiveState<Policy>;
  let replica: { close: () => Promise<void> };

  beforeEach(async () => {
    url = await newDatabase();
    db = connect({ url, poolSize: 2 });
    position = undefined;
    state = { policy: await shippedPolicy(), since: new Date(1000), refused: undefined, failures: 0 };
    replica = reportReplica(db, { position: () => position, policy: () => state }, createLog('silent'), SOON);
  });
  afterEach(async () => {
    await replica.close();
    await db.destroy();
  });

  it('is gone from the list once it has stopped, whatever report is under way', async () => {
    await eventually(async () => (await listReplicas(db)).length === 1);
    await replica.close();
    expect(await listReplicas(db)).to.deep.equal([]);
    const [first, second] = [0, 1].map(() =>
      reportReplica(db, { position: () => position, policy: () => state }, createLog('silent'), SOON),
    );
    await Promise.all([first?.close(), second?.close()]);
    expect(await listReplicas(db)).to.deep.equal([]);
  });

  it('stops without the database, which then shows it as not alive after some seconds', async () => {
    await eventually(async () => (await listReplicas(db)).length === 1);
    const other = connect({ url, poolSize: 1 });
    const trx = await other.transaction();
    await trx.raw('lock table replicas');
    await replica.close();
    await trx.rollback();
    await other.destroy();
  });

  it('reports the change that it has applied, and deletes rows of replicas that are gone', async () => {
    await db('replicas').insert({ id: 'gone', version: '0', seen_at: '2020-01-01' });
    await eventually(async () => (await db('replicas').where({ version: VERSION }).first())?.last_applied === null);
    position = 7;
    await eventually(async () => (await db('replicas').where({ version: VERSION }).first())?.last_applied === '7');
    await eventually(async () => (await db('replicas')).length === 1);
  });

  it('reports again once the database accepts its report again', async () => {
    await db.raw('alter table replicas rename to hidden');
    await new Promise((resolve) => setTimeout(resolve, 10 * SOON));
    await db.raw('delete from hidden; alter table hidden rename to replicas');
    await eventually(async () => (await db('replicas')).length === 1);
  });

  it('reports its live policy, since when, and whether it has refused another', async () => {
    const first = await eventually(async () => (await listReplicas(db))[0]);
    expect(first).to.include({ alive: true, policy: state.policy.digest, policySince: '1970-01-01T00:00:01.000Z' });
    expect(first.policyRefusedAt).to.equal(null);
    state = { ...state, refused: { at: new Date(2000), reason: 'no', findings: [] } };
    await eventually(async () => (await listReplicas(db))[0]?.policyRefusedAt === '1970-01-01T00:00:02.000Z');
  });

  it('is shown by authz policy status, which exits with 1 unless all run one policy', async () => {
    const env = { DATABASE_URL: url, KEY_PEPPERS: `t:${Buffer.alloc(32, 1).toString('base64')}` };
    await eventually(async () => (await listReplicas(db)).length === 1);
    const one = await authz(['policy', 'status', '--json'], env);
    expect([one.code, JSON.parse(one.stdout).agreed]).to.deep.equal([0, true]);
    await db('replicas').insert({ id: 'other', version: '0', policy_digest: 'sha256:other' });
    const two = await authz(['policy', 'status'], env);
    expect(two.code).to.equal(1);
    expect(two.stdout).to.contain('sha256:other').and.to.contain('do not run one policy');
    await db('replicas')
      .where({ id: 'other' })
      .update({ seen_at: db.raw("now() - interval '1 minute'") });
    expect((await authz(['policy', 'status'], env)).code).to.equal(0);
  }).timeout(60_000);
});
