/**
 * Mutation testing of the shipped policy: every small change of its rows must be refused by the checks (its cases above all),
 * or be proved equivalent.
 */

import { expect } from 'chai';
import { diffOf, Undecided } from '../../src/policy/analysis/diff.ts';
import { situations } from '../../src/policy/analysis/situations.ts';
import { decide, type Policy } from '../../src/policy/decide.ts';
import type { Facts } from '../../src/policy/facts.ts';
import { type Case, parseCases } from '../../src/policy/folder/cases.ts';
import type { PolicyTexts } from '../../src/policy/folder/files.ts';
import { parseRows } from '../../src/policy/folder/rows.ts';
import { buildPolicy, compilePolicy } from '../../src/policy/policy.ts';
import type { Row } from '../../src/policy/row.ts';
import { BUILT_IN } from '../../src/policy/schema.ts';
import { runToEnd } from '../../src/policy/time-slices.ts';
import { amount } from '../support/long.ts';
import { holds, matches, readPrint } from './rules.ts';
import { shippedPolicy, shippedTexts, uncheckedPolicy } from './texts.ts';

interface Line {
  readonly id: string;
  readonly action: string;
  readonly when: string;
  readonly effect: string;
  readonly code: string;
}

interface Mutant {
  readonly what: string;
  readonly texts: PolicyTexts;
}

/** Of how many equivalent mutants one is proved by `authz policy diff`, too. */
const DIFF_EVERY = amount(20, 10, 1);

/** The verdict on a mutant: refused by parsing, by a case or by the proofs; equivalent; or overlooked. */
type Fate = 'unreadable' | 'case fails' | 'situations' | 'equivalent' | 'SURVIVES';

const ACTIONS = ['*', 'user:*', 'users:*', 'user:update', 'account:*', 'call:*', 'call:create', 'nothing:*'];

/** `text` with `to` where `match` was found. */
function replaceAt(text: string, match: RegExpMatchArray, to: string): string {
  const at = match.index ?? 0;
  return text.slice(0, at) + to + text.slice(at + match[0].length);
}

/** Every rule that is one token away from `rule`, and a few likely mistakes. */
function* ruleMutants(rule: string): Generator<string> {
  const swaps: Readonly<Record<string, string>> = { '==': '!=', '!=': '==', '&&': '||', '||': '&&' };
  for (const match of rule.matchAll(/[=!]=|&&|\|\|/g)) yield replaceAt(rule, match, swaps[match[0]] ?? '');
  for (const match of rule.matchAll(/!(?!=)/g)) yield replaceAt(rule, match, '');
  for (const match of rule.matchAll(/(?<!!)\b(?:r\.[\w.]+$|keyMatch\()/g)) yield replaceAt(rule, match, `!${match[0]}`);
  const words = [...new Set([...BUILT_IN.paths.values()].flatMap((type) => (typeof type === 'object' ? type : [])))];
  for (const match of rule.matchAll(/'([^']*)'/g)) {
    const others = match[1]?.includes(':') ? ACTIONS : words;
    for (const to of others) if (to !== match[1]) yield replaceAt(rule, match, `'${to}'`);
  }
  for (const match of rule.matchAll(/r\.[\w.]+/g)) {
    for (const to of BUILT_IN.paths.keys()) if (to !== match[0]) yield replaceAt(rule, match, to);
  }
  const parts = rule.split(' && ');
  for (const part of parts) if (parts.length > 1) yield parts.filter((other) => other !== part).join(' && ');
  yield* ['true', 'false', `!(${rule})`];
  for (const atom of ATOMS) yield* [`(${rule}) && !${atom}`, `(${rule}) || ${atom}`];
}

/** Conditions to add to or except from a rule: each on one closed fact, or on the nouns that the rows name. */
const ATOMS = [
  ...[...BUILT_IN.paths].flatMap(([path, type]) =>
    typeof type === 'object' ? type.map((word) => `(${path} == '${word}')`) : type === 'boolean' ? [path] : [],
  ),
  ...['user:*', 'account:*', 'call:*'].map((noun) => `keyMatch(r.request.action, '${noun}')`),
];

