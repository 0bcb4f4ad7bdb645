/**
 * The language of the `when` column. Casbin would run nearly any JavaScript expression there, so a rule is parsed with
 * Casbin's own parser, held against a list of what is allowed, and printed anew from its tree: what Casbin is given is
 * the print, never the text of the file.
 */

import expressionEval from '@casbin/expression-eval';
import { Util } from 'casbin';
import type jsep from 'jsep';
import { FACT_PATHS, type FactType } from '../facts.ts';
import type { FindingRule } from '../folder/finding-rules.ts';

/** `*`, an action, or everything below a prefix: `user:*`, `user:usage:*`. */
export const ACTION_PATTERN =
  /^(?:\*|[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)*:\*|[a-z][a-z0-9_-]*(?::[a-z][a-z0-9_-]*)+)$/;

export interface Rule {
  /** The rule as Casbin is given it: fully parenthesised, single-quoted, free of anything its substitution would touch. */
  readonly text: string;
  /** The constants that each fact of type text is compared with, by path: what the rule can tell apart of it. */
  readonly constants: ReadonlyMap<string, ReadonlySet<string>>;
  /** The paths of the facts that it names: no other fact can change what it says. */
  readonly facts: ReadonlySet<string>;
  /** The same rule in its parts, for whoever explains it. */
  readonly tree: Condition;
}

/** A part of a rule that is true or false; `text` is its print. */
export type Condition =
  /** `path` is the fact that it reads; absent from `true` and `false`. */
  | { readonly kind: 'test'; readonly text: string; readonly path?: string }
  | { readonly kind: 'not'; readonly text: string; readonly of: Condition }
  | { readonly kind: 'both' | 'either'; readonly text: string; readonly left: Condition; readonly right: Condition };

/** Why a rule is refused; `offset` counts from the start of its text, in UTF-16 units. */
export class RuleError extends Error {
  readonly rule: FindingRule;
  readonly offset: number;

  constructor(rule: FindingRule, offset: number, message: string) {
    super(message);
    this.rule = rule;
    this.offset = offset;
  }
}

