/** Whether this process makes checkpoints, with which key and where: from the settings to the loop, or to none. */

import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { connect } from '../../db/connect.ts';
import { Refusal } from '../../errors.ts';
import type { Log } from '../../log.ts';
import { keepSecret } from '../../secret-file.ts';
import { loadSigner, makeSigningKey } from '../format/signatures.ts';
import { requireCheckpointFile } from './file.ts';
import { type Checkpoints, createCheckpoints } from './loop.ts';

interface Settings {
  readonly AUDIT_CHECKPOINTS: string | undefined;
  readonly AUDIT_SIGNING_KEY: string | undefined;
  readonly AUDIT_CHECKPOINT_SECONDS: number;
  readonly DATABASE_URL: string | undefined;
  readonly DATA_DIR: string;
}

/** Milliseconds that a statement may take. Short, because the end of the process waits for the last checkpoint. */
const LIMIT_MS = 5000;

/** Beside the folder of the embedded database, not in it. */
export const embeddedCheckpoints = (dataDir: string): string => path.join(dataDir, 'audit-checkpoints.jsonl');

export const embeddedSigningKey = (dataDir: string): string => path.join(dataDir, 'audit-signing-key.pem');

/**
 * Starts the loop of checkpoints, on a connection of its own. Signing key and file are settings; for the embedded database they
 * default to files in DATA_DIR, where the key is generated. Undefined, after a warning, where neither is set for another
 * database: a key that was generated here would be one whose public key no auditor was given.
 * @throws Refusal: only one of the two is set, the key is not Ed25519 in PEM, or the file cannot be written.
 */
export async function openCheckpoints(settings: Settings, url: string, log: Log): Promise<Checkpoints | undefined> {
  const embedded = settings.DATABASE_URL === undefined;
  const file = settings.AUDIT_CHECKPOINTS ?? (embedded ? embeddedCheckpoints(settings.DATA_DIR) : undefined);
  const key =
    settings.AUDIT_SIGNING_KEY ??
    (embedded ? await keepSecret(embeddedSigningKey(settings.DATA_DIR), makeSigningKey) : undefined);
  if (file === undefined && key === undefined) {
    log.warn(
      'AUDIT_CHECKPOINTS and AUDIT_SIGNING_KEY are not set: no checkpoints of the decision log are made, so a superuser of ' +
        'the database can rewrite all of it unnoticed; docs/audit.md says how to set them',
    );
    return undefined;
  }
  if (file === undefined || key === undefined) {
    const [set, lacking] = file ? ['CHECKPOINTS', 'SIGNING_KEY'] : ['SIGNING_KEY', 'CHECKPOINTS'];
    throw new Refusal(`AUDIT_${set} is set, so AUDIT_${lacking} must be too; docs/audit.md says how to make it`);
  }
  const signer = await loadSigner(key);
  await requireCheckpointFile(file);
  const db = connect({ url, poolSize: 1, limitMs: LIMIT_MS });
  const seconds = settings.AUDIT_CHECKPOINT_SECONDS;
  const checkpoints = createCheckpoints({ db, log, writer: randomUUID(), signer, file, seconds });
  // Before anything is recorded: if the database's clock was set back while nobody ran, this one shows it.
  checkpoints.soon();
  return {
    ...checkpoints,
    close: async () => {
      await checkpoints.close();
      await db.destroy();
    },
  };
}
