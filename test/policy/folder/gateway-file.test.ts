/** What gateway.yaml may say, and what not: each fault with its line and column; and that it counts in the digest and in differences. */

import { expect } from 'chai';
import { diffOf } from '../../../src/policy/analysis/diff.ts';
import { meaningOf, requestsOf } from '../../../src/policy/declared/gateway.ts';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import { collector, printFinding } from '../../../src/policy/folder/findings.ts';
import { parseGatewayFile } from '../../../src/policy/folder/gateway-file.ts';
import { compilePolicy } from '../../../src/policy/policy.ts';
import { schemaOf } from '../../../src/policy/schema.ts';
import { runToEnd } from '../../../src/policy/time-slices.ts';
import { shippedTexts, withFile } from '../texts.ts';

const FACTS = 'actions: { strict: false, known: { "call:read": Look, "call:create": Call } }';

function read(text: string, facts = FACTS) {
  const { report, all } = collector();
  const schema = schemaOf(parseFactsFile(facts, report));
  const gateway = runToEnd(parseGatewayFile(text, schema, report));
  return { gateway, found: all().map(printFinding) };
}
/** One route a line, each from column 5. */
const routes = (...each: readonly string[]): string => `routes:\n${each.map((one) => `  - { ${one} }\n`).join('')}`;
const READ = 'action: "call:read"';

