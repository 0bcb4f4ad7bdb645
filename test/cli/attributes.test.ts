/** `--attribute`, declared roles and an import with both, held against the policy in POLICY_DIR. */

import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect } from 'chai';
import { authz, ROOT } from '../support/cli.ts';
import { declaringFolder } from '../support/declaring.ts';
import { newDatabase } from '../support/postgres.ts';

describe('authz --attribute', function () {
  this.timeout(60_000);
  let folder: string;
  let env: Record<string, string>;

  before(async () => {
    folder = await declaringFolder();
    env = {
      DATABASE_URL: await newDatabase(),
      KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}`,
      POLICY_DIR: folder,
    };
  });
  after(() => rm(folder, { recursive: true }));

  async function done(args: string, input = ''): Promise<Record<string, unknown>> {
    const { code, stdout, stderr } = await authz([...args.split(' '), '--json'], env, input);
    expect(code, stderr).to.equal(0);
    return JSON.parse(stdout);
  }
  async function refused(args: string, more: Record<string, string> = {}, input = ''): Promise<string> {
    const { code, stdout, stderr } = await authz(args.split(' '), { ...env, ...more }, input);
    expect(code, stdout).to.equal(1);
    return stderr;
  }

  it('sets those of users and businesses, and asks before a put drops what it does not name', async () => {
    expect(await done('user put ann --attribute plan=pro')).to.deep.include({ attributes: { plan: 'pro' } });
    expect(await refused('user put ann --rate-limit 5/60')).to.include('Take plan away from the user ann');
    expect(await done('user put ann --attribute plan=free')).to.deep.include({ attributes: { plan: 'free' } });
    expect(await done('user put ann --rate-limit 5/60 --attribute plan=')).to.deep.include({ attributes: {} });
    await done('user put ann --attribute plan=pro');
    expect(await done('user put ann --yes')).to.deep.include({ attributes: {} });
    expect(await done('business put shop --attribute region=eu')).to.deep.include({ attributes: { region: 'eu' } });
    expect(await refused('business put shop')).to.include('Take region away from the business shop');
    expect((await authz(['business', 'list'], env)).stdout).to.include('{"region":"eu"}');
  });

  it('of user update and business update changes what is named, and leaves the rest', async () => {
    await done('user put eve --rate-limit 5/60 --businesses-disabled --attribute plan=pro');
    const rest = { rateLimit: { requests: 5, windowSeconds: 60 }, businessesDisabled: true };
    const off = await done('user update eve --disabled --reason Closed.');
    expect(off).to.deep.include({ ...rest, disabled: true, disabledReason: 'Closed.', attributes: { plan: 'pro' } });
    expect(await done('user update eve --attribute plan=free')).to.deep.equal({ ...off, attributes: { plan: 'free' } });
    const on = await done('user update eve --no-disabled --no-businesses-disabled --attribute plan=');
    expect(on).to.deep.include({ ...rest, businessesDisabled: false, disabledReason: null, attributes: {} });
    expect(await done('user update eve --no-rate-limit')).to.deep.equal({ ...on, rateLimit: null });
    expect(await refused('user update eve')).to.include('nothing is named');
    expect(await refused('user update eve --reason Closed.')).to.include('disabledReason');
    expect(await refused('user update nobody --disabled')).to.include('There is no user nobody');

    await done('business put stand --attribute region=eu');
    const closed = await done('business update stand --disabled');
    expect(closed).to.deep.include({ disabled: true, attributes: { region: 'eu' } });
    expect(await done('business update stand --no-disabled')).to.deep.include({ attributes: { region: 'eu' } });
    expect(await done('business update stand --attribute region=us')).to.deep.include({ attributes: { region: 'us' } });
    expect(await refused('business update stand')).to.include('nothing is named');
    expect(await refused('business update nowhere --disabled')).to.include('There is no business nowhere');
  });

  it('sets those of a new key, and changes the named ones of another', async () => {
    const { key } = (await done('key create --user ann --name k --attribute can=sms,recordings')) as {
      key: { id: string };
    };
    expect(key).to.deep.include({ attributes: { can: ['recordings', 'sms'] } });
    const update = `key update ${key.id}`;
    expect(await done(`${update} --attribute can=sms`)).to.deep.include({ attributes: { can: ['sms'] } });
    expect(await done(`${update} --name other`)).to.deep.include({ attributes: { can: ['sms'] } });
    expect(await done(`${update} --attribute can=`)).to.deep.include({ attributes: {}, friendlyName: 'other' });
    expect(await refused(update)).to.include('nothing is named');
  });

  it('refuses what the policy does not declare, and says what it does', async () => {
    expect(await refused('user put ann --attribute plan=gold')).to.include('attributes.plan: must be free or pro');
    expect(await refused('user put ann --attribute size=xl')).to.include('declares only plan here');
    expect(await refused('user put ann --attribute plan')).to.include('name=value');
    expect(await refused('user put ann --attribute plan=pro --attribute plan=free')).to.include('plan twice');
    expect(await refused('key create --user ann --name k --attribute can=sms,fax')).to.include(
      'any of sms and recordings',
    );
    expect(await refused('member put shop ann --role boss')).to.include('role: must be owner, member or viewer');
    const shipped = { POLICY_DIR: path.join(ROOT, 'policies') };
    expect(await refused('user put ann --attribute plan=pro', shipped)).to.include('declares no attributes here');
    expect(await refused('user put ann --attribute plan=pro', { POLICY_DIR: '/nowhere' })).to.include('/nowhere');
  });

  it('needs no policy where nothing declared is named', async () => {
    const { code } = await authz(['member', 'put', 'shop', 'ann', '--role', 'owner'], {
      ...env,
      POLICY_DIR: '/nowhere',
    });
    expect(code).to.equal(0);
    expect((await authz(['user', 'put', 'zoe'], { ...env, POLICY_DIR: '/nowhere' })).code).to.equal(0);
  });

  it('has its like for roles, and in imports', async () => {
    expect(await done('member put shop ann --role viewer')).to.include({ role: 'viewer' });
    const lines = [
      { user: { id: 'ben', attributes: { plan: 'pro' } } },
      { business: { id: 'bens', attributes: { region: 'us' } } },
      { member: { businessId: 'bens', userId: 'ben', role: 'viewer' } },
    ];
    const text = (entries: object[]) => entries.map((entry) => JSON.stringify(entry)).join('\n');
    await done('import - --format jsonl', text(lines));
    expect(await done('user show ben')).to.deep.include({ attributes: { plan: 'pro' } });
    expect((await done('member list bens'))['items']).to.deep.equal([
      { businessId: 'bens', userId: 'ben', role: 'viewer' },
    ]);
    const bad = text([...lines, { user: { id: 'cy', attributes: { plan: 'gold' } } }]);
    expect(await refused('import - --format jsonl', {}, bad)).to.include(
      'line 4: user.attributes.plan: must be free or pro',
    );
    expect(await refused('import - --format jsonl', { POLICY_DIR: '/nowhere' }, text(lines))).to.include('/nowhere');
  });

  it('are counted by check --database where the policy does not declare them, as advice', async () => {
    const check = (dir: string, ...more: string[]) => authz(['policy', 'check', '--database', dir, ...more], env);
    await authz(['user', 'put', 'ann', '--attribute', 'plan=pro', '--yes'], env);
    await authz(['user', 'put', 'ben', '--attribute', 'plan=pro', '--yes'], env);
    await authz(['user', 'put', 'cy', '--attribute', 'plan=free', '--yes'], env);
    await authz(['member', 'put', 'bens', 'ann', '--role', 'viewer'], env);
    const clean = await check(folder);
    expect([clean.code, clean.stdout.includes('undeclared-value')], clean.stdout).to.deep.equal([0, false]);

    const shipped = await check(path.join(ROOT, 'policies'), '--json');
    expect(shipped.code).to.equal(0);
    const { findings, advice } = JSON.parse(shipped.stdout) as { findings: object[]; advice: { message: string }[] };
    expect(findings).to.deep.equal([]);
    const says = advice.map(({ message }) => message);
    expect(says[0]).to.match(/^3 members have the role "viewer", which is not declared/);
    expect(says.slice(1).join('\n'))
      .to.match(/^2 users have plan: "pro", which attributes.user does not declare/m)
      .and.match(/^2 businesses have region: "us"/m)
      .and.match(/^1 user has plan: "free"/m);
    const { stdout } = await check(path.join(ROOT, 'policies'));
    expect(stdout).to.match(/^advice: facts\.yaml:\d+:1: 3 members have .* \[undeclared-value\]$/m);

    // Such a folder without a value of each: each place is that of what still declares the others.
    const narrower = await declaringFolder();
    const facts = path.join(narrower, 'facts.yaml');
    const before = await readFile(facts, 'utf8');
    const after = before.replace('plan: [free, pro]', 'plan: [pro, max]').replace('region: [eu, us]', 'area: [eu]');
    await writeFile(facts, after);
    for (const [file, from, to] of [
      ['80-granted.csv', "r.target.region != 'eu'", "r.target.area != 'eu'"],
      ['cases/granted.yaml', /plan: free/g, 'plan: max'],
      ['cases/granted.yaml', /region: /g, 'area: '],
      ['cases/granted.yaml', /area: us/g, 'area: unknown'],
    ] as const) {
      const name = path.join(narrower, file);
      await writeFile(name, (await readFile(name, 'utf8')).replace(from, to));
    }
    const lines = after.split('\n').map((line) => line.trim());
    const narrowed = await check(narrower);
    await rm(narrower, { recursive: true });
    expect(narrowed.code, narrowed.stdout).to.equal(0);
    const user = lines.findIndex((line) => line.startsWith('user:')) + 1;
    expect(narrowed.stdout).to.match(new RegExp(`^advice: facts\\.yaml:${user}:17: 1 user has plan: "free"`, 'm'));
    expect(narrowed.stdout).to.match(
      new RegExp(`^advice: facts\\.yaml:${user + 1}:13: 2 businesses have region: "us"`, 'm'),
    );
  });

  it('does what docs/administration.md shows', async () => {
    const page = await readFile(path.join(ROOT, 'docs', 'administration.md'), 'utf8');
    const [, block = ''] = /## Attributes and roles.*?```sh\n(.*?)```/s.exec(page) ?? [];
    await done('user put ada');
    await done('business put bakery');
    const { key } = (await done('key create --user ada --name k')) as { key: { id: string } };
    const commands = block.trim().split('\n');
    expect(commands).to.have.length(5);
    const shown: unknown[] = [];
    for (const command of commands) shown.push(await done(command.replace('authz ', '').replace('KEY-ID', key.id)));
    const attributes = (shown as { attributes?: object }[]).map((one) => one.attributes);
    const can = { can: ['recordings', 'sms'] };
    expect(attributes).to.deep.equal([{ plan: 'pro' }, { region: 'eu' }, undefined, can, {}]);
  });
});
