/** Faults of framing are refused before anything else of a request is looked at, and each of its headers says one thing. */

import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { rejection } from '../support/rejection.ts';
import type { TestService } from '../support/service.ts';
import { exchange, expectFailure, type HeaderList, issuesOf, nothingIsRecorded } from './wire.ts';

describe('the framing of a request', () => {
  let service: TestService;

  withService((started) => {
    ({ service } = started);
  });
  nothingIsRecorded(() => service);

  const BODY = '{"action":"a:b"}';
  const LENGTH = ['Content-Length', String(BODY.length)] as const;
  const CHUNKS = ['Transfer-Encoding', 'chunked'] as const;
  const HOST = ['Host', 'test'] as const;
  const JSON_TYPE = ['Content-Type', 'application/json'] as const;
  const CLOSE = ['Connection', 'close'] as const;
  const bearer = (): HeaderList[number] => ['Authorization', `Bearer ${service.token}`];
  /** With nothing that is not named. */
  const bytes = (line: string, headers: HeaderList, body = BODY): Buffer =>
    Buffer.from(`${line}\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`, 'latin1');
  const only = async (request: Buffer) => {
    const replies = await exchange(service.address, request);
    expect(replies).to.have.length(1);
    return replies[0] ?? expect.fail();
  };
  /** One address of each way that a request can go: straight to its route, through Koa, and to none. */
  const LINES = ['POST /authorize', 'GET /users/ann', 'PUT /users/ann', 'GET /nowhere', 'DELETE /keys/a/b?c'];
  const refused = async (line: string, headers: HeaderList, says: string): Promise<void> => {
    const reply = await only(bytes(line, headers));
    expectFailure(reply, 'INVALID_REQUEST', [service.token]);
    expect(issuesOf(reply)).to.deep.equal([{ path: '', message: says }]);
    expect(reply.headers.get('connection')).to.equal('close');
  };

  it('has each header that holds one value once, wherever it goes and whoever asks', async () => {
    const single = {
      ...{ Host: 'test', Authorization: 'Bearer x', 'Content-Type': 'application/json', 'User-Agent': 'x', Range: 'x' },
      ...{ 'Content-Range': 'x', 'Content-Location': '/', 'If-Range': '"x"', 'Max-Forwards': '1', Origin: 'http://x' },
      ...{ 'If-Modified-Since': 'x', 'If-Unmodified-Since': 'x', Date: 'x', From: 'x', Referer: 'x' },
      ...{ 'Proxy-Authorization': 'x', 'Iqra-Subject-Authorization': 'Token x' },
    };
    for (const [name, value] of Object.entries(single)) {
      const twice: HeaderList = [
        [name, value],
        [name.toUpperCase(), value],
      ];
      const others = [HOST, LENGTH].filter(([other]) => other !== name);
      await refused('POST /authorize HTTP/1.1', [...twice, ...others], `send one ${name} header`);
      await refused(
        'GET /users/ann HTTP/1.1',
        [bearer(), ...others, ...twice].slice(name === 'Authorization' ? 1 : 0),
        `send one ${name} header`,
      );
    }
    for (const line of LINES) {
      for (const other of [HOST, ['host', 'y'] as const]) {
        await refused(`${line} HTTP/1.1`, [HOST, JSON_TYPE, other, LENGTH], 'send one Host header');
      }
    }
    const lengths = await only(bytes('POST /authorize HTTP/1.1', [HOST, bearer(), JSON_TYPE, LENGTH, LENGTH]));
    expectFailure(lengths, 'INVALID_REQUEST');
  });

  it('may have lists in several headers', async () => {
    const lists: HeaderList = [
      'Accept',
      'Accept-Encoding',
      'Cache-Control',
      'If-Match',
      'X-Forwarded-For',
      'Via',
      'X-Own',
    ].flatMap((name) => [1, 2].map((n) => [name, name === 'If-Match' ? `"${n}"` : String(n)] as const));
    for (const line of ['GET /healthz', 'GET /users', 'GET /users?limit=1']) {
      expect((await only(bytes(`${line} HTTP/1.1`, [HOST, bearer(), ...lists, CLOSE], ''))).status, line).to.equal(200);
    }
  });

  it('names one host', async () => {
    const says = 'send one Host header, a name or an address';
    const bad = [
      'a, b',
      'a,b',
      'a b',
      'u@h',
      'http://h',
      'h/',
      'h:x',
      'h:123456',
      '[::1',
      '::1',
      '[x]',
      'h?',
      'h#',
      '"h"',
      'h\\',
      'é',
    ];
    for (const host of bad) await refused('POST /authorize HTTP/1.1', [['Host', host], LENGTH], says);
    for (const line of LINES) await refused(`${line} HTTP/1.1`, [LENGTH], says);
    for (const host of [
      '',
      'h',
      'h.example.:80',
      '127.0.0.1:8080',
      '[::1]',
      '[2001:db8::1]:443',
      'a_b',
      'xn--caf-dma',
      'h:',
    ]) {
      expect((await only(bytes('GET /healthz HTTP/1.1', [['Host', host], CLOSE], ''))).status, host).to.equal(200);
    }
    expect((await only(bytes('GET /healthz HTTP/1.0', [], ''))).status).to.equal(200);
  });

  it('is that of HTTP/1.1, or 1.0 without codings, and tells its length once', async () => {
    for (const version of ['0.9', '2.0']) await refused(`GET /healthz HTTP/${version}`, [HOST], 'send it as HTTP/1.1');
    const says = 'send the body with its Content-Length, or as chunks and nothing else';
    const chunked = `10\r\n${BODY}\r\n0\r\n\r\n`;
    const ask = (line: string, ...headers: HeaderList) =>
      only(bytes(line, [HOST, bearer(), JSON_TYPE, ...headers], chunked));
    for (const reply of [
      await ask('POST /authorize HTTP/1.0', CHUNKS),
      await ask('POST /authorize HTTP/1.1', ['Transfer-Encoding', 'gzip, chunked']),
      await ask('PUT /users/ann HTTP/1.1', ['Transfer-Encoding', 'gzip'], CHUNKS),
      await ask('POST /authorize HTTP/1.1', ['Transfer-Encoding', ''], ['Content-Length', String(chunked.length)]),
    ]) {
      expectFailure(reply, 'INVALID_REQUEST');
      expect(issuesOf(reply)).to.deep.equal([{ path: '', message: says }]);
      expect(reply.headers.get('connection')).to.equal('close');
    }
    expectFailure(await ask('POST /authorize HTTP/1.1', CHUNKS, CHUNKS), 'INVALID_REQUEST');
  });

  it('has no fragment in its address: there is nothing there', async () => {
    for (const line of [
      'POST /authorize#x',
      'POST /authorize#',
      'GET /healthz#/x',
      'GET /users/ann#',
      'GET /users?limit=1#x',
      'GET /#',
    ]) {
      expectFailure(await only(bytes(`${line} HTTP/1.1`, [HOST, bearer(), JSON_TYPE, LENGTH, CLOSE])), 'NOT_FOUND');
    }
  });

  it('names no user, business or key . or .., which libraries take out of an address', async () => {
    const headers = [HOST, bearer(), JSON_TYPE, ['Content-Length', '2'] as const, CLOSE];
    for (const id of ['.', '..', '%2e', '%2E%2e', '.%2e']) {
      for (const line of [
        `PUT /users/${id}`,
        `GET /users/${id}`,
        `PUT /businesses/${id}`,
        `PUT /businesses/b/members/${id}`,
        `DELETE /keys/${id}`,
      ]) {
        expectFailure(await only(bytes(`${line} HTTP/1.1`, headers, '{}')), 'INVALID_REQUEST');
      }
    }
    const key = { friendlyName: 'k', allowUserManagementApiRequests: false };
    for (const id of ['.', '..']) {
      for (const [address, body] of Object.entries({
        '/authorize': { action: 'a:b', businessId: id },
        '/authorize/batch': { requests: [{ action: 'a:b', businessId: id }] },
        '/keys': { ...key, userId: id },
      })) {
        expectFailure(await service.ask(address, body), 'INVALID_REQUEST');
      }
      const restricted = await service.ask('/keys', { ...key, userId: 'ann', restrictedBusinessIds: [id] });
      expect(issuesOf(restricted).map(({ path }) => path)).to.deep.equal(['restrictedBusinessIds[0]']);
      expect((await rejection(service.db('users').insert({ id }))).message).to.include('authz_id');
    }
    for (const id of ['...', '.a', 'a.', '-', '._.', ':']) {
      expect((await only(bytes(`PUT /users/${id} HTTP/1.1`, headers, '{}'))).status, id).to.equal(201);
    }
  });
});
