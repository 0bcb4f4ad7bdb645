/**
 * The YAML of a policy folder: codes that would be an allow or a failure under another name, malformed cases, and YAML that
 * parsers read differently.
 */

import { expect } from 'chai';
import { FAILURES } from '../../../src/errors.ts';
import { valueAt } from '../../../src/policy/facts.ts';
import { parseCases } from '../../../src/policy/folder/cases.ts';
import { parseCodes } from '../../../src/policy/folder/codes.ts';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import type { PolicyTexts } from '../../../src/policy/folder/files.ts';
import type { Finding } from '../../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { BUILT_IN, schemaOf } from '../../../src/policy/schema.ts';
import { WITH_LATER_LIMIT } from '../../support/facts.ts';
import { edited, findingsOf, shippedTexts, withFile } from '../texts.ts';

const OK = 'OK: { status: 200, message: fine }\n';
const BASE = `base:
  key: { id: k1, status: active, userManagement: false, environment: production }
  user: { id: u1, status: active, businesses: active }
  target: { id: b1, status: active, role: member, inRestriction: true }
  limit: { exceeded: false }
  request: { action: 'call:create' }
`;
const WANT = 'want: { effect: allow, code: OK, rule: allow-on-target }';

/** The findings of a YAML file, as `line:column rule message`. */
function reported(read: (report: (finding: Finding) => void) => unknown): string[] {
  const findings: string[] = [];
  read(({ line, column, rule, message }) => findings.push(`${line}:${column} ${rule} ${message}`));
  return findings;
}

const ofCodes = (text: string): string[] => reported((report) => parseCodes(text, report));
const ofCases = (text: string): string[] => reported((report) => parseCases('cases/x.yaml', text, BUILT_IN, report));
const ofCase = (text: string): string[] => ofCases(`${BASE}cases:\n  - ${text.replaceAll('\n', '\n    ')}\n`);

