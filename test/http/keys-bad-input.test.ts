/** Bad requests to the routes of directory and keys: each gets its code and a helpful message, and changes nothing. */

import { expect } from 'chai';
import { SCOPES } from '../../src/directory/find-caller.ts';
import { allRoutes } from '../../src/http/routes/index.ts';
import type { Service } from '../../src/service.ts';
import { type Client, withService } from '../support/client.ts';
import { insertCaller, type TestService } from '../support/service.ts';

const NEW = { userId: 'ann', friendlyName: 'a key', allowUserManagementApiRequests: false };
const BIDI = [0x200e, 0x200f, 0x202a, 0x202e, 0x2066, 0x2069].map((code) => String.fromCodePoint(code));
const PASTED = `iqra_${'A'.repeat(36)}`;

type Fault = [name: string, body: unknown, says: string];

/** Of POST /keys, beyond NEW; where the field can be changed, of PATCH too. */
const FIELD_FAULTS: Fault[] = [
  ['an empty name', { friendlyName: '' }, '1-100'],
  ['a name of 101 characters', { friendlyName: 'x'.repeat(101) }, '1-100'],
  ['a name of blanks', { friendlyName: '   ' }, 'visible'],
  ['a name with a control character', { friendlyName: 'a\u0007b' }, 'control'],
  ['a name with a line break', { friendlyName: 'a\nb' }, 'control'],
  ['a name with NUL', { friendlyName: 'a\0b' }, 'NUL'],
  ['a name with half a character', '{"friendlyName":"\\ud83d"}', 'surrogate'],
  ...BIDI.map(
    (mark): Fault => [`a name with ${mark.codePointAt(0)?.toString(16)}`, { friendlyName: `a${mark}b` }, 'direction'],
  ),
  ['a name that is a key', { friendlyName: `of ${PASTED}` }, 'looks like an API key'],
  ['a name that is no text', { friendlyName: 7 }, 'friendlyName'],
  ['a permission that is no boolean', { allowUserManagementApiRequests: 'true' }, 'allowUserManagementApiRequests'],
  ['an environment in capitals', { environment: 'Production' }, 'a-z 0-9 -'],
  ['an empty environment', { environment: '' }, 'a-z 0-9 -'],
  ['an environment of 33 characters', { environment: 'x'.repeat(33) }, '1-32'],
  ['an end in the past', { expiresAt: '2020-01-01T00:00:00Z' }, 'in the future'],
  ['an end without a zone', { expiresAt: '2999-01-01T00:00:00' }, 'RFC 3339'],
  ['an end on no day', { expiresAt: '2999-02-30T00:00:00Z' }, 'RFC 3339'],
  ['an end that is a number', { expiresAt: 4102444800 }, 'expiresAt'],
  ['an empty list', { restrictedBusinessIds: [] }, 'null, or absent, is an unrestricted key'],
  ['a list that is no list', { restrictedBusinessIds: 'a' }, 'restrictedBusinessIds'],
  ['an id outside the grammar', { restrictedBusinessIds: ['a', 'b c'] }, 'restrictedBusinessIds[1]'],
  ['a business of others', { restrictedBusinessIds: ['a', 'foreign'] }, 'no access to foreign'],
  ['a business that is not there', { restrictedBusinessIds: ['nowhere', 'a'] }, 'no access to nowhere'],
  ['another case of a business', { restrictedBusinessIds: ['A'] }, 'no access to A'],
  ['no requests', { rateLimit: { requests: 0, windowSeconds: 60 } }, '1 to 2^31-1'],
  ['too many requests', { rateLimit: { requests: 2 ** 31, windowSeconds: 60 } }, '1 to 2^31-1'],
  ['too long a window', { rateLimit: { requests: 1, windowSeconds: 86_401 } }, '1 to 86400'],
  ['half a rate limit', { rateLimit: { requests: 1 } }, 'windowSeconds'],
  ['a stray field', { scopes: ['keys'] }, '"scopes"'],
  ['a field of the resource', { status: 'active' }, '"status"'],
];

