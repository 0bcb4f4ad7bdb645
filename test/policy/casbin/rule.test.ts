/**
 * Each trap of the rule language: what stock Casbin accepts silently is a finding here, with its name and place.
 * language.test.ts tests the meaning of accepted rules.
 */

import { expect } from 'chai';
import { situations } from '../../../src/policy/analysis/situations.ts';
import { parseRule } from '../../../src/policy/casbin/rule.ts';
import type { Facts } from '../../../src/policy/facts.ts';
import type { PolicyTexts } from '../../../src/policy/folder/files.ts';
import { BUILT_IN } from '../../../src/policy/schema.ts';
import { attempt } from '../rules.ts';
import { edited, findingsOf, shippedPolicy, shippedTexts, stockArguments, stockEnforcer } from '../texts.ts';

type Trap = readonly [rule: string, finding: string, offset: number];

const TRAPS: Readonly<Record<string, readonly Trap[]>> = {
  'a fact that does not exist, which in Casbin is undefined': [
    ['!r.user.disabled', 'unknown-fact', 1],
    ['r.user.disabled == false', 'unknown-fact', 0],
    ["r.limit.exceeded || r.key.staus != 'revoked'", 'unknown-fact', 20],
    ["r.key.__proto__ == ''", 'unknown-fact', 0],
    ['r.key.status.length', 'unknown-fact', 0],
    ["p.eft == 'allow'", 'unknown-fact', 0],
    ["r2.key.status == 'active'", 'unknown-fact', 0],
    ['r.key', 'unknown-fact', 0],
  ],
  'a comparison that can never hold, or always does': [
    ["r.key.status != 'revokd'", 'rule-type', 16],
    ["r.key.status == 'Active'", 'rule-type', 16],
    ["(r.key.status in ['active', 'none'])", 'rule-type', 28],
    ["r.target.role == 'active'", 'rule-type', 17],
    ["r.key.userManagement == 'true'", 'rule-type', 0],
    ['r.key.status == true', 'rule-type', 0],
    ['r.limit.exceeded == 0', 'rule-type', 20],
    ['r.key.id == 5', 'rule-type', 12],
    ['r.key.id == null', 'rule-type', 12],
    ["'a' == 'a'", 'rule-type', 4],
    ["r.request.action == 'user:*'", 'rule-type', 20],
    ["(r.key.id in ['k*'])", 'rule-type', 14],
    ["r.request.action == 'CALL:create'", 'rule-type', 20],
    ["r.request.action != 'create'", 'rule-type', 20],
    ["r.request.action == ''", 'rule-type', 20],
    ["(r.request.action in ['call:create', 'call:'])", 'rule-type', 37],
    ["r.key.environment == 'Staging'", 'rule-type', 21],
    ["r.key.environment != 'a_b'", 'rule-type', 21],
    ["r.user.id == '..'", 'rule-type', 13],
    [`r.target.id == '${'x'.repeat(65)}'`, 'rule-type', 15],
    ['(r.key.status in [])', 'rule-type', 13],
  ],
  'a result that is not true or false, where Casbin lets a text allow': [
    ["'x'", 'rule-type', 0],
    ["''", 'rule-type', 0],
    ['1', 'rule-type', 0],
    ['null', 'rule-type', 0],
    ['r.key.id', 'rule-type', 0],
    ["r.limit.exceeded || 'x'", 'rule-type', 20],
    ["!'x'", 'rule-type', 1],
    ['!r.key.id', 'rule-type', 1],
  ],
  'names and members that reach beyond the facts': [
    ['constructor', 'forbidden-syntax', 0],
    ["__proto__ == 'x'", 'forbidden-syntax', 0],
    ["__lookupGetter__('__proto__')", 'forbidden-syntax', 0],
    ["r['key'].status == 'active'", 'forbidden-syntax', 0],
    ["r.key['status'] == 'active'", 'forbidden-syntax', 0],
    ['this', 'forbidden-syntax', 0],
    ["this.r.key.status == 'active'", 'forbidden-syntax', 0],
    ["r.key.id.startsWith('k')", 'forbidden-syntax', 0],
    ['keyMatch', 'forbidden-syntax', 0],
    ['eval(p.when)', 'forbidden-syntax', 0],
    ['(r.limit.exceeded)(true)', 'forbidden-syntax', 1],
  ],
  'operators that are not of the language': [
    ['r.limit.exceeded ? true : false', 'forbidden-syntax', 17],
    ["r.key.id + 'x' == 'kx'", 'forbidden-syntax', 9],
    ["r.key.id < 'k2'", 'forbidden-syntax', 9],
    ["r.key.id === 'k1'", 'forbidden-syntax', 9],
    ['r.limit.exceeded & true', 'forbidden-syntax', 17],
    ['r.limit.exceeded = true', 'rule-syntax', 17],
    ['-r.limit.exceeded', 'forbidden-syntax', 0],
    ['[r.limit.exceeded]', 'forbidden-syntax', 0],
    ['r.key.id == r.user.id', 'rule-type', 9],
    ['r.limit.exceeded == true == true', 'rule-type', 17],
  ],
  'an `in` that Casbin reads otherwise': [
    ["r.key.status in ['active', 'expired'] && r.limit.exceeded", 'rule-syntax', 12],
    ["r.key.status in 'active'", 'rule-syntax', 12],
    ['(r.key.status in r.key)', 'rule-syntax', 13],
    ["('active' in ['active'])", 'rule-type', 9],
    ["(r.key.status in ['active',,'expired'])", 'rule-syntax', 0],
    ["(r.key.status in ['active' 'expired'])", 'rule-syntax', 0],
    ["(r.key.status in ['active''expired'])", 'rule-syntax', 0],
    ["(r.key.status in ['active',])", 'rule-syntax', 26],
    ['(r.key.status in [r.user.status])', 'rule-type', 13],
  ],
  'text that is no single expression': [
    ['', 'rule-syntax', 0],
    ['  ', 'rule-syntax', 0],
    ['()', 'rule-syntax', 0],
    ['!', 'rule-syntax', 0],
    ['true) || (true', 'rule-syntax', 4],
    ['r.limit.exceeded true', 'rule-syntax', 0],
    ['r.limit.exceeded,', 'rule-syntax', 16],
    [', r.limit.exceeded', 'rule-syntax', 0],
    ['r.limit.exceeded && ', 'rule-syntax', 20],
    ['&& r.limit.exceeded', 'rule-syntax', 0],
    ['r.limit.exceeded; true', 'forbidden-syntax', 16],
    ['r.limit.exceeded # unless', 'forbidden-syntax', 17],
  ],
  'literals that Casbin would rewrite, or that are no name': [
    ["r.key.id == '$&'", 'forbidden-syntax', 13],
    ["r.key.id == 'a-r.x'", 'forbidden-syntax', 12],
    ["r.key.id == 'a*p2.x'", 'forbidden-syntax', 12],
    ["r.key.id == 'a r.x'", 'forbidden-syntax', 12],
    ["r.key.id == 'a\\'b'", 'forbidden-syntax', 14],
    ['`x` == r.key.id', 'forbidden-syntax', 0],
  ],
  'functions but keyMatch, and keyMatch of anything but the action and a pattern': [
    ["keyMatch2(r.request.action, '/a/:/b')", 'forbidden-syntax', 29],
    ["keyMatch2(r.request.action, 'user:*')", 'forbidden-syntax', 0],
    ["regexMatch(r.request.action, 'user.*')", 'forbidden-syntax', 0],
    ["globMatch(r.request.action, 'user:*')", 'forbidden-syntax', 0],
    ["keyMatch('user:*', r.request.action)", 'rule-type', 0],
    ['keyMatch(r.request.action, r.key.id)', 'rule-type', 0],
    ["keyMatch(r.key.id, 'user:*')", 'rule-type', 0],
    ["keyMatch(r.request.action, 'user*')", 'rule-type', 0],
    ["keyMatch(r.request.action, 'user:*', 'x')", 'rule-type', 0],
    ['keyMatch(r.request.action)', 'rule-type', 0],
    ['keyMatch()', 'rule-type', 0],
  ],
  'text that is too long or too deep': [
    [`r.key.id == '${'x'.repeat(2000)}'`, 'forbidden-syntax', 0],
    [`${'('.repeat(900)}true${')'.repeat(900)}`, 'forbidden-syntax', 0],
    ['('.repeat(1999), 'forbidden-syntax', 0],
    ['['.repeat(1999), 'forbidden-syntax', 0],
    [`${'!'.repeat(1900)}true`, 'forbidden-syntax', 0],
    [Array(34).fill('true').join('||'), 'forbidden-syntax', 0],
    [`${'!('.repeat(33)}true${')'.repeat(33)}`, 'forbidden-syntax', 0],
    [`r.key.id == 'x'${' '.repeat(100_000)}`, 'forbidden-syntax', 0],
  ],
  'characters that cannot be seen, or look like others': [
    ['r\u200b.limit.exceeded', 'forbidden-syntax', 1],
    ['r.limit.exceeded\u202e', 'forbidden-syntax', 16],
    ["r.\u043aey.id == 'x'", 'forbidden-syntax', 2],
    ['r.limit.exceeded\u0000', 'forbidden-syntax', 16],
    ['r.limit.exceeded\t', 'forbidden-syntax', 16],
    ["r.key.id == '\ud800'", 'forbidden-syntax', 13],
  ],
};

