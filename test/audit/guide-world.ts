/** What the guides of auditors are tried on: a service with the role of one, checkpoints in a file, and the login of an auditor. */

import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Knex } from 'knex';
import { makeSigningKey } from '../../src/audit/format/signatures.ts';
import { connect } from '../../src/db/connect.ts';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { createRoles, loginOf } from '../support/roles.ts';
import { startService, type TestService } from '../support/service.ts';

export interface GuideWorld {
  readonly service: TestService;
  readonly client: Client;
  /** Of the tables' owner. */
  readonly owner: Knex;
  /** Holds audit.pem. */
  readonly folder: string;
  /** All settings of an auditor. */
  readonly auditor: Readonly<Record<string, string>>;
  readonly auditorLogin: string;
  /** Those of an operator. */
  readonly operator: Readonly<Record<string, string>>;
  /** Resolves once there is a checkpoint. */
  readonly attested: () => Promise<void>;
  readonly close: () => Promise<void>;
}

export async function makeGuideWorld(): Promise<GuideWorld> {
  const folder = await mkdtemp(path.join(tmpdir(), 'authz-guide-'));
  const keyFile = path.join(folder, 'signing-key.pem');
  await writeFile(keyFile, makeSigningKey(), { mode: 0o600 });
  await writeFile(path.join(folder, 'audit.pem'), execFileSync('openssl', ['pkey', '-in', keyFile, '-pubout']));
  const url = await newDatabase();
  const owner = connect({ url, poolSize: 1 });
  await createRoles(owner);
  const AUDIT_CHECKPOINTS = path.join(folder, 'checkpoints.jsonl');
  const auditor = { DATABASE_URL: await loginOf(owner, url, 'authz_auditor'), AUDIT_CHECKPOINTS };
  const operator = { DATABASE_URL: await loginOf(owner, url, 'authz_service'), AUDIT_CHECKPOINTS };
  const signing = { AUDIT_SIGNING_KEY: keyFile, AUDIT_CHECKPOINT_SECONDS: '1' };
  const service = await startService({ ...operator, ...signing });
  return {
    service,
    client: clientOf(service),
    owner,
    folder,
    auditor,
    auditorLogin: new URL(auditor.DATABASE_URL).username,
    operator: { ...operator, KEY_PEPPERS: `${service.pepper.id}:${service.pepper.secret.toString('base64')}` },
    attested: async () => {
      while ((await readFile(AUDIT_CHECKPOINTS, 'utf8')) === '') await sleep(50);
    },
    close: async () => {
      await service.close();
      await owner.destroy();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
