/** The catalogue of findings: each rule is found by some edit of the shipped folder, and has its section in the documents. */

import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'chai';
import { createToken } from '../../../src/credentials/token.ts';
import { LIMITS, type PolicyTexts } from '../../../src/policy/folder/files.ts';
import { FINDING_RULES, type Finding, type FindingRule, printFinding } from '../../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../../src/policy/policy.ts';
import { ROOT } from '../../support/cli.ts';
import { edited, findingsOf, shippedTexts, withFile } from '../texts.ts';

type Edit = (texts: PolicyTexts) => PolicyTexts;

const KEY = createToken('apiKey');
const LIMIT = 'p, limit-exceeded, *, "r.limit.exceeded", deny, RATE_LIMITED';
const replace =
  (file: string, from: string, to: string): Edit =>
  (texts) =>
    edited(texts, file, from, to);
const limit = (to: string): Edit => replace('20-limit.csv', LIMIT, to);
const put =
  (file: string, text: string | undefined): Edit =>
  (texts) =>
    withFile(texts, file, text);
const without =
  (kind: RegExp): Edit =>
  (texts) =>
    new Map([...texts].filter(([name]) => !kind.test(name)));
const invariant = (rest: string): Edit =>
  replace('invariants.yaml', 'invariants:\n', `invariants:\n  - { name: n, ${rest} }\n`);

/** Rows that cannot be proved without all combinations of what they list. */
const NAMES = Array.from({ length: 25 }, (_, n) => `a${n}`);
/** One that is seen at once to combine too much; the others take all of the budget first. */
const MULTIPLYING = `p, x, *, "${NAMES.map((name) => `r.user.${name} == 'x'`).join(' && ')}", deny, RATE_LIMITED`;
const MANY_ATTRIBUTES = `attributes: { user: { ${NAMES.map((name) => `${name}: [x]`).join(', ')} } }\nactions:\n`;

/** A register of which no row's pattern but `*` matches an action. */
const register = (strict: string): string => `actions: { strict: ${strict}, known: { 'call:create': Start a call } }`;

