/** Why a recorded decision was taken: its facts, explained under the policy of its time, which it names by digest. */

import type { Knex } from 'knex';
import { Refusal } from '../../errors.ts';
import type { Decision, Policy } from '../../policy/decide.ts';
import { type Explanation, explain } from '../../policy/explain.ts';
import { readFacts } from '../../policy/facts.ts';
import { assemblePolicy } from '../../policy/policy.ts';
import { findPolicy } from '../../rollout/store.ts';

/** What an explanation needs of a record. */
export interface Recorded extends Decision {
  /** Digest of the policy that decided. */
  readonly policy: string;
  /** As they were recorded: perhaps none that this version knows. */
  readonly facts: unknown;
}

/** A policy by the digest that a record names, or why there is none. */
export type PolicyOfTime =
  | { readonly policy: Policy; readonly why?: never }
  | { readonly policy?: never; readonly why: string };

/** @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function policyOfTime(db: Knex, digest: string): Promise<PolicyOfTime> {
  try {
    const stored = await findPolicy(db, digest);
    // A record may hold the beginning of a digest, if somebody has put it there.
    if (stored.digest !== digest) return { why: `${digest} is not the digest of a policy` };
    const policy = await assemblePolicy(stored.texts).catch((cause: Error) => {
      throw new Refusal(`the policy ${digest} cannot be read by this version: ${cause.message}`, cause);
    });
    if (policy.digest === digest) return { policy };
    return { why: `what is stored as the policy ${digest} has another digest: IT WAS ALTERED` };
  } catch (error) {
    if (error instanceof Refusal) return { why: error.message };
    throw error;
  }
}

export interface Account {
  readonly explanation: Explanation | null;
  /** Why there is no explanation, or that it is not what was recorded; null where all is well. */
  readonly note: string | null;
}

/** @throws Failure UNAVAILABLE or DEADLINE_EXCEEDED */
export async function explainRecorded(db: Knex, recorded: Recorded): Promise<Account> {
  const { policy, why } = await policyOfTime(db, recorded.policy);
  if (policy === undefined) return { explanation: null, note: `It cannot be explained: ${why}.` };
  try {
    const explanation = explain(policy, readFacts(recorded.facts));
    return { explanation, note: agrees(recorded, explanation.decision) ? null : contradiction(explanation.decision) };
  } catch (error) {
    // What a row threw is the cause of what `decide` throws.
    const { message } = ((error as Error).cause ?? error) as Error;
    return {
      explanation: null,
      note: `It cannot be explained: the policy ${policy.digest} does not take the recorded facts: ${message}.`,
    };
  }
}

/** Whether a policy decides just as it was recorded. */
export const agrees = (recorded: Decision, decided: Decision): boolean =>
  (['effect', 'code', 'rule'] as const).every((part) => recorded[part] === decided[part]);

const contradiction = ({ effect, code, rule }: Decision): string =>
  `THE RECORD CONTRADICTS ITS POLICY, which says ${effect} ${code} by the row ${rule} of these facts. See to who can ` +
  'write to the decision log, and run authz audit verify.';
