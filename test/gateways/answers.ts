/** What each real gateway passes on, and what it shows its client for each answer of the service. */

import { connect as connectHttp2 } from 'node:http2';
import { text } from 'node:stream/consumers';
import { expect } from 'chai';
import type { Gateway } from '../support/gateways.ts';
import { type Arrival, FROM_APP } from './app.ts';
import type { Column, Table } from './table.ts';
import { type Answer, type Asked, askGateway, bytesOf, cellOf, exchangeBytes } from './wire.ts';
import type { World } from './world.ts';

export const CALLS = '/v1/businesses/b1/calls';

/** What a client says to pass for somebody else, to be taken for the gateway, or to have its request taken for another. */
export const FORGED = [
  ...['X-Iqra-User', 'x-iqra-key', 'X-IQRA-Business', 'X-Iqra-Decision', 'X_Iqra_User', 'X-Iqra_User', 'x_iqra-key'],
  ...['Iqra-Caller', 'X-Original-Method', 'X-Original-URI', 'X-Original-URL', 'X-Rewrite-URL'],
  ...['X-HTTP-Method', 'X-HTTP-Method-Override', 'X-Method-Override', 'Forwarded'],
  ...['X-Forwarded-For', 'X-Forwarded-Host', 'X-Forwarded-Proto', 'X-Forwarded-Method', 'X-Forwarded-Uri'],
  ...['X-Forwarded-Prefix', 'X-HTTP-Method_Override', 'X_HTTP_Method', 'X_Method-Override', 'SCRIPT_NAME', 'PATH_INFO'],
].map((name) => [name, 'forged'] as const);

/** Names of which servers make that of another header: each is allowed by RFC 9110. */
export const ODD_NAMES = [...".!#$%&'*+^`|~"].map((mark) => [`X${mark}Iqra${mark}User`, 'forged'] as const);

/** Paths that a service may read another way than a gateway, or iqra-authz. */
export const TRICKS = [
  ...[
    '/v1/account/..%2fbusinesses/b1/calls',
    '/v1/account/%2e%2e/reports/1',
    '/v1/account/../reports/1',
    '/v1//account/',
  ],
  ...[
    '//v1/account/',
    '/v1/./account/',
    '/v1/account/a%00b',
    '/v1/account/a;x=1',
    '/v1/account/a%3bx',
    '/v1/%61ccount/',
  ],
  ...['/v1/account/a%5cb', '/v1/account/a\\b', '/V1/account/', '/v1/account/%zz', '/v1/account/%252e%252e/x'],
  ...['/v1/account/a%0ab', 'v1/account/', '*', '/nothing/of/the/map'],
];

export const namesWith = (headers: ReadonlyMap<string, readonly string[]>, text: string): string[] =>
  [...headers].filter(([, values]) => values.some((value) => value.includes(text))).map(([name]) => name);

/** The single one that has arrived. */
function theArrival({ app }: World): Arrival {
  const all = app.arrived();
  expect(all.length, JSON.stringify(all)).to.equal(1);
  return all[0] as Arrival;
}

/** Expects the answer of the table's row, that it is JSON of ours where it says so, and that nothing has arrived. */
export function expectRow(world: World, table: Table, row: string, column: Column, answer: Answer): void {
  expect(cellOf(answer), `${row}: ${answer.body}`).to.equal(table.get(row)?.get(column));
  expect(world.app.arrived(), row).to.deep.equal([]);
  expect(JSON.stringify([...answer.headers]) + answer.body).to.not.include(world.caller);
  if (!cellOf(answer).includes('_')) return;
  expect(Object.keys(JSON.parse(answer.body))).to.deep.equal(['Success', 'Code', 'Message']);
}

