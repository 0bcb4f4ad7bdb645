/**
 * What was authorised is what arrived. Requests of all kinds of odd bytes go to each gateway over raw sockets. Whatever of them arrives
 * at the service behind names a decision of its own, which allowed just that: the action and the business that an oracle, which shares
 * nothing with the route map's code, reads from the very bytes that arrived. FC_SEED repeats a run; FC_RUNS lengthens it.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import type { GatewayName } from '../support/gateways.ts';
import { amount } from '../support/long.ts';
import type { Arrival } from './app.ts';
import { exchangeBytes } from './wire.ts';
import type { World } from './world.ts';

const SEED = Number(process.env['FC_SEED'] ?? Math.trunc(Math.random() * 2 ** 31));
/** Some leave a gateway waiting for the rest of them. What arrives later is checked with the next. */
const IDLE_MS = 300;
const RUNS = amount(40, 150, 2000) * Number(process.env['FC_RUNS'] ?? 1);

/** The first far more often than the others: most requests are odd in one or two things. */
const mostly = <T>(first: T, ...others: readonly T[]) =>
  fc.oneof({ weight: 10, arbitrary: fc.constant(first) }, { weight: 3, arbitrary: fc.constantFrom(first, ...others) });

const TARGETS = [
  ...['/v1/businesses/b1/calls', '/v1/businesses/b2/calls/7?a=b', '/v1/account/', '/v1/account/x/y', '/v1/reports/7'],
];
const ODD = [
  ...[
    '/',
    '//',
    '/.',
    '/..',
    '/./',
    '/../',
    '..%2f',
    '%2e%2e/',
    '%2f',
    '%5c',
    '\\',
    ';x',
    '%3b',
    '%00',
    '%0d%0a',
    '%61',
    '%c3%a9',
  ],
  ...[
    '\xc3\xa9',
    '%zz',
    '%',
    '%25',
    '?',
    '?q=/../x',
    '#f',
    ' ',
    '\t',
    '*',
    '|',
    '"',
    '<',
    'http://other',
    '@',
    ':80',
    '%20',
    '+',
    '~',
  ],
];

/** A target of the map, with odd pieces put anywhere into it. */
const target = fc
  .tuple(
    fc.constantFrom(...TARGETS),
    fc.array(fc.tuple(fc.constantFrom(...ODD), fc.nat(40)), { maxLength: 2 }),
    mostly('', 'http://other', 'http://api.example'),
  )
  .map(([base, pieces, before]) =>
    pieces.reduce((text, [piece, at]) => text.slice(0, at) + piece + text.slice(at), before + base),
  );

type Line = readonly [name: string, value: string];

const business = fc.oneof(
  { weight: 6, arbitrary: fc.constant<readonly Line[]>([]) },
  {
    weight: 4,
    arbitrary: fc.array(
      fc.tuple(
        mostly('X-Business', 'x_business', 'X-business '),
        fc.constantFrom('b1', 'b2', 'b3', 'b1, b3', '', 'b1\t'),
      ),
      { maxLength: 2 },
    ),
  },
);

const FORGERIES: readonly Line[] = [
  ...['X-Iqra-User', 'X-Iqra-Decision', 'x_iqra_key', 'Iqra-Caller', 'X-Original-URI', 'X-Forwarded-Uri'].map(
    (name): Line => [name, '/v1/account/'],
  ),
  ...['X-Iqra-User, X-Iqra-Decision', 'X-Business', 'Authorization', 'Iqra-Caller', 'keep-alive, X-Iqra-Key'].map(
    (value): Line => ['Connection', value],
  ),
  ...['X-HTTP-Method-Override', 'X-Original-Method', 'X-Forwarded-Method'].map((name): Line => [name, 'DELETE']),
  ...[
    ['Host', 'other'],
    ['Expect', '100-continue'],
    ['Upgrade', 'h2c'],
    ['Te', 'trailers'],
    ['Content-Length', '3'],
  ].map(([name = '', value = '']): Line => [name, value]),
];

