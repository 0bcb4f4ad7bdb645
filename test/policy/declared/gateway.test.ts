/**
 * Which route a request of a gateway has: tables of what is matched and what is refused; and properties over random routes and targets, held
 * against regular expressions that are made from the templates, and against readings of servers that are more lenient than we are.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import {
  businessOf,
  covers,
  type Gateway,
  parseTemplate,
  routeOf,
  type Template,
} from '../../../src/policy/declared/gateway.ts';
import { SEED, times } from '../texts.ts';

const templateOf = (text: string): Template => {
  const template = parseTemplate(text);
  if (typeof template === 'string') throw new Error(`${text}: ${template}`);
  return template;
};

/** `GET,HEAD /v1/calls/{call}`; `any` for all methods. Each route's action is its index. */
const gatewayOf = (...routes: readonly string[]): Gateway =>
  routes.map((text, index) => {
    const [methods = '', path = ''] = text.split(' ');
    return {
      methods: methods === 'any' ? undefined : new Set(methods.split(',')),
      template: templateOf(path),
      action: String(index),
      business: undefined,
      line: index + 1,
    };
  });

/** The index of the route, or the reason of a refusal. */
const found = (gateway: Gateway, method: string, target: string): number | string => {
  const routed = routeOf(gateway, method, target);
  return 'reason' in routed ? routed.reason : Number(routed.route.action);
};

describe('the route of a request', () => {
  const gateway = gatewayOf(
    'GET,HEAD /v1/calls/mine',
    'GET,HEAD /v1/calls/{call}',
    'any /v1/businesses/{business}/**',
    'POST /v1/calls/',
    'GET /',
    "GET /v1/it's.(a)~$1:b@c,d=+&!",
  );
  const TABLE: readonly (readonly [request: string, route: number | string])[] = [
    ['GET /v1/calls/mine', 0],
    ['HEAD /v1/calls/mine', 0],
    ['GET /v1/calls/7', 1],
    ['GET /v1/calls/7?a=/../;%00&%', 1],
    ['GET /v1/calls/a%20b%C3%A9', 1],
    ['GET /v1/calls/mine%3A', 1],
    ['DELETE /v1/calls/7', 'unmatched'],
    ['GET /v1/calls', 'unmatched'],
    ['GET /v1/calls/', 'unmatched'],
    ['POST /v1/calls/', 3],
    ['POST /v1/calls', 'ambiguous'],
    ['GET /v1/calls/7/', 'ambiguous'],
    ['GET /v1/calls/7/8', 'unmatched'],
    ['GET /v1/calls/MINE', 'ambiguous'],
    ['GET /V1/calls/7', 'ambiguous'],
    ['GET /v1/calls/mine.json', 'ambiguous'],
    ['GET /v1/calls/MINE.', 'ambiguous'],
    ['GET /v1/calls/mine.json/', 'ambiguous'],
    ['GET /v1/calls/mine.json/7', 'unmatched'],
    ['GET /v1/calls/7.json', 1],
    ['GET /v1/calls/mined', 1],
    ['POST /v1/calls.json', 'ambiguous'],
    ['GET /v1/businesses.json', 'unmatched'],
    ['GET /v1/call%C5%BF/7', 'ambiguous'],
    ['GET /v1/businesses/b', 2],
    ['PURGE /v1/businesses/b/', 2],
    ['PATCH /v1/businesses/b/c/d/', 2],
    ['GET /v1/businesses', 'unmatched'],
    ['GET /v1/businesses/', 'unmatched'],
    ['GET /', 4],
    ['GET /?x', 4],
    ['GET ', 'malformed'],
    ['GET ?x', 'malformed'],
    ['GET v1/calls/7', 'malformed'],
    ['GET *', 'malformed'],
    ['GET http://h/v1/calls/7', 'malformed'],
    ['GET //h/v1/calls/7', 'ambiguous'],
    ['GET /v1/calls/7#x', 'malformed'],
    ['GET /v1/calls/\u00e9', 'malformed'],
    ['GET /v1/calls/7\t', 'malformed'],
    ['GET /v1/calls/7?\u0000', 'malformed'],
    [`GET /v1/calls/${'7'.repeat(8192 - 10)}`, 1],
    [`GET /v1/calls/${'7'.repeat(8192 - 9)}`, 'malformed'],
    ['get /v1/calls/7', 'malformed'],
    [' /v1/calls/7', 'malformed'],
    ["GET /v1/it's.(a)~$1:b@c,d=+&!", 5],
    ["GET /v1/it's.(a)~%241%3Ab%40c%2Cd%3D%2B%26%21", 5],
    // What RFC 3986 has in no path.
    ...['"', '<', '>', '[', ']', '^', '`', '{', '|', '}'].map((each): [string, string] => [
      `GET /v1/calls/${each}`,
      'ambiguous',
    ]),
    ...['.', '..', '%2e', '%2E%2e', '.%2e', '%252e', '%25', '', '%', '%2', '%2g', '%ff', '%c0%af', '%ED%A0%80'].map(
      (each): [string, string] => [`GET /v1/businesses/${each}/x`, 'ambiguous'],
    ),
    ...[
      '%2f',
      '%2F',
      '%5c',
      '\\',
      ';',
      '%3b',
      '%3B',
      '%00',
      '%0a',
      '%1f',
      '%7f',
      '%C2%85',
      '%61',
      '%41',
      '%39',
      '%5F',
      '%7E',
      '%2D',
    ].map((each): [string, string] => [`GET /v1/calls/a${each}b`, 'ambiguous']),
  ];
  for (const [request, route] of TABLE) {
    const at = request.indexOf(' ');
    it(`${JSON.stringify(request.slice(0, 60))} is ${route}`, () =>
      expect(found(gateway, request.slice(0, at), request.slice(at + 1))).to.equal(route));
  }

  it('has a sentence for the client in each refusal, without anything of the request', () => {
    for (const [request] of TABLE) {
      const at = request.indexOf(' ');
      const routed = routeOf(gateway, request.slice(0, at), request.slice(at + 1));
      if ('says' in routed)
        expect(routed.says)
          .to.match(/^[A-Z][ -~]{20,200}\.$/)
          .and.to.not.include('/v1');
    }
  });

  it('has the business of a parameter, decoded; what is no id is refused', () => {
    const [route] = gatewayOf('GET /{a}/{business}');
    if (!route) throw new Error('no route');
    const read = (path: string) => {
      const routed = routeOf([{ ...route, business: { parameter: 'business' } }], 'GET', path);
      if ('reason' in routed) return routed.reason;
      const business = businessOf(routed, expect.fail);
      return 'reason' in business ? business.reason : business.id;
    };
    expect(read('/x/b1')).to.equal('b1');
    expect(read('/x/b:1._-')).to.equal('b:1._-');
    expect(read('/x/b%3A1')).to.equal('b:1');
    expect(read(`/x/${'b'.repeat(64)}`)).to.equal('b'.repeat(64));
    for (const no of [`${'b'.repeat(65)}`, 'b%20', 'b@c', 'b%C3%A9', `iqra_${'a'.repeat(36)}`])
      expect(read(`/x/${no}`), no).to.equal('business');
  });

  it('has the business of a header, where that is there once', () => {
    const [route] = gatewayOf('GET /');
    if (!route) throw new Error('no route');
    const routed = routeOf([{ ...route, business: { header: 'X-Business' } }], 'GET', '/');
    if ('reason' in routed) throw new Error(routed.reason);
    const read = (...values: string[]) => {
      const business = businessOf(routed, (name) => (name === 'X-Business' ? values : expect.fail()));
      return 'reason' in business ? business.reason : business.id;
    };
    expect(read('b1')).to.equal('b1');
    for (const no of [[], ['b1', 'b1'], [''], ['b1, b2'], ['..']]) expect(read(...no), no.join()).to.equal('business');
  });
});

