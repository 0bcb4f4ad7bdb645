/** The verbs for keys, users, businesses, members, callers and events, as real processes on one database. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { isToken } from '../../src/credentials/token.ts';
import { connect } from '../../src/db/connect.ts';
import { authz } from '../support/cli.ts';
import { newDatabase } from '../support/postgres.ts';

describe('authz', function () {
  this.timeout(60_000);
  let db: Knex;
  let env: Record<string, string>;

  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 2 });
    for (const args of [
      'user put ada',
      'business put bakery',
      'business put garage',
      'member put bakery ada --role owner',
    ]) {
      await done(args);
    }
  });
  after(() => db?.destroy());

  const run = (args: string, input = '') => authz(args.split(' '), env, input);

  /** Runs a verb with --json, which must succeed; returns its output. */
  async function done(args: string, input = ''): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await run(`${args} --json`, input);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout);
  }

  /** Runs a verb that must exit with 1 and change nothing; returns its standard error. */
  async function refused(args: string, input = ''): Promise<string> {
    const before = await db('admin_events').count();
    const { code, stdout, stderr } = await run(args, input);
    expect(code, stdout).to.equal(1);
    expect(await db('admin_events').count()).to.deep.equal(before);
    return stderr;
  }

  it('key create shows the key once, and key show finds it by its clear text', async () => {
    const { apiKey, key } = (await done('key create --user ada --name first --restrict bakery --rate-limit 5/60')) as {
      apiKey: string;
      key: { id: string };
    };
    expect(isToken('apiKey', apiKey)).to.equal(true);
    expect(key).to.deep.include({
      userId: 'ada',
      restrictedBusinessIds: ['bakery'],
      rateLimit: { requests: 5, windowSeconds: 60 },
    });
    expect(await done('key show --key-stdin', `${apiKey}\n`)).to.include({ id: key.id, status: 'active' });
    const { stdout } = await run('key list --user ada');
    expect(stdout).to.include(key.id).and.not.include(apiKey);
    expect(await refused('key show --key-stdin', 'iqra_nonsense')).to.include('no key of ours');
  });

  it('key update changes what is named and leaves the rest', async () => {
    const { key } = (await done('key create --user ada --name second --restrict bakery')) as { key: { id: string } };
    const changed = await done(
      `key update ${key.id} --name renamed --no-restrict --allow-user-management --expires-at 2999-01-01T00:00:00Z`,
    );
    expect(changed).to.include({
      friendlyName: 'renamed',
      restrictedBusinessIds: null,
      allowUserManagementApiRequests: true,
    });
    const back = await done(`key update ${key.id} --no-expires-at --no-allow-user-management`);
    expect(back).to.include({ friendlyName: 'renamed', expiresAt: null, allowUserManagementApiRequests: false });
    expect(await refused(`key update ${key.id}`)).to.include('nothing is named');
    expect(await refused(`key update ${key.id} --restrict garage`)).to.include('no access to garage');
    expect(await refused(`key update ${key.id} --rate-limit often`)).to.include('requests/seconds');
  });

  it('key rotate and revoke end keys, and destructive verbs need --yes', async () => {
    const { key } = (await done('key create --user ada --name third')) as { key: { id: string } };
    const { key: next } = (await done(`key rotate ${key.id} --overlap-seconds 60`)) as {
      key: { id: string; rotatedFrom: string };
    };
    expect(next.rotatedFrom).to.equal(key.id);
    expect(await refused(`key rotate ${key.id}`)).to.include('rotated to');
    expect(await refused(`key rotate ${next.id} --overlap-seconds 0x10`)).to.include('no whole number');
    expect(await refused(`key update ${key.id} --no-expires-at`)).to.include('replaced by');
    expect(await refused(`key revoke ${next.id}`)).to.include('--yes');
    expect(await done(`key revoke ${next.id} --reason leaked --yes`)).to.include({
      status: 'revoked',
      revokedReason: 'leaked',
    });
    expect(await refused(`key delete ${key.id}`)).to.include('--yes');
    expect(await done(`key delete ${key.id} --yes`)).to.deep.equal({ deleted: key.id });
    expect(await refused(`key show ${key.id}`)).to.include('There is no key');
  });

  it('user, business and member put replaces, lists and deletes', async () => {
    expect(await done('user put bob --disabled --reason Closed.')).to.include({
      disabled: true,
      disabledReason: 'Closed.',
    });
    expect(await refused('user put bob --rate-limit 5/60')).to.include('--yes');
    expect(await done('user put bob --yes')).to.include({ disabled: false, disabledReason: null });
    expect(await refused('user put bob --reason Closed.')).to.include('disabledReason');
    expect(await refused('member put bakery nobody --role member')).to.include('There is no user nobody');
    expect(await refused('user put ..')).to.include('1-64 of the characters');
    expect(await refused('member put bakery bob --role boss')).to.include('role');
    await done('member put bakery bob --role member');
    expect((await done('member list bakery --limit 1'))['items']).to.deep.equal([
      { businessId: 'bakery', userId: 'ada', role: 'owner' },
    ]);
    await done('member delete bakery bob --yes');
    await done('key create --user bob --name k');
    expect(await done('user revoke-keys bob --yes')).to.deep.equal({ revoked: 1 });
    await done('user delete bob --yes');
    await done('business delete garage --yes');
    expect(await db('users').where({ id: 'bob' })).to.deep.equal([]);
    expect(await refused('user list --limit 0')).to.include('limit: must be 1 to 200');
  });

  it('caller create prints a token that works until it is rotated or revoked', async () => {
    const { token, caller } = (await done('caller create --name billing --scope authorize,keys --scope audit')) as {
      token: string;
      caller: { id: string };
    };
    expect(isToken('caller', token)).to.equal(true);
    expect(caller).to.deep.include({ name: 'billing', scopes: ['authorize', 'keys', 'audit'], status: 'active' });
    const { caller: next } = (await done(`caller rotate ${caller.id}`)) as { caller: { id: string } };
    expect(await done(`caller revoke ${next.id} --yes`)).to.include({ status: 'revoked' });
    const { stdout } = await run('caller list');
    expect(stdout)
      .to.match(/expired/)
      .and.to.match(/revoked/);
    expect(await refused('caller create --name x --scope everything')).to.include('scopes');
  });

  it('pepper status counts, and audit admin tells who did what without secrets', async () => {
    const { stdout } = await run('pepper status');
    expect(stdout).to.match(/^p +true +true +\d+ +\d+$/m);
    const events = (await done('audit admin --kind key --limit 200'))['items'] as { action: string; actor: string }[];
    expect(events.map((event) => event.action)).to.include.members([
      'key.create',
      'key.rotate',
      'key.revoke',
      'key.delete',
    ]);
    expect(events.every((event) => event.actor.startsWith('cli:'))).to.equal(true);
    expect(JSON.stringify(events)).to.not.match(/iqra_[0-9A-Za-z]{10}/);
  });

  it('freeze denies for a while; it is listed, extended and lifted', async () => {
    const made = await done('freeze --action call:* --business bakery --for 2h --reason An_incident.');
    expect(made).to.include({ action: 'call:*', businessId: 'bakery', userId: null, status: 'in force' });
    const { items } = (await done('freeze list --in-force')) as unknown as { items: { id: string }[] };
    expect(items.map(({ id }) => id)).to.deep.equal([made['id']]);
    const longer = await done(`freeze extend ${made['id']} --until 2999-01-01T00:00:00Z`);
    expect(longer).to.include({ until: '2999-01-01T00:00:00.000Z' });
    expect(await done(`freeze lift ${made['id']}`)).to.include({ status: 'lifted' });
    expect((await run('freeze list --in-force')).stdout).to.equal('none\n');
    expect((await run('freeze list')).stdout).to.include('An_incident.');
    expect(await refused('freeze --for 2h --reason x')).to.include('everything: true');
    expect(await refused('freeze --user adam --for 2h --reason x')).to.include('names none that there is: adam');
    expect(await refused('freeze --user ada --for soon --reason x')).to.include('write 90m, 2h or 7d');
    expect(await refused('freeze --user ada --for 2h')).to.include('reason');
  });
});
