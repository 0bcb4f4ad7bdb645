/** Names that nothing here knows are refused with the nearest, and no others: over HTTP, and on the command line as an auditor. */

import { expect } from 'chai';
import type { Knex } from 'knex';
import { authz, type Outcome } from '../../support/cli.ts';
import { type Client, clientOf } from '../../support/client.ts';
import { newDatabase } from '../../support/postgres.ts';
import { createRoles, loginOf } from '../../support/roles.ts';
import { insertCaller, startService, type TestService } from '../../support/service.ts';
import { drawer, insertRecords, makeRecord, type TestRecord } from '../records.ts';

const KEPT = `sha256:${'5e'.repeat(32)}`;

describe('a name that is asked about', function () {
  this.timeout(30_000);
  let service: TestService;
  let client: Client;
  let db: Knex;
  let auditor: string;
  let key: string;

  before(async () => {
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    client = clientOf(service);
    ({ db } = service);
    await createRoles(db);
    auditor = await loginOf(db, url, 'authz_auditor');
    await client.newUser('ann', 'bakery');
    key = (await client.newKey('ann')).id;
    await db('policies').insert({
      digest: KEPT,
      texts: { '10-a.csv': 'p, door-shut, *, "r.limit.exceeded", deny, DOOR_SHUT\n' },
    });
    for (const [id, row] of Object.entries({
      'c-1': { name: 'voice gateway', revoked_at: '2030-01-31T12:00:00Z' },
      'c-2': { name: 'voice gateway' },
      'c-3': { name: 'billing', expires_at: '2020-01-31T12:00:00Z' },
      billing2: { name: 'bakery-app' },
    }))
      await insertCaller(service, ['authorize'], { id, ...row });
  });
  after(() => service?.close());

  const draw = drawer(4);
  const decided = async (over: Partial<TestRecord>, back = 1000): Promise<void> =>
    insertRecords(db, [
      makeRecord(Date.now() - back, draw, { policy: KEPT, code: 'DOOR_SHUT', rule: 'door-shut', ...over }),
    ]);
  const run = (...args: string[]): Promise<Outcome> => authz(['audit', ...args], { DATABASE_URL: auditor });
  const eventsSince = async (id: string | undefined) =>
    db('admin_events')
      .where('id', '>', id ?? '00000000-0000-0000-0000-000000000000')
      .orderBy('id');
  const refuses = async (path: string, says: string): Promise<void> => {
    const { status, body } = await client.call('GET', path);
    expect([status, body.Code]).to.deep.equal([400, 'INVALID_REQUEST']);
    expect(JSON.stringify(body.Data)).to.include(says);
  };
  const lastEvent = async (): Promise<string | undefined> =>
    (await db('admin_events').orderBy('id', 'desc').first('id'))?.id;

  for (const [filter, option, name, says] of [
    ['apiKeyId', '--key', 'no-key', /neither the directory nor the log knows an API key of this id$/],
    ['userId', '--user', 'anne', /knows a user of this id; did you mean ann\?$/],
    ['businessId', '--business', 'bakrey', /knows a business of this id; did you mean bakery\?$/],
    [
      'callerId',
      '--caller',
      'c-22',
      /no caller of this id is known, and none asked from \S+ to now; did you mean c-2\?$/,
    ],
    ['callerId', '--caller', 'bakery-ap', /did you mean bakery-app \(billing2\)\?$/],
    [
      'code',
      '--code',
      'USER_DISABELD',
      /no policy .* has this code, nor has a decision; did you mean USER_DISABLED\?$/,
    ],
    [
      'rule',
      '--rule',
      'dor-shut',
      /has a rule of this name, and none decided from \S+ to now; did you mean door-shut\?$/,
    ],
  ] as const)
    it(`is refused, over HTTP and in each verb, as ${filter} ${name}, and that leaves an event`, async () => {
      const before = await lastEvent();
      const subject = ['apiKeyId', 'userId', 'businessId'].includes(filter) ? ['timeline'] : [];
      for (const path of ['decisions?', 'stats?by=code&', 'export?', ...subject.map((name) => `${name}?`)]) {
        const { status, body } = await client.call('GET', `/audit/${path}${filter}=${name}`);
        const [issue] = (body.Data?.['issues'] ?? []) as { path: string; message: string }[];
        expect([status, body.Code, issue?.path]).to.deep.equal([400, 'INVALID_REQUEST', filter]);
        expect(issue?.message).to.match(says);
      }
      for (const verb of ['query', 'stats', 'export', 'tail', ...subject]) {
        const { code, stdout, stderr } = await run(verb, option, name);
        expect([code, stdout], stderr).to.deep.equal([1, '']);
        expect(stderr.trimEnd()).to.match(says);
      }
      const events = await eventsSince(before);
      expect(events.map(({ action }) => action)).to.deep.equal(
        ['query', 'stats', 'export', ...subject, 'query', 'stats', 'export', 'tail', ...subject].map(
          (access) => `audit.${access}`,
        ),
      );
      for (const { after } of events) expect(after).to.deep.include({ [filter]: name, unknown: [filter] });
    });

  it('is refused as well where it is to be left out', async () => {
    await refuses(`/audit/decisions?not=${encodeURIComponent('userId=ann;code=USER_DISABELD')}`, '"path":"not.code"');
    const { code, stderr } = await run('query', '--not', 'code=USER_DISABELD');
    expect([code, stderr.trim().split('\n').at(-1)]).to.deep.equal([
      1,
      '  not.code: no policy that was live here has this code, nor has a decision; did you mean USER_DISABLED?',
    ]);
  });

  it('is known where the directory has it, to an auditor as well, and without any decision', async () => {
    for (const args of [
      ['--key', key],
      ['--user', 'ann'],
      ['--business', 'bakery'],
      ['--caller', 'c-2'],
      ['--code', 'DOOR_SHUT'],
      ['--code', 'OK', '--rule', 'user-disabled'],
      ['--rule', '(unmapped)'],
    ]) {
      const { code, stdout, stderr } = await run('query', ...args);
      expect([code, stderr], args.join(' ')).to.deep.equal([0, '']);
      expect(stdout).to.match(/^none\n/);
    }
  });

  it('is known once it was deleted: by the events of its life, or by the decisions on it, however old', async () => {
    await client.newUser('eve');
    const { id } = await client.newKey('eve');
    await client.call('DELETE', `/keys/${id}`);
    await client.call('DELETE', '/users/eve');
    const old = 40 * 86_400_000;
    await decided({ api_key_id: 'imported', user_id: 'gone', business_id: 'made-up', code: 'OLD_CODE' }, old);
    for (const [filter, name] of Object.entries({ apiKeyId: id, userId: 'eve' }))
      expect((await client.data('GET', `/audit/decisions?${filter}=${name}`))['items']).to.deep.equal([]);
    const known = { apiKeyId: 'imported', userId: 'gone', businessId: 'made-up', code: 'OLD_CODE' };
    for (const [filter, name] of Object.entries(known))
      expect((await client.data('GET', `/audit/decisions?${filter}=${name}`))['items'], filter).to.deep.equal([]);
    await refuses('/audit/stats?by=key&userId=ever', 'did you mean eve?');
  });

  it('is known as a caller or a rule where the log of the time range has it', async () => {
    await decided({ caller_id: 'restored', rule: 'lost-rule' });
    for (const query of ['callerId=restored', 'rule=lost-rule'])
      expect((await client.data('GET', `/audit/decisions?${query}`))['items'], query).to.have.length(1);
    await refuses('/audit/decisions?callerId=restored&to=2026-01-01', 'callerId');
  });

  it('as a rule is not called unknown while the log holds a policy that is not kept', async () => {
    await refuses('/audit/decisions?rule=whose', 'rule');
    await decided({ policy: `sha256:${'7a'.repeat(32)}` });
    expect((await client.data('GET', '/audit/decisions?rule=whose'))['items']).to.deep.equal([]);
    await refuses('/audit/decisions?rule=whose&to=2026-01-01', 'rule');
    const situation = { digest: Buffer.alloc(32), last_day: '2025-12-31', policy: `sha256:${'7b'.repeat(32)}` };
    await db('situations').insert({ ...situation, facts_version: 1, facts: {} });
    expect(
      (await client.data('GET', '/audit/decisions?rule=whose&from=2025-12-31&to=2026-01-01'))['items'],
    ).to.deep.equal([]);
  });

  it('as that of a caller finds what all that ever had it have asked, and says who they are', async () => {
    const asked = { 'c-1': 'x:one', 'c-2': 'x:two', 'c-3': 'x:three' };
    for (const [caller_id, action] of Object.entries(asked)) await decided({ caller_id, action });
    const actions = async (name: string) => {
      const { stdout, stderr } = await run('query', '--caller', name, '--json');
      return [
        JSON.parse(stdout)
          .items.map(({ action }: TestRecord) => action)
          .sort(),
        stderr,
      ];
    };
    const [both, says] = await actions('voice gateway');
    expect(both).to.deep.equal(['x:one', 'x:two']);
    expect(says).to.match(
      /^voice gateway is the name of c-1 \(revoked at 2030-01-31T12:00:00\.000Z\), c-2 \(active since \S+\)\n$/,
    );
    expect(await actions('billing')).to.deep.equal([
      ['x:three'],
      'billing is the name of c-3 (expired at 2020-01-31T12:00:00.000Z)\n',
    ]);
    expect(await actions('c-2')).to.deep.equal([['x:two'], '']);
    const [event] = (await eventsSince(undefined)).filter(({ after }) => after?.callerIds);
    expect(event?.after.callerIds).to.deep.equal(['c-1', 'c-2']);
    await refuses('/audit/decisions?callerId=bakery-app', 'did you mean bakery-app (billing2)?');
  });
});
