/**
 * The evaluator: facts in, decision out. Pure, and the only one: the HTTP path, batch, policy cases and whatever else
 * asks what a policy says, ask here.
 */

import { Failure } from '../errors.ts';
import { type Facts, readFacts } from './facts.ts';
import type { Effect, Row } from './folder/rows.ts';
import type { Policy } from './policy.ts';

export interface Decision {
  readonly effect: Effect;
  /** One of the policy's codes; `OK` exactly when the effect is allow. */
  readonly code: string;
  /** The id of the row that decided. */
  readonly rule: string;
}

/**
 * Decides by the first row that matches.
 *
 * INVARIANT: it returns allow only for a proven allow: sound facts, a matching row with effect allow, Casbin's verdict
 * agreeing, and an active key of an active user. Whatever is less than that, and is not a matching deny row, throws.
 *
 * @throws Failure UNAVAILABLE: facts missing or contradicting each other, a rule that throws, no row that matches.
 */
export function decide(policy: Policy, given: Facts): Decision {
  let facts: Facts;
  let row: Row | undefined;
  let allowed: boolean;
  try {
    facts = readFacts(given);
    ({ row, allowed } = policy.match(facts));
  } catch (cause) {
    throw undecided(cause);
  }
  if (!row) throw undecided(new Error('no row of the policy matches'));
  if (allowed !== (row.effect === 'allow')) throw undecided(new Error(`Casbin contradicts the row ${row.id}`));
  if (allowed && !mayBeAllowed(facts))
    throw undecided(new Error(`the row ${row.id} allows a key or user that is not active`));
  return { effect: row.effect, code: row.code, rule: row.id };
}

/** What no policy can change: nothing is allowed to a key or a user that is not active. */
export const mayBeAllowed = (facts: Facts): boolean => facts.key.status === 'active' && facts.user.status === 'active';

const undecided = (cause: unknown): Failure =>
  new Failure('UNAVAILABLE', 'The policy could not decide this question. The log of the service says why.', { cause });
