/**
 * The tables of docs/policies.md that say what can be written, of `facts.yaml` and of the rule language, held to the parsers in both
 * directions: each line is accepted and means what it says; and whatever else the parsers accept, among all that is one step
 * from a line or can be made of the words that stand in the parsers' own source, has no form that is not in the table.
 */

import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import expressionEval from '@casbin/expression-eval';
import { FunctionMap } from 'casbin';
import { expect } from 'chai';
import type jsep from 'jsep';
import { parse } from 'yaml';
import { parseRule, RuleError } from '../../src/policy/casbin/rule.ts';
import { GROUP_OF_OWNER } from '../../src/policy/declared/declaration.ts';
import { parseFactsFile } from '../../src/policy/folder/facts-file.ts';
import { DECLARED_LIMITS } from '../../src/policy/folder/facts-parts.ts';
import { BUILT_IN, type Schema, schemaOf } from '../../src/policy/schema.ts';
import { ROOT } from '../support/cli.ts';
import { amount } from '../support/long.ts';

const PAGE = readFileSync(path.join(ROOT, 'docs', 'policies.md'), 'utf8');

/** The cells of the table below a heading. */
function tableOf(heading: string): string[][] {
  const section = PAGE.split(`\n## ${heading}\n`)[1]?.split('\n## ')[0] ?? expect.fail(`no section ${heading}`);
  const lines = section.split('\n').filter((line) => line.startsWith('| ') && !line.startsWith('| write'));
  return lines.map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const codesIn = (cell = ''): string[] =>
  [...cell.matchAll(/`([^`]+)`|<code>(.*?)<\/code>/g)].map(([, plain, escaped = '']) =>
    (plain ?? escaped).replaceAll('&#124;', '|'),
  );

/** The short texts in quotes in the source of a part of the parser: all words that it can know. */
function wordsOf(folder: string, files: RegExp): string[] {
  const source = readdirSync(path.join(ROOT, folder))
    .filter((file) => files.test(file))
    .map((file) => readFileSync(path.join(ROOT, folder, file), 'utf8'))
    .join('\n');
  const words = [...source.matchAll(/'([a-z][A-Za-z_]{1,20})'/g), ...source.matchAll(/^ {2}([a-z]+): /gm)];
  return [...new Set(words.map(([, word]) => word ?? ''))];
}

/** The declaration of a text; undefined where it is refused. */
function declarationOf(text: string) {
  const faults: unknown[] = [];
  const declaration = parseFactsFile(text, (finding) => void faults.push(finding));
  return faults.length === 0 ? declaration : undefined;
}

type Plain = string | number | boolean | null | readonly Plain[] | { readonly [name: string]: Plain };
const isMap = (value: Plain): value is { readonly [name: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const SECTIONS_OF_NAMES = /^(?:attributes \w+|networks|schedules|asked|actions (?:known|groups))$/;

/** What forms a file uses: each member with its path and the kind of its value. Names that the author gives are `*`. */
function formsOf(value: Plain, at: readonly string[] = []): string[] {
  const here = at.join(' ');
  // A section that is empty, as in `roles:`, is none.
  if (value === null) return [];
  if (isMap(value)) {
    const name = (member: string): string => (SECTIONS_OF_NAMES.test(here) ? '*' : member);
    return Object.entries(value).flatMap(([member, entry]) => formsOf(entry, [...at, name(member)]));
  }
  // The owners of attributes take the same forms; that each of them is in the table is a test of its own.
  const general = here.replace(/^attributes (?:key|user|business)\b/, 'attributes OWNER');
  if (Array.isArray(value)) return [`${general} list`];
  return [`${general} ${/ days$| \*$/.test(here) && !here.startsWith('actions') ? kindOfWord(value) : typeof value}`];
}

/** Some texts are words of the language, and not of the author. */
function kindOfWord(value: Plain): string {
  if (typeof value !== 'string') return typeof value;
  if (/^[a-z]{3}$/.test(value)) return 'one day';
  return /^[a-z]{3}-[a-z]{3}$/.test(value) ? 'range of days' : value;
}

/** Every document in which one place of `value` is another, or has another member. */
function* neighbours(value: Plain, words: readonly string[]): Generator<Plain> {
  const leaves: readonly Plain[] = [true, false, 1, null, ['one'], ['203.0.113.0/24'], 'a-b.txt', '08:00', ...words];
  yield* leaves;
  if (!isMap(value)) return;
  for (const word of words)
    for (const leaf of [...leaves.slice(0, 8), 'boolean', { one: ['two'] }])
      if (!Object.hasOwn(value, word)) yield { ...value, [word]: leaf };
  for (const word of words) for (const leaf of leaves.slice(0, 8)) yield { [word]: leaf };
  for (const [member, entry] of Object.entries(value)) {
    const { [member]: _, ...rest } = value;
    yield rest;
    for (const other of neighbours(entry, words)) yield { ...value, [member]: other };
  }
}

describe('the table of facts.yaml in docs/policies.md', () => {
  const lines = tableOf('facts.yaml').map(([write, facts, nothing]) => ({
    text: codesIn(write)[0] ?? expect.fail('a line without an example'),
    facts: codesIn(facts),
    nothing: nothing?.replaceAll('`', ''),
  }));

  for (const { text, facts, nothing } of lines)
    it(`says what ${text} declares`, () => {
      const declaration = declarationOf(text) ?? expect.fail('refused');
      const schema = schemaOf(declaration);
      if (declaration.roles.length > 0) {
        expect(facts).to.deep.equal(['r.target.role', ...declaration.roles]);
        expect(schema.paths.get('r.target.role')).to.include.members([...declaration.roles, nothing]);
        return;
      }
      const added = [...schema.paths.keys()].filter((one) => !BUILT_IN.paths.has(one));
      expect(facts).to.deep.equal(added.length > 0 ? added : ['r.request.registered']);
      for (const fact of facts) expect(noneOf(schema, fact), fact).to.equal(nothing);
    });

  it('has every form that the parser accepts', () => {
    const known = new Set(lines.flatMap(({ text }) => formsOf(parse(text))));
    const words = wordsOf('src/policy/folder', /^(?:facts-file|facts-parts|networks-section)\.ts$/);
    words.push(...wordsOf('src/policy/declared', /^(?:parse-schedule|declaration)\.ts$/));
    expect(words).to.include.members([
      'withholds',
      'grants',
      'file',
      'except',
      'groups',
      'daily',
      'boolean',
      'business',
    ]);
    const accepted = new Set<string>();
    const tried = new Set<string>();
    const missing = new Set<string>();
    for (const { text } of lines)
      for (const document of neighbours(parse(text), words)) {
        const json = JSON.stringify(document);
        if (tried.has(json)) continue;
        tried.add(json);
        if (tried.size % amount(3, 1) !== 0) continue;
        if (declarationOf(json) === undefined) continue;
        accepted.add(json);
        for (const form of formsOf(document)) if (!known.has(form)) missing.add(`${form}: ${json}`);
      }
    expect([...missing].join('\n')).to.equal('');
    expect(accepted.size).to.be.above(amount(70, 200));
  });

  it('stands above the bounds of the code', () => {
    const { values, actions, ...names } = DECLARED_LIMITS;
    expect([...new Set(Object.values(names))]).to.deep.equal([values]);
    const says = `At most ${values} names of a kind, ${values} values or grants of a name, ${actions} actions.`;
    expect(PAGE.replace(/\s+/g, ' ')).to.include(says);
  });

  it('has every owner of attributes', () => {
    const owners = lines.flatMap(({ text }) => Object.keys(parse(text).attributes ?? {}));
    expect([...new Set(owners)].sort()).to.deep.equal(Object.keys(GROUP_OF_OWNER).sort());
  });
});

