/**
 * `decide` under the shipped policy agrees with the contract: compared with an oracle written from the contract's prose, for
 * every combination of facts; and the notation of a rule makes no difference.
 */

import { expect } from 'chai';
import { situations } from '../../src/policy/analysis/situations.ts';
import { type Decision, decide, type Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { amount } from '../support/long.ts';
import { ACTIONS, canOccur, codeOf, everything } from './oracle.ts';
import { shippedPolicy, shippedTexts, stockArguments, stockOf } from './texts.ts';

describe('decide', () => {
  let policy: Policy;
  let texts: PolicyTexts;
  let all: readonly Facts[];

  before(async () => {
    policy = await shippedPolicy();
    texts = await shippedTexts();
    all = [...situations(policy.rows, BUILT_IN)];
  });

  describe('under the shipped policy, for every combination of facts', () => {
    const seen = { decided: new Map<string, number>(), failed: 0, possible: 0, impossible: 0 };

    before(function agree() {
      this.timeout(60_000);
      // Nearly all of the product cannot occur; capturing a stack for each of those failures would take most of the time.
      const { stackTraceLimit } = Error;
      Error.stackTraceLimit = 0;
      for (const facts of everything(policy.rows)) {
        const possible = canOccur(facts);
        if (possible) seen.possible += 1;
        else {
          // By default a part of what cannot occur; its size is no divisor of how often any value comes up.
          seen.impossible += 1;
          if (seen.impossible % amount(13, 5, 1) !== 0) continue;
        }
        const got = decisionOrFailure(policy, facts);
        const want = possible ? codeOf(facts) : 'Failure UNAVAILABLE';
        if (got.code !== want) expect.fail(`${JSON.stringify(facts)}: wanted ${want}, got ${JSON.stringify(got)}`);
        if (got.effect !== (want === 'OK' ? 'allow' : possible ? 'deny' : undefined)) {
          expect.fail(`${JSON.stringify(facts)}: the effect ${got.effect} goes with ${want}`);
        }
        if (got.effect === undefined) seen.failed += 1;
        else seen.decided.set(want, (seen.decided.get(want) ?? 0) + 1);
      }
      Error.stackTraceLimit = stackTraceLimit;
    });

    it('agrees with the contract wherever the facts can occur, and each of its seven codes comes up', () => {
      expect([...seen.decided.keys()]).to.have.members([
        'OK',
        'INVALID_API_KEY',
        'USER_DISABLED',
        'RATE_LIMITED',
        'PERMISSION_DENIED',
        'FROZEN',
        'BUSINESS_DISABLED',
      ]);
    });

    it('fails, and decides nothing, wherever the facts contradict each other', () => {
      expect(seen.failed).to.be.above(0);
      // What the oracle takes to be possible, where no row names a text, counted by hand.
      let possible = 0;
      for (const facts of everything([])) if (canOccur(facts)) possible += 1;
      expect(possible, 'the actions by what is possible beside them').to.equal(
        ACTIONS.length * (4 + 56 + 608 + 28 + 152 + 304),
      );
    });

    it('decides wherever the oracle takes the facts to be possible', () => {
      expect([...seen.decided.values()].reduce((sum, count) => sum + count, 0)).to.equal(seen.possible);
    });

    it('names a row of the policy, with the effect and the code of that row', () => {
      for (const facts of all) {
        const { effect, code, rule } = decide(policy, facts);
        expect(policy.rows.find((row) => row.id === rule)).to.include({ effect, code });
      }
    });
  });

  describe('does not depend on the notation of a rule', () => {
    const forms: Record<string, (rule: string) => string> = {
      'with spaces wherever they may stand': (rule) =>
        ` ${rule.replace(/[A-Za-z_.]+|'[^']*'|[!=&|]=?[&|]?|[()[\],]/g, '  $&  ')} `,
      'without spaces': (rule) => rule.replaceAll(/ (?!in )(?<! in )/g, ''),
      'in double quotes': (rule) => rule.replaceAll("'", '""'),
      'with == as a list of one': (rule) => rule.replaceAll(/(r[\w.]+) == ('[^']*')/g, '($1 in [$2])'),
      'with != as not in a list': (rule) => rule.replaceAll(/(r[\w.]+) != ('[^']*')/g, '!($1 in [$2])'),
      'with != as not ==': (rule) => rule.replaceAll(/(r[\w.]+) != ('[^']*')/g, '!($1 == $2)'),
      'with the literal first': (rule) => rule.replaceAll(/(r[\w.]+) ([!=]=) ('[^']*')/g, '$3 $2 $1'),
      'with a chain of == as a list': (rule) =>
        rule.replaceAll(/(r[\w.]+) == '(\w+)' \|\| \1 == '(\w+)'/g, "$1 in ['$3', '$2']"),
      'in parentheses and twice denied': (rule) => `!(!((${rule})))`,
      'with truth compared': (rule) => rule.replaceAll(/!(r[\w.]+)/g, '$1 == false'),
      'joined with what always holds': (rule) => `true && (${rule}) || false`,
    };

    for (const [title, form] of Object.entries(forms)) {
      it(title, async () => {
        const other = await reformatted(texts, form);
        expect(other.digest).not.to.equal(policy.digest);
        expect([...situations(other.rows, BUILT_IN)]).to.deep.equal(all);
        expect(sayings(other, all)).to.deep.equal(sayings(policy, all));
      });
    }

    it('nor on our print of it: stock Casbin decides alike by the files themselves', async () => {
      const stock = await stockOf(texts);
      const stockSayings = all.map((facts) => {
        const [allowed, row] = stock.enforceExSync(...stockArguments(facts));
        return `${allowed ? 'allow' : 'deny'} ${row[4]} ${row[0]}`;
      });
      expect(stockSayings).to.deep.equal(sayings(policy, all));
    });

    it('in files with CRLF line ends', async () => {
      const { policy: other } = await buildPolicy(
        new Map([...texts].map(([name, text]) => [name, text.replaceAll('\n', '\r\n')])),
      );
      expect(other?.rows).to.deep.equal(policy.rows);
      expect(other?.codes).to.deep.equal(policy.codes);
    });
  });
});

function decisionOrFailure(policy: Policy, facts: Facts): Partial<Decision> & { code: string } {
  try {
    return decide(policy, facts);
  } catch (error) {
    return { code: `${(error as Error).name} ${(error as { code?: string }).code}` };
  }
}

const sayings = (policy: Policy, all: readonly Facts[]): string[] =>
  all.map((facts) => {
    const { effect, code, rule } = decide(policy, facts);
    return `${effect} ${code} ${rule}`;
  });

/** The shipped policy with the rule of every row rewritten; some row must change by it. */
async function reformatted(texts: PolicyTexts, form: (rule: string) => string): Promise<Policy> {
  const rewrite = (text: string): string =>
    text.replace(/^(p, [^"]*")([^"]*)(")/gm, (_, before, rule, after) => before + form(rule) + after);
  const { policy, findings } = await buildPolicy(
    new Map([...texts].map(([name, text]) => [name, name.endsWith('.csv') ? rewrite(text) : text])),
  );
  expect(findings).to.deep.equal([]);
  return policy as Policy;
}
