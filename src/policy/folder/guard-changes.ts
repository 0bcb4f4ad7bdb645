/** What an edit does to the guards of a policy, its invariants and cases: which were removed, changed or added. */

import { type Schema, schemaOf } from '../schema.ts';
import { parseAllCases } from './cases.ts';
import { parseCodes } from './codes.ts';
import { parseFactsFile } from './facts-file.ts';
import { CODES_FILE, FACTS_FILE, INVARIANTS_FILE, type PolicyTexts } from './files.ts';
import { parseInvariants } from './invariants.ts';

/** Names, in the order of the files. */
export interface GuardChanges {
  /** How many the new policy has. */
  readonly now: number;
  readonly removed: readonly string[];
  readonly changed: readonly string[];
  readonly added: readonly string[];
}

/** An invariant that cannot be parsed counts as removed; the check reports why. */
export function invariantChanges(before: PolicyTexts, after: PolicyTexts): GuardChanges {
  return changes(invariantsOf(before), invariantsOf(after));
}

/** As `invariantChanges`, of cases. */
export function caseChanges(before: PolicyTexts, after: PolicyTexts): GuardChanges {
  return changes(casesOf(before), casesOf(after));
}

const ignore = (): void => undefined;

const schemaIn = (texts: PolicyTexts): Schema => schemaOf(parseFactsFile(texts.get(FACTS_FILE), ignore));

/** Name -> what it states, as JSON, for comparison. */
type Guards = ReadonlyMap<string, string>;

function invariantsOf(texts: PolicyTexts): Guards {
  const codes = parseCodes(texts.get(CODES_FILE), ignore);
  return new Map(
    parseInvariants(texts.get(INVARIANTS_FILE), schemaIn(texts), codes, ignore).map(
      ({ name, condition, whenItHolds, forbidden }) => [
        name,
        JSON.stringify([condition.action, condition.when.text, whenItHolds, [...forbidden].sort()]),
      ],
    ),
  );
}

const casesOf = (texts: PolicyTexts): Guards =>
  new Map(
    parseAllCases(texts, schemaIn(texts), ignore).map(({ name, file, facts, want }) => [
      `${name} (${file})`,
      JSON.stringify([facts, want]),
    ]),
  );

function changes(before: Guards, after: Guards): GuardChanges {
  return {
    now: after.size,
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: [...after.keys()].filter((name) => before.has(name) && before.get(name) !== after.get(name)),
    added: [...after.keys()].filter((name) => !before.has(name)),
  };
}