/** A schedule is never unknown. */
function noneOf({ table }: Schema, fact: string): string {
  const [, group = '', ...names] = fact.split('.');
  return group === 'schedule' ? '' : String(table[group]?.[names.join('.')]?.none);
}

/** What a rule is made of: kinds of nodes, operators, functions, and on which side of a comparison the fact stands. */
function partsOf(node: jsep.Expression): string[] {
  const of = (...children: readonly unknown[]): string[] =>
    children.flatMap((child) => partsOf(child as jsep.Expression));
  switch (node.type) {
    case 'Literal':
      return [`a ${typeof (node as jsep.Literal).value}`];
    case 'MemberExpression':
      return [(node as jsep.MemberExpression).computed ? 'a computed member' : 'a fact'];
    case 'UnaryExpression':
      return [`unary ${(node as jsep.UnaryExpression).operator}`, ...of((node as jsep.UnaryExpression).argument)];
    case 'LogicalExpression':
    case 'BinaryExpression': {
      const { operator, left, right } = node as jsep.BinaryExpression;
      return [operator, ...(left.type === 'Literal' ? ['a literal on the left'] : []), ...of(left, right)];
    }
    case 'ArrayExpression':
      return ['a list', ...of(...((node as jsep.ArrayExpression).elements ?? []))];
    case 'CallExpression': {
      const { callee, arguments: given } = node as jsep.CallExpression;
      return [`call ${(callee as jsep.Identifier).name}`, ...of(...given)];
    }
    default:
      return [node.type];
  }
}

