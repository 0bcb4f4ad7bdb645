/** The body as a whole: media type, content-encoding, size, chunks, and slow or aborted sending. */

import { setTimeout as sleep } from 'node:timers/promises';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { withService } from '../support/client.ts';
import { insertKey, type TestService } from '../support/service.ts';
import { askRaw, chunked, dial, exchange, expectFailure, type HeaderList, nothingIsRecorded, request } from './wire.ts';

const KIB = 1024;

describe('the body of a question', () => {
  let service: TestService;
  let apiKey: string;
  let bearer: readonly [string, string];

  withService(async (started) => {
    ({ service } = started);
    await service.db('users').insert({ id: 'ann' });
    apiKey = await insertKey(service, { user_id: 'ann' });
    bearer = ['Authorization', `Bearer ${service.token}`];
  });

  const JSON_TYPE = ['Content-Type', 'application/json'] as const;
  const post = (headers: HeaderList, body: string | Buffer, address = '/authorize') =>
    askRaw(service.address, `POST ${address}`, [bearer, ...headers], body);
  const good = (): string => JSON.stringify({ apiKey, action: 'account:read' });
  const padded = (size: number): string => good().padEnd(size);

  it('is decided at any spelling of the media type', async () => {
    for (const type of [
      'application/json',
      'APPLICATION/JSON',
      'application/json;charset=utf-8',
      'application/json ; charset="UTF-8"',
    ]) {
      expect((await post([['content-TYPE', type]], good())).body.Code, type).to.equal('OK');
    }
  });

  it('is decided at the largest size, whole or in chunks', async () => {
    const body = padded(16 * KIB);
    expect((await post([JSON_TYPE], body)).body.Code).to.equal('OK');
    const head = request('POST /authorize', [
      bearer,
      JSON_TYPE,
      ['Transfer-Encoding', 'chunked'],
      ['Connection', 'close'],
    ]);
    const [reply] = await exchange(service.address, Buffer.concat([head, chunked(Buffer.from(body), 100)]));
    expect(reply?.body.Code).to.equal('OK');
    const batch = JSON.stringify({ requests: [{ action: 'account:read' }] }).padEnd(256 * KIB);
    expect((await post([JSON_TYPE], batch, '/authorize/batch')).body.Code).to.equal('OK');
  });

  it('is decided with Expect: 100-continue, with another expectation, and over HTTP/1.0', async () => {
    for (const expectation of ['100-continue', 'the best']) {
      expect((await post([JSON_TYPE, ['Expect', expectation]], good())).body.Code).to.equal('OK');
    }
    const bytes = request('POST /authorize', [bearer, JSON_TYPE], good()).toString().replace('HTTP/1.1', 'HTTP/1.0');
    expect((await exchange(service.address, bytes))[0]?.body.Code).to.equal('OK');
  });

  it('is decided when it comes byte by byte', async () => {
    const wire = await dial(service.address);
    wire.socket.setNoDelay(true);
    for (const byte of request('POST /authorize', [bearer, JSON_TYPE, ['Connection', 'close']], good())) {
      wire.send(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect((await wire.replies())[0]?.body.Code).to.equal('OK');
  });

  describe('is refused', () => {
    nothingIsRecorded(() => service);
    const secrets = () => [apiKey, service.token];

    const TYPES = [
      ...[
        'text/plain',
        'application/json;charset=latin1',
        'application/json; charset=utf-16',
        'application/json; a=b',
        'json',
      ],
      ...[
        'application/jsonx',
        'application/problem+json',
        'application/json, text/plain',
        'multipart/form-data; boundary=x',
        '',
      ],
    ];
    for (const type of TYPES) {
      it(`as ${type || 'an empty media type'}`, async () => {
        expectFailure(await post([['Content-Type', type]], good()), 'UNSUPPORTED_MEDIA_TYPE', secrets());
      });
    }

    it('without a media type, with a body and without', async () => {
      for (const body of ['', good()]) expectFailure(await post([], body), 'UNSUPPORTED_MEDIA_TYPE', secrets());
    });

    it('in any content-encoding', async () => {
      const codings: [string, Buffer][] = [
        ['gzip', gzipSync(good())],
        ['br', brotliCompressSync(good())],
        ...['identity', '', 'gzip, gzip', 'x', 'GZIP'].map((name): [string, Buffer] => [name, Buffer.from(good())]),
      ];
      for (const [name, body] of codings) {
        expectFailure(await post([JSON_TYPE, ['Content-Encoding', name]], body), 'UNSUPPORTED_MEDIA_TYPE', secrets());
      }
      expectFailure(await post([JSON_TYPE], gzipSync(good())), 'INVALID_REQUEST');
    });

    it('at one byte too many, with an answer that the client can read', async () => {
      const reply = await service.ask('/authorize', padded(16 * KIB + 1));
      expectFailure(reply, 'PAYLOAD_TOO_LARGE', secrets());
      expect(reply.body.Message).to.include('16384 bytes');
      const batch = await service.ask('/authorize/batch', padded(256 * KIB + 1));
      expectFailure(batch, 'PAYLOAD_TOO_LARGE', secrets());
      expect(batch.body.Message).to.include('262144 bytes');
    });

    it('at a mebibyte more, in chunks of any size, with an answer that a client can read which sends all of it first', async () => {
      for (const size of [64 * KIB, 1000]) {
        const body = chunked(Buffer.alloc(16 * KIB + 1024 * KIB, ' '), size);
        const wire = await dial(service.address);
        wire.send(request('POST /authorize', [bearer, JSON_TYPE, ['Transfer-Encoding', 'chunked']]));
        wire.send(body.subarray(0, -5));
        // An answer before the end would be one that the client, still sending, can lose.
        await sleep(100);
        expect(wire.text()).to.equal('');
        wire.send(body.subarray(-5));
        wire.socket.end();
        expectFailure((await wire.replies())[0] ?? expect.fail('no answer'), 'PAYLOAD_TOO_LARGE', secrets());
        expect(wire.fault()).to.equal(undefined);
      }
    });

    it('at several mebibytes by closing the connection', async () => {
      for (const headers of [[['Transfer-Encoding', 'chunked']], [['Content-Length', String(1e9)]]] as const) {
        const wire = await dial(service.address);
        wire.send(request('POST /authorize', [bearer, JSON_TYPE, ...headers]));
        wire.send(chunked(Buffer.alloc(5 * KIB * KIB, ' ')));
        for (const reply of await wire.replies().catch(() => [])) expectFailure(reply, 'PAYLOAD_TOO_LARGE', secrets());
      }
    });

    it('when its body is cut short', async () => {
      const wire = await dial(service.address);
      wire.send(request('POST /authorize', [bearer, JSON_TYPE, ['Content-Length', '100']]));
      wire.socket.end(good().slice(0, 20));
      expectFailure((await wire.replies())[0] ?? expect.fail('no answer'), 'INVALID_REQUEST', secrets());
    });
  });
});
