/** `authz policy explain` of a key: what it prints, what it leaves behind, and how it ends. */

import { randomBytes } from 'node:crypto';
import { appendFile, cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect } from 'chai';
import type { Knex } from 'knex';
import { connect } from '../../../src/db/connect.ts';
import { POLICY_FOLDER } from '../../policy/texts.ts';
import { authz, ROOT } from '../../support/cli.ts';
import { newDatabase } from '../../support/postgres.ts';

describe('authz policy explain --key', function () {
  this.timeout(60_000);

  let env: Record<string, string>;
  let db: Knex;
  let draft: string;
  let id: string;
  let apiKey: string;

  before(async () => {
    const url = await newDatabase();
    env = { DATABASE_URL: url, KEY_PEPPERS: `p:${randomBytes(32).toString('base64')}` };
    db = connect({ url, poolSize: 1 });
    for (const args of [
      'user put ada',
      'business put bakery',
      'member put bakery ada --role owner',
      'business put kiosk',
    ])
      await done(args);
    ({
      apiKey,
      key: { id },
    } = JSON.parse(await done('key create --user ada --name main --expires-at 2098-01-01T00:00:00Z --json')));
    draft = await mkdtemp(path.join(tmpdir(), 'authz-draft-'));
    await cp(POLICY_FOLDER, draft, { recursive: true });
    await appendFile(
      path.join(draft, '40-business.csv'),
      `p, no-production, *, "r.key.environment == 'production'", deny, BUSINESS_DISABLED\n`,
    );
  });
  after(async () => {
    await db?.destroy();
    await rm(draft, { recursive: true, force: true });
  });

  async function done(args: string, input = ''): Promise<string> {
    const { code, stdout, stderr } = await authz(args.split(' '), env, input);
    expect(code, stderr).to.equal(0);
    return stdout;
  }
  const ask = (more = '', input = ''): Promise<string> =>
    done(`policy explain --action call:create ${more}`.trim(), input);

  it('shows the rows as it does of other facts, the answer of the client, and the changes with their commands', async () => {
    const text = await ask(`--key ${id} --business kiosk`);
    expect(text).to.match(/^deny PERMISSION_DENIED by the row target-without-access\npolicy sha256:/);
    expect(text).to.include(`key.id='${id}' key.status='active'`);
    expect(text).to.match(/\(30-permission\.csv:\d+\) matches: deny PERMISSION_DENIED, because\n/);
    expect(text).to.match(
      /\nFor 2\d{3}-\S+Z\. The client would be answered 403: The API key is not permitted to do this\.\n/,
    );
    expect(text).to.match(
      /Smallest changes, any of which would make it an allow:\n {2}1\. r\.target\.role 'none' -> 'owner' or 'member'\n/,
    );
    expect(text).to.match(
      / {5}make the user ada owner or member of the business kiosk:\n {7}authz member put kiosk ada --role member\n$/,
    );
    expect(await ask(`--key ${id} --business bakery`)).to.match(/^allow OK by the row allow-on-target\n/);
  });

  it('takes the key in clear, and does not show it; of what is no key it says what it would take', async () => {
    const text = await ask('--key-stdin --business bakery', `${apiKey}\n`);
    expect(text)
      .to.match(/^allow OK/)
      .and.include(`key.id='${id}'`)
      .and.not.include(apiKey);
    const unknown = await ask('--key-stdin --business bakery', 'no key');
    expect(unknown).to.match(/^deny INVALID_API_KEY/);
    expect(unknown).to.include('authz key create --user USER --name NAME\n');
  });

  it('decides for another moment, as if facts were otherwise, and by another folder', async () => {
    expect(await ask(`--key ${id} --business bakery --at 2098-01-01T00:00:00Z`)).to.match(/^deny INVALID_API_KEY/);
    const set = await ask(`--key ${id} --business bakery --set r.limit.exceeded=true --set r.user.businesses=disabled`);
    expect(set).to.match(/^deny RATE_LIMITED/);
    expect(set).to.include('r.user.businesses ');
    expect(set).to.include('set r.limit.exceeded to false, or leave it as it is stored\n');
    const byDraft = await ask(`--key ${id} --business bakery --policy ${draft}`);
    expect(byDraft).to.match(/^deny BUSINESS_DISABLED by the row no-production/);
    expect(byDraft).to.include(`r.key.environment 'production' -> anything but 'production'\n`);
    expect(byDraft).to.include(`authz key update ${id} --environment NAME\n`);
    expect(await ask(`--key ${id} --business bakery --ip 192.0.2.1 --json`)).to.include('"addressed": true');
  });

  it('prints what docs/policies.md shows, on the demo data', async () => {
    await done('import -', await readFile(path.join(ROOT, 'examples', 'demo.json'), 'utf8'));
    const page = await readFile(path.join(ROOT, 'docs', 'policies.md'), 'utf8');
    const [, command = '', output = ''] =
      /^ {4}\$ authz (policy explain --key .*)\n((?: {4}.*\n|\n(?= {4}))+)/m.exec(page) ?? [];
    const lines = output.split('\n').map((line) => line.slice(4).replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
    const pattern = lines.map((line) => (line === '\\.\\.\\.' ? '[^]*' : line.replaceAll('\\.\\.\\.', '.*')));
    expect(await done(command)).to.match(new RegExp(`^${pattern.join('\\n')}$`));
  });

  it('records no decision, and leaves one event of who asked what', async () => {
    const before = await db('admin_events').where({ action: 'policy.explain' });
    await ask(`--key ${id} --business bakery`);
    const events = await db('admin_events').where({ action: 'policy.explain' }).orderBy('id');
    expect(events.length - before.length).to.equal(1);
    const event = events.at(-1);
    expect(event.actor).to.match(/^cli:/);
    expect(event.after).to.deep.include({ apiKeyId: id, action: 'call:create', businessId: 'bakery' });
    expect(await db('decisions').first()).to.equal(undefined);
  });

  it('ends with 1 where it cannot take what it is asked, and with 2 where it is misused', async () => {
    const refused = async (args: string, says: string): Promise<void> => {
      const { code, stderr } = await authz(['policy', 'explain', '--action', 'call:create', ...args.split(' ')], env);
      expect(code, stderr).to.equal(1);
      expect(stderr).to.include(says);
    };
    await refused('--key nobody', 'There is no key nobody');
    await refused(`--key ${id} --set r.limit.exceded=true`, 'did you mean r.limit.exceeded?');
    await refused(`--key ${id} --set exceeded`, 'path=value');
    await refused(`--key ${id} --at soon`, '"soon" is no time');
    for (const args of [
      ['--key', id],
      ['--key', id, '--key-stdin', '--action', 'call:create'],
      ['--facts', '-', '--key', id, '--action', 'call:create'],
      ['--facts', '-', '--business', 'bakery'],
      ['--facts', '-', '--at', '2098-01-01T00:00:00Z'],
    ])
      expect((await authz(['policy', 'explain', ...args], env)).code, args.join(' ')).to.equal(2);
  });
});
