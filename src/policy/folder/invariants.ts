/**
 * Parses `invariants.yaml`: statements in the rule language that must hold of every situation, whatever the rows say.
 * analysis/proofs.ts proves them at every load.
 */

import { ACTION_PATTERN } from '../action-patterns.ts';
import { parseRule, RuleError } from '../casbin/rule.ts';
import type { Code, Row } from '../row.ts';
import type { Schema } from '../schema.ts';
import { INVARIANTS_FILE } from './files.ts';
import type { Report } from './findings.ts';
import { isMap, type Parsed, parseYaml } from './yaml.ts';

export interface Invariant {
  readonly name: string;
  /** Its `actions` and `when` as a row, so that Casbin can evaluate it. It decides nothing. */
  readonly condition: Row;
  /** Whether it constrains situations in which its condition holds (`never`, `always`), or the others (`only`). */
  readonly whenItHolds: boolean;
  /** The codes that it forbids there. */
  readonly forbidden: ReadonlySet<string>;
  readonly place: { readonly file: string; readonly line: number; readonly column: number };
}

/** Whether a row must not decide a situation that the invariant constrains. */
export const violates = ({ forbidden }: Invariant, row: Row): boolean => forbidden.has(row.code);

const SHAPE =
  'an invariant is {name, actions: pattern, when: rule} and one of never, always, only, with allow, deny or codes';

/** The invariants of `{invariants: [{name, actions?, when?, never | always | only: code or codes}]}`. */
export function parseInvariants(
  text: string | undefined,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: Report,
): readonly Invariant[] {
  const file = INVARIANTS_FILE;
  const start = { file, line: 1, column: 1 };
  const reportNone = (): void =>
    report({
      ...start,
      rule: 'no-invariants',
      message: `there is no invariant; write what must always hold into ${file}, so that a half-copied folder cannot pass`,
    });
  if (text === undefined || text.trim() === '') {
    reportNone();
    return [];
  }
  const yaml = parseYaml(file, text, report);
  if (yaml.value === undefined) return [];
  const { value } = yaml;
  if (!isMap(value) || !Array.isArray(value['invariants']) || Object.keys(value).length !== 1) {
    report({ ...start, rule: 'invariant-shape', message: 'the file is {invariants: [..]}' });
    return [];
  }
  const entries: readonly unknown[] = value['invariants'];
  if (entries.length === 0) reportNone();
  return entries.flatMap((entry, index) => parseInvariant(entry, index, yaml, schema, codes, report) ?? []);
}

function parseInvariant(
  entry: unknown,
  index: number,
  yaml: Parsed,
  schema: Schema,
  codes: ReadonlyMap<string, Code>,
  report: Report,
): Invariant | undefined {
  const path = ['invariants', index];
  const place = { file: INVARIANTS_FILE, ...yaml.place(path) };
  const fault = (message: string): undefined => void report({ ...place, rule: 'invariant-shape', message });
  if (!isMap(entry)) return fault(SHAPE);
  const { name, actions = '*', when = 'true', never, always, only, ...rest } = entry;
  const unknown = Object.keys(rest)[0];
  if (unknown !== undefined) return fault(`nothing reads ${JSON.stringify(unknown)}; ${SHAPE}`);
  if (typeof name !== 'string' || name.trim() === '') return fault('an invariant has a name');
  if (typeof actions !== 'string' || !ACTION_PATTERN.test(actions))
    return fault(`${name}: actions is *, noun:verb or noun:*`);
  if (typeof when !== 'string') return fault(`${name}: when is a rule, in quotes`);
  if (entry['actions'] === undefined && entry['when'] === undefined)
    return fault(`${name}: say when, or which actions`);
  const said = Object.entries({ never, always, only }).filter(([, codesOf]) => codesOf !== undefined);
  const [verb, codesOf] = said[0] ?? [];
  if (verb === undefined || said.length > 1) return fault(`${name}: say one of never, always and only`);
  if (verb === 'only' && entry['when'] === undefined) return fault(`${name}: only goes with when`);

  const named = codesNamed(codesOf, codes);
  if (typeof named === 'string') return fault(`${name}: ${named}`);
  const unknownCode = [...named].find((code) => codes.size > 0 && !codes.has(code));
  if (unknownCode !== undefined) {
    const message = `${name}: codes.yaml has no code ${JSON.stringify(unknownCode)}`;
    return void report({ ...place, rule: 'unknown-code', message });
  }
  try {
    const rule = parseRule(when, schema);
    const forbidden = verb === 'always' ? [...codes.keys()].filter((code) => !named.has(code)) : named;
    return {
      name,
      condition: { id: `invariant-${index}`, action: actions, when: rule, effect: 'deny', code: '', ...place },
      whenItHolds: verb !== 'only',
      forbidden: new Set(forbidden),
      place,
    };
  } catch (error) {
    if (!(error instanceof RuleError)) throw error;
    const { line, column } = yaml.place([...path, 'when']);
    report({ file: INVARIANTS_FILE, line, column, rule: error.fault, message: `${name}: ${error.message}` });
    return undefined;
  }
}

/** The codes that are meant by `allow`, `deny`, a code, or a list of these; a text says what is wrong instead. */
function codesNamed(value: unknown, codes: ReadonlyMap<string, Code>): ReadonlySet<string> | string {
  const words: readonly unknown[] = Array.isArray(value) ? value : [value];
  if (words.length === 0 || !words.every((word) => typeof word === 'string'))
    return 'name allow, deny, a code, or a list of codes';
  return new Set(
    words.flatMap((word) => {
      if (word === 'allow') return ['OK'];
      if (word === 'deny') return [...codes.keys()].filter((code) => code !== 'OK');
      return [String(word)];
    }),
  );
}
