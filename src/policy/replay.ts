/** Recorded decisions under another policy: which of them would have come out otherwise. */

import { type Decision, decide } from './decide.ts';
import { FACT_PATHS } from './facts.ts';
import type { Policy } from './policy.ts';

/** Decides again: on the JSON of recorded facts, as PostgreSQL prints jsonb. A failure is a value here, with its reason. */
export type Redecide = (facts: string) => Decision | Error;

/** So many situations are remembered; one is some hundred bytes. */
const REMEMBERED = 100_000;

// Empty ids stay: they are what the schema's constraints can tell apart.
const ID = /"id": "[^"\\]+"/g;

/**
 * Decides again and again, each situation once. Records are the same situation when they differ in nothing but ids that no
 * row of the policy compares: there is one for each combination of the other facts, whatever the number of keys.
 */
export function redecider(policy: Policy): Redecide {
  const known = new Map<string, Decision | Error>();
  const idsMatter = [...FACT_PATHS.keys()].some(
    (path) => path.endsWith('.id') && policy.rows.some((row) => row.when.constants.has(path)),
  );
  return (facts) => {
    const situation = idsMatter ? facts : facts.replace(ID, '"id": "*"');
    let outcome = known.get(situation);
    if (outcome === undefined) {
      outcome = attempt(policy, facts);
      if (known.size >= REMEMBERED) known.clear();
      known.set(situation, outcome);
    }
    return outcome;
  };
}

/** Facts that contradict each other, and whatever else `decide` does not decide on, are no decision here either. */
function attempt(policy: Policy, facts: string): Decision | Error {
  try {
    return decide(policy, JSON.parse(facts));
  } catch (error) {
    return ((error as Error).cause as Error | undefined) ?? (error as Error);
  }
}
