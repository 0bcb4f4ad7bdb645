/** What `policy explain` says to do is done: its commands are run as they stand, and the denial turns into an allow. */

import { execFileSync } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { expect } from 'chai';
import type { LiveExplanation } from '../../src/what-if/explain-live.ts';
import { eventually, settingsOf } from '../http/process.ts';
import { authz } from '../support/cli.ts';
import { type Client, clientOf, type MadeKey } from '../support/client.ts';
import { declaringFolder, GRANTED } from '../support/declaring.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';

describe('the commands of an explanation', function () {
  this.timeout(60_000);

  let folder: string;
  let service: TestService;
  let client: Client;
  let env: Record<string, string>;
  let number = 0;

  before(async () => {
    folder = await declaringFolder();
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url, POLICY_DIR: folder });
    client = clientOf(service);
    env = { ...settingsOf(service, url), POLICY_DIR: folder };
  });
  after(async () => {
    await service?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const run = async (args: readonly string[]): Promise<Record<string, unknown>> => {
    const { code, stdout, stderr } = await authz([...args, '--json'], env);
    expect(code, `${args.join(' ')}: ${stderr}`).to.equal(0);
    return JSON.parse(stdout) as Record<string, unknown>;
  };

  /** The words of a command, as a shell makes them. */
  const wordsOf = (command: string): string[] => {
    const words = execFileSync('sh', ['-c', `set -- ${command}; printf '%s\\0' "$@"`], { encoding: 'utf8' });
    const [program, ...args] = words.split('\0').slice(0, -1);
    expect(program).to.equal('authz');
    return args;
  };

  interface Setting {
    readonly user: string;
    readonly business: string;
    readonly key: MadeKey;
  }

  /** A user that is a member of a business, and a key of it. */
  async function setting(grants: object = {}): Promise<Setting> {
    number += 1;
    const [user, business] = [`user-${number}`, `business-${number}`];
    await client.newUser(user, business);
    return { user, business, key: await client.newKey(user, { friendlyName: "Ann's key; $HOME", ...grants }) };
  }

  const explained = async ({ key, business }: Setting, action: string): Promise<LiveExplanation> =>
    (await run([
      'policy',
      'explain',
      '--key',
      key.id,
      '--action',
      action,
      '--business',
      business,
    ])) as unknown as LiveExplanation;

  /** Does what the first way says, and expects it to be so many commands and enough. */
  async function follow(setting: Setting, code: string, commands: number, action = 'call:create'): Promise<string[]> {
    const { decision, smallestChanges } = await explained(setting, action);
    expect(decision).to.include({ effect: 'deny', code });
    const lines = (smallestChanges[0]?.advice ?? []).map(
      ({ command }) => command ?? expect.fail('there is no command'),
    );
    expect(lines).to.have.lengthOf(commands);
    let apiKey = setting.key.apiKey;
    for (const line of lines) {
      const result = await run(wordsOf(line));
      if (typeof result['apiKey'] === 'string') apiKey = result['apiKey'];
    }
    await eventually(async () => (await client.decide(apiKey, setting.business, action)) === 'OK');
    return lines;
  }

  it('enable a disabled user and its businesses, and leave what else it is', async () => {
    const at = await setting();
    await client.data('PUT', `/users/${at.user}`, {
      disabled: true,
      disabledReason: "Unpaid; it's $5.",
      businessesDisabled: true,
      rateLimit: { requests: 50, windowSeconds: 60 },
      attributes: { plan: 'free' },
    });
    expect(await follow(at, 'USER_DISABLED', 1)).to.deep.equal([
      `authz user update ${at.user} --no-disabled --no-businesses-disabled`,
    ]);
    expect(await client.data('GET', `/users/${at.user}`)).to.deep.include({
      disabled: false,
      businessesDisabled: false,
      rateLimit: { requests: 50, windowSeconds: 60 },
      attributes: { plan: 'free' },
    });
  });

  it('enable the businesses of a user', async () => {
    const at = await setting();
    await client.data('PUT', `/users/${at.user}`, { businessesDisabled: true });
    await follow(at, 'BUSINESS_DISABLED', 1);
  });

  it('enable a disabled business, and make one that is not there, with its member', async () => {
    const at = await setting();
    await client.data('PUT', `/businesses/${at.business}`, { disabled: true, attributes: { region: 'us' } });
    expect(await follow(at, 'BUSINESS_DISABLED', 1)).to.deep.equal([
      `authz business update ${at.business} --no-disabled`,
    ]);
    await client.call('DELETE', `/businesses/${at.business}`);
    await follow(at, 'PERMISSION_DENIED', 2);
  });

  it('make the user a member, and not more', async () => {
    const at = await setting();
    await client.call('DELETE', `/businesses/${at.business}/members/${at.user}`);
    expect(await follow(at, 'PERMISSION_DENIED', 1)).to.deep.equal([
      `authz member put ${at.business} ${at.user} --role member`,
    ]);
    await client.data('PUT', `/businesses/${at.business}/members/${at.user}`, { role: 'viewer' });
    await follow(at, 'NOT_GRANTED', 1);
  });

  it('let a restricted key reach the business, and what it reached', async () => {
    const at = await setting();
    for (const other of ['kept', 'lost']) await client.newUser(at.user, other);
    const key = await client.newKey(at.user, { restrictedBusinessIds: ['kept', 'lost'] });
    await client.call('DELETE', `/businesses/lost/members/${at.user}`);
    expect(await follow({ ...at, key }, 'PERMISSION_DENIED', 1)).to.deep.equal([
      `authz key update ${key.id} --restrict kept,${at.business}`,
    ]);
    await client.call('DELETE', `/businesses/${at.business}/members/${at.user}`);
    await client.data('PATCH', `/keys/${key.id}`, { restrictedBusinessIds: ['kept'] });
    await follow({ ...at, key }, 'PERMISSION_DENIED', 2);
  });

  it('let a key manage users', async () => {
    const at = await setting();
    await follow(at, 'PERMISSION_DENIED', 1, 'user:usage:read');
  });

  it('make another key with the same grants for a revoked or an expired one, which is not revived', async () => {
    const grants = { allowUserManagementApiRequests: true, environment: 'staging', attributes: GRANTED.key };
    const at = await setting(grants);
    await client.data('PATCH', `/keys/${at.key.id}`, { restrictedBusinessIds: [at.business] });
    await client.data('POST', `/keys/${at.key.id}/revoke`, { reason: 'Leaked.' });
    const lines = await follow(at, 'INVALID_API_KEY', 1, 'user:usage:read');
    expect(lines[0]).to.match(
      /^authz key create --user user-\d+ --name 'Ann'\\''s key; \$HOME' --allow-user-management --environment staging --restrict business-\d+ --attribute can=sms$/,
    );
    const expired = await setting();
    await service
      .db('api_keys')
      .where({ id: expired.key.id })
      .update({ expires_at: new Date(Date.now() - 60_000) });
    await follow(expired, 'INVALID_API_KEY', 1);
  });

  it('let a key live on that would expire by then', async () => {
    const at = await setting({ expiresAt: '2098-01-01T00:00:00.000Z' });
    const ask = ['policy', 'explain', '--key', at.key.id, '--action', 'call:create', '--business', at.business];
    const then = [...ask, '--at', '2098-01-02T00:00:00Z'];
    expect(await run(ask)).to.deep.include({ smallestChanges: [], note: null });
    const { smallestChanges } = (await run(then)) as unknown as LiveExplanation;
    const [advice] = smallestChanges[0]?.advice ?? [];
    expect(advice?.command).to.equal(`authz key update ${at.key.id} --no-expires-at`);
    await run(wordsOf(advice?.command ?? ''));
    expect((await run(then))['decision']).to.include({ code: 'OK' });
  });

  it('lift every freeze that covers the question', async () => {
    const at = await setting();
    for (const scope of [{ businessId: at.business }, { apiKeyId: at.key.id, action: 'call:*' }])
      await client.data('POST', '/freezes', { ...scope, forSeconds: 3600, reason: 'Looked into.' });
    await client.data('POST', '/freezes', { action: 'nobody:asks', forSeconds: 3600, reason: 'Not of this.' });
    await follow(at, 'FROZEN', 2);
  });

  it('give what is declared: attributes of user, business and key', async () => {
    const at = await setting({ attributes: { can: ['recordings'] } });
    const lines = await follow(at, 'NOT_GRANTED', 3, 'sms:send');
    expect(lines).to.deep.equal([
      `authz business update ${at.business} --attribute region=eu`,
      `authz user update ${at.user} --attribute plan=pro`,
      `authz key update ${at.key.id} --attribute can=recordings,sms`,
    ]);
  });

  it('leave what is stored and not declared any more, and what became otherwise since', async () => {
    const at = await setting({ attributes: { can: ['recordings'] } });
    await service
      .db('users')
      .where({ id: at.user })
      .update({ attributes: { seat: 'window' } });
    await service
      .db('api_keys')
      .where({ id: at.key.id })
      .update({ attributes: { can: ['fax', 'recordings'] } });
    const { smallestChanges } = await explained(at, 'sms:send');
    await client.data('PUT', `/businesses/${at.business}`, { disabled: true });
    for (const { command } of smallestChanges[0]?.advice ?? []) await run(wordsOf(command ?? ''));
    expect(await client.data('GET', `/users/${at.user}`)).to.deep.include({
      attributes: { plan: 'pro', seat: 'window' },
    });
    expect(await client.data('GET', `/businesses/${at.business}`)).to.deep.include({
      disabled: true,
      attributes: { region: 'eu' },
    });
    expect(await client.data('GET', `/keys/${at.key.id}`)).to.deep.include({
      attributes: { can: ['recordings', 'sms'] },
    });
  });

  it('do all of it where all of it is needed', async () => {
    const at = await setting();
    await client.data('PUT', `/users/${at.user}`, { disabled: true, disabledReason: 'x' });
    await client.data('PUT', `/businesses/${at.business}`, { disabled: true });
    await client.data('POST', '/freezes', { userId: at.user, forSeconds: 3600, reason: 'Looked into.' });
    await client.data('POST', `/keys/${at.key.id}/revoke`);
    await follow(at, 'INVALID_API_KEY', 4, 'sms:send');
  });
});
