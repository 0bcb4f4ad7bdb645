/** What an edit does to the statements that guard a policy: invariants and cases that are gone, that say something else, or new. */

import { parseAllCases } from './cases.ts';
import { parseCodes } from './codes.ts';
import type { PolicyTexts } from './files.ts';
import { INVARIANTS_FILE, parseInvariants } from './invariants.ts';

/** Names, in the order of the files. */
export interface StatementChanges {
  /** How many the new policy has. */
  readonly now: number;
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  readonly added: readonly string[];
}

/** Those that cannot be read count as gone; the check has their findings. */
export function invariantChanges(before: PolicyTexts, after: PolicyTexts): StatementChanges {
  return changes(invariantsOf(before), invariantsOf(after));
}

/** As `invariantChanges`, of cases. */
export function caseChanges(before: PolicyTexts, after: PolicyTexts): StatementChanges {
  return changes(casesOf(before), casesOf(after));
}

const ignore = (): void => undefined;

/** Name -> what is stated, as a text that is the same exactly where the statement is. */
type Statements = ReadonlyMap<string, string>;

function invariantsOf(texts: PolicyTexts): Statements {
  const codes = parseCodes(texts.get('codes.yaml'), ignore);
  return new Map(
    parseInvariants(texts.get(INVARIANTS_FILE), codes, ignore).map(({ name, condition, whenItHolds, forbidden }) => [
      name,
      JSON.stringify([condition.action, condition.when.text, whenItHolds, [...forbidden].sort()]),
    ]),
  );
}

const casesOf = (texts: PolicyTexts): Statements =>
  new Map(
    parseAllCases(texts, ignore).map(({ name, file, facts, want }) => [
      `${name} (${file})`,
      JSON.stringify([facts, want]),
    ]),
  );

function changes(before: Statements, after: Statements): StatementChanges {
  return {
    now: after.size,
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: [...after.keys()].filter((name) => before.has(name) && before.get(name) !== after.get(name)),
    added: [...after.keys()].filter((name) => !before.has(name)),
  };
}
