/** What tokens of nobody cost: no read of the database each, no line of the log each, and nothing of those who have a token. */

import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createToken, digestOf } from '../../src/credentials/token.ts';
import { createCaller, revokeCaller } from '../../src/directory/callers.ts';
import { withService } from '../support/client.ts';
import { insertCaller, insertKey, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';
import { expectFailure } from './wire.ts';

const ACTOR = { id: 'test' };

describe('a token that nobody has', () => {
  let service: TestService;
  let known: string;
  let question: object;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    question = { apiKey: await insertKey(service, { user_id: 'ann' }), action: 'account:read' };
    known = await insertCaller(service, ['authorize']);
    // The feed has told of the caller, and the callers are read, once it is known that nobody has this one.
    expectFailure(await asked(createToken('caller')), 'UNAUTHENTICATED');
    expect((await asked(known)).status).to.equal(200);
  });

  const asked = (token: string): Promise<Reply> =>
    service.ask('/authorize', question, { authorization: `Bearer ${token}` });
  /** Runs `work` while no statement can read or write the table. */
  const locked = async <T>(table: string, work: () => Promise<T>): Promise<T> => {
    const lock = await service.db.transaction();
    await lock.raw('lock table ?? in access exclusive mode', [table]);
    try {
      return await work();
    } finally {
      await lock.rollback();
    }
  };
  const unknown = (count: number): string[] => Array.from({ length: count }, () => createToken('caller'));

  it('is refused without a read of the callers, however many there are, and few polls of the change feed', async () => {
    const attempt = () =>
      locked('callers', async () => {
        const { polls } = service.changeFeed.stats();
        const since = performance.now();
        const replies = await Promise.all([...unknown(300), known].map(asked));
        const most = 2 + (performance.now() - since) / 100 + (performance.now() - since) / 250;
        return { replies, most, polled: service.changeFeed.stats().polls - polls };
      });
    let { replies, most, polled } = await attempt();
    // A process that got no time for a second is not current, and reads the callers: that says nothing of one that is.
    for (let again = 0; again < 5 && replies.some(({ status }) => status === 504); again += 1) {
      await eventually(async () => (await asked(known)).status === 200);
      ({ replies, most, polled } = await attempt());
    }
    expect(replies.pop()?.status).to.equal(200);
    for (const reply of replies) expectFailure(reply, 'UNAUTHENTICATED');
    expect(polled).to.be.within(1, most);
  });

  it('is taken for one at its first use, once it has been made in another process', async () => {
    for (let n = 0; n < 5; n += 1) {
      const { token, caller } = await createCaller(service.db, service.pepper, ACTOR, 'new', ['authorize']);
      expect((await asked(token)).status).to.equal(200);
      await revokeCaller(service.db, ACTOR, caller.id);
      await eventually(async () => (await asked(token)).status === 401);
    }
  });

  it('is refused at once after a revocation in this process', async () => {
    const { token, caller } = await createCaller(service.service.adminDb, service.pepper, ACTOR, 'new', ['authorize']);
    expect((await asked(token)).status).to.equal(200);
    await revokeCaller(service.service.adminDb, ACTOR, caller.id);
    expectFailure(await asked(token), 'UNAUTHENTICATED');
  });

  it('is refused when it expires, though no change says so', async () => {
    const token = await insertCaller(service, ['authorize'], { expires_at: new Date(Date.now() + 4000) });
    expect((await asked(token)).status).to.equal(200);
    expectFailure(
      await eventually(async () => (await asked(token).then((r) => r.status !== 200 && r)) || false),
      'UNAUTHENTICATED',
    );
  });

  it('is no verdict, but a 503, while the process is not current; those whom the primary confirms are answered', async () => {
    await locked('changes', async () => {
      await eventually(() => service.changeFeed.stats().stalenessMs > 1100);
      expect((await asked(known)).status).to.equal(200);
      // The callers have been read for that one, so who was made since is not among them.
      const token = createToken('caller');
      const made = { id: 'made', name: 'made', digest: digestOf(service.pepper, token), pepper_id: service.pepper.id };
      await service.db('callers').insert({ ...made, scopes: ['authorize'] });
      for (const each of [token, ...unknown(3)]) expectFailure(await asked(each), 'UNAVAILABLE');
      expect((await asked(known)).status).to.equal(200);
    });
    await eventually(async () => (await asked(createToken('caller'))).status === 401);
  });

  it('is gone within a second of its revocation elsewhere, also while the change feed cannot be read', async () => {
    const { token, caller } = await createCaller(service.db, service.pepper, ACTOR, 'new', ['authorize']);
    expect((await asked(token)).status).to.equal(200);
    await locked('changes', async () => {
      await eventually(() => service.changeFeed.stats().stalenessMs > 1100);
      expect((await asked(token)).status).to.equal(200);
      await service.db('callers').where({ id: caller.id }).update({ revoked_at: new Date() });
      await sleep(1000);
      expect((await asked(token)).status).to.not.equal(200);
    });
  });
});

describe('failures of one kind', () => {
  it('are logged once a second with a count, as one line without SQL', async () => {
    const log = new PassThrough();
    const service = await startService({ LOG_LEVEL: 'warn' }, log);
    await service.db.raw('alter table decision_records rename to aside');
    const ask = () => service.ask('/authorize', { apiKey: 'x', action: 'a:b' });
    for (let n = 0; n < 40; n += 1) expectFailure(await ask(), 'UNAVAILABLE');
    let text = '';
    log.on('data', (chunk: Buffer) => (text += chunk));
    const lines = () =>
      text
        .split('\n')
        .filter((line) => line.includes('a request failed'))
        .map((line) => JSON.parse(line) as { count: number; error: { message: string } });
    const counted = () => lines().reduce((sum, { count }) => sum + count, 0);
    await eventually(() => counted() === 40);
    expect(lines().length).to.be.within(1, 10);
    expect(lines()[0]?.error.message).to.equal('relation "decision_records" does not exist');
    expect(text).to.not.match(/insert into|json_to_recordset/);
    await service.close();
  });
});
