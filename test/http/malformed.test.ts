/** Malformed HTTP: an answer in the shape of the contract, and no request smuggling. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import type { TestService } from '../support/service.ts';
import { dial, exchange, expectFailure, nothingIsRecorded, request } from './wire.ts';

describe('what is not HTTP', () => {
  let service: TestService;

  withService((started) => {
    ({ service } = started);
  });

  const question = (headers: string, body: string): string =>
    `POST /authorize HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ${service.token}\r\n` +
    `Content-Type: application/json\r\n${headers}\r\n${body}`;
  const BODY = '{"action":"account:read"}';

  describe('is refused', () => {
    nothingIsRecorded(() => service);

    const MALFORMED: Record<string, () => string> = {
      'a greeting': () => 'hello\r\n\r\n',
      'a TLS hello': () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03',
      'an HTTP/2 preface': () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
      NULs: () => '\0\0\0\0\r\n\r\n',
      'an unknown method': () => request('FETCH /healthz').toString(),
      'a method in lower case': () => request('get /healthz').toString(),
      'an unknown version': () => 'GET /healthz HTTP/3.7\r\nHost: test\r\n\r\n',
      'an address with a space': () => request('GET /health z').toString(),
      'a header without a colon': () => 'GET /healthz HTTP/1.1\r\nHost test\r\n\r\n',
      'a header with a space before its colon': () => 'GET /healthz HTTP/1.1\r\nHost : test\r\n\r\n',
      'a header with a NUL': () => 'GET /healthz HTTP/1.1\r\nHost: te\0st\r\n\r\n',
      'a folded header': () => 'GET /healthz HTTP/1.1\r\nHost: test\r\nX: a\r\n b\r\n\r\n',
      'a bare carriage return': () => 'GET /healthz HTTP/1.1\r\nHost: test\rX: y\r\n\r\n',
      'no Host': () => 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n',
      'a head beyond 16 KiB': () => request('GET /healthz', [['X', 'x'.repeat(20_000)]]).toString(),
      'an address beyond 16 KiB': () => request(`GET /${'x'.repeat(20_000)}`).toString(),
      'a length and chunks': () => question(`Content-Length: ${BODY.length}\r\nTransfer-Encoding: chunked\r\n`, BODY),
      'two lengths': () => question(`Content-Length: 5\r\nContent-Length: ${BODY.length}\r\n`, BODY),
      'a negative length': () => question('Content-Length: -1\r\n', BODY),
      'a length that is no number': () => question('Content-Length: 0x19\r\n', BODY),
      'chunks before the last coding': () => question('Transfer-Encoding: chunked, identity\r\n', BODY),
      'a chunk of no length': () => question('Transfer-Encoding: chunked\r\n', `zz\r\n${BODY}\r\n0\r\n\r\n`),
      'a chunk that is longer than it says': () =>
        question('Transfer-Encoding: chunked\r\n', `1\r\n${BODY}\r\n0\r\n\r\n`),
    };
    for (const [name, bytes] of Object.entries(MALFORMED)) {
      it(`with ${name}`, async () => {
        const replies = await exchange(service.address, Buffer.from(bytes(), 'latin1'));
        expect(replies).to.have.length(1);
        expectFailure(replies[0] ?? expect.fail(), 'INVALID_REQUEST', [service.token]);
        expect(replies[0]?.headers.get('connection')).to.equal('close');
      });
    }

    it('with CONNECT, by closing the connection', async () => {
      expect(await exchange(service.address, request('CONNECT test:1'))).to.deep.equal([]);
    });

    it('when the client resets the connection halfway', async () => {
      for (const bytes of [
        'POST /auth',
        question('Content-Length: 100\r\n', '{'),
        question('Transfer-Encoding: chunked\r\n', '5'),
      ]) {
        const wire = await dial(service.address);
        wire.socket.write(bytes, () => wire.socket.resetAndDestroy());
        await wire.replies();
      }
    });

    it('as a body that is followed by more than it says, without taking the rest for a question', async () => {
      const replies = await exchange(
        service.address,
        question('Content-Length: 2\r\nConnection: close\r\n', `{}${question('', '')}`),
      );
      expect(replies).to.have.length(1);
      expectFailure(replies[0] ?? expect.fail(), 'INVALID_REQUEST');
    });
  });

  it('is served when it is only unusual: an upgrade, an empty line in front, a trailer', async () => {
    const close = 'Connection: close\r\n';
    const trailer = `${BODY.length.toString(16)};x=y\r\n${BODY}\r\n0\r\nAuthorization: Bearer other\r\n\r\n`;
    for (const bytes of [
      `\r\n${question(`Content-Length: ${BODY.length}\r\n${close}`, BODY)}`,
      question(`Transfer-Encoding: chunked\r\n${close}`, trailer),
    ]) {
      expect((await exchange(service.address, bytes)).map(({ body }) => body.Code)).to.deep.equal(['INVALID_API_KEY']);
    }
    const wire = await dial(service.address);
    wire.send(
      request('GET /healthz', [
        ['Connection', 'upgrade'],
        ['Upgrade', 'websocket'],
      ]),
    );
    wire.socket.end();
    expect((await wire.replies()).map(({ status }) => status)).to.deep.equal([200]);
  });

  it('leaves each of several questions on one connection its answer, in order', async () => {
    const bytes = ['a:a', 'b:b', 'C', 'd:d']
      .map((action) => JSON.stringify({ action }))
      .map((body) => question(`Content-Length: ${body.length}\r\n`, body));
    const replies = await exchange(
      service.address,
      `${bytes.join('')}${request('GET /healthz', [['Connection', 'close']])}`,
    );
    expect(replies.map(({ body }) => body.Data?.['action'] ?? body.Code)).to.deep.equal([
      ...['a:a', 'b:b', 'INVALID_REQUEST', 'd:d', 'OK'],
    ]);
    expect(new Set(replies.map(({ headers }) => headers.get('x-request-id'))).size).to.equal(5);
  });
});
