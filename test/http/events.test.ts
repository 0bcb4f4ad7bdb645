/** A change commits with its admin event, its change-feed number and its notification, or with none of them. */

import { expect } from 'chai';
import pg from 'pg';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { startService, type TestService } from '../support/service.ts';

interface Event {
  readonly action: string;
  readonly actor: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly before: Record<string, unknown> | null;
  readonly after: Record<string, unknown> | null;
  readonly request_id: string;
}

/** A request, the events that it leaves, and the kind and id of what others must forget; KEY and NEW stand for keys. */
type Act = readonly [method: string, path: string, body: unknown, events: readonly string[], forget: readonly string[]];

const KEY = { userId: 'u', friendlyName: 'a key', allowUserManagementApiRequests: false };
const ACTS: readonly Act[] = [
  ['PUT', '/users/u', {}, ['user.create user u'], ['user u']],
  ['PUT', '/users/u', { businessesDisabled: true }, ['user.update user u'], ['user u']],
  ['PUT', '/businesses/b', {}, ['business.create business b'], ['business b']],
  ['PUT', '/businesses/b', { disabled: true }, ['business.update business b'], ['business b']],
  ['PUT', '/businesses/b/members/u', { role: 'member' }, ['member.create member b/u'], ['user u']],
  ['PUT', '/businesses/b/members/u', { role: 'owner' }, ['member.update member b/u'], ['user u']],
  ['POST', '/keys', { ...KEY, restrictedBusinessIds: ['b'] }, ['key.create key NEW'], ['key NEW']],
  ['PATCH', '/keys/KEY', { restrictedBusinessIds: null }, ['key.update key KEY'], ['key KEY']],
  [
    'POST',
    '/keys/KEY/rotate',
    { overlapSeconds: 60 },
    ['key.rotate key KEY', 'key.create key NEW'],
    ['key KEY', 'key NEW'],
  ],
  ['POST', '/keys/KEY/revoke', { reason: 'Lost.' }, ['key.revoke key KEY'], ['key KEY']],
  ['DELETE', '/keys/KEY', undefined, ['key.delete key KEY'], ['key KEY']],
  ['POST', '/keys', KEY, ['key.create key NEW'], ['key NEW']],
  ['POST', '/users/u/revoke-keys', { reason: 'Lost.' }, ['user.revoke-keys user u'], ['user u']],
  ['DELETE', '/businesses/b/members/u', undefined, ['member.delete member b/u'], ['user u']],
  ['DELETE', '/businesses/b', undefined, ['business.delete business b'], ['business b']],
  ['DELETE', '/users/u', undefined, ['user.delete user u'], ['user u']],
];

