/** A log with days that are old enough to be pruned, its checkpoints, and what prunes and verifies it. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Knex } from 'knex';
import { type Checkpoints, createCheckpoints } from '../../../src/audit/checkpoint/loop.ts';
import { loadSigner, makeSigningKey, type Signer } from '../../../src/audit/format/signatures.ts';
import { type PrunePlan, planPrune, pruneDay } from '../../../src/audit/retention/prune.ts';
import { type VerifyReport, verifyLog } from '../../../src/audit/verify/verify.ts';
import { connect } from '../../../src/db/connect.ts';
import { createLog } from '../../../src/log.ts';
import { databaseClock } from '../../support/database-clock.ts';
import { newDatabase } from '../../support/postgres.ts';
import { verifyIndependently } from '../verify/independent.ts';
import { createWriter, makePartition, type WrittenRecord } from '../written-log.ts';

export const ACTOR = { id: 'cli:tester' };

export interface OldLog {
  readonly url: string;
  readonly db: Knex;
  readonly folder: string;
  readonly file: string;
  /** PEM. */
  readonly signingKey: string;
  readonly signer: Signer;
  /** The first two are old, the others are not. */
  readonly days: readonly [string, string, string, string];
  readonly records: readonly WrittenRecord[];
  /** Makes a checkpoint, as a process of its own. */
  readonly checkpoint: (file?: string) => Promise<void>;
  readonly plan: (options?: { keepDays?: number; files?: string[]; signer?: Signer }) => Promise<PrunePlan>;
  /** Drops all that is ready; the days. */
  readonly prune: (keepDays?: number) => Promise<string[]>;
  readonly verify: (options?: { files?: string[]; from?: string; to?: string }) => Promise<VerifyReport>;
  /** What the verifier that shares nothing with the service says. */
  readonly verifyIndependently: () => Promise<string | undefined>;
  readonly close: () => Promise<void>;
}

/** Days that stay where both old ones go. */
export const KEEP = 10;

const dayBefore = (days: number): string => new Date(Date.now() - days * 86_400_000).toISOString().slice(0, 10);

/** Two processes write on four days; the clock of one steps back from the second day to the first. */
export async function writeOldLog(): Promise<OldLog> {
  const url = await newDatabase();
  const db = connect({ url, poolSize: 4 });
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-test-'));
  const file = path.join(folder, 'checkpoints.jsonl');
  const signingKey = makeSigningKey();
  const signer = await loadSigner(signingKey);
  const days = [dayBefore(KEEP + 2), dayBefore(KEEP + 1), dayBefore(KEEP), dayBefore(1)] as const;
  for (const day of days) await makePartition(db, day);
  const clock = await databaseClock(db);

  const [one, other] = [createWriter(db), createWriter(db)];
  const records: WrittenRecord[] = [];
  for (const day of days) records.push(...(await one.append(day, 6)));
  records.push(...(await other.append(days[0], 4)));
  records.push(...(await other.append(days[1], 3)));
  records.push(...(await other.append(days[0], 5)));
  records.push(...(await other.append(days[2], 3)));

  const log = createLog('silent');
  const open: Checkpoints[] = [];
  const checkpoint = async (to = file): Promise<void> => {
    const parts = { db, log, writer: crypto.randomUUID(), signer, file: to, seconds: 3600 };
    const checkpoints = createCheckpoints(parts);
    open.push(checkpoints);
    // Checkpoints are of the first of the days: records of all of them may follow.
    await clock.stopAt(`${days[0]}T00:00:00Z`);
    await checkpoints.make();
    await clock.shiftBy(0);
  };
  await checkpoint();
  const publicKeys = new Set([signer.publicKey]);
  const plan: OldLog['plan'] = ({ keepDays = KEEP, files = [file], signer: by = signer } = {}) =>
    planPrune(db, { keepDays, files, publicKeys, signer: by });
  return {
    url,
    db,
    folder,
    file,
    signingKey,
    signer,
    days,
    records,
    checkpoint,
    plan,
    prune: async (keepDays = KEEP) => {
      const { ready } = await plan({ keepDays });
      for (const day of ready) await pruneDay(db, ACTOR, day, { signer, file });
      return ready.map(({ day }) => day);
    },
    verify: (options = {}) => verifyLog(db, { files: [file], publicKeys, ...options }),
    verifyIndependently: () => verifyIndependently(db, file, signer.publicKey),
    close: async () => {
      for (const one of open) await one.close();
      await db.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
