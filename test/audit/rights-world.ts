/** A database with an owner who is no superuser, its roles with a login of each, and something of every kind for a verb to work on. */

import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { makeSigningKey } from '../../src/audit/format/signatures.ts';
import { connect } from '../../src/db/connect.ts';
import { mutate } from '../../src/db/mutate.ts';
import { authz } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { loginOf } from '../support/roles.ts';
import { insertCaller, insertKey, startService } from '../support/service.ts';

export type Role = 'owner' | 'service' | 'auditor' | 'other';

export interface World {
  readonly owner: Knex;
  readonly urls: Readonly<Record<Role, string>>;
  /** The setting KEY_PEPPERS. */
  readonly peppers: string;
  /** Settings of every role. */
  readonly env: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Of a recorded decision, and of the policy that decided it. */
  readonly decision: string;
  readonly policy: string;
  /** The URL of a database without any table, for the same login. */
  readonly emptyOf: (role: Role) => Promise<string>;
  /** Something new each time: its id, and of a key the key in clear. */
  readonly fresh: {
    readonly id: () => string;
    readonly user: () => Promise<string>;
    readonly business: () => Promise<string>;
    readonly key: () => Promise<{ readonly id: string; readonly apiKey: string }>;
    readonly caller: () => Promise<string>;
    readonly freeze: () => Promise<string>;
    readonly file: (text: string, name?: string) => Promise<string>;
  };
  /** How many rows each table has that a verb could add to or take from. */
  readonly counts: () => Promise<Record<string, string>>;
  readonly close: () => Promise<void>;
}

const TABLES = ['admin_events', 'users', 'businesses', 'business_members', 'api_keys', 'callers', 'freezes', 'peppers'];
const COUNTS = `select ${[...TABLES, 'changes', 'decisions'].map((table) => `(select count(*) from ${table}) as ${table}`)}`;

export async function makeWorld(postgres: string): Promise<World> {
  const [url, empty] = [await newDatabase(postgres, 'template1'), await newDatabase(postgres, 'template1')];
  const superuser = connect({ url, poolSize: 1 });
  const ownerUrl = await loginOf(superuser, url);
  const name = new URL(ownerUrl).username;
  for (const database of [url, empty])
    await superuser.raw(`alter database ${new URL(database).pathname.slice(1)} owner to ${name}`);
  const migrated = await authz(['migrate', '--roles'], { DATABASE_URL: ownerUrl });
  expect(migrated.code, migrated.stderr).to.equal(0);
  const owner = connect({ url: ownerUrl, poolSize: 2 });
  const urls = {
    owner: ownerUrl,
    service: await loginOf(superuser, url, 'authz_service'),
    auditor: await loginOf(superuser, url, 'authz_auditor'),
    other: await loginOf(superuser, url),
  };
  await superuser.destroy();

  const folder = await mkdtemp(path.join(tmpdir(), 'authz-rights-'));
  const signing = {
    AUDIT_SIGNING_KEY: path.join(folder, 'signing-key.pem'),
    AUDIT_CHECKPOINTS: path.join(folder, 'checkpoints.jsonl'),
  };
  await writeFile(signing.AUDIT_SIGNING_KEY, makeSigningKey(), { mode: 0o600 });
  const service = await startService({ DATABASE_URL: urls.service, ...signing });
  const client = clientOf(service);
  await client.newUser('ann', 'bakery');
  const { body } = await service.ask('/authorize', {
    apiKey: (await client.newKey('ann')).apiKey,
    action: 'call:create',
    businessId: 'bakery',
  });
  const { pepper } = service;
  await service.close();
  const [live] = await owner('policies').select('digest');
  // Alive for as long as the tests take.
  const seen = new Date(Date.now() + 3_600_000);
  await owner('replicas').insert({ id: 'one', version: '1', policy_digest: live?.digest, seen_at: seen });

  const id = (): string => `x${randomBytes(6).toString('hex')}`;
  const insert = async (table: string, row: object): Promise<string> => {
    const made = id();
    await owner(table).insert({ id: made, ...row });
    return made;
  };
  const by = { db: owner, pepper };
  const fresh: World['fresh'] = {
    id,
    user: () => insert('users', {}),
    business: () => insert('businesses', {}),
    key: async () => {
      const key = id();
      return { id: key, apiKey: await insertKey(by, { id: key, user_id: 'ann' }) };
    },
    caller: async () => {
      const caller = id();
      await insertCaller(by, ['authorize'], { id: caller });
      return caller;
    },
    freeze: () =>
      mutate(owner, { id: 'test' }, async (trx) => {
        const freeze = id();
        await trx('freezes').insert({ id: freeze, action: 'x:y', reason: '-', until: new Date(Date.now() + 1e7) });
        return { result: freeze, events: [], changes: [{ kind: 'freeze', id: freeze }] };
      }),
    file: async (text, called = id()) => {
      const file = path.join(folder, called);
      await writeFile(file, text, { mode: 0o600 });
      return file;
    },
  };
  return {
    owner,
    urls,
    folder,
    fresh,
    peppers: `${pepper.id}:${pepper.secret.toString('base64')}`,
    env: {
      ...signing,
      PORT: '0',
      LOG_LEVEL: 'silent',
    },
    decision: String(body.Data?.['decisionId']),
    policy: String(live?.digest),
    emptyOf: async (role) => {
      const address = new URL(urls[role]);
      address.pathname = new URL(empty).pathname;
      return address.href;
    },
    counts: async () => (await owner.raw<{ rows: [Record<string, string>] }>(COUNTS)).rows[0],
    close: async () => {
      await owner.destroy();
      await rm(folder, { recursive: true });
    },
  };
}