const MAX_LENGTH = 2000;
const MAX_DEPTH = 32;
// Two for each level of the tree, and few enough that the parser, which recurs, never depends on the stack that is left.
const MAX_NESTING = 2 * MAX_DEPTH;
export const ACTION_PATH = 'r.request.action';
const FORBIDDEN_CHARACTER = /[^A-Za-z0-9_ .:'"()[\],!=&|*-]/;
const HOW =
  'use facts (r.key.status), literals, ==, !=, &&, ||, !, parentheses, (fact in [..]) and keyMatch(r.request.action, ..)';

type Term =
  | { readonly kind: 'condition'; readonly text: string; readonly tree: Condition }
  | { readonly kind: 'fact'; readonly text: string; readonly type: FactType }
  | { readonly kind: 'literal'; readonly text: string; readonly value: string | boolean };

// Casbin adds `in` to the parser that it shares with us, with this precedence, at its first enforcement. Added here as
// well, a rule parses alike before and after that. The function never runs: `in` is printed as comparisons.
expressionEval.addBinaryOp('in', 1, () => {
  throw new Error('`in` is never evaluated');
});

/** Parses and checks one rule. @throws RuleError */
export function parseRule(text: string): Rule {
  const forbidden = FORBIDDEN_CHARACTER.exec(text);
  if (forbidden)
    throw new RuleError(
      'forbidden-syntax',
      forbidden.index,
      `the character ${JSON.stringify(forbidden[0])} has no place in a rule; ${HOW}`,
    );
  if (text.length > MAX_LENGTH)
    throw new RuleError('forbidden-syntax', 0, `a rule may have at most ${MAX_LENGTH} characters; split it into rows`);
  if (nesting(text) > MAX_NESTING)
    throw new RuleError('forbidden-syntax', 0, `parentheses nest deeper than ${MAX_NESTING}; split the rule into rows`);
  const reader = new RuleReader(text);
  const tree = reader.whole(parseTree(text));
  return Object.freeze({ text: tree.text, constants: reader.constants, facts: reader.facts, tree });
}

/** How deep parentheses and brackets nest. No literal may hold one, so quotes make no difference. */
function nesting(text: string): number {
  let [depth, deepest] = [0, 0];
  for (const character of text) {
    if (character === '(' || character === '[') depth += 1;
    if (character === ')' || character === ']') depth -= 1;
    deepest = Math.max(deepest, depth);
  }
  return deepest;
}

function parseTree(text: string): jsep.Expression {
  try {
    return expressionEval.parse(text);
  } catch (error) {
    // jsep adds the place to its errors, but not to their type.
    const { index, message } = error as Error & { index?: number };
    throw new RuleError('rule-syntax', index ?? 0, `this is no complete expression: ${message}`);
  }
}

/** Walks one tree. A class only because the text and the constants go with every step. */
class RuleReader {
  readonly constants = new Map<string, Set<string>>();
  readonly facts = new Set<string>();
  readonly #text: string;
  #commas = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** The print of a rule as a whole. The parser takes `['a' 'b']` and `x,` too: as many commas must stand there as are meant. */
  whole(node: jsep.Expression): Condition {
    const tree = this.condition(node, 0);
    if (this.#text.split(',').length - 1 === this.#commas) return tree;
    throw this.#error('rule-syntax', ',', 'a comma is missing or is one too many');
  }

  /** A node that must be true or false. */
  condition(node: jsep.Expression, depth: number): Condition {
    const term = this.#term(node, depth);
    if (term.kind === 'fact' && term.type !== 'boolean') {
      throw this.#error('rule-type', term.text, `${term.text} is not true or false; compare it with == or !=`);
    }
    if (term.kind === 'literal' && typeof term.value !== 'boolean') {
      throw this.#error('rule-type', term.text, `${term.text} is not a condition; compare a fact with it`);
    }
    if (term.kind === 'condition') return term.tree;
    const { kind, text } = term;
    return { kind: 'test', text, ...(kind === 'fact' && { path: text }) };
  }

  #term(node: jsep.Expression, depth: number): Term {
    // The parser leaves false or null where an operand, or an element of a list, is missing.
    if (!node)
      throw this.#error('rule-syntax', '', 'something is missing beside an operator, a comma or a parenthesis');
    if (depth > MAX_DEPTH)
      throw this.#error('forbidden-syntax', '', `nested deeper than ${MAX_DEPTH}; split the rule into rows`);
    switch (node.type) {
      case 'Literal':
        return this.#literal(node as jsep.Literal);
      case 'MemberExpression':
        return this.#fact(node);
      case 'UnaryExpression': {
        const { operator, argument } = node as jsep.UnaryExpression;
        if (operator !== '!') throw this.#forbidden(operator, `the operator ${operator}`);
        const of = this.condition(argument, depth + 1);
        return condition({ kind: 'not', text: `!${of.text}`, of });
      }
      case 'LogicalExpression': {
        const { operator, left: before, right: after } = node as jsep.LogicalExpression;
        const [left, right] = [this.condition(before, depth + 1), this.condition(after, depth + 1)];
        const kind = operator === '&&' ? 'both' : 'either';
        return condition({ kind, text: `(${left.text} ${operator} ${right.text})`, left, right });
      }
      case 'BinaryExpression':
        return this.#binary(node as jsep.BinaryExpression, depth);
      case 'CallExpression':
        return this.#call(node as jsep.CallExpression, depth);
      case 'Identifier':
        throw this.#forbidden((node as jsep.Identifier).name, `the bare name ${(node as jsep.Identifier).name}`);
      case 'Compound':
        throw this.#error('rule-syntax', '', 'this is not one complete expression; join the parts with && or ||');
      default:
        throw this.#forbidden('', `a ${node.type}`);
    }
  }

  #literal(node: jsep.Literal): Term {
    const { value, raw } = node;
    if (typeof value === 'boolean') return { kind: 'literal', value, text: String(value) };
    if (typeof value !== 'string') throw this.#error('rule-type', raw, `${raw}: no fact is a number`);
    if (!/^[A-Za-z0-9._:*-]*$/.test(value)) {
      throw this.#forbidden(raw, `the text ${raw}; ids and names are made of letters, digits and . _ : - there`);
    }
    const text = `'${value}'`;
    // Casbin rewrites `r.` in the text of a rule, inside quotes too.
    if (Util.escapeAssertion(text) !== text) throw this.#forbidden(raw, `the text ${raw}, which Casbin would rewrite,`);
    return { kind: 'literal', value, text };
  }

  #fact(node: jsep.Expression): Term & { kind: 'fact' } {
    const path = dotted(node);
    if (path === undefined) throw this.#forbidden('', 'a computed member');
    const type = FACT_PATHS.get(path);
    if (type === undefined) {
      throw this.#error(
        'unknown-fact',
        path,
        `there is no fact ${path}; the facts are ${[...FACT_PATHS.keys()].join(', ')}`,
      );
    }
    this.facts.add(path);
    return { kind: 'fact', text: path, type };
  }

  #binary(node: jsep.BinaryExpression, depth: number): Term {
    const { operator, left, right } = node;
    if (operator === 'in') return this.#in(left, right, depth);
    if (operator !== '==' && operator !== '!=') throw this.#forbidden(operator, `the operator ${operator}`);
    const [a, b] = [this.#term(left, depth + 1), this.#term(right, depth + 1)];
    if (a.kind === 'fact' && b.kind === 'literal') return this.#comparison(a, operator, b);
    if (a.kind === 'literal' && b.kind === 'fact') return this.#comparison(b, operator, a);
    throw this.#error('rule-type', operator, `${operator} compares one fact with one literal`);
  }

  /** `a in ['x', 'y']`, printed as comparisons: Casbin's own `in` would also see what an object inherits. */
  #in(left: jsep.Expression, right: jsep.Expression, depth: number): Term {
    if (right.type !== 'ArrayExpression') {
      throw this.#error(
        'rule-syntax',
        ' in ',
        'put `fact in [..]` in parentheses of its own, with a list of literals to the right',
      );
    }
    const fact = this.#term(left, depth + 1);
    if (fact.kind !== 'fact') throw this.#error('rule-type', ' in ', 'to the left of `in` stands a fact');
    const { elements } = right as jsep.ArrayExpression;
    if (elements.length === 0) throw this.#error('rule-type', ' in ', 'the list is empty, so this can never hold');
    this.#commas += elements.length - 1;
    const tests = elements.map((element) => {
      const literal = this.#term(element, depth + 1);
      if (literal.kind !== 'literal') throw this.#error('rule-type', ' in ', 'a list holds literals only');
      return this.#comparison(fact, '==', literal).tree;
    });
    return condition(
      tests.reduce((left, right) => ({ kind: 'either', text: `(${left.text} || ${right.text})`, left, right })),
    );
  }

  #comparison(
    fact: Term & { kind: 'fact' },
    operator: string,
    literal: Term & { kind: 'literal' },
  ): Term & { kind: 'condition' } {
    const { type, text: path } = fact;
    if (typeof literal.value !== (type === 'boolean' ? 'boolean' : 'string')) {
      throw this.#error(
        'rule-type',
        path,
        `${path} is ${type === 'boolean' ? 'true or false' : 'text'}, and ${literal.text} is not`,
      );
    }
    if (typeof type === 'object' && !type.includes(String(literal.value))) {
      throw this.#error('rule-type', literal.text, `${path} is never ${literal.text}; it is one of ${type.join(', ')}`);
    }
    if (type === 'text' && String(literal.value).includes('*')) {
      throw this.#error(
        'rule-type',
        literal.text,
        `${path} is never ${literal.text}: ${operator} takes * for itself; write keyMatch(${ACTION_PATH}, 'noun:*')`,
      );
    }
    if (type === 'text') this.#distinguish(path, String(literal.value));
    return condition({ kind: 'test', text: `(${path} ${operator} ${literal.text})`, path });
  }

  /** `keyMatch(r.request.action, 'user:*')`: the only function, because the others can hang or match unanchored. */
  #call(node: jsep.CallExpression, depth: number): Term {
    const name = dotted(node.callee) ?? 'this';
    if (node.callee.type !== 'Identifier' || name !== 'keyMatch') throw this.#forbidden(name, `a call of ${name}`);
    this.#commas += 1;
    const [fact, pattern, ...rest] = node.arguments.map((argument) => this.#term(argument, depth + 1));
    if (fact?.kind !== 'fact' || fact.text !== ACTION_PATH || pattern?.kind !== 'literal' || rest.length > 0) {
      throw this.#error('rule-type', 'keyMatch', `write keyMatch(${ACTION_PATH}, 'noun:*')`);
    }
    if (!ACTION_PATTERN.test(String(pattern.value))) {
      throw this.#error('rule-type', 'keyMatch', `${pattern.text} is no action pattern: *, noun:verb or noun:*`);
    }
    this.#distinguish(ACTION_PATH, String(pattern.value));
    return condition({ kind: 'test', text: `keyMatch(${ACTION_PATH}, ${pattern.text})`, path: ACTION_PATH });
  }

  #distinguish(path: string, constant: string): void {
    const known = this.constants.get(path);
    if (known) known.add(constant);
    else this.constants.set(path, new Set([constant]));
  }

  #forbidden(where: string, what: string): RuleError {
    return this.#error('forbidden-syntax', where, `${what} has no place in a rule; ${HOW}`);
  }

  /** The tree carries no places, so the place is where the offending text first stands. */
  #error(rule: FindingRule, where: string, message: string): RuleError {
    return new RuleError(rule, Math.max(0, this.#text.indexOf(where)), message);
  }
}

const condition = (tree: Condition): Term & { kind: 'condition' } => ({ kind: 'condition', text: tree.text, tree });

/** `r.key.status` of a chain of plain members; undefined for anything else, such as `r['key']`. */
function dotted(node: jsep.Expression): string | undefined {
  if (node.type === 'Identifier') return (node as jsep.Identifier).name;
  if (node.type !== 'MemberExpression') return undefined;
  const { computed, object, property } = node as jsep.MemberExpression;
  const path = dotted(object);
  return computed || path === undefined ? undefined : `${path}.${(property as jsep.Identifier).name}`;
}
