/**
 * Each replica reports its version and live policy to a table every five seconds (heartbeat), and deletes its row when it stops;
 * the rows of those that could not are deleted after an hour.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { orFailure } from '../db/failure.ts';
import { NEWEST_MIGRATION } from '../db/schema.ts';
import type { Log } from '../log.ts';
import { every } from '../loop.ts';
import type { Policy } from '../policy/decide.ts';
import { VERSION } from '../release.ts';
import { uuidv7 } from '../uuid.ts';
import type { LiveState } from './live.ts';

export interface Replica {
  readonly id: string;
  readonly version: string;
  readonly startedAt: string;
  readonly seenAt: string;
  /** Whether its last report is recent. */
  readonly alive: boolean;
  /** Digest of its live policy. */
  readonly policy: string | null;
  readonly policySince: string | null;
  /** When it refused the policy that its folder holds; null while it runs what the folder holds. */
  readonly policyRefusedAt: string | null;
}

interface ReplicaRow {
  id: string;
  version: string;
  started_at: Date;
  seen_at: Date;
  alive: boolean;
  policy_digest: string | null;
  policy_since: Date | null;
  policy_refused_at: Date | null;
}

const REPORT_MS = 5000;
/** Three missed reports. */
const ALIVE_WITHIN = "interval '15 seconds'";

const REPORT = `
  insert into replicas (id, version, newest_migration, last_applied, policy_digest, policy_since, policy_refused_at) values (?, ?, ?, ?, ?, ?, ?)
  on conflict (id) do update set seen_at = now(), last_applied = excluded.last_applied,
    policy_digest = excluded.policy_digest, policy_since = excluded.policy_since,
    policy_refused_at = excluded.policy_refused_at`;
const LEAVE = 'delete from replicas where id = ?';
/** How long a report waits for the database, and how long a stop does, which may have to wait for a report first. */
const REPORT_LIMIT_MS = 2000;
const LEAVE_LIMIT_MS = 1000;
const FORGET = "delete from replicas where seen_at < now() - interval '1 hour'";

interface Reported {
  /** The number up to which the change feed is applied here. */
  readonly position: () => number | undefined;
  readonly policy: () => LiveState<Policy>;
}

/**
 * Sends a heartbeat over `db` at once and every `intervalMs`. Of failures in a row, the first is logged. `close` deletes the
 * replica's row; where that fails or takes seconds, it gives up, and the row shows the replica as not alive.
 */
export function reportReplica(
  db: Knex,
  { position, policy }: Reported,
  log: Log,
  intervalMs = REPORT_MS,
): { readonly close: () => Promise<void> } {
  const id = uuidv7();
  const run = (limitMs: number, sql: string, values: readonly unknown[] = []) =>
    // At 'start', where the pool sets its own, longer limit (connect.ts).
    db.raw(sql, values as never).on('start', (statement: Knex.Raw) => statement.timeout(limitMs));
  const report = async (): Promise<void> => {
    const { policy: live, since, refused } = policy();
    const policyOf = [live.digest, since, refused?.at ?? null];
    await run(REPORT_LIMIT_MS, REPORT, [id, VERSION, NEWEST_MIGRATION, position() ?? null, ...policyOf]);
    await run(REPORT_LIMIT_MS, FORGET);
  };
  const loop = every(intervalMs, report, {
    first: 'at once',
    onError: (error, { inARow, closing }) => {
      if (inARow === 1 && !closing)
        log.warn(
          { error },
          'this replica cannot write its report to the table `replicas`; `authz policy status` will show it as not alive',
        );
    },
  });
  return {
    close: async () => {
      try {
        // A report under way would insert the row anew. Where that one hangs, so would this.
        const late = sleep(LEAVE_LIMIT_MS, 'late', { ref: false });
        if ((await Promise.race([loop.close(), late])) === 'late') throw new Error('a report is under way, and hangs');
        await run(LEAVE_LIMIT_MS, LEAVE, [id]);
      } catch (error) {
        log.warn({ error }, 'this replica could not delete its row of `replicas`; it will be shown as not alive');
      }
    },
  };
}

/** The replicas that reported within the last hour, the newest first. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function listReplicas(db: Knex): Promise<Replica[]> {
  const rows = await orFailure<ReplicaRow[]>(
    db('replicas')
      .select('*', db.raw(`seen_at > now() - ${ALIVE_WITHIN} as alive`))
      .orderBy([{ column: 'started_at', order: 'desc' }, 'id']) as never,
  );
  return rows.map((row) => ({
    id: row.id,
    version: row.version,
    startedAt: row.started_at.toISOString(),
    seenAt: row.seen_at.toISOString(),
    alive: row.alive,
    policy: row.policy_digest,
    policySince: row.policy_since?.toISOString() ?? null,
    policyRefusedAt: row.policy_refused_at?.toISOString() ?? null,
  }));
}