/** Bytes of a request; `key` is put in place of KEY. */
const request = fc
  .record({
    method: mostly('GET', 'POST', 'HEAD', 'PUT', 'OPTIONS', 'TRACE', 'CONNECT', 'get', 'G\tET'),
    target,
    version: mostly('HTTP/1.1', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0'),
    host: mostly<readonly Line[]>(
      [['Host', 'api.example']],
      [],
      [
        ['Host', 'a'],
        ['Host', 'b'],
      ],
      [['Host', 'a/../b']],
    ),
    authorization: mostly<readonly Line[]>(
      [['Authorization', 'Token KEY']],
      [],
      [
        ['Authorization', 'Token x'],
        ['authorization', 'Token KEY'],
      ],
      [['Authorization', 'Token KEY, Token x']],
      [['Authorization ', 'Token KEY']],
    ),
    business,
    forged: fc.array(fc.constantFrom(...FORGERIES), { maxLength: 2 }),
    body: mostly(
      '\r\n',
      'Content-Length: 4\r\n\r\nbody',
      'Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n',
      'Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /v1/account/smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
      'Transfer-Encoding: xchunked\r\nContent-Length: 0\r\n\r\nGET /v1/account/smuggled HTTP/1.1\r\nHost: a\r\n\r\n',
      'X-Folded: a\r\n b\r\n\r\n',
      '\r\nGET /v1/account/second HTTP/1.1\r\nHost: a\r\nAuthorization: Token KEY\r\nConnection: close\r\n\r\n',
    ),
    ending: mostly<readonly Line[]>([['Connection', 'close']], []),
  })
  .map(({ method, target, version, host, authorization, business, forged, body, ending }) => {
    const lines = [...host, ...ending, ...authorization, ...business, ...forged].map(
      ([name, value]) => `${name}: ${value}`,
    );
    return `${[`${method} ${target} ${version}`, ...lines].join('\r\n')}\r\n${body}`;
  });

/** Is let through by every gateway. */
const PLAIN =
  'GET /v1/account/x/y HTTP/1.1\r\nHost: api.example\r\nConnection: close\r\nAuthorization: Token KEY\r\n\r\n';

/** Action and business of what arrived, by regular expressions over its target; undefined: nothing that the map knows. */
function expectedOf({
  method,
  target,
  headers,
}: Arrival): readonly [action: string, business: string | null] | undefined {
  const [path = ''] = target.split('?', 1);
  const [, ofCalls, below] = /^\/v1\/businesses\/([\w.-]+)\/calls(\/.*)?$/.exec(path) ?? [];
  const reads = method === 'GET' || method === 'HEAD';
  if (ofCalls !== undefined && method === 'POST' && below === undefined) return ['call:create', ofCalls];
  if (ofCalls !== undefined && reads) return ['call:read', ofCalls];
  if (/^\/v1\/account(\/.*)?$/.test(path)) return ['account:read', null];
  const named = headers.get('x-business') ?? [];
  if (reads && /^\/v1\/reports\/[^/]+$/.test(path) && named.length === 1) return ['report:read', named[0] ?? ''];
  return undefined;
}

/** Whether a service could read a path another way, decoding it once or twice, or resolving what looks like segments of it. */
function isPlain(target: string): boolean {
  const [path = ''] = target.split('?', 1);
  return (
    /^(?:\/(?:[\w.~!$&'()*+,=:@-]|%[\da-f]{2})*)+$/i.test(path) &&
    !/\/\/|\/\.{1,2}(?:\/|$)|%(?:2e|2f|5c|25|3b|[01][\da-f]|7f|[46][1-9a-f]|[57][\da])/i.test(path)
  );
}

export function describeArrivals(world: () => World): void {
  const seen = new Set<string>();
  const counts = new Map<GatewayName, number>();

  const check = async (arrival: Arrival, sent: string): Promise<void> => {
    const about = JSON.stringify({ sent, arrival: { ...arrival, headers: [...arrival.headers] } }, null, 1);
    const one = (name: string): string => {
      const values = arrival.headers.get(name) ?? [];
      expect(values.length, `${name} in ${about}`).to.be.at.most(1);
      return values[0] ?? '';
    };
    const id = one('x-iqra-decision');
    expect(id, about).to.match(/^[\da-f-]{36}$/);
    expect(seen.has(id), `the decision came twice: ${about}`).to.equal(false);
    seen.add(id);
    const row = await world().service.db('decisions').where({ id }).first();
    expect(row?.effect, about).to.equal('allow');
    expect(isPlain(arrival.target), about).to.equal(true);
    expect([row.action, row.business_id], about).to.deep.equal(expectedOf(arrival));
    expect([one('x-iqra-user'), one('x-iqra-key'), one('x-iqra-business')], about).to.deep.equal([
      row.user_id,
      row.api_key_id,
      row.business_id ?? '',
    ]);
    expect(one('authorization'), about).to.equal(`Token ${world().keys.good}`);
    const stray = /_|^iqra-|^x-(?:original|rewrite|http-method|method-override|forwarded-(?:uri|method))|^forwarded$/;
    expect(
      [...arrival.headers.keys()].filter((name) => stray.test(name)),
      about,
    ).to.deep.equal([]);
  };

  it(`send on nothing but what was authorised (seed ${SEED})`, async () => {
    const { gateways, app, keys } = world();
    app.arrived();
    await fc.assert(
      fc.asyncProperty(request, async (bytes) => {
        const sent = bytes.replaceAll('KEY', keys.good);
        for (const [name, { address }] of gateways) {
          await exchangeBytes(address, sent, IDLE_MS);
          for (const arrival of app.arrived()) {
            counts.set(name, (counts.get(name) ?? 0) + 1);
            await check(arrival, `${name}: ${bytes}`);
          }
        }
      }),
      { seed: SEED, numRuns: RUNS, examples: [[PLAIN]] },
    );
    // The test says something only if requests do arrive. Of the random ones few do, and by some seeds none.
    for (const name of gateways.keys()) expect(counts.get(name) ?? 0, name).to.be.above(0);
  });
}
