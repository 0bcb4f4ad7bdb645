/**
 * Rules for property tests: random syntax trees, their texts in all notations of the language, an evaluator of our own, and a
 * parser of what `parseRule` prints. Nothing here calls Casbin or its parser.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { parseRule, RuleError } from '../../src/policy/casbin/rule.ts';
import type { Facts } from '../../src/policy/facts.ts';
import type { Rule } from '../../src/policy/row.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { type FactParts, factsWith } from '../support/facts.ts';

export type Tree =
  | { readonly kind: 'constant'; readonly value: boolean }
  | { readonly kind: 'fact'; readonly path: string }
  | { readonly kind: 'equals'; readonly path: string; readonly value: string | boolean; readonly not: boolean }
  | { readonly kind: 'in'; readonly path: string; readonly values: readonly (string | boolean)[] }
  | { readonly kind: 'keyMatch'; readonly pattern: string }
  | { readonly kind: 'not'; readonly of: Tree }
  | { readonly kind: 'both' | 'either'; readonly left: Tree; readonly right: Tree };

const WORDS = [
  '',
  'k1',
  'x',
  'xx',
  'r.x',
  'r',
  'p.eft',
  'constructor',
  '__proto__',
  'true',
  'in',
  'eval',
  'null',
  '0',
  'A-1',
  'b:1',
];

const word = fc.oneof(
  fc.constantFrom(...WORDS),
  // Casbin would rewrite `-r.` in a literal, so parseRule refuses it.
  fc.stringMatching(/^[A-Za-z0-9._:-]{0,8}$/).filter((text) => !/-[rp][0-9]*\./.test(text)),
);
const name = fc.oneof(
  fc.constantFrom('user', 'users', 'use', 'call', 'a', 'x', 'xx'),
  fc.stringMatching(/^[a-z][a-z0-9_-]{0,5}$/),
);

/** Actions of the contract's grammar, many of them near the edges of patterns. */
const action = fc.array(name, { minLength: 2, maxLength: 4 }).map((names) => names.join(':'));
export const pattern = fc.oneof(
  fc.constant('*'),
  action,
  fc.array(name, { minLength: 1, maxLength: 3 }).map((names) => `${names.join(':')}:*`),
);
const id = fc.oneof(
  fc.constantFrom(...WORDS.filter((text) => text !== '')),
  fc.stringMatching(/^[A-Za-z0-9._:-]{1,64}$/),
);

const path = fc.constantFrom(...BUILT_IN.paths.keys());
const booleanPath = fc.constantFrom(
  ...[...BUILT_IN.paths].filter(([, type]) => type === 'boolean').map(([fact]) => fact),
);

function literal(of: string): fc.Arbitrary<string | boolean> {
  const type = BUILT_IN.paths.get(of);
  if (type === 'boolean') return fc.boolean();
  if (of === 'r.request.action') return action;
  const accepts = BUILT_IN.forms.get(of)?.accepts ?? /^/;
  return type === 'text' || type === undefined ? word.filter((text) => accepts.test(text)) : fc.constantFrom(...type);
}

const leaf: fc.Arbitrary<Tree> = fc.oneof(
  fc.boolean().map((value): Tree => ({ kind: 'constant', value })),
  booleanPath.map((fact): Tree => ({ kind: 'fact', path: fact })),
  path.chain((fact) =>
    fc.tuple(literal(fact), fc.boolean()).map(([value, not]): Tree => ({ kind: 'equals', path: fact, value, not })),
  ),
  path.chain((fact) =>
    fc.array(literal(fact), { minLength: 1, maxLength: 4 }).map((values): Tree => ({ kind: 'in', path: fact, values })),
  ),
  pattern.map((value): Tree => ({ kind: 'keyMatch', pattern: value })),
);

/** Conditions made of `leaf`, so often beside the others, with `not`, `&&` and `||`. */
export const treesOf = (
  leaf: fc.Arbitrary<Tree>,
  weight: number,
  constraints: fc.OneOfConstraints,
): fc.Arbitrary<Tree> =>
  fc.letrec<{ tree: Tree }>((tie) => ({
    tree: fc.oneof(
      constraints,
      { arbitrary: leaf, weight },
      { arbitrary: tie('tree').map((of): Tree => ({ kind: 'not', of })), weight: 1 },
      {
        arbitrary: fc
          .tuple(fc.constantFrom('both' as const, 'either' as const), tie('tree'), tie('tree'))
          .map(([kind, left, right]): Tree => ({ kind, left, right })),
        weight: 3,
      },
    ),
  })).tree;

export const tree: fc.Arbitrary<Tree> = treesOf(leaf, 2, { maxDepth: 5, withCrossShrink: true });

/** The text of a rule; `choose(n)`, below n, picks one of n ways to write each part. */
export function write(node: Tree, choose: (ways: number) => number): string {
  const space = (): string => ' '.repeat(choose(3));
  const quote = (value: string | boolean): string =>
    typeof value === 'boolean' ? String(value) : choose(2) ? `"${value}"` : `'${value}'`;
  const wrap = (text: string): string => (choose(4) === 0 ? `(${space()}${text}${space()})` : text);
  const part = (of: Tree): string =>
    of.kind === 'both' || of.kind === 'either' ? `(${space()}${write(of, choose)})` : write(of, choose);
  switch (node.kind) {
    case 'constant':
      return wrap(String(node.value));
    case 'fact':
      return wrap(node.path);
    case 'equals': {
      const operands = choose(2) ? [node.path, quote(node.value)] : [quote(node.value), node.path];
      return `(${operands[0]}${space()}${node.not ? '!=' : '=='}${space()}${operands[1]})`;
    }
    case 'in':
      return `(${wrap(node.path)} in${space()}[${node.values.map((value) => space() + quote(value)).join(',')}])`;
    case 'keyMatch':
      return wrap(`keyMatch${space()}(${space()}r.request.action,${space()}${quote(node.pattern)})`);
    case 'not':
      return `!${space()}${part(node.of)}`;
    default:
      return wrap(`${part(node.left)}${space()}${node.kind === 'both' ? '&&' : '||'}${space()}${part(node.right)}`);
  }
}

