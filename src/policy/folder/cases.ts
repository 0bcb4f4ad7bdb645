/**
 * Policy cases: what the security team wants the policy to say, in `cases/*.yaml`. A case states facts over the file's
 * base, and the decision that must follow. They run at every load, so that an edit that breaks one never goes live.
 */

import { type Decision, decide } from '../decide.ts';
import { FACT_GROUPS, type Facts, readFacts } from '../facts.ts';
import type { Policy } from '../policy.ts';
import { addDefaults } from '../recorded-facts.ts';
import type { PolicyTexts } from './files.ts';
import type { Report } from './findings.ts';
import { isMap, parseYaml } from './yaml.ts';

const CASE_FILE = /^cases\/[a-z0-9-]+\.yaml$/;

export interface Case {
  readonly name: string;
  readonly facts: Facts;
  /** The facts of its file that every case begins with, as they stand there. */
  readonly base: Readonly<Record<string, unknown>>;
  readonly want: Decision;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The cases of all files; reports those that cannot be read, and a folder that has none. */
export function parseAllCases(texts: PolicyTexts, report: Report): Case[] {
  const files = [...texts.keys()].filter((name) => CASE_FILE.test(name)).sort();
  const cases = files.flatMap((file) => parseCases(file, texts.get(file) ?? '', report));
  if (cases.length === 0) {
    report({
      file: 'cases',
      line: 1,
      column: 1,
      rule: 'no-cases',
      message: 'there is no case; write what must hold into cases/name.yaml, so that a half-copied folder cannot pass',
    });
  }
  return cases;
}

/** Of all cases together, in units of about 20 ns: about 4 s. */
const MAX_COST = 200_000_000;
/** After how many cases others may work. */
const STEP = 50;

/** Reports cases that fail, in steps of some milliseconds. `costOf`: what deciding may cost, in units of about 20 ns. */
export function* checkCases(
  policy: Policy,
  cases: readonly Case[],
  costOf: (facts: Facts) => number,
  report: Report,
): Generator<void> {
  let cost = 0;
  for (const [index, { name, facts, want, file, line, column }] of cases.entries()) {
    if (index % STEP === 0) yield;
    cost += costOf(facts);
    if (cost > MAX_COST) {
      const message = `there are more cases than can be run by so many rows; this one and those after it are left out`;
      report({ file, line, column, rule: 'too-large', message });
      return;
    }
    const got = attempt(policy, facts);
    if (typeof got === 'object' && got.code === want.code && got.rule === want.rule && got.effect === want.effect)
      continue;
    report({ file, line, column, rule: 'case-fails', message: `${name}: wanted ${print(want)}, got ${print(got)}` });
  }
}

/** The decision, or in words why there is none. */
export function attempt(policy: Policy, facts: Facts): Decision | string {
  try {
    return decide(policy, facts);
  } catch (error) {
    return `a failure (${((error as Error).cause as Error | undefined)?.message ?? (error as Error).message})`;
  }
}

export const print = (decision: Decision | string): string =>
  typeof decision === 'string' ? decision : `${decision.effect} ${decision.code} by ${decision.rule}`;

/** The cases of one file: `{base: facts, cases: [{name, given?, want: {effect, code, rule}}]}`. */
export function parseCases(file: string, text: string, report: Report): Case[] {
  const { value, place } = parseYaml(file, text, report);
  if (value === undefined) return [];
  const find = (path: readonly (string | number)[], message: string): void =>
    report({ file, ...place(path), rule: 'case-shape', message });
  if (!isMap(value) || !isMap(value['base']) || !Array.isArray(value['cases']) || Object.keys(value).length !== 2) {
    find([], 'a file of cases is {base: facts, cases: [..]}');
    return [];
  }
  const { base, cases } = value as { base: Record<string, unknown>; cases: unknown[] };
  return cases.flatMap((entry, index) => {
    const path = ['cases', index];
    try {
      return [{ ...parseCase(base, entry), file, ...place(path) }];
    } catch (error) {
      find(path, (error as Error).message);
      return [];
    }
  });
}

function parseCase(base: Record<string, unknown>, entry: unknown): Pick<Case, 'name' | 'facts' | 'base' | 'want'> {
  const { name, given = {}, want, ...rest } = isMap(entry) ? entry : {};
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined)
    throw new TypeError(`nothing reads ${JSON.stringify(unknown)}; a case has name, given and want`);
  if (typeof name !== 'string' || name === '') throw new TypeError('a case has a name');
  const [under, over] = [groupsOf('base', base), groupsOf('given', given)];
  const stated = Object.fromEntries(FACT_GROUPS.map((group) => [group, { ...under[group], ...over[group] }]));
  // Facts that came after version 1 may be left out, so that a new one breaks no case that was written before it.
  const facts = readFacts(addDefaults(stated, 1).groups);
  const { effect, code, rule, ...others } = isMap(want) ? want : {};
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    typeof code !== 'string' ||
    typeof rule !== 'string' ||
    Object.keys(others).length > 0
  ) {
    throw new TypeError('want is {effect: allow | deny, code: CODE, rule: row-id}');
  }
  return { name, facts, base, want: { effect, code, rule } };
}

/** Facts by group. Throws at whatever else stands there: laid over each other it would vanish without a word. */
function groupsOf(what: string, value: unknown): Record<string, Record<string, unknown>> {
  if (!isMap(value)) throw new TypeError(`${what} is a map of facts`);
  for (const [group, facts] of Object.entries(value)) {
    if (!(FACT_GROUPS as readonly string[]).includes(group))
      throw new TypeError(`there are no facts of ${JSON.stringify(group)}`);
    if (!isMap(facts)) throw new TypeError(`${what}.${group} is a map of facts`);
  }
  return value as Record<string, Record<string, unknown>>;
}
