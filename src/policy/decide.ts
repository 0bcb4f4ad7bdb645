/**
 * The evaluator: facts in, decision out. Pure, and the only one: the HTTP path, batch, policy cases, explanations,
 * differences and replay all call it.
 */

import { Failure } from '../errors.ts';
import type { Gateway } from './declared/gateway.ts';
import type { Names } from './declared/names.ts';
import type { Facts } from './facts.ts';
import type { Code, Effect, Row } from './row.ts';
import type { Schema } from './schema.ts';

/** A checked policy: immutable, and the same for ever under the same digest. */
export interface Policy {
  /** `sha256:` and 64 hex digits, of the files that a decision depends on. */
  readonly digest: string;
  /** The facts that it is written in terms of. */
  readonly schema: Schema;
  readonly rows: readonly Row[];
  readonly codes: ReadonlyMap<string, Code>;
  /** What foreign words mean in it. No decision on given facts depends on them. */
  readonly names: Names;
  /** Which requests of gateways ask for what. No decision on given facts depends on it. */
  readonly gateway: Gateway;
  /** The first row that matches, with Casbin's own verdict. Throws when a rule does. `decide` is what to call. */
  readonly match: (facts: Facts) => { readonly row: Row | undefined; readonly allowed: boolean };
  /** Whether a row would match if there were no other. Throws when its rule does. */
  readonly matchesAlone: (row: Row, facts: Facts) => boolean;
  /** An upper bound of what `match` costs, in units of about 20 ns. */
  readonly costOf: (facts: Facts) => number;
}

export interface Decision {
  readonly effect: Effect;
  /** One of the policy's codes; `OK` exactly when the effect is allow. */
  readonly code: string;
  /** The id of the row that decided. */
  readonly rule: string;
}

/**
 * Stands in records for the id of a row, where a question named what nothing maps (names.yaml) and was denied for that. No row has such an
 * id: no policy made the decision, so none can make it again.
 */
export const UNMAPPED_RULE = '(unmapped)';

/**
 * Decides by the first row that matches.
 *
 * INVARIANT: it returns allow only for a proven allow: valid facts, a matching row with effect allow, Casbin's verdict
 * agreeing, an active key of an active user, and no freeze. Anything else that is not a matching deny row throws.
 *
 * @throws Failure UNAVAILABLE: facts missing or contradicting each other, a rule that throws, no row that matches.
 */
export function decide(policy: Policy, given: Facts): Decision {
  let facts: Facts;
  let row: Row | undefined;
  let allowed: boolean;
  try {
    facts = policy.schema.read(given);
    ({ row, allowed } = policy.match(facts));
  } catch (cause) {
    throw undecided(cause);
  }
  if (!row) throw undecided(new Error('no row of the policy matches'));
  if (allowed !== (row.effect === 'allow')) throw undecided(new Error(`Casbin contradicts the row ${row.id}`));
  if (allowed && !mayBeAllowed(facts, policy.schema))
    throw undecided(
      new Error(
        `the row ${row.id} allows what no policy may: a key or user that is not active, a freeze, or what a strict register lacks`,
      ),
    );
  return { effect: row.effect, code: row.code, rule: row.id };
}

/** Whether two decisions are the same: the effect, the code, and the row that decided. */
export const isSameDecision = (a: Decision, b: Decision): boolean =>
  a.effect === b.effect && a.code === b.code && a.rule === b.rule;

export const isActive = ({ key, user }: Pick<Facts, 'key' | 'user'>): boolean =>
  key.status === 'active' && user.status === 'active';

/**
 * Compiled in, so that no policy can change it: nothing is allowed to a key or a user that is not active, under a freeze, or, where
 * the register is strict, of an action that is not in it.
 */
export const mayBeAllowed = (facts: Facts, { declaration }: Schema): boolean =>
  isActive(facts) && !facts.freeze.active && (facts.request.registered || !declaration.actions.strict);

const undecided = (cause: unknown): Failure =>
  new Failure('UNAVAILABLE', 'The policy could not decide this question. The log of the service says why.', { cause });