const NOT_JSON: [name: string, body: string, headers: Record<string, string>, status: number, code: string][] = [
  ['another type', '{}', { 'content-type': 'text/plain' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['an encoding', '{}', { 'content-encoding': 'gzip' }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
  ['more than 16 KiB', JSON.stringify({ ...NEW, pad: 'x'.repeat(16_384) }), {}, 413, 'PAYLOAD_TOO_LARGE'],
  ['no JSON', '{', {}, 400, 'INVALID_REQUEST'],
  ['no object', '[]', {}, 400, 'INVALID_REQUEST'],
  ['a key twice', '{"friendlyName":"a","friendly\\u004eame":"b"}', {}, 400, 'INVALID_REQUEST'],
];

describe('the directory and the keys', () => {
  let service: TestService;
  let client: Client;
  let keyId: string;

  withService(async (started) => {
    ({ service, client } = started);
    await client.newUser('ann', 'a');
    await client.newUser('other', 'foreign');
    keyId = (await client.newKey('ann', { restrictedBusinessIds: ['a'] })).id;
  });

  for (const [name, fault, says] of FIELD_FAULTS) {
    it(`refuse ${name}, in a new key and in a change`, async () => {
      const failure = [400, 'INVALID_REQUEST', says.replaceAll('"', '')] as const;
      const full = typeof fault === 'string' ? JSON.stringify(NEW).replace('}', `,${fault.slice(1)}`) : null;
      const body = full?.replace('"friendlyName":"a key",', '') ?? { ...NEW, ...(fault as object) };
      await client.refuses(failure, 'POST', '/keys', body);
      await client.refuses(failure, 'PATCH', `/keys/${keyId}`, fault);
    });
  }

  const others: [name: string, method: string, path: string, body: unknown, says: string][] = [
    ['a key of no user', 'POST', '/keys', { ...NEW, userId: undefined }, 'userId'],
    ['a key of an unknown user', 'POST', '/keys', { ...NEW, userId: 'nobody' }, 'make it first'],
    ['a key without a name', 'POST', '/keys', { ...NEW, friendlyName: undefined }, 'friendlyName'],
    [
      'a key without a word on its permission',
      'POST',
      '/keys',
      { ...NEW, allowUserManagementApiRequests: undefined },
      'allowUser',
    ],
    ['another user for a key', 'PATCH', '/keys/KEY', { userId: 'other' }, 'nothing reads this field'],
    ['a name of null', 'PATCH', '/keys/KEY', { friendlyName: null }, 'friendlyName'],
    ['an environment of null', 'PATCH', '/keys/KEY', { environment: null }, 'environment'],
    ['an overlap below none', 'POST', '/keys/KEY/rotate', '{"overlapSeconds":-1}', 'overlapSeconds'],
    ['an overlap of over 30 days', 'POST', '/keys/KEY/rotate', { overlapSeconds: 2_592_001 }, '0 to 2592000'],
    ['an overlap in words', 'POST', '/keys/KEY/rotate', { overlapSeconds: '60' }, 'overlapSeconds'],
    ['an empty reason', 'POST', '/keys/KEY/revoke', { reason: '' }, '1-300'],
    ['a reason of 301 characters', 'POST', '/keys/KEY/revoke', { reason: 'x'.repeat(301) }, '1-300'],
    ['a reason that is a key', 'POST', '/users/ann/revoke-keys', { reason: `leaked: ${PASTED}` }, 'looks like'],
    ['a reason without being disabled', 'PUT', '/users/ann', { disabledReason: 'Why?' }, 'goes with disabled: true'],
    ['the same of a business', 'PUT', '/businesses/a', { disabledReason: 'Why?' }, 'goes with disabled: true'],
    ['a flag in words', 'PUT', '/users/ann', { disabled: 'yes' }, 'disabled'],
    ['a flag of null', 'PUT', '/users/ann', { businessesDisabled: null }, 'businessesDisabled'],
    ['a stray field of a user', 'PUT', '/users/ann', { id: 'ann' }, 'nothing reads this field'],
    ['an id of 65 characters', 'PUT', `/users/${'x'.repeat(65)}`, {}, '1-64'],
    ['an id with a slash', 'PUT', '/businesses/a%2Fb', {}, '1-64'],
    ['an id with NUL', 'PUT', '/businesses/a%00', {}, '1-64'],
    ['an id that is no text', 'PUT', '/businesses/%ff', {}, '1-64'],
    ['an id beyond ASCII', 'PUT', '/users/%C3%A9', {}, '1-64'],
    ['an id that is a key', 'PUT', `/users/${PASTED}`, {}, 'looks like'],
    ['a limit of none', 'GET', '/users?limit=0', undefined, '1 to 200'],
    ['a limit of 201', 'GET', '/keys?limit=201', undefined, '1 to 200'],
    ['a limit with a zero before it', 'GET', '/keys?limit=050', undefined, '1 to 200'],
    ['a limit in words', 'GET', '/businesses?limit=ten', undefined, '1 to 200'],
    ['a limit twice', 'GET', '/users?limit=5&limit=5', undefined, 'twice'],
    ['an unknown parameter', 'GET', '/users?sort=id', undefined, 'nothing reads this field'],
    ['a parameter where there are none', 'GET', '/keys/KEY?full=1', undefined, 'nothing reads this field'],
    ['a user outside the grammar', 'GET', '/keys?userId=a%20b', undefined, '1-64'],
    ['NUL in a parameter', 'GET', '/audit/admin?actor=%00', undefined, 'NUL'],
    ['bytes that are no text', 'GET', '/audit/admin?actor=%ff', undefined, 'UTF-8'],
    ['half an escape', 'GET', '/audit/admin?actor=%4', undefined, 'UTF-8'],
    ['a time without a zone', 'GET', '/audit/admin?from=2030-01-01T00:00:00', undefined, 'RFC 3339'],
  ];
  for (const [name, method, path, body, says] of others) {
    it(`refuse ${name}`, () =>
      client.refuses([400, 'INVALID_REQUEST', says], method, path.replace('KEY', keyId), body));
  }

  for (const [name, body, headers, status, code] of NOT_JSON) {
    it(`refuse ${name} as a body`, async () => {
      for (const [method, path] of [
        ['POST', '/keys'],
        ['PATCH', `/keys/${keyId}`],
        ['PUT', '/users/x'],
        ['POST', `/keys/${keyId}/rotate`],
      ]) {
        await client.refuses([status, code], method ?? '', path ?? '', body, headers);
      }
    });
  }

  it('report all issues at once', async () => {
    const reply = await client.call('POST', '/keys?x=1', { userId: 'a b', friendlyName: 7, environment: 'A', y: 1 });
    const { issues } = reply.body.Data as { issues: { path: string }[] };
    const paths = issues.map(({ path }) => path).sort();
    expect(paths).to.deep.equal(['allowUserManagementApiRequests', 'environment', 'friendlyName', 'userId', 'x', 'y']);
  });

  it('name no more than ten of the businesses that are out of reach', async () => {
    const restrictedBusinessIds = Array.from({ length: 200 }, (_, n) => `out-${n}`);
    const failure = [400, 'INVALID_REQUEST', 'out-9 and others'] as const;
    await client.refuses(failure, 'POST', '/keys', { ...NEW, restrictedBusinessIds });
  });

  it('answer each unknown key with 404', async () => {
    const id = '019ac3f0-6f4e-7c1a-9d3e-0b6f5a1c2d3e';
    const asks = [
      ['GET', ''],
      ['PATCH', '', {}],
      ['DELETE', ''],
      ['POST', '/rotate'],
      ['POST', '/revoke'],
    ] as const;
    for (const [method, path, body] of asks) {
      await client.refuses([404, 'NOT_FOUND', id], method, `/keys/${id}${path}`, body);
    }
  });

  for (const { method, path, scope } of allRoutes({ config: {} } as Service, () => false)) {
    if (scope === null) continue;
    const needed = [scope].flat() as readonly string[];
    it(`refuse ${method.toUpperCase()} ${path} without a token, and with every scope but ${needed}`, async () => {
      const token = await insertCaller(
        service,
        // The one that writes includes the one that reads.
        SCOPES.filter((name) => !needed.includes(name) && !needed.includes(`${name}:read`)),
      );
      const address = path.replace('/keys/{id}', `/keys/${keyId}`).replace('{id}', 'ann').replace('{userId}', 'ann');
      const ask = (authorization: string, failure: readonly [number, string, string]) =>
        client.refuses(failure, method.toUpperCase(), `${address}?x=1`, method === 'get' ? undefined : '{', {
          authorization,
        });
      await ask('', [401, 'UNAUTHENTICATED', 'Bearer']);
      await ask(`Bearer ${token}`, [403, 'FORBIDDEN', `scope ${needed.join(' or ')}`]);
    });
  }
});
