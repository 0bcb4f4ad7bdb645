/**
 * The fault matrix: whatever the network, or what stands at its end, does, the client never allows, fails with one of its four errors, and
 * leaves neither a socket nor a rejection behind.
 */

import { createServer, type Server, type Socket } from 'node:net';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import fc from 'fast-check';
import {
  type AuthzError,
  BadQuestion,
  type Client,
  type ClientOptions,
  createClient,
  NotPermitted,
  TimedOut,
  Unavailable,
} from '../../packages/client/src/index.ts';
import { readDecision } from '../../packages/client/src/read-decision.ts';
import { rejection } from '../support/rejection.ts';
import { allow, fail, grant, type Pdp, reply, startPdp } from './pdp.ts';

const QUESTION = { authorization: 'Token iqra_secret', action: 'call:create', businessId: '42' };
const GRANT = JSON.stringify(grant(QUESTION));
/** Nobody waits for it: what ends by it would never end otherwise. */
const SHORT = 300;
const GENEROUS = 60_000;

type Script = (socket: Socket) => void;

/** A server of bare sockets, which does to each connection what a script says once something was sent to it. */
async function startBare(): Promise<{
  url: string;
  script: Script;
  tries: number;
  sockets: Set<Socket>;
  server: Server;
}> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    socket.once('data', () => {
      bare.tries += 1;
      bare.script(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const bare = {
    url: `http://127.0.0.1:${port}`,
    script: (() => undefined) as Script,
    tries: 0,
    sockets,
    server,
  };
  return bare;
}

const head = (status: string, headers: readonly string[] = []): string =>
  [`HTTP/1.1 ${status}`, 'Content-Type: application/json', ...headers, '', ''].join('\r\n');
const whole = (text: string | Buffer, headers: readonly string[] = []): Buffer =>
  Buffer.concat([
    Buffer.from(head('200 OK', [`Content-Length: ${Buffer.byteLength(text)}`, ...headers])),
    Buffer.from(text),
  ]);
/** Writes a byte at a time, for ever. */
const drip = (socket: Socket, text: string): void => {
  let at = 0;
  const timer = setInterval(() => socket.write(text[at++ % text.length] ?? ' '), 20);
  socket.once('close', () => clearInterval(timer));
};

describe('the client and faults', () => {
  let bare: Awaited<ReturnType<typeof startBare>>;
  let pdp: Pdp;
  const clients: Client[] = [];
  const unhandled: unknown[] = [];
  const note = (reason: unknown): void => void unhandled.push(reason);
  const clientOf = (options: Partial<ClientOptions> = {}): Client => {
    const where = options.urls ? {} : { url: bare.url };
    const client = createClient({ token: 'iqra_svc_secret', deadlineMs: GENEROUS, ...where, ...options });
    clients.push(client);
    return client;
  };
  /** The error that a question fails with: one of the four, which says nothing secret. */
  const failure = async (client: Client): Promise<AuthzError> => {
    const error = (await rejection(client.authorize(QUESTION))) as AuthzError;
    expect([Unavailable, TimedOut, NotPermitted, BadQuestion], String(error)).to.include(error.constructor);
    expect(error.requestId).to.match(/^[0-9a-f-]{36}$/);
    expect(`${error.stack} ${JSON.stringify(error)} ${(error.cause as Error)?.stack}`).not.to.match(
      /iqra_(?:svc_)?secret/,
    );
    return error;
  };

  const openSockets = (): number => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
  let openBefore = 0;

  before(async () => {
    openBefore = openSockets();
    process.on('unhandledRejection', note);
    bare = await startBare();
    pdp = await startPdp();
  });
  beforeEach(() => {
    bare.tries = 0;
    pdp.heard.length = 0;
    pdp.behave = allow;
  });
  after(async () => {
    for (const client of clients) client.close();
    const sockets = (): number => bare.sockets.size + pdp.sockets.size;
    // Idle connections close by themselves, after four seconds; what a fault left open would stay.
    while (sockets() > 0 || openSockets() > openBefore) await new Promise((resolve) => setTimeout(resolve, 50));
    await Promise.all([pdp.close(), new Promise((resolve) => bare.server.close(resolve))]);
    process.off('unhandledRejection', note);
    expect(unhandled).to.deep.equal([]);
  });

  /** Name -> what the server does, the error, and how many tries there were. */
  const FAULTS: Readonly<Record<string, readonly [Script, typeof Unavailable | typeof TimedOut, tries: number]>> = {
    'a reset before the head': [(socket) => socket.resetAndDestroy(), Unavailable, 2],
    'an end before the head': [(socket) => socket.end(), Unavailable, 2],
    'junk in place of a head': [(socket) => socket.end('junk\r\n\r\n'), Unavailable, 1],
    'half a head': [(socket) => socket.end('HTTP/1.1 200 OK\r\nContent-Ty'), Unavailable, 2],
    'a reset behind the head': [
      (socket) =>
        socket.write(head('200 OK', ['Content-Length: 999']), () => setTimeout(() => socket.resetAndDestroy(), 50)),
      Unavailable,
      1,
    ],
    'half a body': [(socket) => socket.end(whole(GRANT).subarray(0, -5)), Unavailable, 1],
    'half a body that is JSON': [
      (socket) => socket.end(`${head('200 OK', [`Content-Length: ${GRANT.length + 9}`])}${GRANT}`),
      Unavailable,
      1,
    ],
    'a chunk that does not end': [
      (socket) =>
        socket.end(`${head('200 OK', ['Transfer-Encoding: chunked'])}${GRANT.length.toString(16)}\r\n${GRANT}\r\n`),
      Unavailable,
      1,
    ],
    'another content type': [
      (socket) => socket.end(whole(GRANT).toString().replace('application/json', 'text/html')),
      Unavailable,
      1,
    ],
    'no content type': [
      (socket) => socket.end(whole(GRANT).toString().replace('Content-Type', 'X-Type')),
      Unavailable,
      1,
    ],
    'a body that is compressed': [
      (socket) => socket.end(whole(gzipSync(GRANT), ['Content-Encoding: gzip'])),
      Unavailable,
      1,
    ],
    'bytes that are no UTF-8': [
      (socket) => socket.end(whole(Buffer.from(GRANT.replace('allowed', '\u00ff'), 'latin1'))),
      Unavailable,
      1,
    ],
    'Success false with the code OK': [(socket) => socket.end(whole(GRANT.replace('true', 'false'))), Unavailable, 1],
    garbage: [(socket) => socket.end(whole('{"Success":tru')), Unavailable, 1],
    'no body': [(socket) => socket.end(whole('')), Unavailable, 1],
    null: [(socket) => socket.end(whole('null')), Unavailable, 1],
    'an allow with status 201': [
      (socket) => socket.end(whole(GRANT).toString().replace('200 OK', '201 Created')),
      Unavailable,
      1,
    ],
    'an allow with status 203': [
      (socket) => socket.end(whole(GRANT).toString().replace('200 OK', '203 Changed')),
      Unavailable,
      1,
    ],
    'an allow with status 500': [
      (socket) => socket.end(whole(GRANT).toString().replace('200 OK', '500 No')),
      Unavailable,
      1,
    ],
    'no content': [(socket) => socket.end('HTTP/1.1 204 No Content\r\n\r\n'), Unavailable, 1],
    'a switch of protocols': [
      (socket) => socket.end('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
      Unavailable,
      1,
    ],
    'nothing but hints': [(socket) => socket.write('HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'), TimedOut, 1],
    'nothing at all': [() => undefined, TimedOut, 1],
    'a head that drips': [(socket) => drip(socket, 'HTTP/1.1 200 OK\r\nX: '.padEnd(4096, 'x')), TimedOut, 1],
    'a body that drips': [
      (socket) => socket.write(head('200 OK', ['Transfer-Encoding: chunked']), () => drip(socket, '1\r\n \r\n')),
      TimedOut,
      1,
    ],
  };

  for (const [name, [script, kind, tries]] of Object.entries(FAULTS))
    it(`fails on ${name}`, async () => {
      bare.script = script;
      const error = await failure(clientOf({ deadlineMs: kind === TimedOut ? SHORT : GENEROUS }));
      expect(error.constructor, String(error)).to.equal(kind);
      // On a busy machine, a short deadline may pass before the first is made.
      expect(bare.tries).to.be.within(kind === TimedOut ? 0 : tries, tries);
    });

  it('reads an answer behind hints', async () => {
    bare.script = (socket) =>
      socket.end(Buffer.concat([Buffer.from('HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'), whole(GRANT)]));
    expect((await clientOf().authorize(QUESTION)).allowed).to.equal(true);
  });

  it('reads no more than an answer can have', async () => {
    let written = 0;
    bare.script = (socket) => {
      socket.write(head('200 OK', ['Transfer-Encoding: chunked']));
      const piece = `10000\r\n${' '.repeat(65_536)}\r\n`;
      const more = (): void => {
        while (!socket.destroyed && socket.write(piece)) written += 1;
      };
      socket.on('drain', more);
      more();
    };
    expect((await failure(clientOf())).constructor).to.equal(Unavailable);
    // 64 KiB are read; what the kernel and the streams hold between us is some megabytes at most.
    expect(written).to.be.below(500);
    bare.script = (socket) => socket.write(head('200 OK', ['Content-Length: 99999999999']));
    expect((await failure(clientOf({ deadlineMs: SHORT }))).constructor).to.equal(TimedOut);
  });

  it('follows no redirection', async () => {
    for (const status of [301, 302, 303, 307, 308]) {
      bare.script = (socket) =>
        socket.end(head(`${status} Elsewhere`, [`Location: ${pdp.url}/authorize`, 'Content-Length: 0']));
      expect(await failure(clientOf())).to.include({ status, name: 'Unavailable' });
    }
    expect(pdp.heard).to.deep.equal([]);
  });

  it('fails where there is no server, no name and no TLS', async () => {
    const gone = await startBare();
    await new Promise((resolve) => gone.server.close(resolve));
    const withoutCertificate = createTlsServer({});
    await new Promise<void>((resolve) => withoutCertificate.listen(0, '127.0.0.1', resolve));
    const { port } = withoutCertificate.address() as { port: number };
    bare.script = (socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n');
    for (const url of [
      gone.url,
      'http://authz.invalid:8080',
      `https://127.0.0.1:${port}`,
      bare.url.replace('http:', 'https:'),
    ]) {
      const error = await failure(clientOf({ urls: [url] }));
      expect(error.constructor, url).to.equal(Unavailable);
      expect(error.message).to.include(url);
    }
    await new Promise((resolve) => withoutCertificate.close(resolve));
  });

  it('goes by the monotonic clock alone', async () => {
    const { now } = Date;
    try {
      for (const jump of [-86_400_000, 86_400_000]) {
        Date.now = () => now() + jump;
        bare.script = (socket) => {
          Date.now = () => now() - jump;
          socket.end(whole(GRANT));
        };
        expect((await clientOf().authorize(QUESTION)).allowed).to.equal(true);
        bare.script = () => {
          Date.now = () => now() - jump;
        };
        expect((await failure(clientOf({ deadlineMs: SHORT }))).constructor).to.equal(TimedOut);
      }
    } finally {
      Date.now = now;
    }
  });

  it('takes each failure of the service for what it is', async () => {
    const client = clientOf({ urls: [pdp.url] });
    for (const [status, code, kind] of [
      [400, 'INVALID_REQUEST', BadQuestion],
      [401, 'UNAUTHENTICATED', NotPermitted],
      [403, 'FORBIDDEN', NotPermitted],
      [429, 'TOO_MANY_REQUESTS', NotPermitted],
      [500, 'INTERNAL', Unavailable],
      [503, 'UNAVAILABLE', Unavailable],
      [504, 'DEADLINE_EXCEEDED', TimedOut],
      // Codes under another status, and codes of nobody, are not the service's word.
      [403, 'UNAUTHENTICATED', Unavailable],
      [403, 'PERMISSION_DENIED', Unavailable],
      [401, 'constructor', Unavailable],
    ] as const) {
      pdp.behave = fail(status, code, { 'retry-after': '3600' });
      expect(await failure(client), code).to.include({ status, name: kind.name, retryAfterSeconds: 3600 });
    }
    expect(pdp.heard).to.have.length(10);
  });

  it('asks once more where a 503 or 504 says when, and never a third time', async () => {
    const client = clientOf({ urls: [pdp.url] });
    for (const status of [503, 504]) {
      const code = status === 503 ? 'UNAVAILABLE' : 'DEADLINE_EXCEEDED';
      for (const [headers, tries] of [
        [{ 'retry-after': '0' }, 2],
        [{}, 1],
        [{ 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }, 1],
        [{ 'retry-after': '61' }, 1],
      ] as const) {
        pdp.heard.length = 0;
        pdp.behave = fail(status, code, headers);
        await failure(client);
        expect(pdp.heard).to.have.length(tries);
        expect(new Set(pdp.heard.map((heard) => heard.headers['x-request-id'])).size).to.equal(1);
      }
    }
    pdp.behave = (heard, response, socket) =>
      pdp.heard.length % 2 === 1
        ? fail(503, 'UNAVAILABLE', { 'retry-after': '1' })(heard, response, socket)
        : allow(heard, response, socket);
    pdp.heard.length = 0;
    expect((await client.authorize(QUESTION)).allowed).to.equal(true);
    pdp.behave = fail(500, 'INTERNAL', { 'retry-after': '0' });
    pdp.heard.length = 0;
    await failure(client);
    expect(pdp.heard).to.have.length(1);
  });

  it('goes to the next address, and stays there', async () => {
    bare.script = (socket) => socket.resetAndDestroy();
    const urls = [bare.url, pdp.url];
    const client = clientOf({ urls });
    for (let time = 0; time < 3; time += 1) expect((await client.authorize(QUESTION)).allowed).to.equal(true);
    expect([bare.tries, pdp.heard.length]).to.deep.equal([1, 3]);
    // One that is silent leaves time for the other.
    bare.script = () => undefined;
    expect((await clientOf({ urls, deadlineMs: 5000 }).authorize(QUESTION)).allowed).to.equal(true);
    expect(bare.tries).to.equal(2);
  });

  it('begins at another address where one fails', async () => {
    const failing = await startPdp();
    failing.behave = fail(503, 'UNAVAILABLE');
    const client = clientOf({ urls: [failing.url, pdp.url] });
    expect((await failure(client)).constructor).to.equal(Unavailable);
    expect((await client.authorize(QUESTION)).allowed).to.equal(true);
    expect((await client.authorize(QUESTION)).allowed).to.equal(true);
    expect([failing.heard.length, pdp.heard.length]).to.deep.equal([1, 2]);
    await failing.close();
    // A change has all of the time: there is no other try.
    bare.script = () => undefined;
    const changing = clientOf({ urls: [bare.url, pdp.url], deadlineMs: SHORT });
    expect(await rejection(changing.keys.revoke('x'))).to.be.instanceOf(TimedOut);
  });

  it('makes a change once', async () => {
    const client = clientOf();
    bare.script = (socket) => socket.resetAndDestroy();
    const wanted = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false };
    expect(await rejection(client.keys.create(wanted))).to.be.instanceOf(Unavailable);
    expect(bare.tries).to.equal(1);
    expect(await rejection(client.keys.get('one'))).to.be.instanceOf(Unavailable);
    expect(bare.tries).to.equal(3);
    const changing = clientOf({ urls: [pdp.url] });
    pdp.behave = fail(503, 'UNAVAILABLE', { 'retry-after': '0' });
    expect(await rejection(changing.freezes.create({ reason: 'x', forSeconds: 1, everything: true }))).to.be.instanceOf(
      Unavailable,
    );
    expect(pdp.heard).to.have.length(1);
    for (const id of ['..', 'a/b', '', 'a?b', undefined as never])
      expect(await rejection(changing.keys.revoke(id))).to.be.instanceOf(BadQuestion);
    expect(pdp.heard).to.have.length(1);
  });

  it('ends whatever a token, a fetch, a caller or close() does', async () => {
    const never = (): Promise<never> => new Promise(() => undefined);
    expect((await failure(clientOf({ token: never, deadlineMs: SHORT }))).constructor).to.equal(TimedOut);
    expect((await failure(clientOf({ fetch: never, deadlineMs: SHORT }))).constructor).to.equal(TimedOut);
    const throws = (): never => {
      throw new Error('no vault');
    };
    expect((await failure(clientOf({ token: throws }))).constructor).to.equal(Unavailable);
    expect((await failure(clientOf({ fetch: throws }))).constructor).to.equal(Unavailable);
    for (const token of ['', 'two words', 'line\nbreak', 7 as never])
      expect((await failure(clientOf({ token: () => token }))).constructor).to.equal(NotPermitted);

    bare.script = () => undefined;
    const controller = new AbortController();
    const asked = rejection(clientOf().authorize(QUESTION, { signal: controller.signal }));
    controller.abort(new Error('the client has gone'));
    expect((await asked).message).to.equal('the client has gone');
    expect((await rejection(clientOf().authorize(QUESTION, { signal: controller.signal }))).message).to.equal(
      'the client has gone',
    );

    const closing = clientOf();
    const under = failure(closing);
    closing.close();
    expect([(await under).message, (await failure(closing)).message]).to.deep.equal(
      Array(2).fill('This client is closed.'),
    );
  });

  it('asks a function for the token before each call', async () => {
    let turn = 0;
    const client = clientOf({ urls: [pdp.url], token: async () => `iqra_svc_${++turn}` });
    await client.authorize(QUESTION);
    await client.authorize(QUESTION);
    expect(pdp.heard.map(({ headers }) => headers.authorization)).to.deep.equal([
      'Bearer iqra_svc_1',
      'Bearer iqra_svc_2',
    ]);
  });

  it('refuses settings that cannot work, without quoting a secret', () => {
    const token = 'iqra_svc_x';
    for (const options of [
      { token },
      { token, url: 'http://a', urls: ['http://b'] },
      { token, urls: [] },
      { token, url: 'ftp://a' },
      { token, url: 'authz' },
      { token, url: 'http://user:iqra_svc_secret@a' },
      { token, url: 'http://a?token=iqra_svc_secret' },
      { token, url: 'http://a/?' },
      { token, url: 'http://a#' },
      { token: 'iqra_svc_secret iqra_svc_secret', url: 'http://a' },
      { token: undefined as never, url: 'http://a' },
      { token, url: 'http://a', deadlineMs: 0 },
      { token, url: 'http://a', deadlineMs: 2 ** 31 },
      { token, url: 'http://a', deadlineMs: Number.NaN },
    ])
      expect(() => createClient(options), JSON.stringify(options))
        .to.throw(TypeError)
        .with.property('message')
        .that.not.includes('secret');
  });

  it('allows on nothing but a whole allow', () => {
    const paths = [
      'Success',
      'Code',
      'Message',
      'Data',
      ...Object.keys(grant(QUESTION)['Data'] as object).map((name) => `Data.${name}`),
    ];
    const value = fc.oneof(
      fc.jsonValue(),
      fc.constantFrom(true, false, 'OK', 'DENIED', 200, 403, '200', '42', 42, 'call:create', null, undefined, ''),
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...paths), value), { maxLength: 3 }), (changes) => {
        const body = grant(QUESTION);
        for (const [path, to] of changes) {
          const [name = '', field] = path.split('.');
          if (field === undefined) body[name] = to;
          else if (typeof body[name] === 'object' && body[name] !== null) Object.assign(body[name], { [field]: to });
        }
        const data = (body['Data'] ?? {}) as Record<string, unknown>;
        const text = (name: string): boolean => typeof data[name] === 'string' && data[name].length > 0;
        const whole =
          body['Success'] === true &&
          body['Code'] === 'OK' &&
          typeof body['Message'] === 'string' &&
          data['status'] === 200 &&
          data['action'] === 'call:create' &&
          data['businessId'] === '42' &&
          ['decisionId', 'rule', 'policy', 'apiKeyId', 'userId'].every(text);
        const decision = readDecision(body, QUESTION, 'id');
        expect(decision?.allowed === true).to.equal(whole);
        if (decision && !decision.allowed) expect(body).to.include({ Success: false }).and.not.include({ Code: 'OK' });
      }),
      { numRuns: 3000 },
    );
  });

  it('takes nothing else for an answer of AuthZEN, a key, a page or the end of one', async () => {
    const client = clientOf({ urls: [pdp.url] });
    const answers = (body: unknown, status = 200) => {
      pdp.behave = (_heard, response) => reply(response, body as object, status);
    };
    const fails = async (ask: () => Promise<unknown>, what: string): Promise<void> => {
      expect(await rejection(ask()), what).to.be.instanceOf(Unavailable);
    };
    const evaluation = {
      subject: { type: 'user', id: 'ann' },
      action: { name: 'read' },
      resource: { type: 'account', id: 'x' },
    };
    const context = { code: 'OK', status: 200, decisionId: 'x' };
    answers({ decision: true, context });
    expect((await client.evaluate(evaluation)).decision).to.equal(true);
    for (const body of [
      { decision: true },
      { decision: 'true', context },
      { decision: true, context: { ...context, code: 'FROZEN' } },
      { decision: true, context: { ...context, status: 403 } },
      { decision: true, context: { ...context, decisionId: undefined } },
      { decision: false, context },
      { decision: true, context: [context] },
      [true],
    ]) {
      answers(body);
      await fails(() => client.evaluate(evaluation), JSON.stringify(body));
    }
    answers({ decision: true, context }, 201);
    await fails(() => client.evaluate(evaluation), '201');

    const success = (Data: unknown) => ({ Success: true, Code: 'OK', Message: 'x', Data });
    const wanted = { userId: 'ann', friendlyName: 'x', allowUserManagementApiRequests: false };
    for (const body of [
      null,
      success(null),
      success({}),
      success({ id: 7 }),
      { ...success({ id: 'x' }), Success: false },
      success({ key: { id: 'x' } }),
      success({ apiKey: 'x', key: {} }),
      success({ items: {} }),
      success({ items: [], nextCursor: 7 }),
      success({ items: [{}], nextCursor: null }),
    ]) {
      answers(body);
      for (const ask of [
        () => client.keys.get('x'),
        () => client.keys.create(wanted),
        () => client.keys.list(),
        () => client.keys.delete('x'),
        () => client.freezes.get('x'),
        () => client.authorizeAll([QUESTION]),
      ])
        await fails(ask, JSON.stringify(body));
    }
  });

  it('waits for another try no longer than it is wanted', async () => {
    const client = clientOf({ urls: [pdp.url] });
    for (const end of [(controller: AbortController) => controller.abort(new Error('enough')), () => client.close()]) {
      const controller = new AbortController();
      const heard = new Promise<void>((resolve) => {
        pdp.behave = (...asked) => {
          fail(503, 'UNAVAILABLE', { 'retry-after': '30' })(...asked);
          setTimeout(resolve, 50);
        };
      });
      const asked = rejection(client.authorize(QUESTION, { signal: controller.signal }));
      await heard;
      end(controller);
      expect((await asked).message).to.be.oneOf(['enough', 'This client is closed.']);
    }
    expect(pdp.heard).to.have.length(2);
  });

  it('takes no answer to another request', async () => {
    const client = clientOf({ urls: [pdp.url] });
    pdp.behave = ({ body }, response) => reply(response, grant(body), 200, { 'x-request-id': 'of-another-key' });
    expect((await failure(client)).message).to.include('X-Request-Id');
    pdp.behave = ({ body, headers }, response) =>
      reply(response, grant(body), 200, { 'x-request-id': headers['x-request-id'] });
    expect((await client.authorize(QUESTION)).allowed).to.equal(true);
  });

  it('takes a decision on what was asked, whatever becomes of the question', async () => {
    const told: unknown[] = [];
    const client = clientOf({ urls: [pdp.url], onDecision: ({ question: { businessId } }) => told.push(businessId) });
    pdp.behave = ({ body }, response) => reply(response, grant(body));
    const question = { ...QUESTION, businessId: 'bakery' };
    const pending = client.authorize(question);
    question.businessId = 'garage';
    expect((await pending).Data.businessId).to.equal('bakery');
    expect(told).to.deep.equal(['bakery']);
    const plain = clientOf({ urls: [pdp.url] });
    for (const none of [null, [], 'x', { id: 1n }])
      for (const ask of [plain.authorize, plain.evaluate])
        expect(await rejection(ask(none as never))).to.be.instanceOf(BadQuestion);
    pdp.behave = (_heard, response) => reply(response, grant({ businessId: '42' }));
    expect(await rejection(client.authorize({ businessId: '42' } as never))).to.be.instanceOf(Unavailable);
  });

  it('takes no decision on another question', async () => {
    const client = clientOf({ urls: [pdp.url] });
    for (const other of [
      { ...QUESTION, action: 'call:read' },
      { ...QUESTION, businessId: '7' },
      { action: 'call:create' },
    ]) {
      pdp.behave = (_heard, response) => reply(response, grant(other));
      expect((await failure(client)).constructor).to.equal(Unavailable);
    }
    const decisions = (questions: readonly object[]) => (_heard: unknown, response: Parameters<typeof reply>[0]) =>
      reply(response, { Success: true, Code: 'OK', Message: 'x', Data: { decisions: questions.map(grant) } });
    const second = { ...QUESTION, businessId: '7' };
    for (const wrong of [[second, QUESTION], [QUESTION], [QUESTION, second, second], []]) {
      pdp.behave = decisions(wrong);
      expect(await rejection(client.authorizeAll([QUESTION, second]))).to.be.instanceOf(Unavailable);
    }
  });
});