describe('a rule', () => {
  let texts: PolicyTexts;
  let revoked: Facts;
  let good: Facts;

  before(async () => {
    texts = await shippedTexts();
    const all = [...situations((await shippedPolicy()).rows, BUILT_IN)];
    const find = (status: string): Facts =>
      all.find(
        ({ key, user, target }) => key.status === status && user.status === 'active' && target.role === 'none',
      ) as Facts;
    [revoked, good] = [find('revoked'), find('active')];
  });

  for (const [title, traps] of Object.entries(TRAPS)) {
    describe(`is refused for ${title}:`, () => {
      for (const [rule, finding, offset] of traps) {
        it(JSON.stringify(rule.length > 60 ? `${rule.slice(0, 20)}… (${rule.length})` : rule), async () => {
          // Stock Casbin loads it: it parses a rule at the first enforcement only.
          await stockEnforcer([['trap', '*', rule, 'allow', 'OK']]);

          expect(attempt(rule)).to.include({ fault: finding, offset });
        });
      }
    });
  }

  it('is refused with the fact, or the operator, that was meant', () => {
    const message = (rule: string): string => String((attempt(rule) as Error).message);
    expect(message("r.key.staus != 'revoked'")).to.match(/; did you mean r\.key\.status\?$/);
    expect(message('r.user.disabled_as_a_whole')).to.match(/^there is no fact .*active$/);
    expect(message("r.key.status = 'active'")).to.match(/; to compare, write ==$/);
    expect(message("r.key.status == 'active' &&")).not.to.include('to compare');
  });

  it('is refused with the line and the column in its file', async () => {
    const rule = 'r.limit.exceeded || !r.user.disabled';
    const trap = edited(texts, '20-limit.csv', '"r.limit.exceeded"', `"${rule}"`);
    expect(await findingsOf(trap)).to.deep.equal([`20-limit.csv:2:${24 + rule.indexOf('r.user')} unknown-fact`]);
    const wide = edited(texts, '20-limit.csv', '"r.limit.exceeded"', `     "  ${rule}"`);
    expect((await findingsOf(wide))[0]).to.match(/^20-limit\.csv:2:\d+ unknown-fact$/);
  });

  describe('with which stock Casbin would allow a revoked key:', () => {
    const allows: Readonly<Record<string, string>> = {
      'a fact that does not exist': '!r.user.disabled',
      'a misspelt fact': "r.key.staus != 'revoked'",
      'a misspelt word': "r.key.status != 'revokd'",
      'a text': "'x'",
      'an id': 'r.key.id',
      'the way out of the parentheses': 'true) || (true',
      'an inherited name': "('toString' in this)",
      'a loose comparison': "r.key.id == ['x']",
    };
    for (const [title, rule] of Object.entries(allows)) {
      it(title, async () => {
        const stock = await stockEnforcer([['trap', '*', rule, 'allow', 'OK']]);
        expect(stock.enforceSync(...stockArguments(revoked)), 'stock').to.equal(true);

        const read = attempt(rule);
        if (read instanceof Error) return;
        const ours = await stockEnforcer([['trap', '*', read.text, 'allow', 'OK']]);
        expect(ours.enforceSync(...stockArguments(revoked)), 'ours').to.equal(false);
        expect(ours.enforceSync(...stockArguments(good)), 'ours').to.equal(true);
      });
    }

    it('that breaks out of the guard of its action', async () => {
      const stock = await stockEnforcer([['trap', 'nothing:here', 'true) || (true', 'allow', 'OK']]);
      expect(stock.enforceSync(...stockArguments(revoked))).to.equal(true);
    });
  });

  it('with a list evaluates as written, where Casbin would turn its brackets into parentheses and throw', async () => {
    const rule = "(r.key.status in ['active', 'expired']) && true";
    const stock = await stockEnforcer([['x', '*', rule, 'allow', 'OK']]);
    expect(() => stock.enforceSync(...stockArguments(good))).to.throw(/Unclosed/);

    const ours = await stockEnforcer([['x', '*', parseRule(rule, BUILT_IN).text, 'allow', 'OK']]);
    expect(ours.enforceSync(...stockArguments(good))).to.equal(true);
    expect(ours.enforceSync(...stockArguments(revoked))).to.equal(false);
  });

  it('parses alike before and after Casbin has run', async () => {
    const rule = "true && (r.key.status in ['active']) && !keyMatch(r.request.action, 'user:*')";
    const first = parseRule(rule, BUILT_IN);
    const stock = await stockEnforcer([['x', '*', "r.key.id in ['x']", 'allow', 'OK']]);
    stock.enforceSync(...stockArguments(good));
    expect(parseRule(rule, BUILT_IN)).to.deep.equal(first);
  });
});