describe('codes.yaml', () => {
  const refused: Readonly<Record<string, readonly [text: string, place: string, message: RegExp]>> = {
    'OK with another status': ['OK: { status: 403, message: fine }', '1:5 codes', /OK: its status is 200/],
    'no OK': ['X: { status: 403, message: no }', '1:1 codes', /OK is missing/],
    'a denial with status 200': [`${OK}X: { status: 200, message: no }`, '2:4 codes', /400 to 499/],
    'a denial with status 500': [`${OK}X: { status: 500, message: no }`, '2:4 codes', /400 to 499/],
    'a denial with a status in quotes': [`${OK}X: { status: '403', message: no }`, '2:4 codes', /400 to 499/],
    'a denial with half a status': [`${OK}X: { status: 403.5, message: no }`, '2:4 codes', /400 to 499/],
    'a denial without a status': [`${OK}X: { message: no }`, '2:4 codes', /400 to 499/],
    'a code without a message': [`${OK}X: { status: 403 }`, '2:4 codes', /message/],
    'an empty message': [`${OK}X: { status: 403, message: ' ' }`, '2:4 codes', /message/],
    'a message of 301 characters': [`${OK}X: { status: 403, message: ${'x'.repeat(301)} }`, '2:4 codes', /message/],
    'a message that an escape gives what cannot be seen': [
      `${OK}X: { status: 403, message: "a\\u202eb" }`,
      '2:4 codes',
      /can be seen/,
    ],
    'a message of two lines': [`${OK}X: { status: 403, message: "a\\nSet-Cookie: b" }`, '2:4 codes', /one line/],
    'a member that nothing reads': [
      `${OK}X: { status: 403, message: no, effect: allow }`,
      '2:4 codes',
      /nothing reads "effect"/,
    ],
    'the member __proto__': [
      `${OK}X: { __proto__: { status: 403 }, message: no }`,
      '2:4 codes',
      /nothing reads "__proto__"/,
    ],
    'a reason that nobody has': [
      `${OK}X: { status: 403, message: no, reason: key }`,
      '2:4 codes',
      /reason is one of user, target, freeze/,
    ],
    'a code in small letters': [`${OK}x: { status: 403, message: no }`, '2:4 codes', /upper-case/],
    'the code __proto__': [`${OK}__proto__: { status: 403, message: no }`, '2:12 codes', /upper-case/],
    'a code that is a number': [`${OK}403: { status: 403, message: no }`, '2:6 codes', /upper-case/],
    'a code that is no map': [`${OK}X: 403`, '2:4 codes', /write \{status/],
    'a list': ['- OK', '1:1 codes', /write a map/],
    nothing: ['', '1:1 codes', /write a map/],
    'a code twice': [
      `${OK}X: { status: 403, message: a }\nX: { status: 404, message: b }`,
      '3:1 yaml-syntax',
      /unique/,
    ],
    'a code twice, once in quotes': [`${OK}"OK": { status: 200, message: b }`, '2:1 yaml-syntax', /unique/],
    'a member twice': [`${OK}X: { status: 403, status: 404, message: b }`, '2:19 yaml-syntax', /unique/],
    'an alias': [`${OK}X: &x { status: 403, message: a }\nY: *x`, '3:4 yaml-syntax', /aliases/],
    'aliases that multiply': [
      `${OK}a: &a [x,x,x,x,x,x,x,x,x]\n${[...'bcdefghi'].map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(',')}]`).join('\n')}`,
      '3:8 yaml-syntax',
      /aliases/,
    ],
    'a tag': [`${OK}X: !!js/function 'return 1'`, '2:4 yaml-syntax', /Unresolved tag/],
    'two documents': [`${OK}---\n${OK}`, '2:1 yaml-syntax', /multiple documents/],
    'a bracket that is not closed': [`${OK}X: { status: 403`, '2:17 yaml-syntax', /Flow map/],
  };
  for (const [title, [text, place, message]] of Object.entries(refused)) {
    it(`is refused for ${title}`, () => {
      const [first] = ofCodes(text);
      expect(first)
        .to.match(message)
        .and.to.satisfy((found: string) => found.startsWith(`${place} `));
    });
  }

  it('is refused for each code of a failure', () => {
    for (const code of Object.keys(FAILURES)) {
      expect(ofCodes(`${OK}${code}: { status: 403, message: no }`)).to.have.lengthOf(1);
    }
  });

  it('is refused for a nesting of thousands, without a stack overflow', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{a: ', '}'],
      ['- ', ''],
      ['? ', ''],
    ] as const) {
      expect(ofCodes(`${OK}X:\n  ${open.repeat(5000)}${close.repeat(5000)}`)).not.to.deep.equal([]);
    }
  });
});

describe('a case', () => {
  const refused: Readonly<Record<string, readonly [text: string, message: RegExp]>> = {
    'without a name': [WANT, /has a name/],
    'without what it wants': ['name: n', /want is/],
    'that wants an effect only': ['name: n\nwant: { effect: deny }', /want is/],
    'that wants an effect of its own': ['name: n\nwant: { effect: Allow, code: OK, rule: x }', /want is/],
    'that wants something more': ['name: n\nwant: { effect: deny, code: X, rule: x, status: 403 }', /want is/],
    'that wants __proto__': ['name: n\nwant: { __proto__: { effect: allow, code: OK, rule: x } }', /want is/],
    'with a member that nothing reads': [`name: n\nwhen: {}\n${WANT}`, /nothing reads "when"/],
    'with a group of facts that there is not': [
      `name: n\ngiven: { keys: { status: revoked } }\n${WANT}`,
      /no facts of "keys"/,
    ],
    'with __proto__ for a group': [
      `name: n\ngiven: { __proto__: { limit: { exceeded: true } } }\n${WANT}`,
      /no facts of "__proto__"/,
    ],
    'with __proto__ for a fact': [
      `name: n\ngiven: { key: { __proto__: { status: revoked } } }\n${WANT}`,
      /key must hold exactly/,
    ],
    'with a fact that there is not': [`name: n\ngiven: { key: { state: revoked } }\n${WANT}`, /key must hold exactly/],
    'with a word of no enumeration': [
      `name: n\ngiven: { key: { status: revokd } }\n${WANT}`,
      /key.status is missing or of another type; it is one of active, expired, revoked, unknown$/,
    ],
    'with yes for true': [
      `name: n\ngiven: { limit: { exceeded: yes } }\n${WANT}`,
      /limit.exceeded is missing or of another type; it is true or false$/,
    ],
    'with a number for an id': [
      `name: n\ngiven: { key: { id: 42 } }\n${WANT}`,
      /key.id is missing or of another type; it is a text$/,
    ],
    'with true for a group': [`name: n\ngiven: { limit: true }\n${WANT}`, /given.limit is a map/],
    'with a list for a group': [`name: n\ngiven: { limit: [] }\n${WANT}`, /given.limit is a map/],
    'with nothing for a group': [`name: n\ngiven: { limit: }\n${WANT}`, /given.limit is a map/],
    'with nothing given': [`name: n\ngiven:\n${WANT}`, /given is a map/],
    'of facts that cannot occur': [`name: n\ngiven: { user: { status: unknown } }\n${WANT}`, /contradict each other/],
  };
  for (const [title, [text, message]] of Object.entries(refused)) {
    it(`${title} is refused with its line`, () => {
      const [finding, ...others] = ofCase(text);
      expect(others).to.deep.equal([]);
      expect(finding)
        .to.match(/^8:5 case-shape /)
        .and.to.match(message);
    });
  }

  it('that is well-formed is parsed', () => {
    expect(ofCase(`name: n\ngiven: { key: { status: revoked } }\n${WANT}`)).to.deep.equal([]);
  });

  it('is refused in a file of another shape', () => {
    for (const text of [
      '',
      '[]',
      BASE,
      `cases: []`,
      `${BASE}cases: {}`,
      `${BASE}cases: []\nmore: 1`,
      `base: []\ncases: []`,
    ]) {
      expect(ofCases(text), text).to.deep.equal(['1:1 case-shape a file of cases is {base: facts, cases: [..]}']);
    }
  });

  it('is refused on a base that is not facts', () => {
    for (const base of ['  limits: {}\n', '  __proto__: {}\n']) {
      expect(ofCases(`${BASE}${base}cases:\n  - { name: n, ${WANT} }`)[0]).to.match(
        /^9:5 case-shape there are no facts of/,
      );
    }
    expect(ofCases(`${BASE.replace('{ exceeded: false }', 'false')}cases:\n  - { name: n, ${WANT} }`)[0]).to.match(
      /base.limit is a map/,
    );
    expect(ofCases(`${BASE.replace(/ {2}limit.*\n/, '')}cases:\n  - { name: n, ${WANT} }`)[0]).to.match(
      /limit must hold exactly/,
    );
  });
});

describe('a case that was written before a fact came', () => {
  const older = BASE.replace(/^ {2}limit: .*\n/m, '');
  const cases = `cases:\n  - { name: n, ${WANT} }\n  - { name: m, given: { limit: { exceeded: true } }, ${WANT} }\n`;

  it('keeps its meaning: the fact has its default, in the case and in the base that it is told apart from', () => {
    expect(older).not.to.include('limit');
    const refused = (finding: Finding): never => expect.fail(finding.message);
    const read = parseCases('cases/x.yaml', `${older}${cases}`, WITH_LATER_LIMIT, refused);
    expect(read.map(({ facts }) => facts.limit.exceeded)).to.deep.equal([false, true]);
    expect(read.map(({ base }) => base['limit']?.['exceeded'])).to.deep.equal([false, false]);
    expect(ofCases(`${older}${cases}`)[0]).to.include('limit');
  });
});

describe('a base that says what is declared', () => {
  const attributes = { key: 'key: { can: { grants: [sms] } }', user: 'user: { plan: [free, pro] }' };
  const facts = `attributes: { ${attributes.key}, ${attributes.user} }\nnetworks: { office: ["203.0.113.0/24"] }\n`;
  const schema = schemaOf(parseFactsFile(facts, ({ message }) => expect.fail(message)));
  const base = BASE.replace('production }', 'production, can: { sms: true } }')
    .replace('businesses: active }', 'businesses: active, plan: pro }')
    .replace("'call:create' }", "'call:create', addressed: true }\n  network: { office: true }");
  const NO_USER = "user: { id: '', status: unknown }, target: { role: none }";

  /** The key's grant, the user's plan and the network of a case, or what is wrong with it. */
  function read(given: string, from = base): string {
    const faults: string[] = [];
    const text = `${from}cases:\n  - { name: n, given: { ${given} }, ${WANT} }\n`;
    const [one] = parseCases('cases/x.yaml', text, schema, ({ message }) => void faults.push(message));
    const of = (path: string): unknown => one && valueAt(one.facts, path);
    return one ? [of('r.key.can.sms'), of('r.user.plan'), of('r.network.office')].join() : faults.join();
  }

  it('says it of each case in which there is such a key, user or address, and of no other', () => {
    expect(read('')).to.equal('true,pro,true');
    expect(read('key: { status: revoked }')).to.equal('true,pro,true');
    expect(read(NO_USER)).to.equal('true,unknown,true');
    expect(
      read(
        `key: { id: '', status: unknown, environment: '' }, ${NO_USER.replace('none', 'none, inRestriction: false')}`,
      ),
    ).to.equal('false,unknown,true');
    expect(read('request: { addressed: false }')).to.equal('true,pro,false');
  });

  it('is refused where it, or the case itself, says it of what there is not', () => {
    expect(read(NO_USER.replace('unknown', 'unknown, plan: pro'))).to.include('no attribute is known');
    expect(read('request: { addressed: false }, network: { office: true }')).to.include('no network');
    expect(read('', base.replace(', addressed: true', ''))).to.include('what has no address lies in no network');
    const unknown = base.replace('id: u1, status: active', "id: '', status: unknown").replace('member', 'none');
    expect(read('', unknown)).to.include('no attribute is known');
  });
});

describe('the cases of a folder', () => {
  let texts: PolicyTexts;

  before(async () => {
    texts = await shippedTexts();
  });

  const withCase = (want: string): PolicyTexts =>
    withFile(texts, 'cases/x.yaml', `${BASE}cases:\n  - { name: my case, want: ${want} }\n`);

  it('must exist, or the folder is refused', async () => {
    const without = new Map([...texts].filter(([name]) => !name.startsWith('cases/')));
    expect(await findingsOf(without)).to.deep.equal(['cases:1:1 no-cases']);
    const empty = new Map(
      [...texts].map(([name, text]) => [name, name.startsWith('cases/') ? `${BASE}cases: []` : text]),
    );
    expect(await findingsOf(empty)).to.deep.equal(['cases:1:1 no-cases']);
  });

  it('must hold, or the folder is refused with the wanted and the actual decision, and the place', async () => {
    for (const want of [
      '{ effect: deny, code: OK, rule: allow-on-target }',
      '{ effect: allow, code: X, rule: allow-on-target }',
      '{ effect: allow, code: OK, rule: allow }',
    ]) {
      const { findings } = await buildPolicy(withCase(want));
      expect(findings.map(({ file, line, column, rule }) => `${file}:${line}:${column} ${rule}`)).to.deep.equal([
        'cases/x.yaml:8:5 case-fails',
      ]);
      expect(findings[0]?.message).to.match(/^my case: wanted .*, got allow OK by allow-on-target$/);
    }
  });

  it('fail where there is no decision, whatever they want', async () => {
    const undecided = edited(
      texts,
      '90-allow.csv',
      "r.target.status == 'active' && (",
      "r.target.status == 'none' && (",
    );
    const rules = (await buildPolicy(undecided)).findings.map(
      ({ file, rule, message }) => `${file} ${rule} ${message}`,
    );
    expect(
      rules.filter((finding) => /case-fails .*got a failure \(no row of the policy matches\)/.test(finding)),
    ).not.to.deep.equal([]);
    expect(rules.filter((finding) => /^90-allow.csv undecided/.test(finding))).to.have.lengthOf(1);
  });
});
