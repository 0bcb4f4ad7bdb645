/** What facts.yaml may not say: each fault with its line, its column, and what to write instead. */

import { expect } from 'chai';
import { NOTHING_DECLARED } from '../../../src/policy/declared/declaration.ts';
import { parseFactsFile } from '../../../src/policy/folder/facts-file.ts';
import { DECLARED_LIMITS } from '../../../src/policy/folder/facts-parts.ts';
import { LIMITS } from '../../../src/policy/folder/files.ts';
import { collector, printFinding } from '../../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { edited, findingsOf, shippedTexts, withFile } from '../texts.ts';

function read(text: string) {
  const { report, all } = collector();
  const declaration = parseFactsFile(text, report);
  return { declaration, found: all().map(printFinding) };
}

/** A text, and each of its findings as `line:column` and a part of the message. */
type Bad = readonly [text: string, ...found: string[]];

const user = (entries: string): string => `attributes:\n  user: { ${entries} }\n`;
const many = (count: number, of: (n: number) => string): string =>
  Array.from({ length: count }, (_, n) => of(n)).join('');
const CALLS = 'actions:\n  known: { "call:create": Start }\n';

const NAMES: readonly Bad[] = [
  [user('status: [a, b]'), '2:19 status is a built-in fact; give it another name'],
  [user('Plan: [a]'), '2:17 "Plan" is no name: a-z, 0-9 and _, beginning with a letter, at most 64'],
  [user('2fa: [a]'), '2:16 "2fa" is no name'],
  [user('a-b: [a]'), '2:16 "a-b" is no name'],
  [user('a.b: [a]'), '2:16 "a.b" is no name'],
  [user(`${'a'.repeat(65)}: [a]`), `2:78 "${'a'.repeat(65)}" is no name`],
  [user('__proto__: [a]'), '2:22 "__proto__" is no name'],
  [user('constructor: [a]'), '2:24 constructor is reserved; give it another name'],
  [user('can: { grants: [sms, constructor] }'), '2:32 constructor is reserved'],
  [user('can: { grants: [sms, __proto__] }'), '2:32 "__proto__" cannot stand here'],
  ['attributes:\n  users: { plan: [a] }\n', '2:10 nothing reads "users"; known are key, user, business'],
  ['__proto__:\n  x: 1\n', '2:3 nothing reads "__proto__"; known are attributes'],
  ['roles: [viewer, owner]\n', '1:17 the role owner is built in; leave it out'],
  ['roles: [none]\n', '1:9 the role none is built in'],
  ['roles: [constructor]\n', '1:9 constructor is reserved'],
  ['roles: [vi\u0435wer]\n', '1:9 "vi\u0435wer" cannot stand here'],
];

const VALUES: readonly Bad[] = [
  [user('plan: [pro, pro]'), '2:23 pro stands twice'],
  [user('plan: [pro, unknown]'), '2:23 unknown is what each attribute is where nothing is known; leave it out'],
  [user('plan: [pro, true]'), '2:23 true cannot stand here', 'put it in quotes if it is a text'],
  [user('plan: [pro, 7]'), '2:23 7 cannot stand here', 'put it in quotes if it is a text'],
  [user('plan: [pro, 0x10, 1e3]'), '2:23 16 cannot stand here', '2:29 1000 cannot stand here'],
  [user('plan: [pro, ~]'), '2:23 null cannot stand here'],
  [user('plan: []'), '2:17 attributes.user.plan is empty; declare what it can be'],
  [user('plan: pro'), '2:17 write boolean, a list of values'],
  [user('plan: boolean'), '2:17 an attribute is a list of values or {grants: [..]}; for yes and no'],
  [user('plan: { values: [a], grants: [b] }'), '2:17 write boolean'],
  [user('plan: { values: [a], withhold: true }'), '2:42 nothing reads "withhold"'],
  [user('plan: { values: [a], withholds: yes }'), '2:43 withholds is true or false'],
  [
    user(`plan: [${many(65, (n) => `v${n}, `)}]`),
    '2:17 attributes.user.plan has 65 entries; at most 64 can be declared',
  ],
  ['asked:\n  soft: yes\n', '2:9 write boolean'],
  ['asked:\n  soft: { grants: [a] }\n', '2:9 soft: what is asked is boolean or a list of values, not grants'],
  ['asked:\n  soft: { boolean: false }\n', '2:9 write boolean'],
];

