/** Whatever a database or a role has as its defaults, the service does what it does without them. */

import { expect } from 'chai';
import { connect } from '../../src/db/connect.ts';
import { settingsOf } from '../http/process.ts';
import { authz } from '../support/cli.ts';
import { clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { startService, type TestService } from '../support/service.ts';

/** Setting -> odd values; with the first ones together, with the second ones, and so on. */
const ODD: Readonly<Record<string, readonly string[]>> = {
  synchronous_commit: ['off', 'local'],
  statement_timeout: ['500ms', '500ms'],
  lock_timeout: ['1ms', '1ms'],
  default_transaction_isolation: ['repeatable read', 'serializable'],
  default_transaction_deferrable: ['on', 'on'],
  datestyle: ['SQL, DMY', 'German'],
  intervalstyle: ['sql_standard', 'iso_8601'],
  timezone: ['Pacific/Kiritimati', 'Asia/Kathmandu'],
  bytea_output: ['escape', 'escape'],
  standard_conforming_strings: ['off', 'off'],
  extra_float_digits: ['-15', '-4'],
  search_path: ['nowhere, public', 'public, pg_catalog'],
};

const SCOPES: Readonly<Record<string, string>> = {
  database: 'alter database %d set',
  role: 'alter role authz in database %d set',
};

/** What the service answers to a bit of everything. */
async function walk(service: TestService): Promise<string[]> {
  const client = clientOf(service);
  const answers: string[] = [];
  const note = (answer: unknown): void => void answers.push(withoutVariables(JSON.stringify(answer)));
  const call = async (method: string, path: string, body?: unknown) => {
    const { status, body: reply } = await client.call(method, path, body);
    expect(status, JSON.stringify(reply)).to.be.below(300);
    note([method, path, status, reply]);
    return reply.Data as Record<string, string>;
  };
  await call('PUT', '/users/ann', { rateLimit: { requests: 1000, windowSeconds: 3600 } });
  for (const id of ['a', 'b', 'c']) await call('PUT', `/businesses/${id}`, { disabled: id === 'c' });
  for (const id of ['a', 'c']) await call('PUT', `/businesses/${id}/members/ann`, { role: 'owner' });
  const made = await call('POST', '/keys', {
    userId: 'ann',
    environment: 'production',
    allowUserManagementApiRequests: false,
    friendlyName: "it's \\ 'odd'",
    restrictedBusinessIds: ['a', 'c'],
  });
  const brief = await call('POST', '/keys', {
    userId: 'ann',
    environment: 'production',
    allowUserManagementApiRequests: false,
    friendlyName: 'b',
    expiresAt: '2999-12-31T23:59:59.999Z',
  });
  const ask = { apiKey: made['apiKey'], action: 'call:create', context: { ip: '192.0.2.1', userAgent: 'a\\b' } };
  for (const businessId of ['a', 'b', 'c']) await call('POST', '/authorize', { ...ask, businessId });
  await call('POST', `/keys/${(brief['key'] as unknown as { id: string }).id}/revoke`, {});
  await call('POST', '/authorize', { apiKey: brief['apiKey'], action: 'account:read' });
  for (const path of [
    '/users',
    '/users/ann',
    '/businesses',
    '/businesses/a/members',
    '/keys',
    '/audit/decisions',
    '/audit/admin',
  ])
    await call('GET', path);
  for (const by of ['code', 'day', 'hour']) await call('GET', `/audit/stats?by=${by}`);
  const racing = Array.from({ length: 6 * 12 }, (_, n) =>
    client.call('PUT', `/users/u${n % 12}`, { disabled: n % 5 === 0 }),
  );
  await service.db.raw('select pg_sleep(0.6)');
  note((await Promise.all(racing)).filter(({ status }) => status >= 300));
  const env = { ...settingsOf(service, service.service.config.DATABASE_URL ?? ''), LOG_LEVEL: 'silent' };
  for (const args of ['user list', 'key list', 'audit query', 'audit export', 'audit verify', 'audit stats --by day'])
    note([args, await authz(args.split(' '), env)]);
  return answers;
}

const withoutVariables = (text: string): string =>
  text
    .replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, '<uuid>')
    .replace(/\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d\.\d{3}Z)/g, (time) => nowOr(time))
    .replace(/iqra_[0-9A-Za-z]+(?:\.{3}[0-9A-Za-z]+)?/g, '<key>')
    .replace(/[0-9a-f]{16,}/g, '<hash>')
    .replace(/"(durationUs|duration_us|resetSeconds)\\?":\d+/g, '"$1":<number>')
    .replace(/\d+(\.\d+)? (ms|seconds|s)\b/g, '<time>');

/** A time only where it is that of the test, or a day before, from which on questions look back. */
const nowOr = (time: string): string =>
  [0, 86_400_000].some((ago) => Math.abs(Date.parse(time) + ago - Date.now()) < 600_000) ? '<now>' : time;

describe('a search_path without a schema', () => {
  it('is refused at the start, with what to change', async () => {
    const url = await newDatabase();
    const plain = connect({ url, poolSize: 1 });
    await plain.raw(`alter database ${new URL(url).pathname.slice(1)} set search_path = nowhere`);
    await plain.destroy();
    expect((await rejection(startService({ DATABASE_URL: url }))).message).to.include('search_path names no schema');
  });
});

describe('defaults of', () => {
  let usual: readonly string[];

  before('what is answered without any', async () => {
    const service = await startService();
    usual = await walk(service).finally(service.close);
  });

  for (const [owner, alter] of Object.entries(SCOPES)) {
    for (const turn of [0, 1]) {
      it(`the ${owner} change nothing: ${Object.entries(ODD).map(([name, odd]) => `${name}=${odd[turn]}`)}`, async () => {
        const url = await newDatabase();
        const plain = connect({ url, poolSize: 1 });
        const database = new URL(url).pathname.slice(1);
        for (const [name, odd] of Object.entries(ODD)) {
          const value = name === 'search_path' ? odd[turn] : `'${odd[turn]}'`;
          await plain.raw(`${alter.replace('%d', database)} ${name} = ${value}`);
        }
        await plain.destroy();
        const service = await startService({ DATABASE_URL: url });
        const answers = await walk(service).finally(service.close);
        for (const [index, answer] of answers.entries()) expect(answer).to.equal(usual[index]);
        expect(answers).to.have.length(usual.length);
      });
    }
  }
});
