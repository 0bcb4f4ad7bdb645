/** Authentication of callers: one Authorization header, a live token, and the scope of the route. */

import { randomBytes } from 'node:crypto';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { revokeCaller } from '../../src/directory/callers.ts';
import { SCOPES } from '../../src/directory/find-caller.ts';
import { withService } from '../support/client.ts';
import { insertCaller, insertKey, startService, type TestService } from '../support/service.ts';
import { eventually } from './process.ts';
import { askRaw, countDecisions, dial, expectFailure, type HeaderList, request } from './wire.ts';

const ADDRESSES: Record<string, object> = {
  '/authorize': { action: 'a:b' },
  '/authorize/batch': { requests: [{ action: 'a:b' }, { action: 'a:c' }] },
};

describe('a caller', () => {
  let service: TestService;
  let token: string;
  let apiKey: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
    token = await insertCaller(service, ['authorize'], { id: 'telephony' });
  });

  const asked = async (address: string, authorization: string) =>
    service.ask(address, ADDRESSES[address], { authorization });
  const callersOf = async (reply: Awaited<ReturnType<typeof asked>>): Promise<string[]> => {
    const data = reply.body.Data ?? {};
    const answers = (data['decisions'] as { Data: typeof data }[] | undefined) ?? [{ Data: data }];
    const ids = answers.map((answer) => answer.Data['decisionId'] as string);
    return (await service.db('decisions').whereIn('id', ids)).map((row) => row.caller_id as string);
  };

  for (const address of Object.keys(ADDRESSES)) {
    describe(`of ${address}`, () => {
      it('is named in the record of its decision', async () => {
        const reply = await asked(address, `Bearer ${token}`);
        expect(reply.status).to.equal(200);
        expect(new Set(await callersOf(reply))).to.deep.equal(new Set(['telephony']));
      });

      it('is "bootstrap" with the bootstrap token', async () => {
        expect(new Set(await callersOf(await asked(address, `Bearer ${service.token}`)))).to.deep.equal(
          new Set(['bootstrap']),
        );
      });

      it('may write the scheme in any case', async () => {
        for (const scheme of ['bearer', 'BEARER', 'bEaReR']) {
          expect((await asked(address, `${scheme} ${token}`)).status).to.equal(200);
        }
      });

      it('is refused without the scope, which is named, whatever others it has', async () => {
        for (const scopes of [[], ['keys'], SCOPES.filter((scope) => scope !== 'authorize')]) {
          const id = randomBytes(4).toString('hex');
          const powerless = await insertCaller(service, scopes, { id });
          const before = await countDecisions(service);
          const reply = await asked(address, `Bearer ${powerless}`);
          expectFailure(reply, 'FORBIDDEN', [powerless]);
          expect(reply.body.Message).to.include(id).and.include('scope authorize');
          expect(await countDecisions(service)).to.equal(before);
        }
      });

      it('is refused soon after its revocation elsewhere', async () => {
        const id = `revoked-${address.length}`;
        const revoked = await insertCaller(service, SCOPES, { id });
        expect((await asked(address, `Bearer ${revoked}`)).status).to.equal(200);
        await revokeCaller(service.db, { id: 'test' }, id);
        const reply = await eventually(async () => {
          const each = await asked(address, `Bearer ${revoked}`);
          return each.status !== 200 && each;
        });
        expectFailure(reply, 'UNAUTHENTICATED', [revoked]);
      });
    });
  }

  const UNAUTHENTICATED: Record<string, () => HeaderList> = {
    'no header': () => [],
    'an empty header': () => [['Authorization', '']],
    'the scheme alone': () => [['Authorization', 'Bearer']],
    'the scheme and a space': () => [['Authorization', 'Bearer ']],
    'a bare token': () => [['Authorization', token]],
    'the scheme Token': () => [['Authorization', `Token ${token}`]],
    'the scheme Basic': () => [['Authorization', `Basic ${Buffer.from(`x:${token}`).toString('base64')}`]],
    'no space': () => [['Authorization', `Bearer${token}`]],
    'two spaces': () => [['Authorization', `Bearer  ${token}`]],
    'a tab': () => [['Authorization', `Bearer\t${token}`]],
    'two tokens': () => [['Authorization', `Bearer ${token} ${token}`]],
    'two headers that a proxy joined': () => [['Authorization', `Bearer ${token}, Bearer ${token}`]],
    'a parameter': () => [['Authorization', `Bearer ${token}; realm=x`]],
    quotes: () => [['Authorization', `Bearer "${token}"`]],
    'bytes beyond ASCII': () => [['Authorization', `Bearer ${token}\xe9`]],
    'an unknown token': () => [['Authorization', `Bearer ${createToken('caller')}`]],
    'a token with a typo': () => [['Authorization', `Bearer ${token.slice(0, -1)}~`]],
    'a token in another case': () => [['Authorization', `Bearer ${token.toUpperCase()}`]],
    'a token cut short': () => [['Authorization', `Bearer ${token.slice(0, -1)}`]],
    'the bootstrap token and more': () => [['Authorization', `Bearer ${service.token}0`]],
    'the bootstrap token cut short': () => [['Authorization', `Bearer ${service.token.slice(0, -1)}`]],
    'an API key': () => [['Authorization', `Bearer ${apiKey}`]],
    'an API key as an API key': () => [['Authorization', `Token ${apiKey}`]],
    'a very long token': () => [['Authorization', `Bearer ${'x'.repeat(15_000)}`]],
    'the word undefined': () => [['Authorization', 'Bearer undefined']],
    SQL: () => [['Authorization', `Bearer '||pg_sleep(9)||'`]],
    'the token in other headers': () => [
      ['Proxy-Authorization', `Bearer ${token}`],
      ['X-Authorization', `Bearer ${token}`],
      ['Cookie', `authorization=Bearer ${token}`],
    ],
  };
  for (const [name, headers] of Object.entries(UNAUTHENTICATED)) {
    it(`is not authenticated by ${name}`, async () => {
      const before = await countDecisions(service);
      const all: HeaderList = [['Content-Type', 'application/json'], ...headers()];
      for (const [address, body] of Object.entries(ADDRESSES)) {
        const reply = await askRaw(service.address, `POST ${address}`, all, JSON.stringify(body));
        expectFailure(reply, 'UNAUTHENTICATED', [token, apiKey, service.token]);
        expect(reply.headers.get('www-authenticate')).to.equal('Bearer');
        expect(reply.body.Message).to.include('Authorization: Bearer iqra_svc_');
      }
      expect(await countDecisions(service)).to.equal(before);
    });
  }

  it('is not authenticated by an unknown token where no bootstrap token is set', async () => {
    const other = await startService({ BOOTSTRAP_TOKEN: '' });
    for (const authorization of [
      `Bearer ${service.token}`,
      `Bearer ${token}`,
      'Bearer undefined',
      'Bearer ',
      'Bearer bootstrap',
    ]) {
      expectFailure(await other.ask('/authorize', { action: 'a:b' }, { authorization }), 'UNAUTHENTICATED');
    }
    await other.close();
  });

  it('is warned about at each start while a bootstrap token is set', async () => {
    for (const [environment, warnings] of [
      [{}, 1],
      [{ BOOTSTRAP_TOKEN: '' }, 0],
    ] as const) {
      const log = new PassThrough();
      const other = await startService({ LOG_LEVEL: 'warn', ...environment }, log);
      await other.close();
      const lines = log.end().read()?.toString() ?? '';
      expect(lines.split('BOOTSTRAP_TOKEN').length - 1).to.equal(warnings);
      if (other.token !== '') expect(lines).to.not.include(other.token);
    }
  });

  it('is authenticated again after a slow body, since it may have been revoked meanwhile', async () => {
    const id = 'slow';
    const authorization = `Bearer ${await insertCaller(service, ['authorize'], { id })}`;
    const body = JSON.stringify({ apiKey, action: 'account:read' });
    const wire = await dial(service.address);
    const whole = request(
      'POST /authorize',
      [
        ['Authorization', authorization],
        ['Content-Type', 'application/json'],
        ['Connection', 'close'],
      ],
      body,
    );
    wire.send(whole.subarray(0, -10));
    await eventually(async () => (await asked('/authorize', authorization)).body.Code === 'INVALID_API_KEY');
    await revokeCaller(service.db, { id: 'test' }, id);
    await eventually(async () => (await asked('/authorize', authorization)).status === 401);
    // Longer than what counts as slow.
    await sleep(150);
    const before = await countDecisions(service);
    wire.send(whole.subarray(-10));
    const [reply] = await wire.replies();
    expect(reply?.body.Code).to.equal('UNAUTHENTICATED');
    expect(await countDecisions(service)).to.equal(before);
  });

  it('is found under each of the peppers, and so is an API key', async () => {
    const older = { id: 'older', secret: randomBytes(32) };
    const peppers = [{ id: 'newer', secret: randomBytes(32) }, older].map(
      ({ id, secret }) => `${id}:${secret.toString('base64')}`,
    );
    const other = await startService({ KEY_PEPPERS: peppers.join(',') });
    await other.db('users').insert({ id: 'ann' });
    const both = [other, { db: other.db, pepper: older }];
    for (const stored of both) {
      const authorization = `Bearer ${await insertCaller(stored, ['authorize'])}`;
      const key = await insertKey(stored, { user_id: 'ann' });
      const reply = await other.ask('/authorize', { apiKey: key, action: 'account:read' }, { authorization });
      expect(reply.body.Code).to.equal('OK');
    }
    await other.close();
  });
});
