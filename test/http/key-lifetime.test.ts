/** MAX_KEY_LIFETIME: no key lives longer, however it is made or changed. */

import { expect } from 'chai';
import { authz } from '../support/cli.ts';
import { type Client, withService } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import type { TestService } from '../support/service.ts';
import { settingsOf } from './process.ts';

const DAY_MS = 86_400_000;
const inDays = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();

describe('MAX_KEY_LIFETIME', () => {
  let service: TestService;
  let client: Client;
  let settings: Record<string, string>;

  before(async () => {
    settings = { DATABASE_URL: await newDatabase(), MAX_KEY_LIFETIME: '30d' };
  });
  withService(
    async (started) => {
      ({ service, client } = started);
      await client.newUser('ann', 'a');
    },
    { MAX_KEY_LIFETIME: '30d' },
  );

  const keyWith = async (grants: object) => {
    const body = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false, ...grants };
    return (await client.data('POST', '/keys', body))['key'] as { id: string; expiresAt: string };
  };
  const expectCapped = (expiresAt: string): void => {
    expect(Date.parse(expiresAt)).to.be.within(Date.now() + 29.9 * DAY_MS, Date.now() + 30 * DAY_MS);
  };
  /** A key from before the setting. */
  const endless = async (): Promise<string> => {
    const { id } = await client.newKey('ann');
    await service.db('api_keys').where({ id }).update({ expires_at: null });
    return id;
  };

  it('is the expiry of a key that is made without one, and refuses a later one, and none', async () => {
    expectCapped((await keyWith({})).expiresAt);
    const soon = inDays(29);
    expect((await keyWith({ expiresAt: soon })).expiresAt).to.equal(soon);
    for (const expiresAt of [inDays(31), null]) {
      const body = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false, expiresAt };
      await client.refuses([400, 'INVALID_REQUEST', 'expiresAt'], 'POST', '/keys', body);
    }
  });

  it('counts from when the key was made, and lets an older one be narrowed', async () => {
    const { id } = await keyWith({ expiresAt: inDays(5) });
    await service
      .db('api_keys')
      .where({ id })
      .update({ created_at: inDays(-20) });
    expect((await client.call('PATCH', `/keys/${id}`, { expiresAt: inDays(9) })).status).to.equal(200);
    for (const expiresAt of [inDays(11), null])
      await client.refuses([400, 'INVALID_REQUEST', 'expiresAt'], 'PATCH', `/keys/${id}`, { expiresAt });
    const old = await endless();
    await service
      .db('api_keys')
      .where({ id: old })
      .update({ created_at: inDays(-900) });
    for (const change of [{ friendlyName: 'y' }, { expiresAt: null }, { expiresAt: inDays(300) }])
      expect((await client.call('PATCH', `/keys/${old}`, change)).status).to.equal(200);
    await client.refuses([400, 'INVALID_REQUEST', 'expiresAt'], 'PATCH', `/keys/${old}`, { expiresAt: inDays(301) });
  });

  it('caps the expiry of what a key is rotated to', async () => {
    const { key } = await client.data('POST', `/keys/${await endless()}/rotate`);
    expectCapped((key as { expiresAt: string }).expiresAt);
    const soon = inDays(3);
    const { id } = await keyWith({ expiresAt: soon });
    const next = await client.data('POST', `/keys/${id}/rotate`);
    expect((next['key'] as { expiresAt: string }).expiresAt).to.equal(soon);
  });

  it('holds for commands and for imports', async () => {
    const env = { ...settingsOf(service, settings['DATABASE_URL'] ?? ''), ...settings };
    expect((await authz(['user', 'put', 'ann'], env)).code, 'user').to.equal(0);
    const create = ['key', 'create', '--user', 'ann', '--name', 'x', '--json'];
    const made = await authz(create, env);
    expectCapped((JSON.parse(made.stdout) as { key: { expiresAt: string } }).key.expiresAt);
    const late = await authz([...create, '--expires-at', inDays(31)], env);
    expect(late.code).to.equal(1);
    expect(late.stderr).to.include('MAX_KEY_LIFETIME');
    for (const [expiresAt, code] of [
      [null, 1],
      [inDays(31), 1],
      [inDays(29), 0],
    ] as const) {
      const key = { id: 'k', userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false, expiresAt };
      const outcome = await authz(['import', '-'], env, JSON.stringify({ apiKeys: [key] }));
      expect(outcome.code, outcome.stderr).to.equal(code);
      if (code === 1) expect(outcome.stderr).to.include('MAX_KEY_LIFETIME');
    }
  });
});