const PLACES: readonly Bad[] = [
  [
    'networks:\n  office: [203.0.113.7/24]\n',
    '2:12 203.0.113.7/24 has bits set beyond its first 24; write 203.0.113.0/24',
  ],
  ['networks:\n  office: [203.0.113.0/24, 300.1.1.1/8]\n', '2:28 this is no IPv4 or IPv6 address'],
  ['networks:\n  office: [10]\n', '2:12 write a prefix in quotes'],
  ['networks:\n  office: { file: ../secrets.txt }\n', '2:19 office: a network file lies beside facts.yaml'],
  ['networks:\n  office: { file: /etc/hosts }\n', '2:19 office: a network file lies beside facts.yaml'],
  ['networks:\n  office: { file: cases/x.txt }\n', '2:19 office: a network file lies beside facts.yaml'],
  ['networks:\n  office: { prefixes: [], file: a.txt }\n', '2:11 write a list of prefixes'],
  [
    'schedules:\n  hours: { days: mon-fri, from: "08:00", to: "18:00", zone: Europe/Berlinn }\n',
    '2:61 hours: no time zone "Europe/Berlinn" is known here',
  ],
  ['schedules:\n  hours: { days: daily, zone: UTC, except: [2026-02-30] }\n', '2:45 hours: there is no 2026-02-30'],
];

const ACTIONS: readonly Bad[] = [
  [
    'actions:\n  known: { call: Start }\n',
    '2:18 "call" is no action: lower-case words joined by colons, such as call:create',
  ],
  ['actions:\n  known: { "Call:create": Start }\n', '2:27 "Call:create" is no action'],
  ['actions:\n  known: { "call:*": Start }\n', '2:22 "call:*" is no action'],
  ['actions:\n  known: { __proto__: Start }\n', '2:23 "__proto__" is no action'],
  ['actions:\n  known: { "call:create": }\n', '2:27 call:create: say in one line what it is'],
  ['actions:\n  known: { "call:create": [x] }\n', '2:27 call:create: say in one line what it is'],
  ['actions:\n  known: [ "call:create" ]\n', '2:10 actions.known is a map of action'],
  [
    `${CALLS}  groups: { reads: ["call:craete"] }\n`,
    '3:21 reads: call:craete is not in the register; add it to actions.known; did you mean call:create?',
  ],
  [`${CALLS}  groups: { Reads: ["call:create"] }\n`, '3:20 "Reads" is no name'],
  [`${CALLS}  groups: { reads: ["call:create", "call:create"] }\n`, '3:36 call:create stands twice'],
  ['actions:\n  strict: true\n', '2:11 a strict register without actions would allow nothing'],
  [`${CALLS}  strict: yes\n`, '3:11 strict is true or false'],
];

const YAML: readonly Bad[] = [
  [user('plan: [a], plan: [b]'), '2:22 Map keys must be unique: "plan" stands twice'],
  ['roles: [viewer]\nroles: [auditor]\n', '2:1 Map keys must be unique'],
  ['attributes: &a { user: { plan: [x] } }\nasked: *a\n', '2:8 write values out: aliases are not resolved here'],
  ['- a\n', '1:1 write a map of attributes, roles, networks, schedules, asked and actions'],
  ['7\n', '1:1 write a map'],
  ['attributes: 7\n', '1:13 attributes is a map of key, user, business'],
  ['attributes: !!js/function "x"\n', '1:13 Unresolved tag'],
  ['---\nroles: [a]\n---\nroles: [b]\n', '3:1 Source contains multiple documents'],
  ['? [a]\n: b\n', '1:3 a key is a plain text'],
  ['<<: { roles: [a] }\n', '1:5 nothing reads "<<"'],
  [`attributes: ${'['.repeat(70)}${']'.repeat(70)}\n`, '1:1 this nests too deep; write it flatter'],
  [`attributes:\n${many(300, (n) => `${' '.repeat(n)}a:\n`)}`, '1:1 this nests too deep'],
];

