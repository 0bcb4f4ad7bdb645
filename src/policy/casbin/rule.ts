/**
 * The language of the `when` column. Casbin would evaluate nearly any JavaScript expression there, so a rule is parsed with
 * Casbin's own parser, its syntax tree is checked against an allowlist, and it is printed anew from the tree: Casbin is
 * given the print, never the text of the file.
 */

import expressionEval from '@casbin/expression-eval';
import { Util } from 'casbin';
import type jsep from 'jsep';
import { withNearest } from '../../nearest.ts';
import { ACTION_PATTERN } from '../action-patterns.ts';
import { ACTION_PATH, type FactType } from '../facts.ts';
import type { Predicate, Rule } from '../row.ts';
import type { Schema } from '../schema.ts';

/** The kinds of faults of a rule; each is the name of a finding (folder/findings.ts). */
export type RuleFault = 'unknown-fact' | 'rule-type' | 'rule-syntax' | 'forbidden-syntax';

/** Why a rule is refused; `offset` counts from the start of its text, in UTF-16 units. */
export class RuleError extends Error {
  readonly fault: RuleFault;
  readonly offset: number;

  constructor(fault: RuleFault, offset: number, message: string) {
    super(message);
    this.fault = fault;
    this.offset = offset;
  }
}

const MAX_LENGTH = 2000;
const MAX_DEPTH = 32;
// Two for each level of the tree, and few enough that the recursive parser cannot overflow the stack.
const MAX_NESTING = 2 * MAX_DEPTH;
const FORBIDDEN_CHARACTER = /[^A-Za-z0-9_ .:'"()[\],!=&|*-]/;
const HOW =
  'use facts (r.key.status), literals, ==, !=, &&, ||, !, parentheses, (fact in [..]) and keyMatch(r.request.action, ..)';

type Term =
  | { readonly kind: 'predicate'; readonly text: string; readonly tree: Predicate }
  | { readonly kind: 'fact'; readonly text: string; readonly type: FactType }
  | { readonly kind: 'literal'; readonly text: string; readonly value: string | boolean };

// Casbin adds `in` to the shared parser, with this precedence, at its first enforcement. Adding it here makes a rule parse
// alike before and after that. The function never runs: `in` is printed as comparisons.
expressionEval.addBinaryOp('in', 1, () => {
  throw new Error('`in` is never evaluated');
});

/** Parses and checks one rule in terms of the facts of `schema`. @throws RuleError */
export function parseRule(text: string, schema: Schema): Rule {
  const forbidden = FORBIDDEN_CHARACTER.exec(text);
  if (forbidden)
    throw new RuleError(
      'forbidden-syntax',
      forbidden.index,
      `the character ${JSON.stringify(forbidden[0])} has no place in a rule; ${HOW}`,
    );
  if (text.trim() === '')
    throw new RuleError('rule-syntax', 0, 'the condition is empty; where there is none to be met, write true');
  if (text.length > MAX_LENGTH)
    throw new RuleError('forbidden-syntax', 0, `a rule may have at most ${MAX_LENGTH} characters; split it into rows`);
  if (nesting(text) > MAX_NESTING)
    throw new RuleError('forbidden-syntax', 0, `parentheses nest deeper than ${MAX_NESTING}; split the rule into rows`);
  const reader = new RuleReader(text, schema);
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
    const single = /(?<![=!])=(?!=)/.test(text) ? '; to compare, write ==' : '';
    throw new RuleError('rule-syntax', index ?? 0, `this is no complete expression: ${message}${single}`);
  }
}

/** Type-checks and prints one syntax tree. A class because the text and the constants go with every step. */
class RuleReader {
  readonly constants = new Map<string, Set<string>>();
  readonly facts = new Set<string>();
  readonly #text: string;
  readonly #schema: Schema;
  #commas = 0;

  constructor(text: string, schema: Schema) {
    this.#text = text;
    this.#schema = schema;
  }