const PIECES = ['a', 'b', 'admin', 'admin.json', 'x:y'];
const templates = fc
  .tuple(fc.array(fc.constantFrom(...PIECES, 'A', '*', '{p}'), { maxLength: 3 }), fc.constantFrom('', '', '/', '/**'))
  .map(([parts, end]) =>
    `/${parts.map((part, index) => (part === '{p}' ? `{p${index}}` : part)).join('/')}${end}`.replace('//', '/'),
  );
const gateways = fc.array(
  fc.tuple(fc.constantFrom('GET', 'POST', 'GET,POST', 'any'), templates).map((both) => both.join(' ')),
  { minLength: 1, maxLength: 5 },
);
const plainTargets = fc
  .tuple(
    fc.array(fc.constantFrom(...PIECES, 'A', 'ADMIN', 'x%3Ay', '%C3%A9', 'b%20'), { maxLength: 4 }),
    fc.constantFrom('', '/'),
  )
  .map(([parts, end]) => `/${parts.join('/')}${parts.length > 0 ? end : ''}`);
const TRICKS = [
  '',
  '.',
  '..',
  '%2e%2e',
  '..;',
  'a;b',
  '%2f',
  '..%2f',
  '%5c',
  '\\',
  '%61dmin',
  '%2561dmin',
  '%00',
  '%ff',
  '%',
  'b#',
  '\u00e9',
  '%C2%85',
  'admin%09',
  '"',
];
const trickyTargets = fc
  .tuple(
    fc.array(fc.oneof(fc.constantFrom(...PIECES, ...TRICKS), fc.string({ maxLength: 4 })), { maxLength: 5 }),
    fc.constantFrom('/', '', '//'),
    fc.constantFrom('', '?q=/../a', '/', '/.', ' '),
  )
  .map(([parts, start, end]) => start + parts.join('/') + end);