/** Parses the canonical print of `parseRule`, and nothing else. */
export function readPrint(text: string): Tree {
  let at = 0;
  const take = (token: RegExp): string | undefined => {
    const found = new RegExp(token.source, 'y');
    found.lastIndex = at;
    const match = found.exec(text);
    if (match) at += match[0].length;
    return match?.[0];
  };
  const must = (token: RegExp): string => {
    const found = take(token);
    if (found === undefined) throw new SyntaxError(`${token} must stand at ${at} of ${text}`);
    return found;
  };
  const PATH = /r(?:\.[A-Za-z][A-Za-z0-9_]*){2,3}(?![\w.(])/;
  const LITERAL = /'[A-Za-z0-9._:*-]*'|true(?!\w)|false(?!\w)/;
  const value = (raw: string): string | boolean => (raw.startsWith("'") ? raw.slice(1, -1) : raw === 'true');
  const condition = (): Tree => {
    if (take(/!/)) return { kind: 'not', of: condition() };
    if (take(/keyMatch\(r\.request\.action, /)) {
      const constant = value(must(LITERAL));
      must(/\)/);
      return { kind: 'keyMatch', pattern: String(constant) };
    }
    if (take(/\((?=r\.\S+ [=!]=)/)) {
      const fact = must(PATH);
      const not = must(/ [=!]= /) === ' != ';
      const constant = value(must(LITERAL));
      must(/\)/);
      return { kind: 'equals', path: fact, value: constant, not };
    }
    if (take(/\(/)) {
      const left = condition();
      const kind = must(/ && | \|\| /) === ' && ' ? 'both' : 'either';
      const right = condition();
      must(/\)/);
      return { kind, left, right };
    }
    const fact = take(PATH);
    return fact ? { kind: 'fact', path: fact } : { kind: 'constant', value: must(/true|false/) === 'true' };
  };
  const whole = condition();
  must(/$/);
  return whole;
}

/** The value of a rule. */
export const holds = (node: Tree, facts: Facts): boolean => evaluate(node, (fact) => valueAt(fact, facts));

/** The value of a rule, of facts by their paths. */
export function evaluate(node: Tree, factAt: (path: string) => string | boolean): boolean {
  switch (node.kind) {
    case 'constant':
      return node.value;
    case 'fact':
      return factAt(node.path) === true;
    case 'equals':
      return (factAt(node.path) === node.value) !== node.not;
    case 'in':
      return node.values.includes(factAt(node.path));
    case 'keyMatch':
      return matches(String(factAt('r.request.action')), node.pattern);
    case 'not':
      return !evaluate(node.of, factAt);
    case 'both':
      return evaluate(node.left, factAt) && evaluate(node.right, factAt);
    case 'either':
      return evaluate(node.left, factAt) || evaluate(node.right, factAt);
  }
}

/** Whether an action is one that a pattern names. */
export const matches = (name: string, by: string): boolean =>
  by.endsWith('*') ? name.startsWith(by.slice(0, -1)) : name === by;

const PLACES = new Map(
  [...BUILT_IN.paths.keys()].map((fact) => [fact, fact.split('.').slice(1) as [keyof Facts, string]]),
);

function valueAt(fact: string, facts: Facts): string | boolean {
  const [group, last] = PLACES.get(fact) ?? expect.fail(`there is no fact ${fact}`);
  return (facts[group] as Record<string, string | boolean>)[last] as string | boolean;
}

/** Chooses notations deterministically by a number. */
export function chooser(seed: number): (ways: number) => number {
  let state = seed >>> 0;
  return (ways) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state >>> 8) % ways;
  };
}

/** A tree and one of its texts. */
export const ruleText = fc.tuple(tree, fc.nat()).map(([node, seed]) => ({ node, text: write(node, chooser(seed)) }));

/** The rule, or its RuleError. Anything else that parseRule throws is a defect, and is rethrown. */
export function attempt(rule: string): Rule | RuleError {
  try {
    return parseRule(rule, BUILT_IN);
  } catch (error) {
    if (error instanceof RuleError) return error;
    throw error;
  }
}

/** `possible` facts with other ids, environments and actions. */
export const factsLike = (possible: readonly Facts[]): fc.Arbitrary<Facts> =>
  fc
    .tuple(fc.nat(possible.length - 1), id, id, id, id, action)
    .map(([index, keyId, userId, targetId, environment, act]) => {
      const base = possible[index] as Facts;
      const { key, user, target } = base;
      const named = (old: string, to: string): string => (old === '' ? '' : to);
      const parts: FactParts = {
        key: { id: named(key.id, keyId), environment: named(key.environment, environment) },
        user: { id: named(user.id, userId) },
        target: { id: named(target.id, targetId) },
        request: { action: act },
      };
      return factsWith(parts, base);
    });