/** For each rule an edit that provokes it, and the place of its finding; undeclared-value is found in a database alone. */
const PROVOKED: Readonly<Record<Exclude<FindingRule, 'undeclared-value'>, readonly [edit: Edit, place: string]>> = {
  'missing-file': [put('codes.yaml', undefined), 'codes.yaml:1:1'],
  'unknown-file': [put('limit.csv', LIMIT), 'limit.csv:1:1'],
  'link-outside': [put('../NOTES.md', ''), 'NOTES.md:1:1'],
  secret: [limit(`${LIMIT}\n# key ${KEY}`), '20-limit.csv:3:7'],
  'too-large': [limit(`${LIMIT}\n#${'x'.repeat(LIMITS.line)}`), '20-limit.csv:3:1'],
  'too-many-findings': [limit(`${LIMIT}\n${'q\n'.repeat(2000)}`), '20-limit.csv:1003:1'],
  'unseen-character': [limit(`# \u202e\n${LIMIT}`), '20-limit.csv:2:3'],
  'not-utf-8': [limit(`${LIMIT}\n# f\ufffdr`), '20-limit.csv:3:4'],
  model: [put('model.conf', ''), 'model.conf:1:1'],
  'no-rows': [without(/\.csv$/), 'model.conf:1:1'],
  'row-syntax': [limit(LIMIT.replace('exceeded"', 'exceeded')), '20-limit.csv:2:1'],
  'row-shape': [limit(LIMIT.replace('p,', 'P,')), '20-limit.csv:2:1'],
  'row-action': [limit(LIMIT.replace('*', 'user*')), '20-limit.csv:2:20'],
  'row-effect': [limit(LIMIT.replace('deny', 'dney')), '20-limit.csv:2:43'],
  'unknown-code': [limit(LIMIT.replace('RATE_', 'RATES_')), '20-limit.csv:2:49'],
  'duplicate-id': [limit(`${LIMIT}\n${LIMIT}`), '20-limit.csv:3:1'],
  'unknown-fact': [limit(LIMIT.replace('.exceeded"', '.exceed"')), '20-limit.csv:2:24'],
  'rule-type': [limit(LIMIT.replace('r.limit.exceeded', "r.key.status == 'x'")), '20-limit.csv:2:40'],
  'rule-syntax': [limit(LIMIT.replace('r.limit.exceeded', 'true) || (true')), '20-limit.csv:2:28'],
  'forbidden-syntax': [limit(LIMIT.replace('r.limit.exceeded', 'constructor')), '20-limit.csv:2:24'],
  'row-never-matches': [
    limit(`${LIMIT}\np, x, call:*, "keyMatch(r.request.action, 'user:*')", deny, RATE_LIMITED`),
    '20-limit.csv:3:1',
  ],
  'row-hidden': [limit(`${LIMIT}\np, x, call:*, "r.limit.exceeded", deny, RATE_LIMITED`), '20-limit.csv:3:1'],
  undecided: [replace('90-allow.csv', "r.target.status == 'none'", 'r.key.userManagement'), '90-allow.csv:3:1'],
  'forbidden-allow': [put('05-x.csv', 'p, x, *, "r.key.status == \'expired\'", allow, OK'), '05-x.csv:1:1'],
  'ignorance-grants': [
    (texts) =>
      put(
        'facts.yaml',
        'attributes:\n  user: { plan: [free, pro] }\n',
      )(put('80-plan.csv', `p, free, *, "r.user.plan == 'free'", deny, PERMISSION_DENIED`)(texts)),
    '80-plan.csv:1:1',
  ],
  'too-many-situations': [
    (texts) => put('19-x.csv', MULTIPLYING)(edited(texts, 'facts.yaml', 'actions:\n', MANY_ATTRIBUTES)),
    '19-x.csv:1:1',
  ],
  facts: [put('facts.yaml', 'attributes:\n  user: { status: [a, b] }\n'), 'facts.yaml:2:19'],
  names: [put('names.yaml', 'actions:\n  read: records\n'), 'names.yaml:2:9'],
  gateway: [put('gateway.yaml', 'routes:\n  - { methods: [GET], path: /a, action: calls }\n'), 'gateway.yaml:2:41'],
  'unreachable-route': [
    put(
      'gateway.yaml',
      'routes:\n  - { methods: any, path: "/**", action: "call:read" }\n  - { methods: [GET], path: /a, action: "call:read" }\n',
    ),
    'gateway.yaml:3:5',
  ],
  'unknown-action': [put('facts.yaml', register('true')), '30-permission.csv:3:1'],
  'unregistered-action': [put('facts.yaml', register('false')), '30-permission.csv:3:1'],
  prefix: [
    (texts) =>
      withFile(
        edited(texts, 'facts.yaml', 'actions:\n', 'networks:\n  blocked: { file: blocked.txt }\nactions:\n'),
        'blocked.txt',
        '# from the provider\n203.0.113.0/24\n\n  203.0.113.7/24 # one\n',
      ),
    'blocked.txt:4:3',
  ],
  codes: [replace('codes.yaml', 'status: 429', 'status: 500'), 'codes.yaml:14:3'],
  'unused-code': [
    replace('codes.yaml', 'RATE_LIMITED:', 'X:\n  status: 403\n  message: no\nRATE_LIMITED:'),
    'codes.yaml:14:3',
  ],
  'yaml-syntax': [replace('codes.yaml', 'USER_DISABLED:', 'OK:'), 'codes.yaml:9:1'],
  'no-cases': [without(/^cases\//), 'cases:1:1'],
  'case-shape': [put('cases/x.yaml', 'cases: []'), 'cases/x.yaml:1:1'],
  'case-fails': [replace('20-limit.csv', 'r.limit.exceeded', '!r.limit.exceeded'), 'cases/order.yaml:76:5'],
  'no-invariants': [put('invariants.yaml', 'invariants: []'), 'invariants.yaml:1:1'],
  'invariant-shape': [invariant('never: allow'), 'invariants.yaml:7:5'],
  'invariant-violated': [invariant("actions: 'call:create', never: allow"), 'invariants.yaml:7:5'],
  'invariant-vacuous': [
    invariant(`when: "r.key.status == 'unknown' && r.key.userManagement", never: allow`),
    'invariants.yaml:7:5',
  ],
};

describe('each finding', function () {
  this.timeout(60_000);

  let texts: PolicyTexts;

  before(async () => {
    texts = await shippedTexts();
  });

  for (const [rule, [edit, place]] of Object.entries(PROVOKED)) {
    it(`${rule} is found, with its place`, async () => {
      const { findings, advice } = await buildPolicy(edit(texts));
      const places = [...findings, ...advice]
        .filter((finding) => finding.rule === rule)
        .map(({ file, line, column }) => `${file}:${line}:${column}`);
      expect(places, findings.map(printFinding).slice(0, 5).join('\n')).to.include(place);
    });
  }

  it('has a section in the documents, and each section is of a rule', () => {
    const page = readFileSync(path.join(ROOT, 'docs', 'policy-findings.md'), 'utf8');
    const sections = [...page.matchAll(/^### (.*)$/gm)].map(([, title]) => title);
    expect(sections).to.have.members(Object.keys(FINDING_RULES));
    expect(new Set(sections).size).to.equal(sections.length);
  });

  it('of an allow under a freeze is there without a row for freezes', async () => {
    const { findings } = await buildPolicy(withFile(texts, '35-freeze.csv', undefined));
    expect(findings.map(({ rule, message }) => [rule, message.includes('"freeze":{"active":true}')])).to.deep.include([
      'forbidden-allow',
      true,
    ]);
  });

  it('say nothing of ignorance about a target that there is not', async () => {
    const row = `p, x, account:*, "r.user.id == 'q' || (r.target.status == 'none' && r.target.region == 'eu')", deny, PERMISSION_DENIED`;
    const facts = 'attributes: { business: { region: [eu, us] } }';
    expect(await findingsOf(put('80-x.csv', row)(put('facts.yaml', facts)(await shippedTexts())))).to.deep.equal([]);
  });

  it('say of ignorance that grants which fact it is about, and in which direction', async () => {
    const said = async (facts: string, when: string): Promise<string[]> => {
      const row = `p, x, report:read, "${when}", deny, PERMISSION_DENIED`;
      const edit = put('80-x.csv', row)(put('facts.yaml', facts)(await shippedTexts()));
      const { findings } = await buildPolicy(edit);
      return findings.map(({ message }) => message.replace(/, in \d+ class.*?}};/, ':'));
    };
    const plan = 'attributes: { user: { plan: [free, pro] } }';
    const payment = 'attributes: { user: { payment: { values: [overdue], withholds: true } } }';
    const asked = 'asked: { soft: boolean }';
    const blocked = 'networks: { blocked: ["203.0.113.0/24"] }';
    const nobody = 'nobody may gain by what is not known: deny both';
    const or = ', or say `withholds: true` in facts.yaml where it is meant to take away';
    expect(await said(plan, "r.user.plan == 'free'")).to.deep.equal([
      `where r.user.plan == 'free', this row denies what is allowed where r.user.plan == 'unknown': ${nobody}${or}`,
    ]);
    expect(await said(asked, 'r.asked.soft')).to.deep.equal([
      `where r.asked.soft, this row denies what is allowed where !r.asked.soft: ${nobody}${or}`,
    ]);
    expect(await said(payment, "r.user.payment != 'overdue'")).to.deep.equal([
      "where r.user.payment == 'unknown', this row denies what is allowed where r.user.payment == 'overdue': facts.yaml says that it withholds: deny both, or take `withholds: true` away",
    ]);
    expect(await said(blocked, 'r.network.blocked')).to.include(
      `where r.network.blocked, this row denies what is allowed where the address is left out: ${nobody}${or}`,
    );
    expect(await said('', 'r.request.addressed')).to.deep.equal([
      `where r.request.addressed, this row denies what is allowed where the address is left out: ${nobody}`,
    ]);
  });

  it('of a hidden row names the rows that hide it', async () => {
    const { findings } = await buildPolicy(PROVOKED['row-hidden'][0](texts));
    expect(findings.find(({ rule }) => rule === 'row-hidden')?.message).to.contain('limit-exceeded (20-limit.csv:2)');
  });

  it('about an invariant has the situation and the row that break it', async () => {
    const { findings } = await buildPolicy(PROVOKED['invariant-violated'][0](texts));
    expect(findings.map(({ message }) => message)).to.satisfy(
      ([first]: string[]) =>
        /^n: violated by allow OK of the row allow-on-target \(90-allow.csv:3\)/.test(first ?? '') &&
        first?.includes('"action":"call:create"'),
    );
  });

  it('is printed on one line, with control characters escaped', () => {
    const finding: Finding = { file: 'a\u001b[2K', line: 1, column: 1, rule: 'case-fails', message: 'x\ny\u202ez' };
    expect(printFinding(finding)).to.equal('a\\u{1b}[2K:1:1: x\\u{a}y\\u{202e}z [case-fails]');
  });
});
