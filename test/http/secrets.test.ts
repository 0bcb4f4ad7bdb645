/**
 * No API key, caller token, pepper or password appears in an answer, in the log at level trace, or in the database, wherever
 * a client puts it and whatever fails.
 */

import { expect } from 'chai';
import { forgetEverything } from '../support/changes.ts';
import { newDatabase } from '../support/postgres.ts';
import { insertCaller, insertKey, type Reply, startService, type TestService } from '../support/service.ts';
import { eventually, killProcesses, type ServiceProcess, settingsOf, startProcess } from './process.ts';
import { dial, exchange, type HeaderList, request } from './wire.ts';

describe('a secret', () => {
  let service: TestService;
  let replica: ServiceProcess;
  let apiKey: string;
  let callerToken: string;
  let bootstrapToken: string;
  let password: string;

  before(async () => {
    const url = await newDatabase();
    service = await startService({ DATABASE_URL: url });
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { id: 'k', user_id: 'ann' });
    callerToken = await insertCaller(service, ['authorize'], { id: 'telephony' });
    password = decodeURIComponent(new URL(url).password);
    // Unlike the form of an action: those are kept and returned.
    bootstrapToken = `Bootstrap-${service.token}`;
    const settings = { ...settingsOf(service, url), BOOTSTRAP_TOKEN: bootstrapToken, LOG_LEVEL: 'trace' };
    replica = await startProcess(settings);
  });
  after(async () => {
    killProcesses();
    await service?.close();
  });

  const secrets = (): string[] =>
    [
      apiKey,
      callerToken,
      bootstrapToken,
      service.pepper.secret.toString('base64'),
      service.pepper.secret.toString('hex'),
      password,
      // Enough of them to find the rest.
      apiKey.slice(0, -6),
      callerToken.slice(0, -6),
      Buffer.from(apiKey).toString('base64').slice(0, -4),
      Buffer.from(apiKey).toString('hex'),
    ].filter((text) => text.length > 3);

  const expectClean = (text: string): void => {
    for (const secret of secrets()) expect(text.includes(secret), `${secret} in ${text.slice(0, 500)}`).to.equal(false);
  };

  const json = ['Content-Type', 'application/json'] as const;
  const bearer = (token: string) => ['Authorization', `Bearer ${token}`] as const;
  const say = async (line: string, headers: HeaderList, body: string): Promise<Reply[]> => {
    const replies = await exchange(replica.address, request(line, [...headers, ['Connection', 'close']], body));
    for (const { body: reply, headers: head } of replies) expectClean(JSON.stringify([reply, ...head]));
    return replies;
  };

  /** A secret in every place where a client can put one. */
  async function spill(secret: string): Promise<Set<number>> {
    const good = JSON.stringify({ apiKey, action: 'account:read' });
    const said: [string, HeaderList, string][] = [
      ['POST /authorize', [bearer(callerToken), json], good],
      [
        'POST /authorize',
        [bearer(callerToken), json],
        JSON.stringify({ authorization: `Bearer ${secret}`, action: 'a:b' }),
      ],
      ['POST /authorize', [bearer(callerToken), json], JSON.stringify({ apiKey, action: secret })],
      ['POST /authorize', [bearer(callerToken), json], JSON.stringify({ apiKey, action: `a:${secret}` })],
      [
        'POST /authorize',
        [bearer(callerToken), json],
        JSON.stringify({ apiKey, action: 'a:b', businessId: `${secret} ` }),
      ],
      ['POST /authorize', [bearer(callerToken), json], JSON.stringify({ apiKey, action: 'a:b', [secret]: secret })],
      ['POST /authorize', [bearer(callerToken), json], `{"${secret}":1,"${secret}":2}`],
      [
        'POST /authorize',
        [bearer(callerToken), json],
        JSON.stringify({ apiKey, action: 'a:b', context: { ip: secret } }),
      ],
      [
        'POST /authorize',
        [bearer(callerToken), json],
        JSON.stringify({ apiKey, action: 'a:b', context: { [secret]: '' } }),
      ],
      ['POST /authorize', [bearer(callerToken), json], secret],
      ['POST /authorize', [bearer(callerToken), json], `"${secret}`],
      [
        'POST /authorize/batch',
        [bearer(callerToken), json],
        JSON.stringify({ requests: [{ apiKey, action: 'a:b' }, secret] }),
      ],
      [`POST /authorize?${secret}`, [bearer(callerToken), json], good],
      [`POST /authorize?token=${secret}`, [bearer(callerToken), json], good],
      [`POST /authorize/${secret}`, [bearer(callerToken), json], good],
      [`POST http://${secret}:x/authorize`, [bearer(callerToken), json], good],
      [`POST http://[${secret}/authorize`, [bearer(callerToken), json], good],
      [`${secret} /authorize`, [], ''],
      ['POST /authorize', [bearer(secret), bearer(secret), json], good],
      ['POST /authorize', [bearer(`${secret}x`), json], good],
      ['POST /authorize', [['Authorization', `Token ${secret}`], json], good],
      ['POST /authorize', [bearer(callerToken), ['Content-Type', secret]], good],
      ['POST /authorize', [bearer(callerToken), json, ['Content-Encoding', secret]], good],
      [
        'POST /authorize',
        [bearer(callerToken), json, ['Expect', secret], ['Referer', secret], ['Cookie', secret]],
        good,
      ],
      ['GET /healthz', [[secret, secret]], ''],
    ];
    const statuses = new Set<number>();
    for (const [line, headers, body] of said) {
      for (const { status } of await say(line, headers, body)) statuses.add(status);
    }
    return statuses;
  }

  it('does not come back in any answer, wherever it was put', async () => {
    for (const secret of [apiKey, callerToken, bootstrapToken]) {
      expect([...(await spill(secret))]).to.include.members([200, 400, 401, 404, 415]);
    }
  });

  it('does not come back where a text of its form is kept or returned', async () => {
    for (const secret of [apiKey, callerToken]) {
      await say('GET /healthz', [['X-Request-Id', secret]], '');
      const context = { userAgent: secret, requestId: `x-${secret}` };
      for (const businessId of [undefined, secret]) {
        const body = JSON.stringify({ apiKey: secret, action: 'a:b', businessId, context });
        await say('POST /authorize', [bearer(callerToken), json], body);
      }
    }
  });

  it('does not come back when the database fails in the middle', async () => {
    const good = JSON.stringify({ apiKey, action: 'account:read', context: { userAgent: 'x' } });
    const breakages: [string, string][] = [
      ['alter table decision_records rename to aside', 'alter table aside rename to decision_records'],
      ['alter table api_keys rename to aside', 'alter table aside rename to api_keys'],
      ['alter table callers rename to aside', 'alter table aside rename to callers'],
      [
        'alter table decision_records add constraint refused check (false) not valid',
        'alter table decision_records drop constraint refused',
      ],
    ];
    for (const [broken, whole] of breakages) {
      await service.db.raw(broken);
      await forgetEverything(service.db);
      await eventually(
        async () => (await say('POST /authorize', [bearer(callerToken), json], good))[0]?.status === 503,
      );
      await service.db.raw(whole);
    }
  });

  it('is neither in the database nor in the log', async () => {
    const wire = await dial(replica.address);
    wire.socket.write(request('POST /authorize', [bearer(callerToken), json], '{').toString(), () =>
      wire.socket.resetAndDestroy(),
    );
    await wire.replies();
    replica.child.kill();
    expect(await replica.exit).to.equal(0);
    // Of this process's own service. The other has left the list.
    expect(await service.db('replicas')).to.have.lengthOf(1);
    expect(replica.log().split('"msg":"request"').length).to.be.above(50);
    expect(replica.log().split('"msg":"a request failed"').length).to.be.above(1);
    expectClean(replica.log());

    const { rows } = await service.db.raw<{ rows: { name: string }[] }>(
      `select tablename as name from pg_tables where schemaname = 'public'`,
    );
    expect(rows.map(({ name }) => name)).to.include.members(['decision_records', 'situations', 'api_keys', 'callers']);
    for (const { name } of rows)
      expectClean(JSON.stringify(await service.db.raw(`select to_jsonb(t)::text from ${name} t`)));
  });
});
