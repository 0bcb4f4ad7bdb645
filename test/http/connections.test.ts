/** The timeouts of a connection, how many there may be, and what each may cost. */

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { PassThrough } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'chai';
import { loadConfig } from '../../src/config.ts';
import { type HttpServer, listen } from '../../src/http/server.ts';
import { createLog } from '../../src/log.ts';
import type { Service } from '../../src/service.ts';
import { shippedPolicy } from '../policy/texts.ts';
import { metricsOfNothing } from '../support/metrics.ts';
import { eventually } from './process.ts';
import { askRaw, dial, expectFailure, type HeaderList, request, type Wire } from './wire.ts';

describe('a connection', () => {
  let server: HttpServer;
  let log: PassThrough;
  beforeEach(() => {
    log = new PassThrough();
  });
  afterEach(() => server.close());

  /** A server of which only the connections matter. Its callers are found when `found` resolves, and nothing else works but /openapi.json. */
  const serve = async (
    settings: Record<string, string> = {},
    limits: Parameters<typeof listen>[1] = {},
    found: Promise<unknown> = Promise.resolve(),
  ) => {
    const policy = await shippedPolicy();
    const service = {
      live: { policy: () => policy },
      config: loadConfig({ PORT: '0', ...settings }),
      log: createLog('warn', log),
      metrics: metricsOfNothing(),
      outdated: () => false,
      findCaller: Object.assign(() => found.then(() => ({ id: 'x', scopes: new Set(['authorize']) })), {
        known: () => undefined,
      }),
    };
    server = await listen(service as unknown as Service, limits);
  };
  const POST: HeaderList = [
    ['Authorization', 'Bearer x'],
    ['Content-Type', 'application/json'],
  ];
  const HEALTH = request('GET /healthz');
  const times = (count: number, bytes: Buffer): Buffer => Buffer.concat(Array<Buffer>(count).fill(bytes));

  it('is cut off when it sends nothing, half a head or half a body, or keeps quiet between requests', async () => {
    await serve(
      {},
      { headersTimeout: 100, requestTimeout: 200, keepAliveTimeout: 100, connectionsCheckingInterval: 20 },
    );
    const wires = await Promise.all([1, 2, 3, 4, 5].map(() => dial(server.address)));
    const [, halfAHead, halfABody, halfAChunk, quiet] = wires;
    halfAHead?.send('GET /healthz HTTP/1.1\r\nHost: te');
    halfABody?.send(request('POST /authorize', POST, '{"action"').subarray(0, -1));
    halfAChunk?.send(
      Buffer.concat([request('POST /authorize', [...POST, ['Transfer-Encoding', 'chunked']]), Buffer.from('9\r\n{')]),
    );
    quiet?.send(request('GET /healthz'));
    const [silence, ...replies] = await Promise.all(wires.map((wire) => wire.replies()));
    expect(silence?.length).to.be.below(2);
    const fourth = replies.pop();
    for (const reply of replies) {
      expect(reply).to.have.length(1);
      if (reply[0]) expectFailure(reply[0], 'INVALID_REQUEST');
    }
    expect(fourth?.map(({ status }) => status)).to.deep.equal([200]);
  });

  /** Shows a token; what it asks is no question. */
  const introduce = async (wire: Wire): Promise<void> => {
    const before = wire.text().length;
    wire.send(request('POST /authorize', POST, '{}'));
    await eventually(() => wire.text().slice(before).includes('INVALID_REQUEST'));
  };
  const isServed = async () => (await askRaw(server.address, 'GET /healthz').catch(() => undefined))?.status === 200;

  it('beyond MAX_CONNECTIONS is closed, where all others are of clients with a token, until one ends', async () => {
    await serve({ MAX_CONNECTIONS: '2' });
    const [first, second] = [await dial(server.address), await dial(server.address)];
    for (const wire of [first, second]) await introduce(wire);
    const third = await dial(server.address);
    third.send(HEALTH);
    expect(await third.replies()).to.deep.equal([]);
    await introduce(second);
    first.socket.end();
    await first.replies();
    await eventually(isServed);
  });

  it('beyond MAX_CONNECTIONS takes the place of the oldest that is idle and of nobody with a token', async () => {
    let find: () => void = () => undefined;
    const found = new Promise<void>((resolve) => {
      find = resolve;
    });
    await serve({ MAX_CONNECTIONS: '5' }, {}, found);
    const wires: Wire[] = [];
    const dialed = async (): Promise<Wire> => {
      const wire = await dial(server.address);
      wires.push(wire);
      return wire;
    };
    const inWork = await dialed();
    inWork.send(request('POST /authorize', POST, '{}'));
    const [silent, asked, halfAHead, last] = [await dialed(), await dialed(), await dialed(), await dialed()];
    asked.send(HEALTH);
    halfAHead.send('GET /');
    last.send(HEALTH);
    for (const wire of [asked, last]) await eventually(() => wire.text().includes('up.'));
    const newcomers: Wire[] = [];
    for (const victim of [silent, asked, halfAHead]) {
      newcomers.push(await dialed());
      await victim.replies();
      expect(wires.filter(({ socket }) => socket.closed)).to.deep.equal(wires.slice(1, 1 + newcomers.length));
    }
    find();
    await eventually(() => inWork.text().includes('INVALID_REQUEST'));
    await introduce(last);
    // Those with a token stay, whatever comes.
    for (let more = 0; more < 20; more += 1) await dialed();
    for (const wire of [inWork, last]) await introduce(wire);
    for (const wire of newcomers) await wire.replies();
  });

  it('beyond MAX_CONNECTIONS_PER_ADDRESS is closed, unless it is of a trusted proxy', async () => {
    await serve({ MAX_CONNECTIONS_PER_ADDRESS: '2' });
    const wires = [await dial(server.address), await dial(server.address)];
    const third = await dial(server.address);
    third.send(HEALTH);
    expect(await third.replies()).to.deep.equal([]);
    for (const wire of wires) {
      wire.send(HEALTH);
      await eventually(() => wire.text().includes('up.'));
    }
    wires[0]?.socket.end();
    await eventually(isServed);
    await server.close();

    await serve({ MAX_CONNECTIONS_PER_ADDRESS: '1', TRUSTED_PROXIES: '127.0.0.0/8' });
    const proxied = await Promise.all([1, 2, 3].map(() => dial(server.address)));
    for (const wire of proxied) {
      wire.send(HEALTH);
      await eventually(() => wire.text().includes('up.'));
    }
  });

  it('carries any number of questions, sixteen of them at once', async () => {
    await serve();
    const wire = await dial(server.address);
    for (let round = 1; round <= 20; round += 1) {
      wire.send(times(16, HEALTH));
      await eventually(() => wire.text().split('up.').length === 16 * round + 1);
    }
    wire.send(request('GET /healthz', [['Connection', 'close']]));
    expect(await wire.replies()).to.have.length(321);
  });

  it('ends behind the sixteenth of too many questions in one write, and the others are not even looked at', async () => {
    await serve();
    let seen = 0;
    const count = (): void => {
      seen += 1;
    };
    subscribe('http.server.request.start', count);
    const wire = await dial(server.address);
    wire.send(times(1700, HEALTH));
    const replies = await wire.replies();
    unsubscribe('http.server.request.start', count);
    expect(replies.map(({ status }) => status)).to.deep.equal(Array(16).fill(200));
    expect(replies.map(({ headers }) => headers.get('connection')).indexOf('close')).to.equal(15);
    expect(seen).to.equal(17);
  });

  it('that was ended is counted in the log by its kind, without who it was', async () => {
    await serve({ MAX_CONNECTIONS_PER_ADDRESS: '3' }, { stallTimeout: 400 });
    const wires = await Promise.all([1, 2, 3].map(() => dial(server.address)));
    for (const wire of wires) {
      wire.send(HEALTH);
      await eventually(() => wire.text().includes('up.'));
    }
    for (let more = 0; more < 2; more += 1) await (await dial(server.address)).replies();
    for (const { send } of wires) send(times(100, HEALTH));
    let lines = '';
    const count = (kind: string): number =>
      [...lines.matchAll(new RegExp(`"${kind}":(\\d+)`, 'g'))].reduce((sum, [, n]) => sum + Number(n), 0);
    await eventually(() => {
      lines += (log.read() as Buffer | null) ?? '';
      return count('pipelining') === 3 && count('crowded') === 2;
    });
    expect(count('unread')).to.equal(0);
    expect(lines).to.not.include('127.0.0.1');
  });

  describe('with questions in work', () => {
    let find: () => void;
    let wire: Wire;
    const question = (): Buffer => request('POST /authorize', POST, '{}');

    beforeEach(async () => {
      const found = new Promise<void>((resolve) => {
        find = resolve;
      });
      await serve({}, { headersTimeout: 100, connectionsCheckingInterval: 20 }, found);
      wire = await dial(server.address);
    });
    /** That the bytes sent so far were read shows in the answer to what another connection sent after them. */
    const read = () => askRaw(server.address, 'GET /healthz');
    const statuses = async () => (await wire.replies()).map(({ status }) => status);

    it('gets no seventeenth, whenever that comes, and ends behind the sixteenth', async () => {
      wire.send(times(16, question()));
      await read();
      wire.send(question());
      await read();
      for (let more = 0; more < 20; more += 1) wire.send(times(100, question()));
      await read();
      expect(wire.text()).to.equal('');
      find();
      expect(await statuses()).to.deep.equal(Array(16).fill(400));
    });

    it('ends behind answers that were made before the first one', async () => {
      wire.send(Buffer.concat([question(), times(15, HEALTH)]));
      await read();
      wire.send(times(5, HEALTH));
      await read();
      find();
      expect(await statuses()).to.deep.equal([400, ...Array(15).fill(200)]);
    });

    for (const [name, behind] of Object.entries({
      'what is not HTTP': 'hello\r\n\r\n',
      'half a head that times out': 'GET /healthz HTTP/1.1\r\nHost: te',
    })) {
      it(`answers them in their order before it ends because of ${name} behind them`, async () => {
        wire.send(Buffer.concat([question(), HEALTH, Buffer.from(behind)]));
        await read();
        await sleep(300);
        expect(wire.text()).to.equal('');
        find();
        expect(await statuses()).to.deep.equal([400, 200]);
      });
    }

    it('answers none of them out of turn when a body behind them cannot be read', async () => {
      wire.send(Buffer.concat([question(), request('POST /authorize', [...POST, ['Transfer-Encoding', 'chunked']])]));
      await read();
      wire.send('zz\r\n');
      expect(await statuses()).to.deep.equal([]);
    });
  });

  it('ends when its client reads none of its answers, and makes room for another one', async () => {
    await serve({ MAX_CONNECTIONS: '8' }, { stallTimeout: 200 });
    const wires = await Promise.all(Array.from({ length: 8 }, () => dial(server.address)));
    for (const { socket, send } of wires) {
      socket.pause();
      send(times(1000, request('GET /openapi.json')));
    }
    await eventually(isServed);
    for (const { socket } of wires) socket.resume();
    // It is reset where the client's own bytes were left unread, or had not been sent yet.
    for (const wire of wires)
      expect((wire.fault() as NodeJS.ErrnoException | undefined)?.code).to.be.oneOf([undefined, 'ECONNRESET', 'EPIPE']);
  });

  it('ends when its client never closes its side, and makes room for another one', async () => {
    await serve({ MAX_CONNECTIONS: '1' }, { headersTimeout: 100, connectionsCheckingInterval: 20 });
    const { hostname, port } = new URL(server.address);
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true });
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
    });
    socket.write(HEALTH);
    await eventually(() => text.includes('up.'));
    socket.write('hello\r\n\r\n');
    await once(socket, 'end');
    expect(text).to.include('HTTP/1.1 400 ');
    await eventually(isServed);
    expect(socket.writable).to.equal(true);
    socket.destroy();
  });

  it('stays while its client takes an answer slowly, and gives all of it', async () => {
    // Well above the pauses of the client, which a busy machine makes longer.
    const stallTimeout = 1000;
    await serve({}, { stallTimeout });
    const wire = await dial(server.address);
    const { socket } = wire;
    socket.on('data', () => {
      socket.pause();
      setTimeout(() => socket.resume(), 30);
    });
    const since = performance.now();
    wire.send(times(15, request('GET /openapi.json')));
    wire.send(request('GET /openapi.json', [['Connection', 'close']]));
    const replies = await wire.replies();
    expect(replies.map(({ status }) => status)).to.deep.equal(Array(16).fill(200));
    expect(performance.now() - since).to.be.above(stallTimeout);
  });
});
