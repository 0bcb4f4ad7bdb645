/** A whole service in this process with its own database and port, and helpers to send requests and read its tables. */

import { randomBytes } from 'node:crypto';
import type { Writable } from 'node:stream';
import type { Knex } from 'knex';
import { loadConfig } from '../../src/config.ts';
import { createToken, digestOf, hintOf, type Pepper } from '../../src/credentials/token.ts';
import { openDatabase } from '../../src/database.ts';
import { connect } from '../../src/db/connect.ts';
import { mutate } from '../../src/db/mutate.ts';
import { listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import type { Policy } from '../../src/policy/decide.ts';
import { createService, type Service } from '../../src/service.ts';
import { newDatabase } from './postgres.ts';

export interface Reply {
  readonly status: number;
  readonly headers: Headers;
  readonly body: { Success: boolean; Code: string; Message: string; Data?: Record<string, unknown> };
}

export interface TestService {
  readonly address: string;
  /** Of ADMIN_PORT. */
  readonly adminAddress: string | undefined;
  /** A caller token with every scope. */
  readonly token: string;
  readonly pepper: Pepper;
  /** A pool of the test, besides the service's. */
  readonly db: Knex;
  readonly service: Service;
  readonly changeFeed: Service['changeFeed'];
  /** Sends a request with the caller token; a body other than a string or Buffer is sent as JSON. */
  readonly ask: (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Reply>;
  readonly close: () => Promise<void>;
}

/** A rate limit that no test reaches. */
export const UNLIMITED = { requests: 2 ** 31 - 1, windowSeconds: 1 };

/** Of the service that was started last: while it is there, the next service with the same folder does not check it again. */
const lastPolicy: Policy[] = [];

/** Starts a service in this process: real HTTP, real PostgreSQL. `environment` adds to its settings; `out` gets its log. */
export async function startService(environment: Record<string, string> = {}, out?: Writable): Promise<TestService> {
  const secret = randomBytes(32);
  const token = environment['BOOTSTRAP_TOKEN'] ?? randomBytes(16).toString('hex');
  const url = environment['DATABASE_URL'] ?? (await newDatabase());
  const config = loadConfig({
    DATABASE_URL: url,
    KEY_PEPPERS: `test:${secret.toString('base64')}`,
    BOOTSTRAP_TOKEN: token,
    PORT: '0',
    LOG_LEVEL: 'silent',
    // Generous, since tests and PostgreSQL share two cores; tests of deadlines set their own.
    DECISION_DEADLINE_MS: '5000',
    // Tests send any number of requests with one key; tests of limits set their own.
    RATE_LIMIT: `${UNLIMITED.requests}/${UNLIMITED.windowSeconds}`,
    FAILED_AUTHENTICATION_LIMIT: 'none',
    ...environment,
  });
  const database = await openDatabase(config);
  const service = await createService(config, createLog(config.LOG_LEVEL, out), database);
  lastPolicy[0] = service.live.policy();
  const server = await listen(service);
  const db = connect({ url, poolSize: 2 });
  return {
    address: server.address,
    adminAddress: server.adminAddress,
    token,
    pepper: database.peppers[0],
    db,
    service,
    changeFeed: service.changeFeed,
    ask: (path, body, headers = {}) =>
      ask(server.address + path, body, { authorization: `Bearer ${token}`, ...headers }),
    close: async () => {
      await server.close();
      await service.close();
      await database.close();
      await db.destroy();
    },
  };
}

async function ask(url: string, body: unknown, headers: Record<string, string>): Promise<Reply> {
  const raw = typeof body === 'string' || Buffer.isBuffer(body);
  const response = await fetch(url, {
    method: body === undefined ? 'GET' : 'POST',
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: raw ? new Uint8Array(Buffer.from(body as string)) : JSON.stringify(body) }),
  });
  return { status: response.status, headers: response.headers, body: (await response.json()) as Reply['body'] };
}

interface KeyRow {
  readonly user_id: string;
  readonly [column: string]: unknown;
}

/** What a key has in its table, but for its id and its user. */
export const keyColumns = (pepper: Pepper, apiKey: string) => ({
  friendly_name: 'a key',
  digest: digestOf(pepper, apiKey),
  pepper_id: pepper.id,
  hint: hintOf(apiKey),
  allow_user_management: false,
  restricted: false,
  environment: 'production',
});

/** Inserts an API key into the table, restricted to `businesses` if given, and returns it in clear. */
export async function insertKey(
  { db, pepper }: Pick<TestService, 'db' | 'pepper'>,
  row: KeyRow,
  businesses?: readonly string[],
): Promise<string> {
  const apiKey = createToken('apiKey');
  const id = String(row['id'] ?? randomBytes(8).toString('hex'));
  await db('api_keys').insert({
    id,
    ...keyColumns(pepper, apiKey),
    restricted: businesses !== undefined,
    ...row,
  });
  for (const business of businesses ?? []) await db('api_key_businesses').insert({ key_id: id, business_id: business });
  return apiKey;
}

/** Inserts a caller into the table, as a change of the feed, and returns its token. */
export async function insertCaller(
  { db, pepper }: Pick<TestService, 'db' | 'pepper'>,
  scopes: readonly string[],
  row = {},
): Promise<string> {
  const token = createToken('caller');
  const id = randomBytes(8).toString('hex');
  const caller = { id, name: id, digest: digestOf(pepper, token), pepper_id: pepper.id, scopes, ...row };
  await mutate(db, { id: 'test' }, async (trx) => {
    await trx('callers').insert(caller);
    return { result: undefined, events: [], changes: [{ kind: 'caller', id: caller.id, digest: caller.digest }] };
  });
  return token;
}
