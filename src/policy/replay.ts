/** Replays recorded decisions under another policy: what it would have decided. */

import { type Decision, decide, type Policy } from './decide.ts';
import { readRecordedFacts } from './recorded-facts.ts';
import { BUILT_IN } from './schema.ts';

/**
 * Decides again: on the JSON of recorded facts, as PostgreSQL prints jsonb, and the version of the facts that the record
 * names. A failure is returned as a value, with its reason.
 */
export interface Redecide {
  (facts: string, version: number): Decision | Error;
  /** The declared facts that rows read and some record lacked, or had with a value that the policy does not declare: their defaults counted. */
  readonly assumed: ReadonlySet<string>;
}

/** Bounds the memo; an entry is some hundred bytes. At the bound all are dropped. */
const MAX_MEMO = 100_000;

// Empty ids stay: the constraints of the facts tell them apart. What a policy declares may be called id, too.
const ID = /"id": "[^"\\]+"/g;

/**
 * Decides each situation once. Records are the same situation when they differ only in ids that no row of the policy
 * reads: there is one for each combination of the other facts, whatever the number of keys.
 */
export function redecider(policy: Policy, schema = policy.schema): Redecide {
  const known = new Map<string, Decision | Error>();
  const readsIds = [...schema.paths.keys()].some(
    (path) => path.endsWith('.id') && policy.rows.some((row) => row.when.facts.has(path)),
  );
  const read = new Set(policy.rows.flatMap(({ when }) => [...when.facts]));
  const builtIn = new Set(BUILT_IN.paths.keys());
  const assumed = new Set<string>();
  const decideAgain = (facts: string, version: number): Decision => {
    const recorded = readRecordedFacts(JSON.parse(facts), version, schema);
    for (const path of recorded.assumed) if (read.has(path) && !builtIn.has(path)) assumed.add(path);
    return decide(policy, recorded.facts);
  };
  const redecide = (facts: string, version: number): Decision | Error => {
    const situation = `${version} ${readsIds ? facts : facts.replace(ID, '"id": "*"')}`;
    let outcome = known.get(situation);
    if (outcome === undefined) {
      outcome = attempt(() => decideAgain(facts, version));
      if (known.size >= MAX_MEMO) known.clear();
      known.set(situation, outcome);
    }
    return outcome;
  };
  return Object.assign(redecide, { assumed });
}

/** A failure becomes a value: the cause that `decide` gives, such as facts that contradict each other. */
function attempt(decision: () => Decision): Decision | Error {
  try {
    return decision();
  } catch (error) {
    return ((error as Error).cause as Error | undefined) ?? (error as Error);
  }
}
