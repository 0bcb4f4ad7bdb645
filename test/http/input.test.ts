/** The fields of a question at the boundaries of their values; a refused question is not recorded. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { insertKey, type TestService } from '../support/service.ts';
import { expectFailure, issuesOf, nothingIsRecorded } from './wire.ts';

describe('the fields of a question', () => {
  let service: TestService;
  let apiKey: string;

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
  });

  /** A question with a field, such as `context.ip`, set to the value that a JSON text spells. */
  const question = (field: string, text: string): string => {
    const [name = '', inner] = field.split('.');
    const fields = new Map([
      ['apiKey', JSON.stringify(apiKey)],
      ['action', '"account:read"'],
    ]);
    if (field === 'authorization') fields.delete('apiKey');
    fields.set(name, inner === undefined ? text : `{"${inner}":${text}}`);
    return `{${[...fields].map(([key, value]) => `"${key}":${value}`).join(',')}}`;
  };

  const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 20)}... (${text.length})` : text);

  /** The JSON texts of some strings: of each word of a text, or of each item of a list. */
  const strings = (values: string | readonly string[]): string[] =>
    (typeof values === 'string' ? values.split(' ') : values).map((value) => JSON.stringify(value));

  const TAKEN: Record<string, readonly string[]> = {
    businessId: [
      ...['null', '0', '1', '42', '9007199254740991', '"\\u0061"'],
      ...strings('0 007 9007199254740993 -1 1e2 a A a_b ... - ..:-- null __proto__ constructor'),
      ...strings(['x'.repeat(64)]),
    ],
    action: strings(`a:b user:usage:read a-b_1:c9 a--:b__ a:${'b'.repeat(126)} a${':b'.repeat(63)}`),
    'context.ip': strings('203.0.113.7 0.0.0.0 :: ::1 2001:DB8::7 ::ffff:203.0.113.7 1:2:3:4:5:6:7:8'),
    'context.userAgent': strings(['', ' ', 'x'.repeat(512), 'é'.repeat(512), '\u0001\t\n\u2028', '😀']),
    'context.requestId': strings(['', 'x'.repeat(128), 'ü -_/\\"']),
    context: ['{}'],
  };

  describe('are decided on', () => {
    for (const [field, texts] of Object.entries(TAKEN)) {
      for (const text of texts) {
        it(`with ${field} ${short(text)}`, async () => {
          const reply = await service.ask('/authorize', question(field, text));
          expect(reply.status, JSON.stringify(reply.body)).to.equal(200);
          const row = await service.db('decisions').where({ id: reply.body.Data?.['decisionId'] }).first();
          const value = JSON.parse(text) as unknown;
          if (field === 'businessId') expect(row.business_id).to.equal(value === null ? null : String(value));
          if (field === 'action') expect(row.action).to.equal(value);
          if (field === 'context.ip') expect(row.ip).to.equal(value);
          if (field === 'context.userAgent') expect(row.user_agent).to.equal(value);
          if (field === 'context.requestId') expect(row.request_id).to.equal(value);
        });
      }
    }
  });

  const NO_TEXT = ['0', '7', 'true', 'false', '[]', '["a:b"]', '{}', '{"a":"b"}'];
  const REFUSED: Record<string, readonly string[]> = {
    authorization: NO_TEXT,
    apiKey: NO_TEXT,
    action: [
      ...['null', ...NO_TEXT],
      ...strings('call Call:create call:Create call: :create call::create call:create: 1call:create call:1 -a:b a:-b'),
      ...strings(`a:_b call.create:x call:créer call：create a:${'b'.repeat(127)} a${':b'.repeat(64)}`),
      ...strings(['', 'call:create ', ' call:create', 'call:create\n', 'call:create\u2028']),
    ],
    businessId: [
      ...['true', 'false', '[]', '["42"]', '[42]', '{}', '{"id":"42"}', '-0', '-1', '1.0', '0.0', '4.2', '0e0', '1e2'],
      ...['1E2', '1e-2', '1e400', '-1e400', '9007199254740992', '9007199254740993', '9007199254740991.4'],
      ...['9007199254740990.9999', '18446744073709551616', '9'.repeat(400)],
      ...strings(`. .. a/b a%20 a@b a,b * café \u0661 \uff14\uff12 4\u200b2 \ufeff42 \u0410 ${'x'.repeat(65)}`),
      ...strings(['', ' ', ' 42', '42 ', '4 2', '42\n', '42\r', '\t42', '42\u2028']),
    ],
    context: ['7', 'true', '""', '"{}"', '[]', '[{}]'],
    'context.ip': [
      ...NO_TEXT,
      ...strings('localhost 1.2.3 1.2.3.4.5 256.1.1.1 010.0.0.1 1.2.3.04 0x7f.0.0.1 2130706433 10.0.0.0/8 1.2.3.4:80'),
      ...strings('[::1] [::1]:80 ::1/128 fe80::1%eth0 ::1% 1::2::3 12345:: ::ffff:1.2.3.400 \u0661.2.3.4'),
      ...strings(['', ' ', ' 1.2.3.4', '1.2.3.4 ', '1.2.3.4\n', '1.2.3.4, 5.6.7.8']),
    ],
    'context.userAgent': [...NO_TEXT, ...strings(['x'.repeat(513), 'x'.repeat(10_000)])],
    'context.requestId': [...NO_TEXT, ...strings(['x'.repeat(129)])],
  };

  describe('are refused', () => {
    nothingIsRecorded(() => service);

    for (const [field, texts] of Object.entries(REFUSED)) {
      it(`with any other ${field}, by its name`, async () => {
        for (const text of texts) {
          const reply = await service.ask('/authorize', question(field, text));
          expectFailure(reply, 'INVALID_REQUEST', [apiKey, service.token]);
          for (const { path } of issuesOf(reply)) expect(path, text).to.satisfy((at: string) => at.startsWith(field));
        }
      });
    }

    it('without an action', async () => {
      const reply = await service.ask('/authorize', { apiKey });
      expectFailure(reply, 'INVALID_REQUEST', [apiKey]);
      expect(issuesOf(reply).map(({ path }) => path)).to.deep.equal(['action']);
    });

    it('with two credentials, even when both are the same or empty', async () => {
      for (const [authorization, bare] of [
        [`Token ${apiKey}`, apiKey],
        ['', ''],
        ['', apiKey],
        ['x', 'x'],
      ]) {
        const reply = await service.ask('/authorize', { authorization, apiKey: bare, action: 'account:read' });
        expectFailure(reply, 'INVALID_REQUEST', [apiKey]);
        expect(issuesOf(reply)).to.deep.equal([{ path: 'apiKey', message: 'send authorization or apiKey, not both' }]);
      }
    });

    const UNKNOWN = 'user Action api_key business_id __proto__ constructor toString hasOwnProperty';
    for (const name of UNKNOWN.split(' ')) {
      it(`with the unknown field ${name}, in whichever object of the body`, async () => {
        const extra = `,"${name}":{"action":"user:read"}`;
        const bad = question('businessId', '"42"').slice(0, -1);
        const places: readonly [string, string, string][] = [
          ['/authorize', `${bad}${extra}}`, name],
          ['/authorize', `${bad},"context":{"ip":"::1"${extra}}}`, `context.${name}`],
          ['/authorize/batch', `{"requests":[${bad}},${bad}${extra}}]}`, `requests[1].${name}`],
          ['/authorize/batch', `{"requests":[${bad},"context":{"ip":"::1"${extra}}}]}`, `requests[0].context.${name}`],
          ['/authorize/batch', `{"requests":[${bad}}]${extra}}`, name],
        ];
        for (const [address, body, path] of places) {
          const reply = await service.ask(address, body);
          expectFailure(reply, 'INVALID_REQUEST', [apiKey]);
          expect(issuesOf(reply)).to.deep.equal([{ path, message: 'nothing reads this field; remove it' }]);
        }
      });
    }

    it('with fields that stand only in a prototype', async () => {
      const reply = await service.ask('/authorize', `{"__proto__":{"apiKey":"${apiKey}","action":"account:read"}}`);
      expectFailure(reply, 'INVALID_REQUEST', [apiKey]);
      expect(issuesOf(reply).map(({ path }) => path)).to.have.members(['action', '__proto__']);
      expect(({} as Record<string, unknown>)['action']).to.equal(undefined);
    });

    it('with all of their faults at once', async () => {
      const body = {
        apiKey: 7,
        action: 'x',
        businessId: -1,
        context: { ip: 'x', userAgent: 7, requestId: [] },
        more: 1,
      };
      const reply = await service.ask('/authorize', { ...body, businessId: ' ' });
      expect(issuesOf(reply).map(({ path }) => path)).to.have.members([
        ...['apiKey', 'action', 'businessId', 'context.ip', 'context.userAgent', 'context.requestId', 'more'],
      ]);
    });

    it('without quoting a key that stands where a name is expected', async () => {
      for (const place of [
        `"${apiKey}":1`,
        `"x":{"${apiKey}":1.5}`,
        `"${service.token}":1`,
        `"action":"${apiKey}"`,
        `"businessId":"${apiKey}"`,
      ]) {
        expectFailure(await service.ask('/authorize', `{${place}}`), 'INVALID_REQUEST', [apiKey, service.token]);
      }
    });
  });
});