/** Every rule of one operator, function or other syntax of the parser over operands of each kind. */
function* simpleRules(): Generator<string> {
  const operands = [
    ...[
      'r.key.status',
      'r.key.id',
      'r.limit.exceeded',
      'r.request.action',
      'r.key',
      'r',
      "r['key']",
      'r.key.id.length',
    ],
    ...["'active'", "'call:create'", "'call:*'", "''", 'true', 'false', '1', 'null', 'this', 'undefined'],
    ...["['active', 'revoked']", '[true]', '[]', "('active')", '(r.limit.exceeded)', '{}', '/a/', '`a`'],
  ];
  const binary = '== != && || in === !== < > <= >= + - * / % ** << >> >>> & | ^ ?? ?. = , instanceof =~ ;'.split(' ');
  const functions = [
    ...FunctionMap.loadFunctionMap().getFunctions().keys(),
    'eval',
    'keyMatch',
    'r.key.status.includes',
  ];
  yield* operands;
  for (const a of operands) {
    for (const operator of ['!', '-', '+', '~', 'typeof ', 'new ', '...']) yield `${operator}${a}`;
    for (const name of functions) yield* [`${name}(${a})`, `${name}(${a}, 'call:*')`, `${name}('active', ${a})`];
    for (const b of operands) {
      for (const operator of binary) yield* [`${a} ${operator} ${b}`, `(${a} ${operator} ${b})`];
      yield* [`${a} ? ${b} : true`, `${a}[${b}]`, `${a} ${b}`];
    }
  }
}

describe('the table of the rule language in docs/policies.md', () => {
  const samples = tableOf('The language').flatMap(([, write]) =>
    codesIn(write).map((code) => code.replace(/\ba\b/, 'r.limit.exceeded').replace(/\bb\b$/, 'r.freeze.active')),
  );

  it('holds what the parser accepts', () => {
    expect(samples.length).to.be.above(10);
    for (const sample of samples) expect(() => parseRule(sample, BUILT_IN), sample).not.to.throw();
  });

  it('has every form that the parser accepts', () => {
    const known = new Set(samples.flatMap((sample) => partsOf(expressionEval.parse(sample))));
    const missing = new Set<string>();
    let accepted = 0;
    for (const rule of simpleRules()) {
      try {
        parseRule(rule, BUILT_IN);
      } catch (error) {
        expect(error, rule).to.be.instanceOf(RuleError);
        continue;
      }
      accepted += 1;
      for (const part of partsOf(expressionEval.parse(rule))) if (!known.has(part)) missing.add(`${part}: ${rule}`);
    }
    expect([...missing].join('\n')).to.equal('');
    expect(accepted).to.be.above(50);
  });
});