export function describeAnswers(world: () => World, gateway: () => Gateway, table: Table): void {
  const ask = (asked: Asked): Promise<Answer> => askGateway(gateway().address, asked);
  const expects = async (row: string, asked: Asked): Promise<Answer> => {
    const answer = await ask(asked);
    expectRow(world(), table, row, gateway().name, answer);
    return answer;
  };

  it('passes on what is allowed, with who it is, and nothing that the client says of that', async () => {
    const { keys, goodKeyId, caller, service } = world();
    const answer = await ask({ target: `${CALLS}?q=1&r=%2F`, key: keys.good, headers: [...FORGED, ...ODD_NAMES] });
    expect([answer.status, answer.body]).to.deep.equal([200, FROM_APP]);
    const { method, target, headers } = theArrival(world());
    expect([method, target]).to.deep.equal(['GET', `${CALLS}?q=1&r=%2F`]);
    expect(headers.get('x-iqra-user')).to.deep.equal(['u1']);
    expect(headers.get('x-iqra-key')).to.deep.equal([goodKeyId]);
    expect(headers.get('x-iqra-business')).to.deep.equal(['b1']);
    const [id] = headers.get('x-iqra-decision') ?? [];
    const row = await service.db('decisions').where({ id }).first('action', 'business_id', 'effect');
    expect(row).to.deep.equal({ action: 'call:read', business_id: 'b1', effect: 'allow' });
    expect(namesWith(headers, 'forged')).to.deep.equal([]);
    expect(namesWith(headers, caller)).to.deep.equal([]);
  });

  it('says that there is no business where a route has none', async () => {
    await ask({ target: '/v1/account/', key: world().keys.good, headers: [['X-Iqra-Business', 'forged']] });
    expect(theArrival(world()).headers.get('x-iqra-business')?.join() ?? '').to.equal('');
  });

  it('refuses a client without a key that is valid, as the service behind would', async () => {
    const answer = await expects('the key is missing or not valid', { target: CALLS, key: world().keys.unknown });
    expect(answer.headers.get('www-authenticate')).to.equal('Token');
    await expects('the key is missing or not valid', { target: CALLS });
  });

  it('refuses what is denied, and hands on the code', async () => {
    await expects('it is denied', { target: '/v1/businesses/b3/calls', key: world().keys.good });
    const answer = await ask({ target: CALLS, key: world().keys.disabled });
    expect(cellOf(answer)).to.equal('403 USER_DISABLED');
  });

  it('refuses a key over its limit with 429, and hands on when to come again', async () => {
    const { keys } = world();
    const answer = await expects('the key is over its rate limit', { target: CALLS, key: keys.limited });
    expect(Number(answer.headers.get('retry-after'))).to.be.within(1, 3600);
  });

  it('answers HEAD without a body', async () => {
    const { keys } = world();
    const answer = await ask({ method: 'HEAD', target: CALLS, key: keys.unknown });
    expect([answer.status, answer.body]).to.deep.equal([401, '']);
    expect((await ask({ method: 'HEAD', target: CALLS, key: keys.good })).status).to.equal(200);
    expect(theArrival(world()).method).to.equal('HEAD');
  });

  it('refuses two Authorization headers', async () => {
    const { good, unknown } = world().keys;
    for (const [first, second] of [
      [good, unknown],
      [unknown, good],
      [good, good],
    ] as const) {
      const headers = [['Authorization', `Token ${second}`]] as const;
      await expects('there are two Authorization headers', { target: CALLS, key: first, headers });
    }
  });

  it('decides by the business that the service behind reads', async () => {
    const { keys } = world();
    const withBusiness = (...values: string[]): Promise<Answer> =>
      ask({ target: '/v1/reports/1', key: keys.good, headers: values.map((value) => ['X-Business', value] as const) });
    expect((await withBusiness('b2')).status).to.equal(200);
    const { headers } = theArrival(world());
    expect([headers.get('x-business'), headers.get('x-iqra-business')]).to.deep.equal([['b2'], ['b2']]);
    for (const values of [[], ['b3'], ['b3', 'b1'], ['b1, b3'], ['']]) {
      expect((await withBusiness(...values)).status, values.join('+')).to.equal(403);
      expect(world().app.arrived()).to.deep.equal([]);
    }
    // Two that differ: refused, or both read the same one.
    const { status } = await withBusiness('b1', 'b3');
    const [arrival] = world().app.arrived();
    if (status === 200) expect(arrival?.headers.get('x-business')).to.deep.equal(['b1']);
    else expect([status, arrival]).to.deep.equal([403, undefined]);
  });

  it('passes a body on as it is, in chunks too, and shows none of it to iqra-authz', async () => {
    const { keys, front } = world();
    const body = 'a body, '.repeat(12_500);
    await front.behave('through');
    for (const chunks of [undefined, 7000]) {
      const asked = { method: 'POST', target: CALLS, key: keys.good, body, ...(chunks && { chunks }) };
      expect((await ask(asked)).status).to.equal(200);
      expect(theArrival(world()).body === body, `with chunks of ${chunks}`).to.equal(true);
    }
    expect(front.received()).to.include('/gateway/').and.to.not.include('a body');
  });

  it('passes on long headers as they are, or refuses them', async () => {
    const { keys } = world();
    for (const length of [7000, 8192, 9000, 40_000]) {
      const value = 'x'.repeat(length);
      const { status } = await ask({ target: CALLS, key: keys.good, headers: [['X-Long', value]] });
      const [arrival] = world().app.arrived();
      if (length === 7000 || status === 200) expect(arrival?.headers.get('x-long')?.[0]?.length).to.equal(length);
      else expect([status >= 400, arrival], `${status}`).to.deep.equal([true, undefined]);
    }
  });

  it('hands on no upgrade but that to WebSocket, and nothing that has a header removed further on', async () => {
    const { keys } = world();
    const handedOn = async (...headers: (readonly [string, string])[]): Promise<Arrival['headers'] | undefined> => {
      // Where Caddy speaks HTTP/2 without TLS, it takes the connection over itself, and never closes it.
      await exchangeBytes(gateway().address, bytesOf({ target: CALLS, key: keys.good, headers }), 1000);
      return world().app.arrived()[0]?.headers;
    };
    for (const upgrades of [['h2c'], ['websocket, h2c'], ['websocket', 'h2c'], ['h2c', 'websocket'], ['TLS/1.0']]) {
      const lines = upgrades.map((upgrade) => ['Upgrade', upgrade] as const);
      const headers = await handedOn(
        ['Connection', 'Upgrade, HTTP2-Settings'],
        ['HTTP2-Settings', 'AAMAAABk'],
        ...lines,
      );
      expect(headers?.get('upgrade') ?? ['websocket'], upgrades.join('+')).to.deep.equal(['websocket']);
    }
    const [connection, upgrade] = [['Connection', 'keep-alive, Upgrade, X-Iqra-Key'] as const, 'WebSocket'];
    const websocket = await handedOn(
      connection,
      ['Upgrade', upgrade],
      ...([
        ['Sec-WebSocket-Version', '13'],
        ['Sec-WebSocket-Key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
      ] as const),
    );
    expect(websocket?.get('x-iqra-key')).to.deep.equal([world().goodKeyId]);
    // Configured so, nginx asks for none.
    const expected = gateway().name === 'nginx' ? undefined : ['websocket'];
    expect([websocket?.get('upgrade'), websocket?.get('connection')?.join().toLowerCase()]).to.deep.equal([
      expected,
      expected && 'upgrade',
    ]);
    const named = await handedOn(['Connection', 'X-Iqra-User, X-Iqra-Business']);
    expect([named?.get('x-iqra-user'), named?.get('x-iqra-business')]).to.deep.equal([['u1'], ['b1']]);
    expect(named?.get('connection')?.join() ?? '').to.not.match(/iqra/i);
  });

  it('leaves the answers of the service behind as they are', async () => {
    for (const status of [401, 403, 429, 500, 502, 503]) {
      const asked = { target: CALLS, key: world().keys.good, headers: [['X-Answer', String(status)] as const] };
      const answer = await ask(asked);
      expect([answer.status, answer.body]).to.deep.equal([status, FROM_APP]);
      expect(answer.headers.get('www-authenticate')).to.equal(status === 401 ? 'App' : null);
    }
    expect(world().app.arrived().length).to.equal(6);
  });

  it('refuses each path that can be read in two ways, or is not in the map', async () => {
    for (const target of TRICKS) {
      const { status } = await ask({ target: Buffer.from(target).toString('latin1'), key: world().keys.good });
      expect([status >= 400 && status < 500, world().app.arrived()], `${target}: ${status}`).to.deep.equal([true, []]);
    }
    const row = 'no route of gateway.yaml matches, or the path is ambiguous';
    await expects(row, { target: '/nothing/of/the/map', key: world().keys.good });
    await expects(row, { target: '/v1/account/a;x=1', key: world().keys.good });
  });

  it('sends on the path alone of a request for an absolute URL', async () => {
    const { status } = await ask({ target: 'http://api.example/v1/account/?q=1', key: world().keys.good });
    expect(status).to.equal(200);
    expect(theArrival(world()).target).to.equal('/v1/account/?q=1');
  });

  it('does the same where clients speak HTTP/2', async () => {
    const { keys, goodKeyId } = world();
    const forged = Object.fromEntries(FORGED.map(([name, value]) => [name.toLowerCase(), value]));
    const allowed = await overHttp2(gateway(), {
      ':path': `${CALLS}?q=1`,
      authorization: `Token ${keys.good}`,
      ...forged,
    });
    expect([allowed.status, allowed.body]).to.deep.equal([200, FROM_APP]);
    const { target, headers } = theArrival(world());
    expect([target, headers.get('x-iqra-key')]).to.deep.equal([`${CALLS}?q=1`, [goodKeyId]]);
    expect(namesWith(headers, 'forged')).to.deep.equal([]);
    const limited = await overHttp2(gateway(), { ':path': CALLS, authorization: `Token ${keys.limited}` });
    expectRow(world(), table, 'the key is over its rate limit', gateway().name, limited);
    for (const path of TRICKS.filter((trick) => /^[!-~]+$/.test(trick))) {
      const { status } = await overHttp2(gateway(), { ':path': path, authorization: `Token ${keys.good}` });
      expect([status === 200, world().app.arrived()], `${path}: ${status}`).to.deep.equal([false, []]);
    }
  });
}

/** One request on a connection of its own. Status 0: the stream was reset, or the connection closed. */
async function overHttp2({ http2 }: Gateway, headers: Readonly<Record<string, string>>): Promise<Answer> {
  const session = connectHttp2(http2);
  try {
    const stream = session.request(headers);
    const answered = new Promise<Record<string, unknown>>((resolve, reject) => {
      stream.once('response', resolve).once('error', reject);
      session.once('error', reject);
      stream.once('close', () => reject(new Error('no answer')));
    });
    const { ':status': status, ...rest } = await answered;
    const plain = Object.entries(rest).filter(([name]) => typeof name === 'string');
    return {
      status: Number(status),
      headers: new Headers(plain.map(([name, value]): [string, string] => [name, String(value)])),
      body: await text(stream),
    };
  } catch {
    return { status: 0, headers: new Headers(), body: '' };
  } finally {
    session.destroy();
  }
}
