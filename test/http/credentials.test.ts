/** Which strings are a live key: any other is decided as INVALID_API_KEY, recorded, and echoed nowhere. */

import { expect } from 'chai';
import { createToken } from '../../src/credentials/token.ts';
import { withService } from '../support/client.ts';
import { insertCaller, insertKey, type TestService } from '../support/service.ts';
import { expectFailure } from './wire.ts';

describe('the credential of a question', () => {
  let service: TestService;
  let key: string;
  let callerToken: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    key = await insertKey(service, { id: 'k', user_id: 'ann' });
    callerToken = await insertCaller(service, ['authorize']);
  });

  type Credential = Record<string, string | null>;

  const LIVE: Record<string, () => Credential> = {
    'is taken bare as apiKey': () => ({ apiKey: key }),
    'is taken with the scheme Token': () => ({ authorization: `Token ${key}` }),
    'is taken with the scheme in any case': () => ({ authorization: `tOkEn ${key}` }),
    'is taken from apiKey beside a null': () => ({ apiKey: key, authorization: null }),
    'is taken from authorization beside a null': () => ({ authorization: `TOKEN ${key}`, apiKey: null }),
  };
  for (const [name, credential] of Object.entries(LIVE)) {
    it(name, async () => {
      const reply = await service.ask('/authorize', { ...credential(), action: 'account:read' });
      expect(reply.body).to.include({ Success: true, Code: 'OK' });
      expect(JSON.stringify(reply.body)).to.not.include(key);
    });
  }

  const swapped = (text: string): string =>
    [...text].map((c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())).join('');
  const DEAD: Record<string, () => Credential> = {
    'is absent': () => ({}),
    'is null': () => ({ apiKey: null }),
    'is null twice': () => ({ apiKey: null, authorization: null }),
    'is empty': () => ({ apiKey: '' }),
    'is an empty header': () => ({ authorization: '' }),
    'stands bare in the header': () => ({ authorization: key }),
    'has the scheme Bearer': () => ({ authorization: `Bearer ${key}` }),
    'has the scheme Basic': () => ({ authorization: `Basic ${Buffer.from(`${key}:`).toString('base64')}` }),
    'has a scheme that only looks like Token': () => ({ authorization: `To\u212aen ${key}` }),
    'has a scheme with more in front': () => ({ authorization: `Bearer Token ${key}` }),
    'has no space after the scheme': () => ({ authorization: `Token${key}` }),
    'has two spaces after the scheme': () => ({ authorization: `Token  ${key}` }),
    'has a tab after the scheme': () => ({ authorization: `Token\t${key}` }),
    'has a no-break space after the scheme': () => ({ authorization: `Token\u00a0${key}` }),
    'has a colon after the scheme': () => ({ authorization: `Token: ${key}` }),
    'has a space in front': () => ({ authorization: ` Token ${key}` }),
    'has a space behind': () => ({ authorization: `Token ${key} ` }),
    'has a newline behind': () => ({ authorization: `Token ${key}\n` }),
    'has a second header behind': () => ({ authorization: `Token ${key}\r\nX: y` }),
    'has another key behind': () => ({ authorization: `Token ${key} ${key}` }),
    'has another key behind a comma': () => ({ authorization: `Token ${key},${key}` }),
    'is the scheme alone': () => ({ authorization: 'Token' }),
    'is the scheme and a space': () => ({ authorization: 'Token ' }),
    'is quoted': () => ({ authorization: `Token "${key}"` }),
    'has the scheme where none belongs': () => ({ apiKey: `Token ${key}` }),
    'has a newline behind it, bare': () => ({ apiKey: `${key}\n` }),
    'has a space in front of it, bare': () => ({ apiKey: ` ${key}` }),
    'is in another case': () => ({ apiKey: swapped(key) }),
    'lacks its last character': () => ({ apiKey: key.slice(0, -1) }),
    'has one character too many': () => ({ apiKey: `${key}0` }),
    'has a typo': () => ({ apiKey: key.slice(0, 9) + (key[9] === 'a' ? 'b' : 'a') + key.slice(10) }),
    'was never issued': () => ({ apiKey: createToken('apiKey') }),
    'is a caller token': () => ({ apiKey: callerToken }),
    'was never issued, in the header': () => ({ authorization: `Token ${createToken('apiKey')}` }),
    'is a caller token in the header': () => ({ authorization: `Token ${callerToken}` }),
    'is the bootstrap token': () => ({ apiKey: service.token }),
    'is its own digest': () => ({ apiKey: 'iqra_'.padEnd(41, '0') }),
    'is very long': () => ({ apiKey: 'x'.repeat(16_000) }),
    'is a very long header': () => ({ authorization: `Token ${'x '.repeat(8_000)}` }),
    'is not ASCII': () => ({ apiKey: 'clé-ключ-鍵-🔑' }),
    'is a look-alike': () => ({ apiKey: key.replace('i', '\u0456') }),
    'holds controls': () => ({ apiKey: '\u0001\u001b[2J\u007f\u202e' }),
    'is SQL': () => ({ apiKey: "' or 1=1; drop table decisions; --" }),
    'is JSON': () => ({ apiKey: '{"apiKey":null}' }),
  };
  for (const [name, credential] of Object.entries(DEAD)) {
    it(`is INVALID_API_KEY when it ${name}`, async () => {
      const given = credential();
      const reply = await service.ask('/authorize', { ...given, action: 'account:read', businessId: '42' });
      expect(reply.status).to.equal(200);
      expect(reply.body).to.include({ Success: false, Code: 'INVALID_API_KEY' });
      // A header that is not `Token` and a key is told so; whatever else is no key learns nothing more than that.
      const wanted = given['authorization'] && !/^token \S+$/i.test(given['authorization']);
      const form = 'Send it as "Authorization: Token <API key>".';
      expect(reply.body.Message.endsWith(form)).to.equal(Boolean(wanted));
      const { decisionId, ...data } = reply.body.Data ?? {};
      expect(data).to.deep.include({
        status: 401,
        apiKeyId: null,
        userId: null,
        businessId: '42',
        action: 'account:read',
      });

      const row = await service.db('decisions').where({ id: decisionId }).first();
      expect(row).to.include({ effect: 'deny', code: 'INVALID_API_KEY', api_key_id: null, user_id: null });
      const kept = JSON.stringify([row, reply.body, [...reply.headers]]);
      for (const text of Object.values(given)) if (text && text.length > 6) expect(kept).to.not.include(text);
    });
  }

  it('is refused as a businessId, which the log would keep', async () => {
    for (const businessId of [key, callerToken]) {
      const reply = await service.ask('/authorize', { action: 'account:read', businessId });
      expectFailure(reply, 'INVALID_REQUEST', [key, callerToken]);
    }
    const reply = await service.ask('/authorize', { action: 'account:read', businessId: 'iqra_svc_1' });
    expect(reply.body.Code).to.equal('INVALID_API_KEY');
  });

  it('of another question is masked in the texts of the context, with its prefix and without', async () => {
    const [other, third] = [createToken('apiKey'), createToken('apiKey')];
    const context = {
      userAgent: `curl -H 'Authorization: Token ${other}' ${third.slice(5)}`,
      requestId: `${callerToken}/${encodeURIComponent(other).replace('_', '%5F')}`,
    };
    const reply = await service.ask('/authorize', { apiKey: key, action: 'account:read', context });
    const row = await service.db('decisions').where({ id: reply.body.Data?.['decisionId'] }).first();
    expect(row).to.include({
      code: 'OK',
      user_agent: "curl -H 'Authorization: Token iqra_***' ***",
      request_id: 'iqra_***/iqra_***',
    });
  });

  const percent = (text: string): string => [...text].map((one) => `%${one.charCodeAt(0).toString(16)}`).join('');
  const PIECES: Record<string, [path: string, (secret: string) => object]> = {
    'the key without its last character as businessId': ['businessId', (key) => ({ businessId: key.slice(0, -1) })],
    '24 characters of it as businessId': ['businessId', (key) => ({ businessId: key.slice(9, 33) })],
    'the key without its prefix as request id': [
      'context.requestId',
      (key) => ({ context: { requestId: key.slice(5) } }),
    ],
    'the key itself as request id': ['context.requestId', (key) => ({ context: { requestId: key } })],
    'the key with an encoded prefix in the user agent': [
      'context.userAgent',
      (key) => ({ context: { userAgent: `curl/8 (${key.replace('_', '%5F')})` } }),
    ],
    'a piece of it, each character encoded, in the user agent': [
      'context.userAgent',
      (key) => ({ context: { userAgent: `curl/8 ${percent(key.slice(10, 35))}` } }),
    ],
    'a piece of it, encoded twice, in the user agent': [
      'context.userAgent',
      (key) => ({ context: { userAgent: `curl/8 ${percent(key.slice(10, 35)).replaceAll('%', '%25')}` } }),
    ],
  };
  for (const [name, [path, texts]] of Object.entries(PIECES)) {
    it(`is refused beside ${name}, live or not, alone or in a batch`, async () => {
      for (const secret of [key, createToken('apiKey'), `${key.slice(0, -1)}_`]) {
        const before = await service.db('decisions').count();
        for (const credential of [{ apiKey: secret }, { authorization: `Bearer ${secret}` }]) {
          const question = { ...credential, action: 'account:read', ...texts(secret) };
          const alone = await service.ask('/authorize', question);
          expectFailure(alone, 'INVALID_REQUEST', [secret, secret.slice(9, 33)]);
          const issue = {
            message: 'holds a part of the API key of this question, which belongs nowhere but in its own field',
          };
          expect(alone.body.Data?.['issues']).to.deep.include({ path, ...issue });
          const batch = await service.ask('/authorize/batch', { requests: [{ action: 'account:read' }, question] });
          expect(batch.body.Data?.['issues']).to.deep.include({ path: `requests[1].${path}`, ...issue });
        }
        expect(await service.db('decisions').count()).to.deep.equal(before);
      }
    });
  }

  it('is refused beside a piece of it as the X-Request-Id of the caller, alone or in a batch', async () => {
    const question = { apiKey: key, action: 'account:read' };
    for (const [path, body] of [
      ['/authorize', question],
      ['/authorize', { authorization: `Token ${key}`, action: 'account:read' }],
      ['/authorize/batch', { requests: [{ action: 'account:read' }, question] }],
      // Whatever else is wrong: the answer and the log would have it all the same.
      ['/authorize', { ...question, context: { requestId: key.slice(9, 33) } }],
      ['/authorize', { ...question, authorization: 'Token x', other: 1 }],
      ['/authorize/batch', { requests: [null, { ...question, action: 'x' }], other: 1 }],
    ] as const) {
      for (const id of [key, key.slice(5), `r-${key.slice(9, 33)}`, percent(key.slice(9, 33))]) {
        const reply = await service.ask(path, body, { 'x-request-id': id });
        expectFailure(reply, 'INVALID_REQUEST', [id, key.slice(9, 33)]);
        expect(reply.headers.get('x-request-id')).to.match(/^[\da-f-]{36}$/);
      }
    }
  });

  it('is refused beside a piece of it as action', async () => {
    const lower = `iqra_${'abcdefgh'.repeat(4)}0123`;
    const reply = await service.ask('/authorize', { apiKey: lower, action: `a:${lower.slice(5, 30)}` });
    expectFailure(reply, 'INVALID_REQUEST', [lower]);
  });

  it('is no reason to refuse 23 characters of it, or a request id that is long', async () => {
    const context = { requestId: 'a3f1'.repeat(32), userAgent: key.slice(6, 29) };
    const reply = await service.ask('/authorize', { apiKey: key, action: 'account:read', context });
    expect(reply.body.Code).to.equal('OK');
  });

  it('of another question is refused as action', async () => {
    const action = `call:iqra_${'abcdefgh'.repeat(4)}0123`;
    expectFailure(await service.ask('/authorize', { apiKey: key, action }), 'INVALID_REQUEST', [action]);
  });

  it('of another question is refused in ids, without its prefix too', async () => {
    const other = createToken('apiKey');
    for (const businessId of [other.slice(5), `x${other.slice(5)}`, callerToken.slice(9)]) {
      const reply = await service.ask('/authorize', { apiKey: key, action: 'account:read', businessId });
      expectFailure(reply, 'INVALID_REQUEST', [businessId]);
    }
  });
});
