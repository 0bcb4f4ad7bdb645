/**
 * Memoizes `decide`: the same facts under the same policy give the same decision. Where no row of the policy reads an id, decisions
 * are kept by situation: all keys whose facts are equal but for the ids share them. Where one does, they are kept by the identity of
 * the groups of the facts. Entries never expire by time.
 */

import { decide, type Policy } from './decide.ts';
import { type Facts, groupOf, isClosed } from './facts.ts';
import { keptByIdentity } from './memo-by-identity.ts';
import { ID_PATHS, type Kept, keptBySituation } from './memo-by-situation.ts';
import type { Schema } from './schema.ts';

/**
 * A memoizing `decide`. What is kept is garbage-collected with the policy.
 *
 * INVARIANT: what is filed can never change: frozen, without prototype, and of plain values and such groups. Facts with any other
 * group are decided on each time. All facts that a decision can depend on are part of what an entry is filed under, and facts with
 * more groups, or more in a group, are not looked up, so no fact gets past the check of `decide`.
 */
export function memoizedDecide(): typeof decide {
  const byPolicy = new WeakMap<Policy, Kept>();

  const keptOf = (policy: Policy): Kept => {
    const known = byPolicy.get(policy);
    if (known) return known;
    const { rows, schema } = policy;
    const readsIds = rows.some(({ when }) => ID_PATHS.some((path) => when.facts.has(path)));
    const kept = readsIds ? keptByIdentity(schema) : keptBySituation(schema);
    byPolicy.set(policy, kept);
    return kept;
  };

  return (policy, given) => {
    const { schema } = policy;
    const kept = keptOf(policy);
    const known = isExact(schema, given) ? kept.find(given) : undefined;
    if (known) return known;
    // Reads each group once, so that what is decided on is what the entry is filed under.
    const facts = { ...given };
    const decision = Object.freeze(decide(policy, facts));
    if (isFixed(policy) && schema.groups.every((group) => isConstant(groupOf(facts, group))))
      kept.file(facts, decision);
    return decision;
  };
}

/** Whether the facts have as many groups as the schema, and none by inheritance. */
const isExact = ({ groups }: Schema, facts: Facts): boolean =>
  Object.keys(facts).length === groups.length && (isClosed(facts) || Object.getPrototypeOf(facts) === Object.prototype);

const isFixed = (policy: Policy): boolean => Object.isFrozen(policy) && Object.isFrozen(policy.rows);

const isConstant = (group: unknown): boolean =>
  typeof group === 'object' &&
  group !== null &&
  Object.isFrozen(group) &&
  isClosed(group) &&
  Object.values(Object.getOwnPropertyDescriptors(group)).every(
    ({ value }) => typeof value === 'string' || typeof value === 'boolean' || isConstant(value),
  );
