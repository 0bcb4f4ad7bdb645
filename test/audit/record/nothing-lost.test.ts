/**
 * Nothing that a client was told is missing from the log: two processes answer, with LONG=2 at full speed, while they are killed and
 * PostgreSQL is restarted at random. ROUNDS=60 SEED=n repeats it for longer; without them it is short. POOLER=1 puts PgBouncer
 * between them.
 */

import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { createToken } from '../../../src/credentials/token.ts';
import { connect } from '../../../src/db/connect.ts';
import { migrate } from '../../../src/db/migrate.ts';
import { eventually, killProcesses, type ServiceProcess, startProcess } from '../../http/process.ts';
import { type Cluster, startCluster } from '../../support/cluster.ts';
import { amount } from '../../support/long.ts';
import { type PgBouncer, startPgBouncer } from '../../support/pgbouncer.ts';
import { insertKey } from '../../support/service.ts';
import { verifiedRows } from '../verify/independent.ts';

const ROUNDS = Number(process.env['ROUNDS'] ?? amount(3, 8));
const SEED = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
const CLIENTS = 24;
/** Between two questions of a client. */
const PAUSE_MS = amount(100, 20, 0);

interface Told {
  readonly Code: string;
  readonly Data: { readonly decisionId: string } & Readonly<Record<string, unknown>>;
}

describe('two processes that answer while they and their PostgreSQL are killed', () => {
  let cluster: Cluster;
  let pooler: PgBouncer | undefined;
  let db: Knex;
  const token = randomBytes(16).toString('hex');
  const pepper = { id: 'p', secret: randomBytes(32) };
  const services: ServiceProcess[] = [];

  before(async () => {
    cluster = await startCluster();
    db = connect({ url: cluster.url, poolSize: 2 });
    await migrate(db);
    // What a database may have as its default, and would lose decisions: commits that are confirmed 10 s before they are written.
    await db.raw(`alter database ${new URL(cluster.url).pathname.slice(1)} set synchronous_commit = off`);
    await db.raw(`alter system set wal_writer_delay = '10s'`);
    await db.raw('select pg_reload_conf()');
    if (process.env['POOLER']) pooler = await startPgBouncer(cluster.url);
  });
  after(async () => {
    killProcesses();
    await db?.destroy();
    await pooler?.close();
    await cluster?.close();
  });

  /** Tries again while PostgreSQL is not there. */
  async function start(place: number): Promise<void> {
    for (;;) {
      try {
        services[place] = await startProcess({
          DATABASE_URL: pooler?.url ?? cluster.url,
          KEY_PEPPERS: `${pepper.id}:${pepper.secret.toString('base64')}`,
          BOOTSTRAP_TOKEN: token,
          DECISION_DEADLINE_MS: '1000',
          LOG_LEVEL: 'info',
        });
        return;
      } catch (error) {
        expect(String(error)).to.match(
          /cannot be used|ECONNREFUSED|starting up|terminat|UNAVAILABLE|DEADLINE_EXCEEDED|timeout/,
        );
      }
    }
  }

  const answers = () =>
    db.raw('select').then(
      () => true,
      () => false,
    );

  it(`${ROUNDS} times lose no decision, record none twice, and leave chains that verify`, async function () {
    this.timeout(120_000 + ROUNDS * 60_000);
    const random = randomFrom(SEED);
    await db('users').insert({ id: 'ann' });
    await db('businesses').insert([{ id: '42' }, { id: 'other' }]);
    await db('business_members').insert({ business_id: '42', user_id: 'ann', role: 'owner' });
    const good = await insertKey({ db, pepper }, { id: 'k-good', user_id: 'ann' });
    const narrow = await insertKey({ db, pepper }, { id: 'k-narrow', user_id: 'ann' }, ['other']);
    await Promise.all([start(0), start(1)]);

    const told: Told[] = [];
    let failures = 0;
    let over = false;
    const question = (number: number): object => ({
      apiKey: [good, narrow, createToken('apiKey'), 'junk'][number % 4],
      action: 'call:create',
      businessId: '42',
      context: { ip: '203.0.113.7', userAgent: `agent ${number}`, requestId: String(number) },
    });
    const client = async (number: number): Promise<void> => {
      for (let count = number; !over; count += CLIENTS) {
        const batch = count % 5 === 0;
        const body = batch ? { requests: [question(count), question(count + 1)] } : question(count);
        try {
          const response = await fetch(`${services[number % 2]?.address}/authorize${batch ? '/batch' : ''}`, {
            method: 'POST',
            headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
            body: JSON.stringify(body),
          });
          const reply = (await response.json()) as Told & { readonly Data: { readonly decisions?: Told[] } };
          if (response.status === 200) told.push(...(reply.Data.decisions ?? [reply]));
          else failures += 1;
          // So that the other tests get a share of the machine.
          await sleep(PAUSE_MS);
        } catch {
          failures += 1;
          await sleep(20);
        }
      }
    };
    const clients = Array.from({ length: CLIENTS }, (_, number) => client(number));

    const faults = { process: 0, postgres: 0 };
    for (let round = 0; round < ROUNDS; round += 1) {
      await sleep(100 + random() * 400);
      if (random() < 0.6) {
        const place = random() < 0.5 ? 0 : 1;
        services[place]?.child.kill('SIGKILL');
        faults.process += 1;
        await start(place);
      } else {
        // One that is still recovering may leave a child behind.
        await eventually(answers);
        const way = random();
        if (way < 0.4) await cluster.signal('SIGKILL');
        else await cluster.signal(way < 0.7 ? 'SIGINT' : 'SIGQUIT', 'postmaster');
        faults.postgres += 1;
        await eventually(answers);
      }
    }
    const before = told.length;
    await eventually(() => told.length > before + 100);
    over = true;
    await Promise.all(clients);
    for (const { child } of services) child.kill('SIGTERM');
    for (const { exit } of services) expect(await exit).to.equal(0);

    const rows = await verifiedRows(db);
    console.log(
      `      seed ${SEED}: ${faults.process} kills, ${faults.postgres} restarts of PostgreSQL; ${told.length} decisions told, ${failures} failures, ${rows.length} records`,
    );
    const recorded = new Map(rows.map((row) => [row.id, row]));
    expect(recorded.size, 'ids').to.equal(rows.length);
    expect(new Set(told.map(({ Data }) => Data.decisionId)).size).to.equal(told.length);
    for (const { Code, Data } of told) {
      expect(recorded.get(Data.decisionId), `the record of ${Data.decisionId}`).to.include({
        code: Code,
        effect: Code === 'OK' ? 'allow' : 'deny',
        rule: Data['rule'],
        policy: Data['policy'],
        api_key_id: Data['apiKeyId'],
        user_id: Data['userId'],
        business_id: Data['businessId'],
        action: Data['action'],
        caller_id: 'bootstrap',
      });
    }
  });
});

/** Numbers from 0 to 1 (mulberry32), the same for the same seed. */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