function* lineMutants(line: Line, codes: readonly string[]): Generator<Line> {
  for (const when of ruleMutants(line.when)) yield { ...line, when };
  for (const action of ACTIONS) if (action !== line.action) yield { ...line, action };
  for (const code of codes) if (code !== line.code) yield { ...line, code };
  const effect = line.effect === 'allow' ? 'deny' : 'allow';
  for (const code of codes) yield { ...line, effect, code };
}

function* orderMutants(lines: readonly Line[]): Generator<readonly [what: string, lines: readonly Line[]]> {
  for (const [index, line] of lines.entries()) {
    const others = lines.filter((other) => other !== line);
    yield [`without ${line.id}`, others];
    for (let to = 0; to < lines.length; to += 1) {
      if (to === index) continue;
      yield [`${line.id} as the row number ${to + 1}`, [...others.slice(0, to), line, ...others.slice(to)]];
    }
  }
}

describe('mutants of the shipped rows', function () {
  this.timeout(180_000);

  let texts: PolicyTexts;
  let shipped: Policy;
  let lines: readonly Line[];
  let cases: readonly Case[];
  let saysTheSame: ReturnType<typeof prover>;
  let unkilled = 0;

  before(async () => {
    texts = await shippedTexts();
    shipped = await shippedPolicy();
    saysTheSame = prover(shipped);
    cases = [...texts]
      .filter(([name]) => name.startsWith('cases/'))
      .flatMap(([name, text]) => parseCases(name, text, shipped.schema, ({ message }) => expect.fail(message)));
    lines = [...texts]
      .filter(([name]) => name.endsWith('.csv'))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([, text]) => [
        ...text.matchAll(/^p, (?<id>\S+), (?<action>\S+), "(?<when>.*)", (?<effect>\w+), (?<code>\w+)$/gm),
      ])
      .map((match) => ({ ...match.groups }) as unknown as Line);
  });

  /** The folder with these rows, all in one file. */
  const folderOf = (rows: readonly Line[]): PolicyTexts =>
    new Map([
      ...[...texts].filter(([name]) => !name.endsWith('.csv')),
      [
        '10-rows.csv',
        rows
          .map(({ id, action, when, effect, code }) => `p, ${id}, ${action}, "${when}", ${effect}, ${code}\n`)
          .join(''),
      ],
    ]);

  /** Parses, then runs the cases until one fails, and only then proves, which costs far more. */
  async function fateOf(mutant: PolicyTexts): Promise<Fate> {
    const rules: string[] = [];
    const rows = runToEnd(parseRows(mutant, BUILT_IN, shipped.codes, ({ rule }) => void rules.push(rule)));
    if (rules.length > 0) return 'unreadable';
    const policy = await uncheckedPolicy(rows);
    if (!cases.every((one) => holdsOf(one, policy))) return 'case fails';
    const equivalent = saysTheSame(rows);
    unkilled += 1;
    // What `authz policy diff` proves, held against an oracle that shares nothing with it.
    if (unkilled % DIFF_EVERY === 0)
      expect(provedEquivalent(mutant), [...mutant.values()].join('\n')).to.equal(equivalent);
    if (equivalent) return 'equivalent';
    return (await buildPolicy(mutant)).policy ? 'SURVIVES' : 'situations';
  }

  function provedEquivalent(mutant: PolicyTexts): boolean {
    const { policy } = compilePolicy(mutant);
    try {
      return policy !== undefined && diffOf(shipped, policy).changes.length === 0;
    } catch (error) {
      if (error instanceof Undecided) return false;
      throw error;
    }
  }

  /** The verdicts on all of them. Every 150th is compared with that of buildPolicy. */
  async function kill(mutants: Iterable<Mutant>): Promise<void> {
    const fates = new Map<Fate, string[]>();
    let count = 0;
    for (const { what, texts: mutant } of mutants) {
      const fate = await fateOf(mutant);
      fates.set(fate, [...(fates.get(fate) ?? []), what]);
      count += 1;
      // An equivalent mutant may still be refused: for a row that decides nothing.
      if (count % 150 === 0 && fate !== 'equivalent')
        expect((await buildPolicy(mutant)).policy === undefined, what).to.equal(fate !== 'SURVIVES');
    }
    const equivalent = fates.get('equivalent')?.length ?? 0;
    const survivors = fates.get('SURVIVES') ?? [];
    const total = count - equivalent;
    const how = [...fates].map(([fate, list]) => `${list.length} ${fate}`).join(', ');
    const rate = ((100 * (total - survivors.length)) / total).toFixed(1);
    console.log(`      kill rate ${rate} %: ${total - survivors.length} of ${total} mutants (${how})`);
    expect(survivors, 'nothing notices these: add a case to policies/cases').to.deep.equal([]);
    expect(total).to.be.above(0);
  }

  it('are made of rows that are equivalent to the shipped ones', async () => {
    const { policy } = await buildPolicy(folderOf(lines));
    expect(saysTheSame(policy?.rows ?? [])).to.equal(true);
    expect(saysTheSame(shipped.rows.slice(1))).to.equal(false);
    expect(lines.map((line) => line.id)).to.deep.equal(shipped.rows.map((row) => row.id));
  });

  it('are all killed where a row is changed', async () => {
    const rowMutants = lines
      .flatMap((line, index) =>
        [...lineMutants(line, [...shipped.codes.keys()])].map((mutant) => ({
          what: JSON.stringify(mutant),
          texts: folderOf(lines.map((other, at) => (at === index ? mutant : other))),
        })),
      )
      .filter((_, index) => index % amount(5, 2, 1) === 0);
    await kill(rowMutants);
  });

  it('are all killed where a row is dropped or moved', async () => {
    await kill([...orderMutants(lines)].map(([what, rows]) => ({ what, texts: folderOf(rows) })));
  });

  it('are all killed where a file of rows is missing, or ends early', async () => {
    const truncated: Mutant[] = [];
    for (const [name, text] of texts) {
      if (!name.endsWith('.csv')) continue;
      const without = new Map([...texts].filter(([other]) => other !== name));
      truncated.push({ what: `without ${name}`, texts: without });
      for (let end = 0; end < text.length; end += amount(4, 2, 1)) {
        truncated.push({ what: `${name} up to ${end}`, texts: new Map([...without, [name, text.slice(0, end)]]) });
      }
    }
    await kill(truncated);
  });
});

