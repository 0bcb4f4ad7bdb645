/**
 * What the chain of administration costs a change: `mutate`, against the same transaction without the chain, as it was before: an insert
 * of the event, a number and entries of the feed. In turns, twenty at a time.
 */

import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import { connect } from '../../src/db/connect.ts';
import { openEmbedded } from '../../src/db/embedded/server.ts';
import { migrate } from '../../src/db/migrate.ts';
import { mutate } from '../../src/db/mutate.ts';
import { uuidv7 } from '../../src/uuid.ts';
import { cpuSecondsOfAll } from './processes.ts';
import { type Bench, ofRounds } from './report.ts';

const PARALLEL = 20;
const USERS = 200;

type Change = (db: Knex, user: string, reason: string) => Promise<unknown>;

const update = (db: Knex, user: string, reason: string) =>
  db('users').where({ id: user }).update({ disabled_at: db.fn.now(), disabled_reason: reason });

const eventOf = (user: string, reason: string) => ({
  action: 'user.update',
  before: {
    id: user,
    disabled: false,
    disabledReason: null,
    businessesDisabled: false,
    rateLimit: null,
    attributes: {},
  },
  after: {
    id: user,
    disabled: true,
    disabledReason: reason,
    businessesDisabled: false,
    rateLimit: null,
    attributes: {},
  },
});

const chained: Change = (db, user, reason) =>
  mutate(db, { id: 'bench' }, async (trx) => {
    await update(trx, user, reason);
    return {
      result: undefined,
      events: [{ ...eventOf(user, reason), kind: 'user', id: user }],
      changes: [{ kind: 'user', id: user }],
    };
  });

const unchained: Change = (db, user, reason) =>
  db.transaction(async (trx) => {
    await update(trx, user, reason);
    const { action, before, after } = eventOf(user, reason);
    const event = { id: uuidv7(), at: new Date(), actor: 'bench', action, before, after };
    await trx.raw(
      `insert into admin_events (id, at, actor, action, subject_kind, subject_id, before, after, request_id)
       select id, at, actor, action, subject_kind, subject_id, before, after, request_id
       from jsonb_populate_recordset(null::admin_events, ?::jsonb)`,
      [JSON.stringify([{ ...event, subject_kind: 'user', subject_id: user }])],
    );
    await trx.raw(
      `with number as (update change_counter set last = last + 1 returning last),
       numbered as (
         insert into changes (seq, kind, id, digest)
         select last, kind, id, digest from number, jsonb_to_recordset(?::jsonb) as change (kind text, id text, digest bytea)
         returning seq
       )
       select max(seq) as seq, pg_notify('authz_changes', max(seq)::text) from numbered`,
      [JSON.stringify([{ kind: 'user', id: user }])],
    );
  });

/** Registered as the section `changes`. */
export async function benchChanges(bench: Bench): Promise<void> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-bench-changes-'));
  await chmod(folder, 0o755);
  const server = await openEmbedded({ dataDir: path.join(folder, 'data') });
  const db = connect({ url: server.url, poolSize: PARALLEL });
  try {
    await migrate(db);
    await db.raw(`insert into users (id) select 'user-' || n from generate_series(1, ${USERS}) n`);
    const [rounds, changes] = bench.short ? [3, 400] : [9, 1000];
    await costOf(db, chained, changes);
    await costOf(db, unchained, changes);
    const ratios: Cost[] = [];
    const times: number[] = [];
    for (let round = 0; round < rounds; round += 1) {
      bench.progress(`round ${round + 1} of ${rounds}`);
      // Who comes first changes, so that what one leaves behind burdens both.
      const turns: [Change, Change] = round % 2 === 0 ? [chained, unchained] : [unchained, chained];
      const [first, second] = [await costOf(db, turns[0], changes), await costOf(db, turns[1], changes)];
      const [mine, other] = round % 2 === 0 ? [first, second] : [second, first];
      ratios.push({ seconds: mine.seconds / other.seconds, cpu: mine.cpu / other.cpu });
      times.push(mine.seconds / changes);
    }
    const { rows } = await db.raw('select deadlocks::int from pg_stat_database where datname = current_database()');
    bench.figure({ name: 'a change, twenty at a time', unit: 'ms', ...ofRounds(times.map((time) => time * 1000)) });
    for (const [name, of] of [
      ['a change, twenty at a time', 'seconds'],
      ['CPU of a change, of process and PostgreSQL', 'cpu'],
    ] as const)
      bench.figure({
        name,
        to: 'one without the chain',
        unit: 'x',
        ...ofRounds(ratios.map((ratio) => ratio[of])),
        want: { atMost: 1.2 },
      });
    bench.figure({ name: 'deadlocks', value: rows[0].deadlocks, unit: '', want: { atMost: 0 } });
  } finally {
    await db.destroy();
    await server.close();
    await rm(folder, { recursive: true, force: true });
  }
}

interface Cost {
  readonly seconds: number;
  /** Seconds on a core, of this process and of all backends. */
  readonly cpu: number;
}

/** Of so many changes, twenty at a time, each of another user than those beside it. */
async function costOf(db: Knex, change: Change, changes: number): Promise<Cost> {
  const { rows } = await db.raw(
    `select pid from pg_stat_activity where backend_type = 'client backend' and datname = current_database()`,
  );
  const pids = rows.map(({ pid }: { pid: number }) => pid);
  const cpu = (): number => process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6 + cpuSecondsOfAll(pids);
  const [since, before] = [performance.now(), cpu()];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < changes) {
      next += 1;
      await change(db, `user-${1 + (next % USERS)}`, `reason ${next}`);
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return { seconds: (performance.now() - since) / 1000, cpu: cpu() - before };
}
