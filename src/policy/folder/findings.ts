/** What is wrong with a policy folder, and where: the catalogue of kinds, and how findings are collected and printed. */

import { maskSecrets } from '../../mask.ts';
import type { RuleFault } from '../casbin/rule.ts';

interface FindingKind<Level = 'error' | 'warning' | 'advice'> {
  /** `warning`: no decision can go wrong by it. The policy is refused all the same. `advice`: it is not refused. */
  readonly level: Level;
  /** What is found, in a sentence. */
  readonly says: string;
  /** How to mend it, in a sentence. */
  readonly mend: string;
}

const error = (says: string, mend: string): FindingKind<'error'> => ({ level: 'error', says, mend });
const advice = (says: string, mend: string): FindingKind<'advice'> => ({ level: 'advice', says, mend });
const warning = (says: string, mend: string): FindingKind<'warning'> => ({ level: 'warning', says, mend });

/**
 * Every kind. Names are stable, since scripts rely on them. Each has a section in docs/policy-findings.md, and SARIF lists all.
 */
export const FINDING_RULES = {
  'missing-file': error('A required file is missing.', 'Restore it.'),
  'unknown-file': error('Nothing reads a file of this name.', 'Remove or rename it.'),
  'link-outside': error('A link leads out of the policy folder.', 'Put the file itself into the folder.'),
  secret: error('Something has the form of an API key or a caller token.', 'Remove it, and revoke it if it is live.'),
  'too-large': error('A file, a line or the whole policy exceeds the size bounds.', 'Split or shorten it.'),
  'too-many-findings': error('There are more findings than are listed.', 'Mend what is listed, then check again.'),
  'unseen-character': error('A character cannot be seen, or shows as something else.', 'Remove it.'),
  'not-utf-8': error('Bytes are no UTF-8.', 'Save the file as UTF-8.'),
  model: error('model.conf is not the one model that the service accepts.', 'Write it as the message says.'),
  'no-rows': error('There is no row.', 'Write rows into files such as 10-api-key.csv.'),
  'row-syntax': error('A line is not CSV.', 'Close the quotes; double a quote inside quotes.'),
  'row-shape': error(
    'A row does not have exactly six fields, or its p or its id is malformed.',
    'Write p, id, action, when, effect, code.',
  ),
  'row-action': error('The action of a row is no pattern.', 'Write *, noun:verb or noun:*.'),
  'row-effect': error(
    'The effect is neither allow nor deny, or does not go with the code.',
    'Allow goes with OK, and deny with any other code.',
  ),
  'unknown-code': error('A code is used that codes.yaml does not define.', 'Define it, or use one that is defined.'),
  'duplicate-id': error('Two rows have the same id, so that no decision could tell them apart.', 'Rename one.'),
  'unknown-fact': error('A rule names a fact that does not exist.', 'Name one of the facts of the schema.'),
  'rule-type': error(
    'A comparison, a list or a condition has the wrong type.',
    'Compare a fact with one of its values.',
  ),
  'rule-syntax': error('A rule is not one complete expression.', 'Write one expression; put a list in parentheses.'),
  'forbidden-syntax': error(
    'A rule uses syntax outside the rule language, which Casbin would run.',
    'Use facts, literals and the listed operators only.',
  ),
  facts: error('facts.yaml declares a fact that cannot be, or in another form.', 'Write it as the message says.'),
  names: error('names.yaml maps a name onto what there is not, or in another form.', 'Write it as the message says.'),
  gateway: error('gateway.yaml has a route that cannot be, or in another form.', 'Write it as the message says.'),
  'unreachable-route': error(
    'No request gets to a route of gateway.yaml, because routes above it have all of them.',
    'Move it up, or remove it.',
  ),
  'unknown-action': error(
    'A pattern of a row matches no action of a strict register, so nobody can do what the row allows.',
    'Correct the pattern, or add the action to actions.known.',
  ),
  'unregistered-action': advice(
    'A pattern of a row matches no action of the register.',
    'Correct the pattern where it is misspelt, or add the action to actions.known.',
  ),
  'undeclared-value': advice(
    'The database holds an attribute or a role that facts.yaml does not declare, so it counts for nothing.',
    'Declare it, or take it from those who have it.',
  ),
  'row-never-matches': warning('No situation makes the row match.', 'Mend its rule or its action, or remove it.'),
  'row-hidden': warning('Wherever the row matches, rows above it have decided.', 'Move it up, or remove it.'),
  undecided: error('No row decides some situations.', 'Add a row for them.'),
  'forbidden-allow': error(
    'A row allows a key or a user that is not active, what is frozen, or what a strict register lacks.',
    'Deny those in a row above it.',
  ),
  'ignorance-grants': error(
    'A row denies by a declared fact what is allowed while that fact is not known, so that whoever leaves it out gains by it.',
    'Let rows allow only what is known, or declare the fact with withholds: true where it is meant to take away.',
  ),
  'too-many-situations': error(
    'The rows tell more situations apart than a check can go through.',
    'Name fewer ids and actions in one rule, or fewer facts.',
  ),
  prefix: error(
    'A line of a network file is no prefix of addresses.',
    'Write one prefix a line, such as 203.0.113.0/24 or 2001:db8::/32.',
  ),
  codes: error('codes.yaml gives a code a meaning that it may not have.', 'Write it as the message says.'),
  'unused-code': warning('A code is defined and no row uses it.', 'Remove it, or write the row that it is for.'),
  'yaml-syntax': error(
    'A file is not YAML, or is YAML that parsers read differently.',
    'Write plain maps, lists and texts.',
  ),
  'no-cases': error('There is no case.', 'Write what must hold into cases/name.yaml.'),
  'case-shape': error('A case is malformed.', 'Write name, given and want.'),
  'case-fails': error('A case wants another decision than the policy gives.', 'Mend the rows, or the case.'),
  'no-invariants': error('There is no invariant.', 'Write what must always hold into invariants.yaml.'),
  'invariant-shape': error('An invariant is malformed.', 'Write it as the message says.'),
  'invariant-violated': error('Some situation is decided against an invariant.', 'Mend the rows, or the invariant.'),
  'invariant-vacuous': error('The invariant constrains no situation.', 'Mend its condition, or remove it.'),
} as const satisfies Record<RuleFault, FindingKind<'error'>> & Record<string, FindingKind>;