/** Whether a case holds, as in `checkCases`. */
function holdsOf({ facts, want }: Case, policy: Policy): boolean {
  try {
    const got = decide(policy, facts);
    return got.effect === want.effect && got.code === want.code && got.rule === want.rule;
  } catch {
    return false;
  }
}

/** The decision by the tests' own evaluator, which is much faster than Casbin. */
function decider(rows: readonly Row[]): (facts: Facts) => string {
  const trees = rows.map((row) => ({ row, tree: readPrint(row.when.text) }));
  return (facts) => {
    const row = trees.find((one) => matches(facts.request.action, one.row.action) && holds(one.tree, facts))?.row;
    return `${row?.effect} ${row?.code} ${row?.id}`;
  };
}

/** Proves by enumeration that the same row of both decides every situation, in the same way. */
function prover({ rows, schema }: Policy): (others: readonly Row[]) => boolean {
  const decides = decider(rows);
  const known = new Map<string, readonly (readonly [Facts, string])[]>();
  return (others) => {
    const both = [...rows, ...others];
    const constants = both.flatMap((row) => [
      row.action,
      ...row.when.facts,
      ...[...row.when.constants].flatMap(([path, set]) => [...set].map((text) => `${path} ${text}`)),
    ]);
    const key = [...new Set(constants)].sort().join();
    const answers = known.get(key) ?? [...situations(both, schema)].map((facts) => [facts, decides(facts)] as const);
    known.set(key, answers);
    const decidesOther = decider(others);
    return answers.every(([facts, answer]) => decidesOther(facts) === answer);
  };
}