/** The template as a regular expression over a decoded path, from its grammar. `ending`: what may follow the last part. */
function patternOf(text: string, flags = '', ending = ''): RegExp {
  const escaped = (literal: string): string => literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  const open = text.endsWith('/**');
  const parts = (open ? text.slice(0, -3) : text)
    .split('/')
    .map((part) => (/^(?:\*|\{.*\})$/.test(part) ? '[^/]+' : escaped(part)));
  return new RegExp(`^${parts.join('/')}(?:${open ? '/.*|' : ''}${ending})?$`, flags);
}
/** The same without case, a slash at the end, and an ending of the last part. */
const lenientOf = (text: string): RegExp =>
  text === '/' ? patternOf(text) : patternOf(text.replace(/\/$/, ''), 'iu', '\\.[^/]*');
const methodFits = (route: string, method: string): boolean =>
  /^any /.test(route) || (route.split(' ')[0] ?? '').split(',').includes(method);
const pathIn = (route: string): string => route.split(' ')[1] ?? '';

/** By another way than ours: the first route whose pattern the decoded path meets, unless an earlier one would without case and last slash. */
function expectedOf(routes: readonly string[], method: string, path: string): number | string {
  const decoded = decodeURIComponent(path);
  const bare = decoded.length > 1 ? decoded.replace(/\/$/, '') : decoded;
  for (const [index, route] of routes.entries()) {
    if (!methodFits(route, method)) continue;
    if (patternOf(pathIn(route)).test(decoded)) return index;
    if (lenientOf(pathIn(route)).test(bare)) return 'ambiguous';
  }
  return 'unmatched';
}

/** How servers and proxies are known to read a path, each as it could. */
const READINGS: readonly ((path: string) => string)[] = [
  (path) => path,
  (path) => path.toLowerCase(),
  (path) => path.replace(/(.)\/+$/, '$1'),
  (path) => path.replace(/\/{2,}/g, '/'),
  (path) => path.replace(/;[^/]*/g, ''),
  (path) => path.replaceAll('\\', '/'),
  (path) => decodeLoosely(path),
  (path) => decodeLoosely(decodeLoosely(path)),
  (path) => new URL(`http://h${path.startsWith('/') ? path : `/${path}`}`).pathname,
  (path) => decodeLoosely(new URL(`http://h${path}`).pathname),
  (path) => new URL(`http://h${decodeLoosely(path).replace(/^\/{2,}/, '/')}`).pathname,
  (path) => path.replace(/([^/])\.\w+$/, '$1'),
  (path) => path.split(/%00|\0/)[0] ?? '',
];
const decodeLoosely = (text: string): string =>
  text.replace(/(?:%[0-9a-f]{2})+/gi, (bytes) => Buffer.from(bytes.replaceAll('%', ''), 'hex').toString());

describe(`gateways of random routes (seed ${SEED})`, () => {
  it('have exactly the route that the patterns have, of plain targets', () =>
    fc.assert(
      fc.property(gateways, fc.constantFrom('GET', 'POST', 'HEAD'), plainTargets, (routes, method, target) => {
        expect(found(gatewayOf(...routes), method, target), `${method} ${target}`).to.equal(
          expectedOf(routes, method, target),
        );
      }),
      times(2000),
    ));

  it('refuse any other target, or have the route that the patterns have', () => {
    let matched = 0;
    fc.assert(
      fc.property(gateways, fc.oneof(trickyTargets, plainTargets), (routes, target) => {
        const route = found(gatewayOf(...routes), 'GET', target);
        if (typeof route === 'string') return;
        matched += 1;
        expect(route).to.equal(expectedOf(routes, 'GET', target.split('?')[0] ?? ''));
      }),
      times(2000),
    );
    expect(matched).to.be.above(100);
  });

  it('never take a request for that of a later route than a server of another reading would', () => {
    fc.assert(
      fc.property(gateways, fc.oneof(trickyTargets, plainTargets), (routes, target) => {
        const route = found(gatewayOf(...routes), 'GET', target);
        if (typeof route === 'string') return;
        const path = target.split('?')[0] ?? '';
        for (const read of READINGS) {
          const seen = decodeLoosely(read(path));
          const first = routes.findIndex((each) => methodFits(each, 'GET') && patternOf(pathIn(each), 'i').test(seen));
          // Who compares without case, or takes away a slash, may find none; an earlier one nobody does.
          if (first !== -1) expect(first, `${path} read as ${seen}`).to.be.at.least(route);
        }
      }),
      times(2000),
    );
  });

  it('have a template cover another exactly where it meets all of its paths', () => {
    const all = ['', 'a', 'b', 'admin', 'admin.json', 'x:y', 'other'];
    const paths = all.flatMap((one) =>
      all.flatMap((two) =>
        all.flatMap((three) =>
          ['', '/z', '/z/z'].map((end) => `/${[one, two, three].filter(Boolean).join('/')}${end}`.replace('//', '/')),
        ),
      ),
    );
    fc.assert(
      fc.property(templates, templates, (outer, inner) => {
        const meeting = paths.filter((path) => lenientOf(inner).test(path));
        expect(covers(templateOf(outer), templateOf(inner))).to.equal(
          meeting.every((path) => lenientOf(outer).test(path)),
        );
      }),
      times(1000),
    );
  });
});