const COUNTS: readonly Bad[] = [
  [`roles: [${many(10_000, (n) => `v${n}, `)}]\n`, '1:8 roles has 10000 entries; at most 64 can be declared'],
  [
    `attributes:\n  user:\n${many(10_000, (n) => `    a${n}: [x]\n`)}`,
    '3:5 attributes.user has 10000 names; at most 64',
  ],
  [`networks:\n${many(65, (n) => `  n${n}: [10.0.0.0/8]\n`)}`, '2:3 networks has 65 names; at most 64'],
  [
    `actions:\n  known:\n${many(2001, (n) => `    "a:b${n}": Do\n`)}`,
    '3:5 2001 actions are known; at most 2000 can be',
  ],
];

describe('facts.yaml is refused for', () => {
  for (const [title, bad] of Object.entries({
    names: NAMES,
    values: VALUES,
    'networks and schedules': PLACES,
    actions: ACTIONS,
    YAML,
    'too much': COUNTS,
  })) {
    for (const [text, ...wanted] of bad) {
      it(`${title}: ${JSON.stringify(text).slice(0, 90)}`, () => {
        const { found } = read(text);
        const places = wanted.filter((one) => /^\d+:\d+ /.test(one));
        expect(found, found.join('\n')).to.have.lengthOf(places.length);
        for (const [index, one] of places.entries())
          expect(found[index]).to.satisfy(
            (said: string) => said.startsWith(`facts.yaml:${one.replace(' ', ': ')}`),
            one,
          );
        for (const part of wanted.filter((one) => !places.includes(one))) expect(found.join('\n')).to.include(part);
      });
    }
  }
});

describe('facts.yaml', () => {
  it('that says nothing declares nothing', () => {
    for (const text of ['', '# nothing\n', 'null\n', 'attributes:\n', 'roles:\n', 'actions:\n']) {
      const { declaration, found } = read(text);
      expect(found).to.deep.equal([]);
      expect(declaration).to.deep.equal(NOTHING_DECLARED);
    }
  });

  it('takes words that other YAML reads as yes and no, and dates, for texts', () => {
    const { declaration, found } = read(user('plan: [yes, no, on, 2026-12-25]'));
    expect(found).to.deep.equal([]);
    expect(declaration.attributes.user.get('plan')).to.deep.include({ values: ['yes', 'no', 'on', '2026-12-25'] });
  });

  it('may declare as much as the limits say', () => {
    const values = Array.from({ length: DECLARED_LIMITS.values }, (_, n) => `v${n}`);
    const { declaration, found } = read(user(`plan: [${values.join(', ')}]`));
    expect(found).to.deep.equal([]);
    expect(declaration.attributes.user.get('plan')).to.deep.include({ values });
  });

  it('over its size is refused before it is read', async () => {
    const texts = withFile(await shippedTexts(), 'facts.yaml', `# ${'x'.repeat(100)}\n`.repeat(LIMITS.yaml / 100));
    expect(await findingsOf(texts)).to.deep.equal(['facts.yaml:1:1 too-large']);
  });

  it('without an attribute that rows still use is refused at those rows, with the nearest name', async () => {
    const texts = edited(
      await shippedTexts(),
      'facts.yaml',
      'actions:\n',
      'attributes:\n  user: { plan: [pro] }\nactions:\n',
    );
    const withRow = withFile(
      texts,
      '50-plan.csv',
      'p, plan, sms:send, "r.user.plan != \'pro\'", deny, PERMISSION_DENIED\n',
    );
    expect(await findingsOf(withRow)).to.deep.equal([]);
    const { findings } = await buildPolicy(edited(withRow, 'facts.yaml', 'plan:', 'plans:'));
    expect(findings.map(printFinding).join('\n')).to.match(
      /^50-plan\.csv:1:21: there is no fact r\.user\.plan; .*did you mean r\.user\.plans\? \[unknown-fact\]$/,
    );
    expect(await findingsOf(edited(withRow, 'facts.yaml', '[pro]', '[max]'))).to.deep.equal([
      '50-plan.csv:1:36 rule-type',
    ]);
  });
});
