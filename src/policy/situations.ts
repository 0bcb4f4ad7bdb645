/**
 * Every situation that a policy can tell apart, so that what must hold of all of them is proved rather than sampled:
 * closed facts take each of their values; a text takes each constant that a rule compares it with, and one value that
 * is none of them; an action takes one representative for each pattern.
 */

import { mayBeAllowed } from './decide.ts';
import {
  CONSTRAINTS,
  type Constraint,
  closed,
  FACT_GROUPS,
  FACTS_SCHEMA,
  type FactGroup,
  type Facts,
  type FactType,
} from './facts.ts';
import type { Finding } from './finding.ts';
import type { Row } from './parse.ts';
import type { Policy } from './policy.ts';

/** Above this a check would take too long to be run at every start. */
const MAX_SITUATIONS = 200_000;

/** Reports situations that no row decides, rules that throw, and allows that no policy may give. */
export function checkSituations(policy: Policy, report: (finding: Finding) => void): void {
  const last = policy.rows.at(-1);
  if (!last) return;
  const reported = new Set<string>();
  const once = (row: Row, rule: string, facts: Facts, message: string): void => {
    if (reported.has(row.id + rule)) return;
    reported.add(row.id + rule);
    report({
      file: row.file,
      line: row.line,
      column: 1,
      rule,
      message: `${message}, for example for ${JSON.stringify(facts)}`,
    });
  };
  if (exceeds(situations(policy.rows), MAX_SITUATIONS)) {
    report({
      file: last.file,
      line: last.line,
      column: 1,
      rule: 'too-many-situations',
      message: `the rows tell more than ${MAX_SITUATIONS} situations apart, too many to check them all; name fewer ids and actions`,
    });
    return;
  }
  for (const facts of situations(policy.rows)) {
    let matched: ReturnType<Policy['match']>;
    try {
      matched = policy.match(facts);
    } catch (error) {
      once(last, 'rule-throws', facts, `a rule throws (${(error as Error).message})`);
      continue;
    }
    const { row } = matched;
    if (!row) once(last, 'undecided', facts, 'no row decides some situations; add a row after this one');
    else if (row.effect === 'allow' && !mayBeAllowed(facts)) {
      once(row, 'forbidden-allow', facts, 'this row allows a key or a user that is not active');
    }
  }
}

function exceeds(items: Iterable<unknown>, limit: number): boolean {
  let count = 0;
  for (const _ of items) {
    count += 1;
    if (count > limit) return true;
  }
  return false;
}

/** A group with the values of each of its facts, and the constraints that can be judged once it is known. */
interface Domain {
  readonly group: FactGroup;
  readonly values: readonly (readonly [fact: string, values: readonly unknown[]])[];
  readonly constraints: readonly Constraint[];
}

/** Each situation that `rows` can tell apart and that the schema says can occur, as a facts record. */
export function situations(rows: readonly Row[]): Generator<Facts> {
  const domains = FACT_GROUPS.map((group) => ({
    group,
    values: Object.entries<FactType>(FACTS_SCHEMA[group]).map(
      ([fact, type]) => [fact, valuesOf(`r.${group}.${fact}`, type, rows)] as const,
    ),
    constraints: CONSTRAINTS.filter((constraint) => constraint.about.at(-1) === group),
  }));
  return combine(domains, {});
}

/** Group by group, so that what contradicts itself already is not multiplied by the rest. */
function* combine([domain, ...rest]: readonly Domain[], known: Partial<Facts>): Generator<Facts> {
  if (!domain) {
    yield closed(known) as Facts;
    return;
  }
  for (const entries of product(domain.values.map(([fact, values]) => values.map((value) => [fact, value] as const)))) {
    const facts = { ...known, [domain.group]: closed(Object.fromEntries(entries)) };
    if (domain.constraints.every((constraint) => constraint.holds(facts as Facts))) yield* combine(rest, facts);
  }
}

function valuesOf(path: string, type: FactType, rows: readonly Row[]): readonly unknown[] {
  if (type === 'boolean') return [true, false];
  if (type !== 'text') return type;
  const constants = rows.flatMap((row) => [...(row.when.constants.get(path) ?? [])]);
  return path === 'r.request.action'
    ? actionValues([...constants, ...rows.map((row) => row.action)])
    : textValues(constants);
}

/** The constants, nothing, and something that is none of them. */
const textValues = (constants: readonly string[]): string[] => [...new Set(['', ...constants, fresh(constants, '')])];

/**
 * One action for each class that patterns and exact actions can tell apart: an action's class is settled by the longest
 * prefix that it matches, unless it is named exactly.
 */
function actionValues(patterns: readonly string[]): string[] {
  const prefixes = new Set([
    '',
    ...patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1)),
  ]);
  const exact = patterns.filter((pattern) => !pattern.endsWith('*'));
  const tail = (prefix: string): string => (prefix === '' ? ':x' : '');
  return [...new Set([...exact, ...[...prefixes].map((prefix) => fresh(patterns, prefix) + tail(prefix))])];
}

/** Something that begins with `prefix`, and that none of the texts begins with. */
function fresh(texts: readonly string[], prefix: string): string {
  let candidate = `${prefix}x`;
  while (texts.some((text) => text.startsWith(candidate))) candidate += 'x';
  return candidate;
}

function* product<T>(lists: readonly (readonly T[])[]): Generator<T[]> {
  const [first, ...rest] = lists;
  if (!first) {
    yield [];
    return;
  }
  for (const tail of product(rest)) for (const value of first) yield [value, ...tail];
}
