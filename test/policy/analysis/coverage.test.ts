/** The report on the cases: which fail, in which facts they differ from their base, and the branch coverage of the rows. */

import { expect } from 'chai';
import { type CaseReport, runCases } from '../../../src/policy/analysis/coverage.ts';
import type { PolicyTexts } from '../../../src/policy/folder/files.ts';
import { compilePolicy } from '../../../src/policy/policy.ts';
import { edited, shippedTexts, withFile } from '../texts.ts';

const CASES = `base:
  key: { id: k1, status: active, userManagement: false, environment: production }
  user: { id: u1, status: active, businesses: active }
  target: { id: b1, status: active, role: member, inRestriction: true }
  limit: { exceeded: false }
  request: { action: 'call:create' }
cases:
`;

async function report(texts: PolicyTexts): Promise<CaseReport> {
  const { policy, findings } = await compilePolicy(texts);
  return runCases(policy ?? expect.fail(findings[0]?.message ?? 'no policy'), texts);
}

/** The report of the shipped rows with these cases alone. */
async function reportOf(cases: string): Promise<CaseReport> {
  const texts = await withoutCases();
  return report(withFile(texts, 'cases/own.yaml', CASES + cases));
}

const sideOf = ({ rows }: CaseReport, rule: string): unknown => {
  const { matched, passed } = rows.find((row) => row.rule === rule) ?? expect.fail(`no row ${rule}`);
  return { matched, passed };
};

const withoutCases = async (): Promise<PolicyTexts> =>
  new Map([...(await shippedTexts())].filter(([name]) => !name.startsWith('cases/')));

describe('the report on the cases', () => {
  it('of the shipped folder: all hold, and cover both sides of every row', async () => {
    const { cases, findings, sides, percent } = await report(await shippedTexts());
    expect(cases.length).to.be.above(70);
    expect(cases.filter(({ holds }) => !holds)).to.deep.equal([]);
    expect(findings).to.deep.equal([]);
    expect(sides.covered).to.equal(sides.all).and.to.be.above(20);
    expect(percent).to.equal(100);
  });

  it('shows the wanted and the actual decision, and the facts that differ from the base', async () => {
    const { cases } = await reportOf(`  - name: an owner
    given: { target: { role: owner, inRestriction: true }, key: { status: revoked } }
    want: { effect: allow, code: OK, rule: allow-on-target }
`);
    expect(cases).to.deep.equal([
      {
        name: 'an owner',
        file: 'cases/own.yaml',
        line: 8,
        column: 5,
        holds: false,
        want: { effect: 'allow', code: 'OK', rule: 'allow-on-target' },
        got: { effect: 'deny', code: 'INVALID_API_KEY', rule: 'key-not-active' },
        facts: [
          { fact: 'r.key.status', base: 'active', given: 'revoked' },
          { fact: 'r.target.role', base: 'member', given: 'owner' },
        ],
      },
    ]);
  });

  it('fails a case for each part of the decision', async () => {
    for (const want of [
      '{ effect: deny, code: OK, rule: allow-on-target }',
      '{ effect: allow, code: RATE_LIMITED, rule: allow-on-target }',
      '{ effect: allow, code: OK, rule: allow-without-target }',
    ]) {
      const { cases } = await reportOf(`  - { name: x, want: ${want} }\n`);
      expect(cases.map(({ holds }) => holds)).to.deep.equal([false]);
    }
  });

  it('counts a row as matched where it decides, and as passed where its action matches and its rule is false', async () => {
    const one = await reportOf('  - { name: x, want: { effect: allow, code: OK, rule: allow-on-target } }\n');
    expect(sideOf(one, 'allow-on-target')).to.deep.equal({ matched: 1, passed: null });
    expect(sideOf(one, 'key-not-active')).to.deep.equal({ matched: 0, passed: 1 });
    // Its pattern does not match call:create, so neither side is counted.
    expect(sideOf(one, 'user-management-not-permitted')).to.deep.equal({ matched: 0, passed: 0 });

    const user = await reportOf(`  - name: x
    given: { request: { action: 'user:read' }, key: { userManagement: true } }
    want: { effect: allow, code: OK, rule: allow-on-target }
`);
    expect(sideOf(user, 'user-management-not-permitted')).to.deep.equal({ matched: 0, passed: 1 });

    const early = await reportOf(`  - name: x
    given: { key: { status: revoked } }
    want: { effect: deny, code: INVALID_API_KEY, rule: key-not-active }
`);
    expect(sideOf(early, 'key-not-active')).to.deep.equal({ matched: 1, passed: 0 });
    expect(sideOf(early, 'user-unknown')).to.deep.equal({ matched: 0, passed: 0 });
    const unreachable = early.rows.flatMap(({ matched, passed }) => [matched, passed]).filter((side) => side === null);
    expect(unreachable).not.to.deep.equal([]);
    expect(early.sides).to.deep.equal({ covered: 1, all: 2 * early.rows.length - unreachable.length });
  });

  it('leaves out sides that no situation can reach', async () => {
    const hidden = edited(
      await shippedTexts(),
      '10-api-key.csv',
      'p, user-unknown',
      'p, hidden, *, "r.key.status == \'revoked\'", deny, INVALID_API_KEY\np, user-unknown',
    );
    expect(sideOf(await report(hidden), 'hidden'))
      .to.deep.include({ matched: null })
      .and.not.include({ passed: 0 });
    expect((await report(hidden)).percent).to.equal(100);
  });

  it('counts all sides, and says so, where there are too many situations to prove which are unreachable', async () => {
    const names = Array.from({ length: 25 }, (_, index) => `a${index}`);
    const declared = `attributes: { user: { ${names.map((name) => `${name}: [x]`).join(', ')} } }`;
    const when = names.map((name) => `r.user.${name} == 'x'`).join(' && ');
    const row = `p, much, *, "${when}", deny, PERMISSION_DENIED\n`;
    const rich = edited(
      edited(await shippedTexts(), '90-allow.csv', 'p, allow-on', `${row}p, allow-on`),
      'facts.yaml',
      'actions:\n',
      `${declared}\nactions:\n`,
    );
    const { proved, rows, sides } = await report(rich);
    expect(proved).to.equal(false);
    expect(sides.all).to.equal(2 * rows.length);
    expect((await report(await shippedTexts())).proved).to.equal(true);
  });

  it('reports malformed cases as findings, and runs the others', async () => {
    const { cases, findings } = await reportOf(`  - { name: x }
  - { name: y, want: { effect: allow, code: OK, rule: allow-on-target } }
`);
    expect(findings.map(({ rule, line }) => [rule, line])).to.deep.equal([['case-shape', 8]]);
    expect(cases.map(({ name, holds }) => [name, holds])).to.deep.equal([['y', true]]);
  });

  it('of a folder without cases: a finding, and nothing covered', async () => {
    const texts = await withoutCases();
    expect(await report(texts)).to.deep.include({ cases: [], percent: 0 });
  });
});
