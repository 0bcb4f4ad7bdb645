/** Path, query, method and repeated headers of a request, and the order in which its faults are reported. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { insertCaller, insertKey, type TestService } from '../support/service.ts';
import { askRaw, exchange, expectFailure, type HeaderList, issuesOf, nothingIsRecorded, request } from './wire.ts';

describe('a question is refused', () => {
  let service: TestService;
  let apiKey: string;
  let bearer: readonly [string, string];

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
    bearer = ['Authorization', `Bearer ${service.token}`];
  });
  nothingIsRecorded(() => service);

  const JSON_TYPE = ['Content-Type', 'application/json'] as const;
  const post = (headers: HeaderList, body: string, address: string) =>
    askRaw(service.address, `POST ${address}`, [bearer, ...headers], body);
  const good = (): string => JSON.stringify({ apiKey, action: 'account:read' });
  const secrets = () => [apiKey, service.token];

  it('with a repeated Authorization header, the same, a junk one first or last, or far behind', async () => {
    const junk = ['authorization', 'Bearer junk'] as const;
    const fillers = Array.from({ length: 1500 }, () => ['a', ''] as const);
    for (const headers of [
      [bearer, bearer],
      [junk, bearer],
      [bearer, junk],
      [bearer, ...fillers, junk],
    ]) {
      const reply = await askRaw(service.address, 'POST /authorize', [...headers, JSON_TYPE], good());
      expectFailure(reply, 'INVALID_REQUEST', secrets());
      expect(issuesOf(reply)).to.deep.equal([{ path: '', message: 'send one Authorization header' }]);
    }
  });

  it('with a query parameter, which is named when it is a plain word', async () => {
    const queries = {
      'limit=1': 'limit',
      'apiKey=': 'apiKey',
      '&': '?',
      '=': '?',
      'x&x': 'x',
      '?': '?',
    };
    for (const [query, path] of Object.entries(queries)) {
      const reply = await post([JSON_TYPE], good(), `/authorize?${query}`);
      expectFailure(reply, 'INVALID_REQUEST', secrets());
      expect(issuesOf(reply)).to.deep.include({ path, message: 'nothing reads this field; remove it' });
    }
    for (const query of ['%zz', '%ff', 'a%00b']) {
      expectFailure(await post([JSON_TYPE], good(), `/authorize?${query}`), 'INVALID_REQUEST', secrets());
    }
    for (const address of [
      `/authorize?${apiKey}=1`,
      `/authorize/batch?apiKey=${apiKey}`,
      `/authorize?${service.token}`,
    ]) {
      expectFailure(await post([JSON_TYPE], good(), address), 'INVALID_REQUEST', secrets());
    }
    for (const address of ['/healthz', '/readyz']) {
      expectFailure(await askRaw(service.address, `GET ${address}?verbose`), 'INVALID_REQUEST');
    }
  });

  it('with more query parameters than any route takes, which are not even looked at', async () => {
    for (const path of ['/healthz', '/authorize', '/users']) {
      for (const query of [
        'a&'.repeat(7000),
        '&'.repeat(64),
        Array.from({ length: 65 }, (_, n) => `p${n}=1`).join('&'),
      ]) {
        const method = path === '/authorize' ? 'POST' : 'GET';
        const reply = await askRaw(service.address, `${method} ${path}?${query}`, [bearer, JSON_TYPE], good());
        expectFailure(reply, 'INVALID_REQUEST', secrets());
        expect(issuesOf(reply)).to.deep.equal([{ path: '', message: 'the query has more than 64 parameters' }]);
      }
    }
  });

  it('at any other address', async () => {
    const others =
      '/ // /authorize/ //authorize /authorize//batch /authorize/batch/ /authorize/x /Authorize /AUTHORIZE * ' +
      '/%61uthorize /authorize%2fbatch /authorize%00 /authorize;x /./authorize /x/../authorize /authorize.json /% ' +
      '/%zz /%ff /v1/authorize /__proto__ /constructor /toString http://test/authorize http://[/authorize ' +
      '//%zz%zz@# /\\%@[# http://xn--/authorize http://test:x/authorize authorize /healthz/ /Healthz /readyz/';
    const addresses = [...others.split(' '), `/${'x'.repeat(8000)}`, `/authorize/${apiKey}`];
    for (const address of addresses) {
      const [reply] = await exchange(
        service.address,
        request(`POST ${address}`, [bearer, JSON_TYPE, ['Connection', 'close']], good()),
      );
      const code = reply?.status === 400 && address === 'authorize' ? 'INVALID_REQUEST' : 'NOT_FOUND';
      expectFailure(reply ?? expect.fail(address), code, secrets());
    }
  });

  it('by any other method, naming those that there are', async () => {
    const methods = 'GET PUT PATCH DELETE OPTIONS TRACE PROPFIND PURGE LINK M-SEARCH QUERY'.split(' ');
    const allowed = {
      '/authorize': ['POST'],
      '/authorize/batch': ['POST'],
      '/healthz': ['HEAD', 'GET'],
      '/readyz': ['HEAD', 'GET'],
    };
    for (const [address, allow] of Object.entries(allowed)) {
      for (const method of [...methods, 'POST'].filter((name) => !allow.includes(name))) {
        const reply = await askRaw(service.address, `${method} ${address}`, [bearer, JSON_TYPE], good());
        expectFailure(reply, 'METHOD_NOT_ALLOWED', secrets());
        expect(reply.headers.get('allow')?.split(', ')).to.have.members(allow);
      }
    }
    const head = await fetch(`${service.address}/authorize`, { method: 'HEAD' });
    expect([head.status, head.headers.get('allow'), await head.text()]).to.deep.equal([405, 'POST', '']);
  });

  it('for the first of its faults in the order 404, 405, 401, 403, 415, 413, 400', async () => {
    const powerless = await insertCaller(service, ['keys', 'directory', 'audit', 'policy']);
    const large = '{'.padEnd(16 * 1024 + 1);
    const wrong = {
      method: 'DELETE',
      address: '/nowhere?x',
      headers: [['Content-Encoding', 'gzip']] as HeaderList,
      body: large,
    };
    const repairs: [Partial<typeof wrong>, Parameters<typeof expectFailure>[1]][] = [
      [{}, 'NOT_FOUND'],
      [{ method: 'POST' }, 'NOT_FOUND'],
      [{ method: 'DELETE', address: '/authorize?x' }, 'METHOD_NOT_ALLOWED'],
      [{ method: 'POST' }, 'UNAUTHENTICATED'],
      [
        {
          headers: [
            ['Authorization', `Bearer ${powerless}`],
            ['Content-Encoding', 'gzip'],
          ],
        },
        'FORBIDDEN',
      ],
      [{ headers: [bearer, JSON_TYPE, ['Content-Encoding', 'gzip']] }, 'UNSUPPORTED_MEDIA_TYPE'],
      [{ headers: [bearer] }, 'UNSUPPORTED_MEDIA_TYPE'],
      [{ headers: [bearer, JSON_TYPE] }, 'PAYLOAD_TOO_LARGE'],
      [{ body: '{' }, 'INVALID_REQUEST'],
      [{ body: good() }, 'INVALID_REQUEST'],
    ];
    let now = wrong;
    for (const [repair, code] of repairs) {
      now = { ...now, ...repair };
      const reply = await askRaw(service.address, `${now.method} ${now.address}`, now.headers, now.body);
      expectFailure(reply, code, [...secrets(), powerless]);
    }
  });
});
