/**
 * Memoizes `decide`: the same facts under the same policy give the same decision. An entry is filed under the identity of the
 * policy and of every group of the facts, never under a joined string that two questions could share: groups are interned
 * (facts/declared.ts), so equal ones are one object, and a look-up takes one step for each group, however many facts it has.
 * Entries never expire by time.
 */

import { type Decision, decide, type Policy } from './decide.ts';
import { type Facts, type Group, groupOf } from './facts.ts';
import type { Schema } from './schema.ts';

/** Groups that the cache of facts makes, of which there are many: held by a WeakMap, or one at a time. */
const OF_CACHE: readonly string[] = ['key', 'user', 'target'];

/** `next` is by the group that has this level's place among the others; below the last there is the decision. */
interface Level {
  readonly next: Map<Group, Level>;
  decision?: Decision;
}

/** The decisions on one target for one key and user; another key or user replaces them. */
interface Remembered {
  readonly key: Facts['key'];
  readonly user: Facts['user'];
  readonly tree: Level;
  size: number;
}

/** Bounds the decisions that are kept of one target. At the bound, all of them are dropped. */
const MAX_OF_TARGET = 128;

/**
 * A memoizing `decide`. Entries are garbage-collected with the facts and the policy that they are of.
 *
 * INVARIANT: what is filed under its identity can never change: frozen, without prototype, and of plain values and such groups.
 * Facts with any other group are decided on each time. All groups that a schema has are part of what an entry is filed under, and
 * facts with more groups are not looked up, so no fact gets past the check of `decide`.
 */
export function memoizedDecide(): typeof decide {
  const byPolicy = new WeakMap<Policy, WeakMap<Facts['target'], Remembered>>();
  const bySchema = new WeakMap<Schema, readonly string[]>();

  /** The groups of a schema that are not the cache's. */
  const othersOf = (schema: Schema): readonly string[] => {
    const known = bySchema.get(schema) ?? schema.groups.filter((group) => !OF_CACHE.includes(group));
    bySchema.set(schema, known);
    return known;
  };

  const recall = (policy: Policy, { key, user, target }: Facts): Remembered | undefined => {
    const remembered = byPolicy.get(policy)?.get(target);
    return remembered?.key === key && remembered.user === user ? remembered : undefined;
  };

  const remember = (policy: Policy, others: readonly string[], facts: Facts, decision: Decision): void => {
    const { key, user, target } = facts;
    const byTarget = byPolicy.get(policy) ?? new WeakMap<Facts['target'], Remembered>();
    byPolicy.set(policy, byTarget);
    const before = recall(policy, facts);
    const remembered =
      before && before.size < MAX_OF_TARGET ? before : { key, user, tree: { next: new Map() }, size: 0 };
    byTarget.set(target, remembered);
    remembered.size += 1;
    file(remembered.tree, others, facts, decision);
  };

  return (policy, given) => {
    const { schema } = policy;
    const others = othersOf(schema);
    const remembered = isExact(schema, given) ? recall(policy, given) : undefined;
    const known = remembered && find(remembered.tree, others, given);
    if (known) return known;
    // Reads each group once, so that what is decided on is what the entry is filed under.
    const facts = { ...given };
    const decision = Object.freeze(decide(policy, facts));
    if (isFixed(policy) && schema.groups.every((group) => isConstant(groupOf(facts, group))))
      remember(policy, others, facts, decision);
    return decision;
  };
}

/** Whether the facts have as many groups as the schema, and none by inheritance. */
function isExact({ groups }: Schema, facts: Facts): boolean {
  const prototype: unknown = Object.getPrototypeOf(facts);
  return Object.keys(facts).length === groups.length && (prototype === null || prototype === Object.prototype);
}

function find(tree: Level, others: readonly string[], facts: Facts): Decision | undefined {
  let level: Level | undefined = tree;
  for (const group of others) {
    level = level.next.get(groupOf(facts, group));
    if (!level) return undefined;
  }
  return level.decision;
}

function file(tree: Level, others: readonly string[], facts: Facts, decision: Decision): void {
  let level = tree;
  for (const name of others) {
    const group = groupOf(facts, name);
    const next: Level = level.next.get(group) ?? { next: new Map() };
    level.next.set(group, next);
    level = next;
  }
  level.decision = decision;
}

const isFixed = (policy: Policy): boolean => Object.isFrozen(policy) && Object.isFrozen(policy.rows);

const isConstant = (group: unknown): boolean =>
  typeof group === 'object' &&
  group !== null &&
  Object.isFrozen(group) &&
  Object.getPrototypeOf(group) === null &&
  Object.values(Object.getOwnPropertyDescriptors(group)).every(
    ({ value }) => typeof value === 'string' || typeof value === 'boolean' || isConstant(value),
  );
