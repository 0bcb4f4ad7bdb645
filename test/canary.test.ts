/**
 * Canary secrets: API keys, caller tokens and peppers that pass through a service appear in no table, no log line at level
 * `trace`, no metric and no error body, also when the database fails.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { expect } from 'chai';
import { createToken } from '../src/credentials/token.ts';
import { connect } from '../src/db/connect.ts';
import { authz, outputWith, startAuthz } from './support/cli.ts';
import { newDatabase } from './support/postgres.ts';

describe('no secret', function () {
  this.timeout(60_000);

  it('is in a table, a log or an error body', async () => {
    const pepper = randomBytes(32);
    const bootstrap = randomBytes(24).toString('hex');
    const url = await newDatabase();
    const env = {
      DATABASE_URL: url,
      KEY_PEPPERS: `p:${pepper.toString('base64')}`,
      BOOTSTRAP_TOKEN: bootstrap,
      PORT: '0',
      LOG_LEVEL: 'trace',
    };
    const secrets = [pepper.toString('base64'), pepper.toString('hex'), bootstrap, new URL(url).password];
    const seen: string[] = [];

    const caller = await authz(
      ['caller', 'create', '--name', 'canary', '--scope', 'authorize,evaluate,search,keys,directory,audit', '--json'],
      env,
    );
    const { token } = JSON.parse(caller.stdout) as { token: string };
    secrets.push(token);

    const service = startAuthz(['serve'], env);
    service.stdout?.on('data', (chunk) => seen.push(String(chunk)));
    service.stderr?.on('data', (chunk) => seen.push(String(chunk)));
    const address = /http:\/\/[\d.:]+/.exec(await outputWith(service, 'listening'))?.[0] ?? '';

    /** Sends a request and keeps the response as seen, except for the field that shows a new key. */
    const send = async (
      method: string,
      path: string,
      body?: unknown,
      bearer = token,
    ): Promise<{ Data?: { apiKey?: string; key?: { id: string } } }> => {
      const response = await fetch(address + path, {
        method,
        headers: {
          authorization: `Bearer ${bearer}`,
          ...(body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      });
      const text = await response.text();
      const reply = text === '' ? {} : JSON.parse(text);
      if (reply.Data?.apiKey) secrets.push(reply.Data.apiKey);
      seen.push(
        JSON.stringify({ ...reply, Data: { ...reply.Data, apiKey: undefined } }),
        JSON.stringify([...response.headers]),
      );
      return reply;
    };

    await send('PUT', '/users/u', {});
    await send('PUT', '/businesses/b', {});
    await send('PUT', '/businesses/b/members/u', { role: 'owner' });
    const { Data } = await send('POST', '/keys', {
      userId: 'u',
      friendlyName: 'canary',
      allowUserManagementApiRequests: false,
    });
    const apiKey = Data?.apiKey ?? '';
    const id = Data?.key?.id ?? '';
    expect(apiKey).to.match(/^iqra_/);
    const unknown = createToken('apiKey');
    secrets.push(unknown);
    for (const key of [apiKey, unknown, token]) {
      await send('POST', '/authorize', { authorization: `Token ${key}`, action: 'call:create', businessId: 'b' });
      await send('POST', '/authorize', { authorization: key, apiKey: key, action: 'call:create' });
      await send('POST', '/authorize', { apiKey: key, action: key });
      await send('POST', '/authorize', { apiKey: 'x', action: 'a:b', [key]: key, context: { ip: key } });
      await send('POST', '/authorize', `{"apiKey":"${key}","apiKey":"${key}"}`);
      await send('POST', '/authorize', `{"apiKey":"${key}"`);
      await send('GET', `/keys/${key}`);
      await send('PUT', `/users/${key}`, {});
      await send('POST', '/keys', { userId: key, friendlyName: key, allowUserManagementApiRequests: false });
      await send('POST', '/authorize', { apiKey: 'x', action: 'call:create', businessId: key });
      await send('POST', '/authorize', {
        apiKey: 'x',
        action: 'a:b',
        context: { userAgent: `agent ${key}`, requestId: key },
      });
      const evaluation = {
        subject: { type: 'credential', id: 'header', properties: { authorization: `Token ${key}` } },
        action: { name: 'call:create' },
        resource: { type: 'business', id: 'b' },
      };
      await send('POST', '/access/v1/evaluation', evaluation);
      await send('POST', '/access/v1/evaluations', {
        ...evaluation,
        evaluations: [{}, { action: {} }, { context: { ip: key } }],
      });
      await send('POST', '/access/v1/evaluation', { ...evaluation, resource: { type: key, id: key }, [key]: key });
      await send('POST', '/access/v1/evaluation', {
        ...evaluation,
        resource: { type: 'business', id: key.slice(5, 35) },
      });
      await send('POST', '/access/v1/search/subject', { ...evaluation, subject: { type: key } });
      await send('GET', `/${key}?${key}=${key}`);
      await send('GET', '/users', undefined, key);
    }
    await send('POST', `/keys/${id}/rotate`, { overlapSeconds: 60 });

    // Database errors, whose details quote rows and statements.
    const db = connect({ url, poolSize: 1 });
    await db.raw('alter table decision_records add constraint broken check (false) not valid');
    await send('POST', '/authorize', { apiKey, action: 'call:create', businessId: 'b' });
    await db.raw('alter table admin_events add constraint broken check (false) not valid');
    await send('POST', '/keys', { userId: 'u', friendlyName: 'canary', allowUserManagementApiRequests: false });
    await db.raw('alter table api_keys rename column environment to gone');
    await send('POST', '/authorize', { apiKey, action: 'call:create', businessId: 'b' });
    await send('POST', '/keys', { userId: 'u', friendlyName: 'canary', allowUserManagementApiRequests: false });

    seen.push(await (await fetch(`${address}/metrics`)).text());

    service.kill();
    await once(service, 'close');
    const { rows: tables } = await db.raw(
      `select format('%I', tablename) as name from pg_tables where schemaname = 'public'`,
    );
    for (const { name } of tables) {
      const { rows } = await db.raw(`select t::text as row from ${name} t`);
      seen.push(...rows.map(({ row }: { row: string }) => row));
    }
    await db.destroy();

    const everything = seen.join('\n');
    expect(everything.length).to.be.above(5000);
    expect(everything).to.include('canary').and.to.include('a request failed').and.to.include('authz_decisions_total{');
    const found = secrets.filter((secret) => everything.includes(secret)).map((secret) => secret.slice(0, 9));
    expect(secrets.length).to.be.above(7);
    expect(found).to.deep.equal([]);
  });
});