describe('gateway.yaml', () => {
  it('maps methods and paths onto actions and businesses, in order', () => {
    const { gateway, found } = read(
      routes(
        `methods: [GET, POST], path: "/v1/{business}/calls/**", ${READ}, business: { parameter: business }`,
        `methods: any, path: "/v1/*/", ${READ}, business: { header: X-Business }`,
        `methods: [GET, HEAD, M-SEARCH], path: /, ${READ}, business:`,
        `methods: [HEAD], path: "/v2/calls:search", ${READ}`,
      ),
    );
    expect(found).to.deep.equal([]);
    expect(gateway.map((route) => [route.line, requestsOf(route), meaningOf(route)])).to.deep.equal([
      [2, 'GET,HEAD,POST /v1/{business}/calls/**', 'call:read of {business}'],
      [3, 'any /v1/*/', 'call:read of the header X-Business'],
      [4, 'GET,HEAD,M-SEARCH /', 'call:read'],
      [5, 'HEAD /v2/calls:search', 'call:read'],
    ]);
    for (const nothing of ['', '# nothing\n', 'routes:\n', 'routes: []\n']) {
      const none = read(nothing);
      expect([none.found, none.gateway], nothing).to.deep.equal([[], []]);
    }
  });

  it('names any action where there is no register', () => {
    const unregistered = routes('methods: any, path: /, action: "call:reed"');
    expect(read(unregistered, '{}').found).to.deep.equal([]);
  });

  const bad = (rest: string): string => routes(`methods: any, ${rest}`);
  const BAD: readonly (readonly [text: string, place: string, says: string])[] = [
    ['- /v1\n', '1:1', 'write routes: and below it a list'],
    ['routes: { a: b }\n', '1:9', 'write routes: and below it a list'],
    ['route: []\n', '1:8', 'nothing reads "route"; known are routes'],
    ['routes: [/v1]\n', '1:10', 'a route is a map of methods, path, action and business'],
    [routes(`methods: any, paths: /, path: /, ${READ}`), '2:28', 'nothing reads "paths"'],
    [routes(`path: /, ${READ}`), '2:5', 'write a list of 1-32 methods, such as [GET, POST], or any'],
    [routes(`methods: GET, path: /, ${READ}`), '2:16', 'write a list of 1-32 methods'],
    [routes(`methods: [], path: /, ${READ}`), '2:16', 'write a list of 1-32 methods'],
    [routes(`methods: [get], path: /, ${READ}`), '2:17', '"get" is no method; write it in upper case'],
    [routes(`methods: [POST, POST], path: /, ${READ}`), '2:23', 'POST stands twice'],
    [bad(READ), '2:5', 'write a path, such as /v1/businesses/{business}/**'],
    [bad(`path: v1, ${READ}`), '2:27', 'a path begins with a slash'],
    [bad(`path: /v1//calls, ${READ}`), '2:27', 'it has an empty segment'],
    [bad(`path: /v1/../calls, ${READ}`), '2:27', '".." is refused in requests'],
    [bad(`path: "/v1/**/calls", ${READ}`), '2:27', '** stands for all further segments, so it is the last'],
    [bad(`path: "/v1/**/", ${READ}`), '2:27', '** stands for all further segments, so it is the last'],
    [bad(`path: /v1/a%20b, ${READ}`), '2:27', 'write what it is when it is decoded'],
    [bad(`path: "/v1/a;b", ${READ}`), '2:27', '"a;b" is neither a literal'],
    [bad(`path: "/v1/a*", ${READ}`), '2:27', '"a*" is neither a literal'],
    [bad(`path: "/v1/{B}", ${READ}`), '2:27', '"{B}" is neither a literal'],
    [bad(`path: "/v1/café", ${READ}`), '2:27', 'is neither a literal'],
    [bad(`path: "/v1?x", ${READ}`), '2:27', 'is neither a literal'],
    [bad(`path: "/{a}/{a}", ${READ}`), '2:27', 'the parameter {a} stands twice'],
    [bad(`path: "${'/a'.repeat(65)}", ${READ}`), '2:27', 'at most 64 segments'],
    [bad('path: /'), '2:5', 'is no action'],
    [bad('path: /, action: calls'), '2:38', '"calls" is no action: lower-case words joined by colons'],
    [bad('path: /, action: "call:reed"'), '2:38', 'did you mean call:read?'],
    [bad(`path: "/{business}", ${READ}`), '2:5', 'the path has {business}: write business: {parameter: business}'],
    [
      bad(`path: "/{firm}", ${READ}, business: { parameter: frim }`),
      '2:82',
      'the path has no {frim}; did you mean firm?',
    ],
    [bad(`path: /, ${READ}, business: bakery`), '2:61', 'write {parameter: NAME} of the path, or {header: NAME}'],
    [bad(`path: /, ${READ}, business: { query: b }`), '2:61', 'write {parameter: NAME} of the path'],
    [
      bad(`path: "/{a}", ${READ}, business: { parameter: a, header: X-B }`),
      '2:66',
      'write {parameter: NAME} of the path',
    ],
    ...[
      'Authorization',
      'x-original-uri',
      'X-Forwarded-For',
      'Iqra-Caller',
      'X-Iqra-Business',
      'X Business',
      'X_B',
      '',
    ].map((name): [string, string, string] => [
      bad(`path: /, ${READ}, business: { header: "${name}" }`),
      '2:71',
      `${JSON.stringify(name)} can hold no business`,
    ]),
    ['routes: []\nroutes: []\n', '2:1', 'Map keys must be unique'],
  ];
  for (const [text, place, says] of BAD) {
    it(`may not say ${text
      .replace(/^routes:\n {2}- /, '')
      .trim()
      .slice(0, 70)}`, () => {
      const { found } = read(text);
      expect(found).to.have.length(1);
      expect(found[0]).to.include(says).and.to.include(`gateway.yaml:${place}: `);
    });
  }

  it('has at most 1000 routes', () => {
    const many = (count: number) =>
      read(routes(...Array.from({ length: count }, (_, index) => `methods: any, path: /${index}, ${READ}`)));
    const most = many(1000);
    expect([most.found, most.gateway.length]).to.deep.equal([[], 1000]);
    const more = many(1001);
    expect(more.gateway.length).to.equal(1000);
    expect(more.found).to.deep.equal([
      'gateway.yaml:2:3: there are 1001 routes; at most 1000 can be written [gateway]',
    ]);
  });

  describe('has no route that nothing gets to', () => {
    const HIDDEN: readonly (readonly [above: readonly string[], route: string, lines: string | undefined])[] = [
      [['any /**'], 'any /a', 'line 2'],
      [['any /a'], 'GET /a', 'line 2'],
      [['GET /a'], 'any /a', undefined],
      [['GET /a'], 'GET /A/', 'line 2'],
      [['GET /a'], 'HEAD /a', 'line 2'],
      [['HEAD /a'], 'GET /a', undefined],
      [['HEAD /a', 'GET /b'], 'GET /a', undefined],
      [['GET /{x}', 'POST /*'], 'GET,POST /a', 'lines 2, 3'],
      [['GET /{x}', 'POST /b'], 'GET,POST /a', undefined],
      [['GET /a/**'], 'GET /a', 'line 2'],
      [['GET /a/**'], 'GET /a/{x}/**', 'line 2'],
      [['GET /a/*'], 'GET /a/**', undefined],
      [['GET /a/b'], 'GET /a/*', undefined],
    ];
    const written = (text: string): string => {
      const [methods = '', path = ''] = text.split(' ');
      return `methods: ${methods === 'any' ? methods : `[${methods}]`}, path: "${path}", ${READ}`;
    };
    for (const [above, route, lines] of HIDDEN) {
      it(`${route} below ${above.join(' and ')}`, () => {
        const { found } = read(routes(...above.map(written), written(route)));
        expect(found).to.have.length(lines === undefined ? 0 : 1);
        if (lines !== undefined)
          expect(found[0]).to.match(
            new RegExp(
              `^gateway\\.yaml:${above.length + 2}:5: no request gets to \\S+ \\S+: ${lines} above it .* \\[unreachable-route\\]$`,
            ),
          );
      });
    }
  });

  it('counts in the digest, and is compared by diff: other meanings, routes of one of the two, and another order', async () => {
    const texts = await shippedTexts();
    const policyWith = (...each: readonly string[]) => {
      const { policy, findings } = compilePolicy(withFile(texts, 'gateway.yaml', routes(...each)));
      if (!policy) throw new Error(findings.map(printFinding).join('\n'));
      return policy;
    };
    const [A, B, C] = [
      `methods: [GET], path: "/a/*", ${READ}`,
      `methods: [POST], path: "/{b}/x", ${READ}, business: { parameter: b }`,
      `methods: any, path: "/c", ${READ}`,
    ];
    const [some, same, other, moved] = [
      policyWith(A, B),
      policyWith(A, B),
      policyWith(A.replace('read', 'create'), C),
      policyWith(B, A),
    ];
    expect(some.digest).to.equal(same.digest);
    expect(new Set([some.digest, other.digest, moved.digest]).size).to.equal(3);
    expect(diffOf(some, same)).to.deep.include({ equivalent: true, gateway: [] });
    expect(diffOf(some, other)).to.deep.include({
      equivalent: false,
      changes: [],
      gateway: [
        { name: 'GET,HEAD /a/*', old: 'call:read', new: 'call:create' },
        { name: 'POST /{b}/x', old: 'call:read of {b}', new: null },
        { name: 'any /c', old: null, new: 'call:read' },
      ],
    });
    expect(diffOf(some, moved)).to.deep.include({
      equivalent: false,
      gateway: [{ name: 'order', old: 'GET,HEAD /a/* before POST /{b}/x', new: 'POST /{b}/x before GET,HEAD /a/*' }],
    });
  });
});