describe('a change', () => {
  let service: TestService;
  let client: Client;
  let listener: pg.Client;
  let heard: number[];
  /** Waits until everything that was announced before now has been heard. */
  let listened: () => Promise<void>;

  before(async () => {
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    client = clientOf(service);
    listener = new pg.Client({ connectionString: url });
    await listener.connect();
    listener.on('notification', ({ payload }) => heard.push(Number(payload)));
    await listener.query('listen authz_changes');
    listened = async () => void (await listener.query('select'));
    await service.db.raw(
      `create function refuse() returns trigger language plpgsql as 'begin raise exception ''no''; end'`,
    );
  });

  beforeEach(async () => {
    await service.db.raw(
      'truncate users, businesses, admin_events, changes cascade; update change_counter set last = 0',
    );
    heard = [];
  });

  afterEach(() =>
    service.db.raw('drop trigger if exists refuse on admin_events; drop trigger if exists refuse on changes'),
  );

  after(async () => {
    await listener?.end();
    await service?.close();
  });

  const events = (): Promise<Event[]> => service.db('admin_events').orderBy('id');
  const changes = (): Promise<{ seq: string; kind: string; id: string; digest: Buffer | null }[]> =>
    service.db('changes').orderBy([{ column: 'seq', order: 'asc' }, 'id']);

  /** Takes all the steps, and calls `look` after each. */
  async function act(
    look: (act: Act, number: number, ids: { KEY: string; NEW: string }) => Promise<void>,
  ): Promise<string[]> {
    const ids = { KEY: '', NEW: '' };
    const secrets: string[] = [];
    for (const [index, step] of ACTS.entries()) {
      const [method, path, body] = step;
      const reply = await client.call(method, path.replace('KEY', ids.KEY), body, { 'x-request-id': `r${index + 1}` });
      expect(reply.status, `${method} ${path} ${JSON.stringify(reply.body)}`).to.be.within(200, 204);
      const made = reply.body?.Data as { apiKey?: string; key?: { id: string } } | undefined;
      if (made?.apiKey) secrets.push(made.apiKey);
      ids.NEW = made?.key?.id ?? '';
      await look(step, index + 1, ids);
      if (path === '/keys') ids.KEY = ids.NEW;
    }
    return secrets;
  }

  it('is recorded, numbered and announced, each once', async () => {
    let seen = 0;
    await act(async ([, , , expected, forget], number, ids) => {
      const name = (text: string): string => text.replace('KEY', ids.KEY).replace('NEW', ids.NEW);
      const recorded = (await events()).slice(seen);
      seen += recorded.length;
      const told = recorded.map((event) => `${event.action} ${event.subject_kind} ${event.subject_id}`);
      expect(told).to.deep.equal(expected.map(name));
      for (const event of recorded) expect(event).to.include({ actor: 'bootstrap', request_id: `r${number}` });
      const rows = (await changes()).filter(({ seq }) => Number(seq) === number);
      expect(rows.map(({ kind, id }) => `${kind} ${id}`).sort()).to.deep.equal(forget.map(name).sort());
      for (const { kind, digest } of rows) expect(digest?.length).to.equal(kind === 'key' ? 32 : undefined);
      await listened();
      expect(heard.at(-1)).to.equal(number);
      expect(heard).to.have.length(number);
    });
  });

  it('is recorded with what was before and after', async () => {
    await act(async () => undefined);
    for (const { action, before, after } of await events()) {
      const verb = action.split('.')[1];
      expect(before === null, `${action} before`).to.equal(verb === 'create' || verb === 'revoke-keys');
      expect(after === null, `${action} after`).to.equal(verb === 'delete');
      if (before && after) expect(before).to.not.deep.equal(after);
    }
    const update = (await events()).find(({ action }) => action === 'key.update');
    expect(update?.before).to.deep.include({ restrictedBusinessIds: ['b'], status: 'active' });
    expect(update?.after).to.deep.include({ restrictedBusinessIds: null, status: 'active' });
  });

  it('leaves no secret in any table', async () => {
    const secrets = await act(async () => undefined);
    expect(secrets).to.have.length(3);
    const digests = (await changes()).flatMap(({ digest }) => digest?.toString('hex') ?? []);
    const stored = JSON.stringify(await client.contents());
    for (const apiKey of secrets) expect(stored).to.not.include(apiKey.slice(9, -4));
    const recorded = JSON.stringify(await events());
    for (const secret of [...digests, service.pepper.secret.toString('base64'), service.token]) {
      expect(recorded).to.not.include(secret);
    }
  });

  for (const table of ['admin_events', 'changes']) {
    it(`does not happen when it cannot be written to ${table}`, async () => {
      const ids = { KEY: '', NEW: '' };
      for (const [method, path, body] of ACTS) {
        await service.db.raw(`create trigger refuse before insert on ${table} for each row execute function refuse()`);
        await client.refuses([503, 'UNAVAILABLE'], method, path.replace('KEY', ids.KEY), body);
        await service.db.raw(`drop trigger refuse on ${table}`);
        const reply = await client.call(method, path.replace('KEY', ids.KEY), body);
        const made = reply.body?.Data as { key?: { id: string } } | undefined;
        if (path === '/keys') ids.KEY = made?.key?.id ?? '';
      }
      await listened();
      expect(heard).to.have.length(ACTS.length);
    });
  }

  it('is seen and announced only once it is committed', async () => {
    const trx = await service.db.transaction();
    await trx.raw('select from change_counter for update');
    const sent = client.call('PUT', '/users/late', {});
    await client.blocked();
    await listened();
    const meanwhile = [(await client.call('GET', '/users/late')).status, (await events()).length, heard.length];
    await trx.commit();
    expect(meanwhile).to.deep.equal([404, 0, 0]);
    expect((await sent).status).to.equal(201);
    await listened();
    expect(heard).to.deep.equal([1]);
    expect(await events()).to.have.length(1);
  });

  it('gets the next number, in the order of the commits, and none is seen before a lower one', async () => {
    let gaps = 0;
    let done = false;
    const watch = async (): Promise<void> => {
      while (!done) {
        const { rows } = await service.db.raw('select count(distinct seq) as seen, max(seq) as last from changes');
        if (rows[0].last !== null && rows[0].seen !== rows[0].last) gaps += 1;
      }
    };
    const watching = watch();
    const replies = await Promise.all(
      Array.from({ length: 60 }, (_, n) =>
        client.call('PUT', n % 3 ? `/users/p${n}` : '/users/hot', { disabled: n % 2 === 0 }),
      ),
    );
    done = true;
    await watching;
    const effective = (await events()).length;
    expect(replies.every(({ status }) => status < 300)).to.equal(true);
    expect(effective).to.be.above(40);
    expect((await changes()).map(({ seq }) => Number(seq))).to.deep.equal(
      Array.from({ length: effective }, (_, n) => n + 1),
    );
    expect(gaps).to.equal(0);
    await listened();
    expect(heard).to.deep.equal(Array.from({ length: effective }, (_, n) => n + 1));
  });
});
