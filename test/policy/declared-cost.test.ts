/** What a policy that declares much costs to check: counted, as the budgets are, and not timed. */

import { expect } from 'chai';
import { MAX_BUDGET, newBudget } from '../../src/policy/analysis/budget.ts';
import { OverBound } from '../../src/policy/analysis/classes.ts';
import { diffOf } from '../../src/policy/analysis/diff.ts';
import { prove } from '../../src/policy/analysis/proofs.ts';
import { tableOf } from '../../src/policy/analysis/table.ts';
import { createMatcher } from '../../src/policy/casbin/matcher.ts';
import type { Policy } from '../../src/policy/decide.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { type Finding, printFinding } from '../../src/policy/folder/findings.ts';
import { parseInvariants } from '../../src/policy/folder/invariants.ts';
import { buildPolicy, compilePolicy } from '../../src/policy/policy.ts';
import { amount } from '../support/long.ts';
import { declaredLarge } from './declared-large.ts';
import { edited, shippedTexts, withFile } from './texts.ts';

function compiled(texts: PolicyTexts): Policy {
  const { policy, findings } = compilePolicy(texts);
  return policy ?? expect.fail(findings[0] ? printFinding(findings[0]) : 'no policy');
}

describe('a policy with 20 attributes, 10 networks of 10,000 prefixes and 5 schedules in rows for every action', () => {
  let texts: PolicyTexts;
  before(async () => {
    texts = declaredLarge(await shippedTexts());
  });

  it('is checked for a small part of the budget, and found sound', async () => {
    const { policy, findings } = await buildPolicy(texts);
    expect(findings.map(printFinding)).to.deep.equal([]);
    const { rows, schema, codes } = policy ?? expect.fail('no policy');
    expect(schema.networks.ranges).to.be.above(100_000);
    const budget = newBudget();
    const invariants = parseInvariants(texts.get('invariants.yaml'), schema, codes, ({ message }) =>
      expect.fail(message),
    );
    for (const _ of prove(
      createMatcher(rows, schema),
      rows,
      invariants,
      ({ message }) => expect.fail(message),
      budget,
    ));
    console.log(`      ${((100 * budget.spent) / MAX_BUDGET).toFixed(1)} % of the budget`);
    expect(budget.spent).to.be.below(MAX_BUDGET / 10);
  });

  it('has a table, and a difference to an edit of a rule, of a network, and of a schedule', async () => {
    const texts = declaredLarge(await shippedTexts(), amount(5, 10, 20));
    const policy = compiled(texts);
    expect(tableOf(policy).rows.map(({ situations }) => situations)).not.to.include(0);
    const edits = [
      edited(texts, '50-declared.csv', "r.user.tier4 == 'low'", "r.user.tier4 == 'middle'"),
      withFile(texts, 'net3.txt', `${texts.get('net3.txt')}99.0.0.0/8\n`),
      edited(texts, 'facts.yaml', 'from: "06:00"', 'from: "06:01"'),
    ];
    for (const edit of edits.slice(0, amount(1, 1, 3)))
      expect(diffOf(policy, compiled(edit)).changes).not.to.deep.equal([]);
  });
});

describe('a policy that combines too much', () => {
  const numbers = (count: number): number[] => [...Array(count).keys()];
  const attributes = Object.fromEntries(numbers(40).map((n) => [`a${n}`, ['x', 'y']]));
  const denial = (id: string, when: string): string => `p, ${id}, *, "${when}", deny, PERMISSION_DENIED\n`;
  const has = (n: number): string => `r.user.a${n} == 'x'`;
  const withRows = async (rows: string): Promise<PolicyTexts> =>
    new Map([
      ...(await shippedTexts()),
      ['facts.yaml', JSON.stringify({ attributes: { user: attributes } }, null, 1)],
      ['50-many.csv', rows],
    ]);
  const tooMany = ({ findings }: { readonly findings: readonly Finding[] }): string[] =>
    findings.filter(({ rule }) => rule === 'too-many-situations').map(printFinding);

  it('in one rule is refused at once, at that rule, with what it reads', async () => {
    const texts = await withRows(denial('many', numbers(24).map(has).join(' && ')));
    expect(tooMany(await buildPolicy(texts))).to.deep.equal([
      '50-many.csv:1:1: the rows and invariants tell more situations apart than can be gone through, and this one most of them, by ' +
        'r.user.a0, r.user.a1, r.user.a2, r.user.a3, r.user.a4, r.user.a5, r.user.a6, r.user.a7, r.user.a8, r.user.a9 and 14 more; ' +
        'name fewer facts in one rule, or fewer ids and actions [too-many-situations]',
    ]);
    expect(() => tableOf(compiled(texts))).to.throw(OverBound, /^50-many.csv:1: .*r\.user\.a9 and 14 more/);
  });

  it('in many rules is refused when the budget is spent, at the rule that took most of it', async () => {
    const pairs = numbers(20).map((n) => denial(`pair-${n}`, `${has(2 * n)} && ${has(2 * n + 1)}`));
    const { rows, schema } = compiled(await withRows(pairs.join('')));
    const found: string[] = [];
    const report = ({ file, line, rule, message }: Finding): number => found.push(`${file}:${line} ${rule} ${message}`);
    // A part of the budget that a check has is spent sooner, and no otherwise.
    for (const _ of prove(createMatcher(rows, schema), rows, [], report, newBudget(MAX_BUDGET / 10)));
    expect(found).to.have.lengthOf(1);
    expect(found[0]).to.match(
      /^50-many\.csv:\d+ too-many-situations .* by r\.user\.a\d+, r\.user\.a\d+; name fewer facts/,
    );
  });

  it('does not where rules read many facts, and each few of them, or ask for one of many values', async () => {
    const attribute = (n: number) => Array.from({ length: 64 }, (_, value) => `v${n}-${value}`);
    const rows = numbers(8).map((n) => `r.user.b${n} == 'v${n}-7'`);
    const texts = new Map([
      ...(await withRows(denial('one-of-many', rows.join(' && ')))),
      [
        'facts.yaml',
        JSON.stringify(
          {
            attributes: {
              user: Object.fromEntries(numbers(8).map((n) => [`b${n}`, { values: attribute(n), withholds: true }])),
            },
          },
          null,
          1,
        ),
      ],
    ]);
    expect((await buildPolicy(texts)).findings.map(printFinding)).to.deep.equal([]);
  });
});
