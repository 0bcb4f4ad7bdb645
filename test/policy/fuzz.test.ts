/**
 * Fuzz tests: rules and folders with a few characters mutated, and rules that are JavaScript. What is accepted must evaluate
 * as stock Casbin evaluates its text; everything else must be a finding, never a crash.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { situations } from '../../src/policy/analysis/situations.ts';
import { RuleError } from '../../src/policy/casbin/rule.ts';
import { decide, mayBeAllowed } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { byPlace } from '../../src/policy/folder/findings.ts';
import { buildPolicy } from '../../src/policy/policy.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { amount } from '../support/long.ts';
import { attempt, factsLike, holds, readPrint, ruleText as text } from './rules.ts';
import { SEED, shippedPolicy, shippedTexts, stockArguments, stockEnforcer, times } from './texts.ts';

describe(`a mutated text (seed ${SEED})`, function () {
  this.timeout(120_000);

  let texts: PolicyTexts;
  let possible: readonly Facts[];
  let facts: fc.Arbitrary<Facts>;

  before(async () => {
    texts = await shippedTexts();
    possible = [...situations((await shippedPolicy()).rows, BUILT_IN)];
    facts = factsLike(possible);
  });

  describe('as a rule with a few characters changed', () => {
    const damage = fc.tuple(
      fc.nat(),
      fc.nat(2),
      fc.oneof(
        fc.constantFrom('', ...'\'"()[],.!=&| -*`\\\0?:+{;#'),
        fc.constantFrom(
          ' in ',
          ...'r. this constructor == != && || true eval(p.when) __proto__ r[ .length () $&'.split(' '),
        ),
        fc.string({ unit: 'binary', maxLength: 2 }),
      ),
    );
    const damaged = fc.tuple(text, fc.array(damage, { minLength: 1, maxLength: 2 })).map(([{ text: rule }, damages]) =>
      damages.reduce((now, [at, cut, put]) => {
        const index = at % (now.length + 1);
        return now.slice(0, index) + put + now.slice(index + cut);
      }, rule),
    );

    it('is refused with a reason and a place, or evaluates as stock Casbin evaluates the text', async () => {
      let accepted = 0;
      await fc.assert(
        fc.asyncProperty(damaged, fc.array(facts, { minLength: 10, maxLength: 10 }), async (rule, samples) => {
          const read = attempt(rule);
          if (read instanceof RuleError) {
            expect(read.fault).to.be.oneOf(['forbidden-syntax', 'rule-syntax', 'rule-type', 'unknown-fact']);
            expect(read.offset).to.be.within(0, rule.length);
            return;
          }
          const print = readPrint(read.text);
          // Stock Casbin throws at a list in parentheses, and does not know a fact that is written with spaces.
          if (/\bin\b|\s\.|[rp]\s|\.\s/.test(rule)) return;
          accepted += 1;
          const stock = await stockEnforcer([['x', '*', rule, 'allow', 'OK']]);
          for (const sample of samples) {
            expect(stock.enforceSync(...stockArguments(sample))).to.equal(holds(print, sample));
          }
        }),
        times(amount(1000, 2000)),
      );
      expect(accepted, 'how many were accepted').to.be.above(10);
    });
  });

  describe('as a folder with a few bytes changed', () => {
    const damage = fc.tuple(
      fc.nat(),
      fc.nat(),
      fc.nat(3),
      fc.oneof(
        fc.uint8Array({ maxLength: 3 }),
        fc.constantFrom(
          ...[',', '"', '\n', '\r', '#', '\n- ', ': ', '*a', '&a ', '{', '!!', '\ufeff'].map((put) =>
            new TextEncoder().encode(put),
          ),
        ),
      ),
    );

    it('is refused with findings in order, or allows nothing to a key or a user that is not active', async () => {
      let accepted = 0;
      await fc.assert(
        fc.asyncProperty(fc.array(damage, { minLength: 1, maxLength: 2 }), async (damages) => {
          const names = [...texts.keys()];
          const folder = new Map(texts);
          for (const [which, at, cut, put] of damages) {
            const file = names[which % names.length] as string;
            const bytes = new TextEncoder().encode(folder.get(file));
            const index = at % (bytes.length + 1);
            folder.set(
              file,
              new TextDecoder().decode(new Uint8Array([...bytes.slice(0, index), ...put, ...bytes.slice(index + cut)])),
            );
          }
          const { policy, findings } = await buildPolicy(folder);
          expect(findings).to.deep.equal([...findings].sort(byPlace));
          for (const { file, line, column } of findings) {
            expect(line).to.be.within(1, (folder.get(file) ?? '').split('\n').length);
            expect(column).to.be.at.least(1);
          }
          if (!policy) return;
          accepted += 1;
          for (const sample of possible) {
            if (decide(policy, sample).effect === 'allow') expect(mayBeAllowed(sample, BUILT_IN)).to.equal(true);
          }
        }),
        times(amount(15, 30)),
      );
      expect(accepted, 'how many were accepted').to.be.above(0);
    });
  });

  describe('as JavaScript', () => {
    const canary = globalThis as { canary?: unknown };
    const RUNS =
      "constructor.getOwnPropertyDescriptor(constructor.getPrototypeOf(keyMatch), 'constructor').value('globalThis.canary = 1; return true')()";

    afterEach(() => {
      delete canary.canary;
    });

    it('runs in stock Casbin, which is why rules have an allowlist', async () => {
      const stock = await stockEnforcer([['x', '*', RUNS, 'allow', 'OK']]);
      expect(stock.enforceSync(...stockArguments(possible[0] as Facts))).to.equal(true);
      expect(canary.canary).to.equal(1);
    });

    it('is refused, in every combination', () => {
      const piece = fc.constantFrom(
        ...[
          'constructor',
          'keyMatch',
          'globalMatch',
          'this',
          'r',
          'r.key',
          'r.key.status',
          'p_when',
          'r_key',
          'eval',
          'Function',
          '__proto__',
          '__lookupGetter__',
        ],
        ...[
          '.constructor',
          '.getPrototypeOf',
          '.call',
          '.bind',
          '.value',
          ".concat('')",
          "['constructor']",
          '.prototype',
          '.canary',
        ],
        ...[
          '(',
          ')',
          '()',
          "('globalThis.canary=1')",
          '(keyMatch)',
          '[',
          ']',
          ',',
          ' && ',
          ' || ',
          ' == ',
          ' in ',
          '!',
          "'x'",
          'true',
        ],
      );
      const code = fc.oneof(
        fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => pieces.join('')),
        fc
          .tuple(text, fc.constantFrom(' && ', ' || ', ' == '), fc.boolean())
          .map(([rule, join, first]) => (first ? `${RUNS}${join}(${rule.text})` : `(${rule.text})${join}${RUNS}`)),
      );
      fc.assert(
        fc.property(code, (rule) => {
          const read = attempt(rule);
          // In a rule that is accepted, it can only be inside a literal.
          if (!(read instanceof RuleError))
            expect(read.text.replaceAll(/'[^']*'/g, '')).not.to.match(
              /constructor|proto|this|call|eval|Function|value|\[/,
            );
        }),
        times(amount(1500, 3000)),
      );
      expect(canary).not.to.have.property('canary');
    });
  });
});