  /** A rule as a whole. The parser also accepts `['a' 'b']` and `x,`, so the commas of the text are counted. */
  whole(node: jsep.Expression): Predicate {
    const tree = this.predicate(node, 0);
    if (this.#text.split(',').length - 1 === this.#commas) return tree;
    throw this.#error('rule-syntax', ',', 'a comma is missing or is one too many');
  }

  /** Reads a node that must be boolean. */
  predicate(node: jsep.Expression, depth: number): Predicate {
    const term = this.#term(node, depth);
    if (term.kind === 'fact' && term.type !== 'boolean') {
      throw this.#error('rule-type', term.text, `${term.text} is not true or false; compare it with == or !=`);
    }
    if (term.kind === 'literal' && typeof term.value !== 'boolean') {
      throw this.#error('rule-type', term.text, `${term.text} is not a condition; compare a fact with it`);
    }
    if (term.kind === 'predicate') return term.tree;
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
        const of = this.predicate(argument, depth + 1);
        return predicate({ kind: 'not', text: `!${of.text}`, of });
      }
      case 'LogicalExpression': {
        const { operator, left: before, right: after } = node as jsep.LogicalExpression;
        const [left, right] = [this.predicate(before, depth + 1), this.predicate(after, depth + 1)];
        const kind = operator === '&&' ? 'both' : 'either';
        return predicate({ kind, text: `(${left.text} ${operator} ${right.text})`, left, right });
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
    const type = this.#schema.paths.get(path);
    if (type === undefined) {
      const paths = [...this.#schema.paths.keys()];
      const message = `there is no fact ${path}; the facts are ${paths.join(', ')}`;
      throw this.#error('unknown-fact', path, withNearest(message, path, paths));
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

  /** `a in ['x', 'y']`, printed as comparisons: Casbin's own `in` also sees inherited keys. */
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
    return predicate(
      tests.reduce((left, right) => ({ kind: 'either', text: `(${left.text} || ${right.text})`, left, right })),
    );
  }

  #comparison(
    fact: Term & { kind: 'fact' },
    operator: string,
    literal: Term & { kind: 'literal' },
  ): Term & { kind: 'predicate' } {
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
    if (type === 'text') {
      const form = this.#schema.forms.get(path);
      if (form && !form.accepts.test(String(literal.value)))
        throw this.#error('rule-type', literal.text, `${path} is never ${literal.text}; it is ${form.says}`);
      this.#distinguish(path, String(literal.value));
    }
    return predicate({ kind: 'test', text: `(${path} ${operator} ${literal.text})`, path });
  }

  /** `keyMatch(r.request.action, 'user:*')`: the only function, because the others can hang, or match unanchored. */
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
    return predicate({ kind: 'test', text: `keyMatch(${ACTION_PATH}, ${pattern.text})`, path: ACTION_PATH });
  }

  #distinguish(path: string, constant: string): void {
    const known = this.constants.get(path);
    if (known) known.add(constant);
    else this.constants.set(path, new Set([constant]));
  }

  #forbidden(where: string, what: string): RuleError {
    return this.#error('forbidden-syntax', where, `${what} has no place in a rule; ${HOW}`);
  }

  /** Nodes carry no offsets, so the offset is that of the first occurrence of the offending text. */
  #error(fault: RuleFault, where: string, message: string): RuleError {
    return new RuleError(fault, Math.max(0, this.#text.indexOf(where)), message);
  }
}

const predicate = (tree: Predicate): Term & { kind: 'predicate' } => ({ kind: 'predicate', text: tree.text, tree });

/** `r.key.status` of a chain of plain members; undefined for anything else, such as `r['key']`. */
function dotted(node: jsep.Expression): string | undefined {
  if (node.type === 'Identifier') return (node as jsep.Identifier).name;
  if (node.type !== 'MemberExpression') return undefined;
  const { computed, object, property } = node as jsep.MemberExpression;
  const path = dotted(object);
  return computed || path === undefined ? undefined : `${path}.${(property as jsep.Identifier).name}`;
}
