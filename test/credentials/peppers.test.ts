/** Several peppers: the first is current, for new digests; keys and callers under the others go on working. */

import { randomBytes } from 'node:crypto';
import { expect } from 'chai';
import { loadConfig } from '../../src/config.ts';
import { pepperUse } from '../../src/credentials/peppers.ts';
import { digestOf, type Pepper } from '../../src/credentials/token.ts';
import { openDatabase } from '../../src/database.ts';
import { connect } from '../../src/db/connect.ts';
import { findKey } from '../../src/keys/keys.ts';
import { type Client, clientOf } from '../support/client.ts';
import { newDatabase } from '../support/postgres.ts';
import { rejection } from '../support/rejection.ts';
import { insertCaller, startService } from '../support/service.ts';

const pepper = (id: string): Pepper => ({ id, secret: randomBytes(32) });
const setting = (peppers: readonly Pepper[]): string =>
  peppers.map(({ id, secret }) => `${id}:${secret.toString('base64')}`).join(',');

const OLD = pepper('old');
const NEW = pepper('new');

describe('peppers', () => {
  let url: string;

  beforeEach(async () => {
    url = await newDatabase();
  });

  /** Runs `work` on a service with these peppers. */
  async function withPeppers<T>(peppers: readonly Pepper[], work: (client: Client) => Promise<T>): Promise<T> {
    const service = await startService({ DATABASE_URL: url, KEY_PEPPERS: setting(peppers) });
    try {
      return await work(clientOf(service));
    } finally {
      await service.close();
    }
  }

  async function inDatabase<T>(work: (db: ReturnType<typeof connect>) => Promise<T>): Promise<T> {
    const db = connect({ url, poolSize: 1 });
    try {
      return await work(db);
    } finally {
      await db.destroy();
    }
  }

  const stored = (id: string) =>
    inDatabase((db) => db('api_keys').where({ id }).first('digest', 'pepper_id', 'version'));

  const makeKey = () =>
    withPeppers([OLD], async (client) => {
      await client.newUser('ann', 'a');
      return client.newKey('ann');
    });

  it('the first is what new keys are digested under', async () => {
    const key = await makeKey();
    expect(await stored(key.id)).to.deep.include({ pepper_id: 'old', digest: digestOf(OLD, key.apiKey) });
    const later = await withPeppers([NEW, OLD], (client) => client.newKey('ann'));
    expect(await stored(later.id)).to.deep.include({ pepper_id: 'new', digest: digestOf(NEW, later.apiKey) });
  });

  it('a key under an older one goes on working, and its use moves it to the current one', async () => {
    const { id, apiKey, etag } = await makeKey();
    const unused = await withPeppers([OLD], (client) => client.newKey('ann'));
    await withPeppers([NEW, OLD], async (client) => {
      expect(await client.decide(apiKey, 'a')).to.equal('OK');
      expect(await client.decide(apiKey, 'a')).to.equal('OK');
    });
    expect(await stored(id)).to.deep.include({ pepper_id: 'new', digest: digestOf(NEW, apiKey) });
    expect(await stored(unused.id)).to.deep.include({ pepper_id: 'old', digest: digestOf(OLD, unused.apiKey) });
    await withPeppers([NEW, OLD], async (client) => {
      expect(await client.decide(apiKey, 'a')).to.equal('OK');
      expect(await client.decide(unused.apiKey, 'a')).to.equal('OK');
      expect((await client.call('GET', `/keys/${id}`)).headers.get('etag')).to.equal(etag);
      await client.data('POST', `/keys/${id}/revoke`);
      expect(await client.decide(apiKey, 'a')).to.equal('INVALID_API_KEY');
    });
  });

  it('a denied use moves it, too; a revoked or expired key stays under its pepper', async () => {
    const { id, apiKey } = await makeKey();
    const dead = await withPeppers([OLD], async (client) => {
      const key = await client.newKey('ann');
      await client.data('POST', `/keys/${key.id}/revoke`);
      return key;
    });
    await withPeppers([NEW, OLD], async (client) => {
      expect(await client.decide(apiKey, 'elsewhere')).to.equal('PERMISSION_DENIED');
      expect(await client.decide(dead.apiKey, 'a')).to.equal('INVALID_API_KEY');
    });
    expect(await stored(id)).to.include({ pepper_id: 'new' });
    expect(await stored(dead.id)).to.include({ pepper_id: 'old' });
  });

  it('a start without one that keys are stored under is refused, and changes nothing', async () => {
    const { id } = await makeKey();
    const before = await stored(id);
    const config = loadConfig({ DATABASE_URL: url, KEY_PEPPERS: setting([NEW]) });
    const refusal = await rejection(openDatabase(config));
    expect(refusal.name).to.equal('Refusal');
    expect(refusal.message).to.match(/pepper old.*KEY_PEPPERS does not hold/);
    expect(refusal.message).to.not.include(NEW.secret.toString('base64'));
    expect(await stored(id)).to.deep.equal(before);
  });

  it('a start without one that callers are stored under is refused', async () => {
    const caller = await inDatabase((db) => insertCaller({ db, pepper: OLD }, ['keys']));
    const refusal = await rejection(openDatabase(loadConfig({ DATABASE_URL: url, KEY_PEPPERS: setting([NEW]) })));
    expect(refusal.message).to.match(/pepper old/);
    await withPeppers([NEW, OLD], async (client) => {
      const reply = await client.call('GET', '/keys', undefined, { authorization: `Bearer ${caller}` });
      expect(reply.status).to.equal(200);
    });
  });

  it('a start with another secret under a known id is refused, since every valid key would be denied as unknown', async () => {
    const { apiKey } = await makeKey();
    const config = loadConfig({ DATABASE_URL: url, KEY_PEPPERS: setting([pepper('old')]) });
    expect((await rejection(openDatabase(config))).message).to.match(/pepper old is not the one/);
    await withPeppers([OLD], async (client) => expect(await client.decide(apiKey, 'a')).to.equal('OK'));
  });

  it('are refused when two have the same secret', () => {
    const twice = setting([OLD, { ...OLD, id: 'again' }]);
    expect(() => loadConfig({ KEY_PEPPERS: twice })).to.throw(/different ids and secrets/);
  });

  it('are listed with their numbers of keys and callers, which shows what can be retired', async () => {
    const { apiKey } = await makeKey();
    const use = () => inDatabase((db) => pepperUse(db, [NEW]));
    const row = { id: 'old', current: false, held: false, callers: 0 };
    const current = { id: 'new', current: true, held: true, callers: 0 };
    expect(await use()).to.deep.equal([
      { ...current, apiKeys: 0 },
      { ...row, apiKeys: 1 },
    ]);
    await withPeppers([NEW, OLD], (client) => client.decide(apiKey, 'a'));
    expect(await use()).to.deep.equal([{ ...current, apiKeys: 1 }]);
  });

  it('a leaked key is found under any of them', async () => {
    const { id, apiKey } = await makeKey();
    const found = await inDatabase((db) => findKey(db, [NEW, OLD], apiKey));
    expect(found.id).to.equal(id);
    const failure = await rejection(inDatabase((db) => findKey(db, [NEW], apiKey)));
    expect(failure).to.include({ code: 'NOT_FOUND' });
  });
});
