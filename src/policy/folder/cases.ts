/**
 * Parses the policy cases, `cases/*.yaml`: examples, each of facts (laid over the file's base) and the decision that must
 * follow. analysis/run-cases.ts runs them.
 */

import type { Decision } from '../decide.ts';
import type { Facts } from '../facts.ts';
import { completeFacts, readWrittenFacts } from '../recorded-facts.ts';
import type { Schema } from '../schema.ts';
import { CASE_FILE, type PolicyTexts } from './files.ts';
import type { Report } from './findings.ts';
import { isMap, parseYaml } from './yaml.ts';

export interface Case {
  readonly name: string;
  readonly facts: Facts;
  /** The facts of its file that every case begins with, by group; those that came after version 1 with their defaults. */
  readonly base: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly want: Decision;
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The cases of all files; reports those that cannot be read, and a folder that has none. */
export function parseAllCases(texts: PolicyTexts, schema: Schema, report: Report): Case[] {
  const files = [...texts.keys()].filter((name) => CASE_FILE.test(name)).sort();
  const cases = files.flatMap((file) => parseCases(file, texts.get(file) ?? '', schema, report));
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

/** The cases of one file: `{base: facts, cases: [{name, given?, want: {effect, code, rule}}]}`. */
export function parseCases(file: string, text: string, schema: Schema, report: Report): Case[] {
  const { value, place } = parseYaml(file, text, report);
  if (value === undefined) return [];
  const fault = (path: readonly (string | number)[], message: string): void =>
    report({ file, ...place(path), rule: 'case-shape', message });
  if (!isMap(value) || !isMap(value['base']) || !Array.isArray(value['cases']) || Object.keys(value).length !== 2) {
    fault([], 'a file of cases is {base: facts, cases: [..]}');
    return [];
  }
  const { base, cases } = value as { base: Record<string, unknown>; cases: unknown[] };
  return cases.flatMap((entry, index) => {
    const path = ['cases', index];
    try {
      return [{ ...parseCase(base, entry, schema), file, ...place(path) }];
    } catch (error) {
      fault(path, (error as Error).message);
      return [];
    }
  });
}

function parseCase(
  base: Record<string, unknown>,
  entry: unknown,
  schema: Schema,
): Pick<Case, 'name' | 'facts' | 'base' | 'want'> {
  const { name, given = {}, want, ...rest } = isMap(entry) ? entry : {};
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined)
    throw new TypeError(`nothing reads ${JSON.stringify(unknown)}; a case has name, given and want`);
  if (typeof name !== 'string' || name === '') throw new TypeError('a case has a name');
  const [baseFacts, givenFacts] = [groupsOf('base', base, schema), groupsOf('given', given, schema)];
  const stated = Object.fromEntries(
    schema.groups.map((group) => [
      group,
      overlaid(carriedOver(group, baseFacts, givenFacts, schema), givenFacts[group]),
    ]),
  );
  const facts = readWrittenFacts(stated, schema);
  const { effect, code, rule, ...others } = isMap(want) ? want : {};
  if (
    (effect !== 'allow' && effect !== 'deny') ||
    typeof code !== 'string' ||
    typeof rule !== 'string' ||
    Object.keys(others).length > 0
  ) {
    throw new TypeError('want is {effect: allow | deny, code: CODE, rule: row-id}');
  }
  return { name, facts, base: completeFacts(base, schema), want: { effect, code, rule } };
}

type Given = Readonly<Record<string, Readonly<Record<string, unknown>>>>;

/**
 * What a base says of a group, without what it declares of a key, user or target that there is not in this case, and of the networks
 * of an address that it has not: so a base can say what holds of whatever there is, beside cases of unknown keys.
 */
function carriedOver(group: string, base: Given, given: Given, schema: Schema): Readonly<Record<string, unknown>> {
  const facts = base[group] ?? {};
  if (
    !isThere(group, base) ||
    isThere(group, { ...base, [about(group)]: { ...base[about(group)], ...given[about(group)] } })
  )
    return facts;
  const declared = schema.factsOf(group).flatMap(([name, { since }]) => (since === 0 ? [name.split('.')[0]] : []));
  return Object.fromEntries(Object.entries(facts).filter(([name]) => !declared.includes(name)));
}

/** In which group it is said whether there is what a group is about. */
const about = (group: string): string => (group === 'network' ? 'request' : group);

function isThere(group: string, stated: Given): boolean {
  const { status, addressed } = stated[about(group)] ?? {};
  return group === 'network' ? addressed === true : status !== 'unknown' && status !== 'none';
}

/** One group over another; of a group within it, too, what is not given stays. */
function overlaid(
  base: Readonly<Record<string, unknown>> = {},
  given: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const inner = Object.entries(given).map(([name, value]) => [
    name,
    isMap(value) && isMap(base[name]) ? { ...base[name], ...value } : value,
  ]);
  return { ...base, ...Object.fromEntries(inner) };
}

/** Facts by group. Throws at anything else, which merging base and given would drop silently. */
function groupsOf(what: string, value: unknown, { groups }: Schema): Record<string, Record<string, unknown>> {
  if (!isMap(value)) throw new TypeError(`${what} is a map of facts`);
  for (const [group, facts] of Object.entries(value)) {
    if (!groups.includes(group)) throw new TypeError(`there are no facts of ${JSON.stringify(group)}`);
    if (!isMap(facts)) throw new TypeError(`${what}.${group} is a map of facts`);
  }
  return value as Record<string, Record<string, unknown>>;
}
