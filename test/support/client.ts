/** A client of a test's service, and its view of what the database holds before and after a request. */

import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { type Reply, startService, type TestService } from './service.ts';

export interface Client {
  readonly call: (
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<Reply>;
  /** `Data` of a call that succeeds. */
  readonly data: (method: string, path: string, body?: unknown) => Promise<Record<string, unknown>>;
  /** The code of the decision on `call:create`, or another action. */
  readonly decide: (apiKey: string, businessId?: string, action?: string) => Promise<string>;
  /** Makes a key of the user, which must exist. */
  readonly newKey: (userId: string, grants?: object) => Promise<MadeKey>;
  /** Makes a user that is a member of new businesses. */
  readonly newUser: (id: string, ...businessIds: readonly string[]) => Promise<void>;
  /** All that the directory, the keys, the events and the changes hold; without what mere use of a key writes. */
  readonly contents: () => Promise<Record<string, unknown[]>>;
  /** Calls, expects that failure with `says` in its message or issues, and that it changed nothing. */
  readonly refuses: (
    failure: readonly [status: number, code: string, says?: string],
    method: string,
    path: string,
    body?: unknown,
    headers?: Readonly<Record<string, string>>,
  ) => Promise<void>;
  /** Resolves once so many connections to the service's database wait for a lock. */
  readonly blocked: (count?: number) => Promise<void>;
}

/**
 * Starts a service before the tests of the block around it, and closes it after them. `started` gets it, with a client of it,
 * and makes what the tests need.
 */
export function withService(
  started: (both: { readonly service: TestService; readonly client: Client }) => unknown,
  settings: Record<string, string> = {},
): void {
  let service: TestService | undefined;
  before('a service', async () => {
    service = await startService(settings);
    await started({ service, client: clientOf(service) });
  });
  after(() => service?.close());
}

export interface MadeKey {
  readonly apiKey: string;
  readonly id: string;
  readonly etag: string;
}

const TABLES = [
  'users',
  'businesses',
  'business_members',
  'api_keys',
  'api_key_businesses',
  'callers',
  'freezes',
  'admin_events',
  'changes',
  'change_counter',
];
const CONTENTS = TABLES.map(
  (table) => `'${table}', (select coalesce(jsonb_agg(r order by r), '[]')
    from (select to_jsonb(t) - '{last_used_at,digest,pepper_id}'::text[] as r from ${table} t) rows)`,
);

export function clientOf({ address, token, db }: TestService): Client {
  const call: Client['call'] = async (method, path, body, headers = {}) => {
    const raw = typeof body === 'string';
    const response = await fetch(address + path, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body !== undefined && { body: raw ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    // A text is handed on as it is.
    const isText = /^(?:text\/|application\/jsonl)/.test(response.headers.get('content-type') ?? '');
    const json = isText ? JSON.stringify(text) : text;
    return { status: response.status, headers: response.headers, body: JSON.parse(json || 'null') };
  };
  const data: Client['data'] = async (method, path, body) => {
    const reply = await call(method, path, body);
    expect(reply.status, JSON.stringify(reply.body)).to.be.within(200, 299);
    return reply.body?.Data ?? {};
  };
  const contents: Client['contents'] = async () => {
    const { rows } = await db.raw(`select jsonb_build_object(${CONTENTS.join(', ')}) as contents`);
    return rows[0].contents;
  };
  return {
    call,
    data,
    contents,
    decide: async (apiKey, businessId, action = 'call:create') => {
      const reply = await call('POST', '/authorize', { apiKey, action, businessId });
      expect(reply.status, JSON.stringify(reply.body)).to.equal(200);
      return reply.body.Code;
    },
    newKey: async (userId, grants = {}) => {
      const body = { userId, friendlyName: 'a key', allowUserManagementApiRequests: false, ...grants };
      const reply = await call('POST', '/keys', body);
      expect(reply.status, JSON.stringify(reply.body)).to.equal(201);
      const { apiKey, key } = reply.body.Data as { apiKey: string; key: { id: string } };
      return { apiKey, id: key.id, etag: reply.headers.get('etag') ?? '' };
    },
    newUser: async (id, ...businessIds) => {
      await data('PUT', `/users/${id}`, {});
      for (const businessId of businessIds) {
        await data('PUT', `/businesses/${businessId}`, {});
        await data('PUT', `/businesses/${businessId}/members/${id}`, { role: 'member' });
      }
    },
    refuses: async ([status, code, says = ''], method, path, body, headers) => {
      const before = await contents();
      const reply = await call(method, path, body, headers);
      const answer = JSON.stringify(reply.body);
      expect(reply.status, answer).to.equal(status);
      expect(reply.body).to.include({ Success: false, Code: code });
      expect(answer).to.include(says);
      expect(await contents()).to.deep.equal(before);
    },
    blocked: async (count = 1) => {
      for (;;) {
        const { rows } = await db.raw(
          `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
        );
        if (rows[0].n >= count) return;
        await sleep(5);
      }
    },
  };
}
