/** Recorded decisions under another policy: which of them would have come out otherwise. A fold; whoever has the records feeds it. */

import { type Decision, decide } from './decide.ts';
import { FACT_GROUPS, FACTS_SCHEMA, type Facts, type FactType, readFacts } from './facts.ts';
import type { Policy } from './policy.ts';

/** What is replayed of a decision. */
export interface Recorded {
  readonly id: string;
  readonly code: string;
  readonly rule: string;
  /** As they were stored: checked here before anything is decided on them. */
  readonly facts: unknown;
}

/** The outcome under another policy: a decision, or the reason for which there is none. */
export type Redecide = (facts: unknown) => Decision | Error;

/** So many classes of facts are remembered; a policy tells far fewer apart, unless it names very many ids. */
const REMEMBERED = 100_000;

/**
 * Decides again and again, remembering. Records that no row of the policy can tell apart are evaluated once: what is
 * remembered by holds each closed fact, each text that a row compares (as far as it is compared), and the action.
 */
export function redecider(policy: Policy): Redecide {
  const known = new Map<string, Decision | Error>();
  const classOf = classifier(policy);
  return (given) => {
    let facts: Facts;
    try {
      facts = readFacts(given);
    } catch (error) {
      return error as Error;
    }
    const key = classOf(facts);
    let outcome = known.get(key);
    if (outcome === undefined) {
      outcome = attempt(policy, facts);
      if (known.size >= REMEMBERED) known.clear();
      known.set(key, outcome);
    }
    return outcome;
  };
}

function attempt(policy: Policy, facts: Facts): Decision | Error {
  try {
    return decide(policy, facts);
  } catch (error) {
    return ((error as Error).cause as Error | undefined) ?? (error as Error);
  }
}

/** A text that says all that the rows of the policy can see of a facts record. */
function classifier(policy: Policy): (facts: Facts) => string {
  const readers = FACT_GROUPS.flatMap((group) =>
    Object.entries<FactType>(FACTS_SCHEMA[group]).map(([fact, type]) => {
      const path = `r.${group}.${fact}`;
      const compared = new Set(policy.rows.flatMap((row) => [...(row.when.constants.get(path) ?? [])]));
      const read = (facts: Facts): unknown => (facts[group] as Record<string, unknown>)[fact];
      // Patterns see the whole of an action; of any other text a row sees whether it is one of its constants.
      if (type !== 'text' || path === 'r.request.action') return read;
      return (facts: Facts): unknown => {
        const value = read(facts) as string;
        return compared.has(value) ? value : null;
      };
    }),
  );
  return (facts) => JSON.stringify(readers.map((read) => read(facts)));
}
