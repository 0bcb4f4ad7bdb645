/** Which replicas run what: each of them says so every few seconds, and who has been silent for long is forgotten. */

import type { Knex } from 'knex';
import { read } from '../db/page.ts';

export interface Replica {
  readonly id: string;
  readonly version: string;
  readonly startedAt: string;
  readonly seenAt: string;
  /** Whether it has been heard of lately. */
  readonly alive: boolean;
  /** Digest of its live policy. */
  readonly policy: string | null;
  readonly policySince: string | null;
  /** When it last refused what its folder holds; null while it runs just that. */
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

/** Three reports missed. */
const SILENT = "interval '15 seconds'";

/** Those that were heard of within a day, the newest first. @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function listReplicas(db: Knex): Promise<Replica[]> {
  const rows = await read<ReplicaRow[]>(
    db('replicas')
      .select('*', db.raw(`seen_at > now() - ${SILENT} as alive`))
      .where('seen_at', '>', db.raw("now() - interval '1 day'"))
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