export type FindingRule = keyof typeof FINDING_RULES;

type Catalogue = typeof FINDING_RULES;
export type ErrorRule = { [Rule in FindingRule]: Catalogue[Rule]['level'] extends 'error' ? Rule : never }[FindingRule];

export interface Finding {
  /** The file's name inside the policy folder. */
  readonly file: string;
  /** From 1; 1 where a finding is about the whole file. */
  readonly line: number;
  /** From 1, in UTF-16 units. */
  readonly column: number;
  /** The stable name of the kind of finding, such as `unknown-fact`. */
  readonly rule: FindingRule;
  /** What is wrong and how to mend it. */
  readonly message: string;
}

export type Report = (finding: Finding) => void;

/**
 * What parsing reports to. Whatever is found there keeps rows out of the policy, so that nothing can be proved and a policy that
 * was stored can no longer be read: no warning may do that. A warning is found in `check` of policy.ts, on rows that are valid.
 */
export type ReportError = (finding: Finding & { readonly rule: ErrorRule }) => void;

/** Whether a finding is no more than advice: printed, and never in the way of a policy. */
export const isAdvice = ({ rule }: Finding): boolean => FINDING_RULES[rule].level === 'advice';

export const byPlace = (a: Finding, b: Finding): number =>
  (a.file < b.file ? -1 : a.file > b.file ? 1 : 0) || a.line - b.line || a.column - b.column;

/** One line, control and format characters escaped: names of files, cases and invariants come from the folder. */
export const printFinding = ({ file, line, column, rule, message }: Finding): string =>
  `${file}:${line}:${column}: ${message} [${rule}]`.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (unseen) => `\\u{${unseen.codePointAt(0)?.toString(16)}}`,
  );

/** Bounds memory, whatever a file holds. */
const MAX_OF_A_FILE = 1000;

/** Collects findings, at most a thousand of a file, with secrets masked; `all` returns them sorted by place. */
export function collector(): { readonly report: Report; readonly all: () => Finding[] } {
  const byFile = new Map<string, Finding[]>();
  const report: Report = (given) => {
    // Names of files, and messages that quote a row, may hold a key that somebody pasted.
    const finding = { ...given, file: maskSecrets(given.file), message: maskSecrets(given.message) };
    const { file } = finding;
    const known = byFile.get(file);
    if (known === undefined) byFile.set(file, [finding]);
    else if (known.length < MAX_OF_A_FILE) known.push(finding);
    else if (known.length === MAX_OF_A_FILE) {
      known.push({
        ...finding,
        rule: 'too-many-findings',
        message: `only the first ${MAX_OF_A_FILE} findings of a file are listed; mend those, then check again`,
      });
    }
  };
  return { report, all: () => [...byFile.values()].flat().sort(byPlace) };
}
